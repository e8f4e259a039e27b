"""Networks from their configurations."""

from __future__ import annotations

import torch

from .attention_driven import AttentionDrivenConfig, AttentionDrivenNet
from .self_attention import SelfAttentionConfig, SelfAttentionNet

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
