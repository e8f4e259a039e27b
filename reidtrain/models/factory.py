"""Networks from their configurations."""

from __future__ import annotations

from typing import Any

import torch

from reidtrain.data.dataset import Batch
from reidtrain.models.attention_driven import AttentionDrivenConfig, AttentionDrivenNet, AttentionDrivenOutput
from reidtrain.models.self_attention import SelfAttentionConfig, SelfAttentionNet, SelfAttentionOutput


def run(model: Model, batch: Batch, **options: Any) -> AttentionDrivenOutput | SelfAttentionOutput:
    """The output of a network for a preprocessed batch; `options` go to its forward()."""
    output: AttentionDrivenOutput | SelfAttentionOutput = model(
        **{view: getattr(batch, view) for view in model.views}, **options
    )
    return output


ModelConfig = AttentionDrivenConfig | SelfAttentionConfig
Model = AttentionDrivenNet | SelfAttentionNet


def build_model(config: ModelConfig, classes: int, seed: int | None = None) -> Model:
    """The network of a configuration.

    Args:
        config: its variant.
        classes: outputs of its classifiers.
        seed: of the initial weights, whatever the state of PyTorch's generator, which is left as it was; None draws
            from that generator.
    """
    if seed is not None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return build_model(config, classes)
    if isinstance(config, AttentionDrivenConfig):
        return AttentionDrivenNet(config, classes)
    return SelfAttentionNet(config, classes)
