"""The attention-driven five-branch network and the self-attention ResNet-50."""

from reidtrain.models.attention_driven import (
    BRANCHES,
    AttentionDrivenConfig,
    AttentionDrivenNet,
    AttentionDrivenOutput,
    Fusion,
)
from reidtrain.models.factory import Model, ModelConfig, build_model
from reidtrain.models.intra_attention import Attention
from reidtrain.models.self_attention import (
    ResNet50,
    SelfAttentionConfig,
    SelfAttentionNet,
    SelfAttentionOutput,
    attention_map,
)
from reidtrain.models.weights import LoadReport, load_matching, read_weights

__all__ = [
    "BRANCHES",
    "Attention",
    "AttentionDrivenConfig",
    "AttentionDrivenNet",
    "AttentionDrivenOutput",
    "Fusion",
    "LoadReport",
    "Model",
    "ModelConfig",
    "ResNet50",
    "SelfAttentionConfig",
    "SelfAttentionNet",
    "SelfAttentionOutput",
    "attention_map",
    "build_model",
    "load_matching",
    "read_weights",
]
