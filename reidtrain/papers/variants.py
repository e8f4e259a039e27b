"""What distinguishes the networks that the papers' tables compare; light to import."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Ranking = Literal["none", "triplet-hard", "quadruplet-hard"]
Alignment = Literal["pose", "strips"]


@dataclass(frozen=True)
class AttentionDrivenVariant:
    """A network of the attention-driven paper.

    Attributes:
        model: key of `reidtrain.papers.networks.ATTENTION_DRIVEN`.
        branch_weight: lambda; None is that of the recipe, in the shipped ones the best for the dataset.
        alignment: of the crops.
        beta: overlap of the parts in 48ths of the body height; None where the table does not vary it. Strips have none.
    """

    model: str
    branch_weight: float | None = 0.5
    alignment: Alignment = "pose"
    beta: int | None = None

    @property
    def name(self) -> str:
        """Short, and different for every variant."""
        parts = ["baseline" if self.alignment == "strips" else self.model]
        if self.branch_weight is not None:
            parts.append(f"lambda-{self.branch_weight:g}")
        return "-".join([*parts, *([] if self.beta is None else [f"beta-{self.beta}"])])


@dataclass(frozen=True)
class SelfAttentionVariant:
    """A network of the self-attention paper.

    Attributes:
        model: key of `reidtrain.papers.networks.SELF_ATTENTION`.
        softmax: trained on the cross-entropy.
        ranking: trained on this loss too, or alone.
        sac: trained on the self-attention constraint as well.
    """

    model: str
    softmax: bool = True
    ranking: Ranking = "none"
    sac: bool = False

    @property
    def name(self) -> str:
        """Short, and different for every variant."""
        losses = {"softmax": self.softmax, self.ranking: self.ranking != "none", "sac": self.sac}
        return "-".join([self.model, *(name for name, used in losses.items() if used)])


Variant = AttentionDrivenVariant | SelfAttentionVariant
