"""The five-branch network of Yang et al., Attention Driven Person Re-identification.

Fusion of the features: section 3.4, Table 9.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Literal, NamedTuple, get_args

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from reidprep.errors import ReidError
from reidprep.shards.format import View
from reidprep.skeleton import PARTS
from reidtrain.models.intra_attention import Attention, IntraAttention
from reidtrain.models.layers import Bottleneck, GroupedLinear, conv, initialise, without_weights

Fusion = Literal["inter-attention", "fc", "global-fc", "concatenation"]


class InterAttention(nn.Module):
    """E_l = [(mu_i + 1) E_i] with one learnt weight mu_i = sigmoid(w_i E_i + b_i) per part (Eq. 8-9)."""

    def __init__(self, features: int, parts: int) -> None:
        super().__init__()
        self.importance = GroupedLinear(features, 1, groups=parts)

    def forward(self, parts: Tensor) -> Tensor:
        """(n, parts, features) to (n, parts * features)."""
        return (parts * (1 + torch.sigmoid(self.importance(parts)))).flatten(1)


class FullyConnected(nn.Module):
    """One fully connected layer over several features, of the same size."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.fc = nn.Linear(features, features)

    def forward(self, *features: Tensor) -> Tensor:
        """Features (n, ...) to (n, as many values as they have together)."""
        fused: Tensor = self.fc(torch.cat([feature.flatten(1) for feature in features], 1))
        return fused


PartComputation = Literal["auto", "grouped", "separate"]

FEW_PIXELS = 20_000
"""Of one part in all images of a batch: one full-size image, or 32 of the `demo` recipe. Up to there a CPU computes
grouped layers 1.1 to 2.2 times as fast, as calls cost more than arithmetic; with four times as many it is slower."""

BRANCHES = ("whole", *PARTS)
"""The branches in the order of the crops: the whole body, then the parts from top to bottom."""

WHOLE_POOL_STRIDE = (2, 2)
PART_POOL_STRIDE = (1, 2)
"""(height, width) strides of the max-pooling of Table 1, "S-2x2" and "S-1x2": both leave features 48 wide."""


@dataclass(frozen=True)
class AttentionDrivenConfig:
    """A variant of the network; the default is the full model, Intra+inter of Table 6.

    Attributes:
        branches: any subset of `BRANCHES`, in their order (Table 7).
        attention: intra-attention with or without decomposition (Table 8), or none (Table 6).
        fusion: of the part features (Table 9), with `global-fc` of the whole body's as well, which then has no place
            beside them. `concatenation` is not learnt, so it has no logits of its own.
        dropout: before every classifier.

    Raises:
        ReidError: a value that is not among the choices, which the message names, or `global-fc` without the whole
            body or without a part.
    """

    __pydantic_config__: ClassVar[Mapping[str, str]] = {"extra": "forbid"}

    branches: tuple[str, ...] = BRANCHES
    attention: Attention = "decomposed"
    fusion: Fusion = "inter-attention"
    dropout: float = 0.5

    def __post_init__(self) -> None:
        _check_choice("attention", self.attention, get_args(Attention))
        _check_choice("fusion", self.fusion, get_args(Fusion))
        for branch in self.branches:
            _check_choice("branches", branch, BRANCHES)
        if not self.branches or list(self.branches) != [name for name in BRANCHES if name in self.branches]:
            raise ReidError(
                f"branches: {', '.join(self.branches) or 'none'}; name each at most once, at least one, "
                f"in the order {', '.join(BRANCHES)}"
            )
        if self.fusion == "global-fc" and not ("whole" in self.branches and self.parts):
            raise ReidError("fusion: global-fc joins the whole body and parts; name 'whole' and a part in branches")
        if not 0 <= self.dropout < 1:
            raise ReidError(f"dropout: {self.dropout} is not in 0 (none) to 1 (everything, excluded)")

    @property
    def parts(self) -> tuple[str, ...]:
        """The part branches."""
        return tuple(name for name in self.branches if name != "whole")

    @property
    def views(self) -> tuple[View, ...]:
        """The crops of a batch that `forward` takes, by name."""
        given: dict[View, bool] = {"whole": "whole" in self.branches, "parts": bool(self.parts)}
        return tuple(view for view, needed in given.items() if needed)


def _check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ReidError(f"{name}: {value!r} is unknown; choose from {', '.join(choices)}")


