"""The attention-driven five-branch network and the self-attention ResNet-50."""

from .attention_driven import BRANCHES, AttentionDrivenConfig, AttentionDrivenNet, AttentionDrivenOutput
from .building import Model, ModelConfig, build_model
from .fusion import Fusion
from .intra_attention import Attention
from .resnet import ResNet50
from .self_attention import SelfAttentionConfig, SelfAttentionNet, SelfAttentionOutput, attention_map
from .weights import LoadReport, load_matching, read_weights

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
