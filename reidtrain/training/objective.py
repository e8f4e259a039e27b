"""The loss a recipe asks for, of the output of either network."""

from __future__ import annotations

import torch
from torch import Tensor

from reidtrain.losses import (
    attention_driven_loss,
    cross_entropy,
    quadruplet_hard_loss,
    sac_loss,
    triplet_hard_loss,
)
from reidtrain.models import AttentionDrivenOutput, SelfAttentionOutput
from reidtrain.recipes import Loss

Output = AttentionDrivenOutput | SelfAttentionOutput


def loss_terms(output: Output, labels: Tensor, loss: Loss) -> dict[str, Tensor]:
    """Weighted terms, which add up to the loss: `softmax`, and `sac` and `ranking` where they are asked for.

    Args:
        output: of n images.
        labels: (n,) int64 class indices.
        loss: weights and margins.
    """
    # Even with weight 0, so that every weight has a gradient, which distributed training relies on.
    terms = {"softmax": loss.softmax * _softmax(output, labels, loss)}
    if loss.sac and isinstance(output, SelfAttentionOutput):
        stage4, stage5, stage6 = output.attention
        terms["sac"] = loss.sac * sac_loss(stage4, stage5, stage6)
    if loss.ranking == "triplet-hard":
        terms["ranking"] = loss.ranking_weight * triplet_hard_loss(output.embedding, labels, loss.margin)
    elif loss.ranking == "quadruplet-hard":
        terms["ranking"] = loss.ranking_weight * quadruplet_hard_loss(
            output.embedding, labels, loss.margin, loss.wide_margin
        )
    return terms


def class_logits(output: Output) -> Tensor:
    """(n, classes) by which an image is classified: those of the fused feature, or the mean of the branches'."""
    if isinstance(output, SelfAttentionOutput):
        return output.logits
    return (
        output.fused_logits
        if output.fused_logits is not None
        else torch.stack([*output.branch_logits.values()]).mean(0)
    )


def _softmax(output: Output, labels: Tensor, loss: Loss) -> Tensor:
    if isinstance(output, SelfAttentionOutput):
        return cross_entropy(output.logits, labels, loss.label_smoothing)
    return attention_driven_loss(
        list(output.branch_logits.values()), output.fused_logits, labels, loss.branch_weight, loss.label_smoothing
    )
