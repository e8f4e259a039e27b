"""A network with its preprocessing, from uint8 crops to named outputs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from reidprep.errors import ReidError
from reidprep.shards.format import View
from reidtrain.data.preprocessing import Preprocessor
from reidtrain.features.extractor import named_features
from reidtrain.features.files import EMBEDDING
from reidtrain.models.attention_driven import AttentionDrivenNet, AttentionDrivenOutput
from reidtrain.models.factory import Model, ModelConfig
from reidtrain.models.self_attention import SelfAttentionConfig, SelfAttentionOutput

FIRST_BLOCK, FIRST_STAGE = 2, 4
"""The first block of a branch, and the first stage of a ResNet, with an attention map, as the papers count them."""


@dataclass(frozen=True)
class Outputs:
    """What to give besides the embedding.

    Attributes:
        features: `feature_...`: of each branch and, of several parts, fused.
        attention: `attention_...`: the maps of each branch and block, or of each stage.
        unit_length: scale the embedding to length 1, as databases of vectors want it: the Euclidean order is that of
            cosines then. That of the attention-driven network, which has length sqrt(2), keeps its order.
    """

    features: bool = False
    attention: bool = False
    unit_length: bool = False

    def check(self, config: ModelConfig) -> None:
        """Make sure that a network has them.

        Raises:
            ReidError: it does not.
        """
        if isinstance(config, SelfAttentionConfig):
            if self.features:
                raise ReidError("--features: a self-attention network has no branches, only its embedding")
        elif self.attention and config.attention == "none":
            raise ReidError("--attention: this network was trained without attention and has no maps")

    @property
    def options(self) -> dict[str, Any]:
        """What the network's forward() has to be told."""
        return {"attention_maps": self.attention}

    def named(self, output: AttentionDrivenOutput | SelfAttentionOutput) -> dict[str, Tensor]:
        """Those of a network's output: `embedding`, `feature_head`, `attention_head_2`, `attention_4` and so on."""
        features = named_features(output)
        embedding = features.pop(EMBEDDING)
        named = {EMBEDDING: F.normalize(embedding, dim=1) if self.unit_length else embedding}
        if self.features:
            named |= {f"feature_{name}": values for name, values in features.items()}
        if self.attention and isinstance(output, AttentionDrivenOutput):
            for branch, maps in output.attention.items():
                named |= {f"attention_{branch}_{block}": values for block, values in enumerate(maps, FIRST_BLOCK)}
        elif self.attention and isinstance(output, SelfAttentionOutput):
            named |= {f"attention_{stage}": values for stage, values in enumerate(output.attention, FIRST_STAGE)}
        return named


class EndToEnd(nn.Module):
    """A network with its preprocessing and without its identity classifiers.

    Args:
        model: becomes part of this, loses its classifiers and is set to evaluation mode.
        preprocessor: gives channel means, divisor and sizes; its random changes are left out.
        outputs: what to give.
    """

    def __init__(self, model: Model, preprocessor: Preprocessor, outputs: Outputs) -> None:
        super().__init__()
        self.model = model
        self.outputs = outputs
        self.divisor = preprocessor.divisor
        self.sizes = preprocessor.sizes
        for view in model.views:
            self.register_buffer(f"{view}_mean", getattr(preprocessor, f"{view}_mean"))
        for name, _ in [*model.named_children()]:
            if name.endswith(("classifier", "classifiers")):
                setattr(model, name, nn.Identity())
        if isinstance(model, AttentionDrivenNet):
            model.part_computation = "grouped"  # one node for four parts, and no slices of weights in the graph
        self.eval()

    def forward(
        self, whole: Tensor | None = None, parts: Tensor | None = None, image: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Outputs by name, from the views that the network takes: uint8 RGB crops of any height and width.

        Args:
            whole: (n, height, width, 3) whole bodies.
            parts: (n, 4, height, width, 3) head, upper body, upper leg, lower leg.
            image: (n, height, width, 3) plain images.
        """
        given: Mapping[View, Tensor | None] = {"whole": whole, "parts": parts, "image": image}
        inputs = {view: self._prepared(view, crops) for view, crops in given.items() if crops is not None}
        return self.outputs.named(self.model(**inputs, **self.outputs.options))

    def _prepared(self, view: View, crops: Tensor) -> Tensor:
        flat = crops.flatten(0, -4).movedim(-1, 1).float()
        # Antialiasing changes nothing where a side grows, so it needs no decision, which a graph could not take.
        resized = F.interpolate(flat, self.sizes[view], mode="bilinear", align_corners=False, antialias=True)
        images = resized.reshape(-1, *crops.shape[1:-3], *resized.shape[1:])
        mean: Tensor = getattr(self, f"{view}_mean")
        return (images - mean) / self.divisor