class AttentionDrivenOutput(NamedTuple):
    """What the network computes for n images.

    Attributes:
        branch_logits: (n, classes) of each branch.
        fused_logits: (n, classes) of the fused feature; None unless a fusion is learnt.
        features: E_g (n, 256) of the whole body, E_i (n, 128) of each part.
        fused: E_l (n, 128 * parts), or the one part's feature; None without part branches. With `global-fc` of all
            branches (n, 256 + 128 * parts).
        attention: of each branch, the masks of blocks 2, 3 and 4, averaged over channels: (n, h, w) each, in 0 to 1.
            Empty unless asked for.
        fuses_whole: whether the whole body is in `fused`.
    """

    branch_logits: dict[str, Tensor]
    fused_logits: Tensor | None
    features: dict[str, Tensor]
    fused: Tensor | None
    attention: dict[str, tuple[Tensor, ...]]
    fuses_whole: bool = False

    @property
    def embedding(self) -> Tensor:
        """(n, 768) feature to compare images with: whole and fused part, each of length 1, so of equal weight.

        With `global-fc` the fused feature, of length 1.
        """
        halves = [self.fused] if self.fuses_whole else [self.features.get("whole"), self.fused]
        return torch.cat([F.normalize(half, dim=1) for half in halves if half is not None], dim=1)


class Block(nn.Module):
    """Three residual units and, in blocks 2-4, an attention mask: (1 + m) * a (Eq. 7)."""

    def __init__(
        self,
        in_channels: int,
        width: int,
        out_channels: int,
        stride: int = 1,
        poolings: int = 0,
        attention: Attention = "none",
        groups: int = 1,
    ) -> None:
        super().__init__()
        self.units = nn.Sequential(
            Bottleneck(in_channels, width, out_channels, stride, groups=groups),
            Bottleneck(out_channels, width, out_channels, groups=groups),
            Bottleneck(out_channels, width, out_channels, groups=groups),
        )
        self.attention: IntraAttention | None = None
        if poolings and attention != "none":
            self.attention = IntraAttention(in_channels, width, out_channels, stride, poolings, attention, groups)

    def forward(self, v: Tensor) -> tuple[Tensor, Tensor | None]:
        """Features (n, groups * out_channels, h / stride, w / stride) and the mask of the same shape."""
        a = self.units(v)
        if self.attention is None:
            return a, None
        mask = self.attention(v)
        return torch.addcmul(a, a, mask), mask


class Branch(nn.Module):
    """What follows the shared first convolution (Table 1), for `groups` equal branches at once.

    The batch norm of the first convolution is the branch's own: heads and whole bodies differ in their statistics.
    The last stage keeps the resolution.
    """

    def __init__(
        self,
        width: int,
        features: int,
        pool_stride: tuple[int, int],
        attention: Attention,
        groups: int = 1,
    ) -> None:
        super().__init__()
        self.groups = groups
        self.bn1 = nn.BatchNorm2d(groups * 32)
        self.pool = nn.MaxPool2d(3, pool_stride, padding=1)
        self.conv2x = Block(32, width, 2 * width, groups=groups)
        self.conv3x = Block(2 * width, 2 * width, 4 * width, 2, poolings=2, attention=attention, groups=groups)
        self.conv4x = Block(4 * width, 4 * width, 8 * width, 2, poolings=1, attention=attention, groups=groups)
        self.conv5x = Block(8 * width, 8 * width, 16 * width, 1, poolings=1, attention=attention, groups=groups)
        self.reduce = GroupedLinear(16 * width, features, groups)

    def forward(self, x: Tensor, attention_maps: bool) -> tuple[Tensor, list[Tensor]]:
        """(n, groups * 32, h, w) to features (n, groups, features) and maps (n, groups, h, w) of blocks 2-4."""
        x = self.pool(F.relu(self.bn1(x), inplace=True))
        maps = []
        for block in (self.conv2x, self.conv3x, self.conv4x, self.conv5x):
            x, mask = block(x)
            if attention_maps and mask is not None:
                maps.append(mask.reshape(mask.shape[0], self.groups, -1, *mask.shape[2:]).mean(2))
        return self.reduce(x.mean((2, 3)).reshape(x.shape[0], self.groups, -1)), maps


