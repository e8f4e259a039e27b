"""Fusion of the part features (Yang et al., Attention Driven Person Re-identification, section 3.4, Table 9)."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from .layers import GroupedLinear

Fusion = Literal["inter-attention", "fc", "concatenation"]


class InterAttention(nn.Module):
    """E_l = [(mu_i + 1) E_i] with one learnt weight mu_i = sigmoid(w_i E_i + b_i) per part (Eq. 8-9)."""

    def __init__(self, features: int, parts: int) -> None:
        super().__init__()
        self.importance = GroupedLinear(features, 1, groups=parts)

    def forward(self, parts: Tensor) -> Tensor:
        """(n, parts, features) to (n, parts * features)."""
        return (parts * (1 + torch.sigmoid(self.importance(parts)))).flatten(1)


class FullyConnected(nn.Module):
    """One fully connected layer over all part features, of the same size."""

    def __init__(self, features: int, parts: int) -> None:
        super().__init__()
        self.fc = nn.Linear(parts * features, parts * features)

    def forward(self, parts: Tensor) -> Tensor:
        """(n, parts, features) to (n, parts * features)."""
        fused: Tensor = self.fc(parts.flatten(1))
        return fused


LEARNT_FUSIONS: dict[str, type[InterAttention] | type[FullyConnected]] = {
    "inter-attention": InterAttention,
    "fc": FullyConnected,
}