class AttentionDrivenNet(nn.Module):
    """Whole body and parts, each in a branch of its own, and the fusion of the parts.

    The part branches have equal shapes and are stored stacked (see `layers`). `part_computation` says how they run:
    `grouped`, all at once by grouped layers; `separate`, one after the other; `auto`, separate on a CPU for more than
    `FEW_PIXELS`, and grouped elsewhere, where launches cost. Results and weights are the same, so it may change at any
    time.
    """

    def __init__(
        self,
        config: AttentionDrivenConfig,
        classes: int,
        part_computation: PartComputation = "auto",
    ) -> None:
        super().__init__()
        _check_choice("part_computation", part_computation, get_args(PartComputation))
        self.config = config
        self.part_computation: PartComputation = part_computation
        count = len(config.parts)

        self.conv1 = conv(3, 32, 3, stride=2)
        self.dropout = nn.Dropout(config.dropout)
        self.whole: Branch | None = None
        self.parts: Branch | None = None
        self.fusion: nn.Module | None = None
        if "whole" in config.branches:
            self.whole = Branch(32, 256, WHOLE_POOL_STRIDE, config.attention)
            self.whole_classifier = GroupedLinear(256, classes)
        if count:
            self.parts = Branch(16, 128, PART_POOL_STRIDE, config.attention, groups=count)
            self.part_classifiers = GroupedLinear(128, classes, groups=count)
        fused = 128 * count
        if config.fusion == "global-fc":
            fused += 256
            self.fusion = FullyConnected(fused)
        elif count > 1 and config.fusion == "fc":
            self.fusion = FullyConnected(fused)
        elif count > 1 and config.fusion == "inter-attention":
            self.fusion = InterAttention(128, count)
        if self.fusion is not None:
            self.fused_classifier = nn.Linear(fused, classes)
        initialise(self)

    @property
    def views(self) -> tuple[View, ...]:
        """See the configuration."""
        return self.config.views

    @property
    def fuses_whole(self) -> bool:
        """Whether the whole body is part of the fused feature."""
        return self.config.fusion == "global-fc"

    def forward(
        self, whole: Tensor | None = None, parts: Tensor | None = None, attention_maps: bool = False
    ) -> AttentionDrivenOutput:
        """Logits, features and, if asked for, attention maps.

        Args:
            whole: (n, 3, 384, 192) whole bodies; not needed without the branch.
            parts: (n, 4, 3, 96, 192) crops in the order of `reidprep.skeleton.PARTS`; not needed without part branches.
            attention_maps: also return the masks of blocks 2-4.

        Raises:
            ReidError: crops a branch needs are not given, or have another shape.
        """
        logits: dict[str, Tensor] = {}
        features: dict[str, Tensor] = {}
        attention: dict[str, tuple[Tensor, ...]] = {}
        fused_logits = fused = None
        if self.whole is not None:
            if whole is None or whole.ndim != 4:
                raise ReidError("the whole-body branch needs whole-body crops (n, 3, h, w)")
            feature, maps = self.whole(self.conv1(whole), attention_maps)
            features["whole"] = feature[:, 0]
            logits["whole"] = self.whole_classifier(self.dropout(feature))[:, 0]
            attention["whole"] = tuple(each[:, 0] for each in maps)
        if self.parts is not None:
            if parts is None or parts.ndim != 5 or parts.shape[1] != len(PARTS):
                raise ReidError(f"the part branches need part crops (n, {len(PARTS)}, 3, h, w): {', '.join(PARTS)}")
            feature, maps = self._part_features(self.parts, parts, attention_maps)
            # One memory layout for both computations: dropout draws in the order of memory.
            feature = feature.contiguous()
            part_logits = self.part_classifiers(self.dropout(feature))
            for index, name in enumerate(self.config.parts):
                features[name] = feature[:, index]
                logits[name] = part_logits[:, index]
                attention[name] = tuple(each[:, index] for each in maps)
            if self.fusion is None:
                fused = F.normalize(feature, dim=2).flatten(1)
            else:
                fused = self.fusion(*([features["whole"]] if self.fuses_whole else []), feature)
                fused_logits = self.fused_classifier(self.dropout(fused))
        maps_asked_for = attention if attention_maps else {}
        return AttentionDrivenOutput(logits, fused_logits, features, fused, maps_asked_for, self.fuses_whole)

    @cached_property
    def _one_part(self) -> Branch:
        """Lends its forward() to each part; it owns no weights, and being made here is no submodule."""
        with without_weights():
            return Branch(16, 128, PART_POOL_STRIDE, self.config.attention)

    def _part_features(self, branch: Branch, parts: Tensor, attention_maps: bool) -> tuple[Tensor, list[Tensor]]:
        """Features (n, parts, 128) and maps (n, parts, h, w) of the configured part branches."""
        if self.config.parts != PARTS:
            parts = parts[:, [PARTS.index(name) for name in self.config.parts]]
        n, count = parts.shape[:2]
        x = self.conv1(parts.flatten(0, 1))
        x = x.reshape(n, count * x.shape[1], *x.shape[2:])
        if self.part_computation == "auto":
            separate = parts.device.type == "cpu" and n * parts.shape[-2] * parts.shape[-1] > FEW_PIXELS
        else:
            separate = self.part_computation == "separate"
        if not separate:
            features, maps = branch(x, attention_maps)
            return features, maps

        self._one_part.train(self.training)
        state = {**dict(branch.named_parameters()), **dict(branch.named_buffers())}
        results = []
        for index, one in enumerate(x.chunk(count, dim=1)):
            # A slice shares memory with the stacked statistics, which are updated in place. Batches count once.
            own = {
                name: value.chunk(count)[index] if value.ndim else value if index == 0 else value.clone()
                for name, value in state.items()
            }
            results.append(functional_call(self._one_part, own, (one, attention_maps)))
        all_maps = zip(*(maps for _, maps in results), strict=True)
        return torch.cat([feature for feature, _ in results], 1), [torch.cat(maps, 1) for maps in all_maps]
