"""Losses of both papers, and how a stage of a recipe adds them up (docs/losses-and-data.md).

Each returns a scalar, computed in float32 or better under autocast. Sources: "attention-driven" is the five-branch
network with intra- and inter-attention; "self-attention" is the dilated ResNet-50 with the self-attention constraint.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from reidtrain.models.attention_driven import AttentionDrivenOutput
from reidtrain.models.self_attention import SelfAttentionOutput
from reidtrain.recipes.schema import Loss


def cross_entropy(logits: Tensor, labels: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """Softmax cross-entropy, mean over the images (self-attention paper, Eq. 3; attention-driven paper, Eq. 10).

    Args:
        logits: (n, classes) scores before the softmax.
        labels: (n,) int64 class indices.
        label_smoothing: share of the target spread evenly over all classes, 0 to 1.
    """
    return F.cross_entropy(_precise(logits), labels, label_smoothing=label_smoothing)


def attention_driven_loss(
    branch_logits: Sequence[Tensor],
    fused_logits: Tensor | None,
    labels: Tensor,
    branch_weight: float = 0.1,
    label_smoothing: float = 0.0,
) -> Tensor:
    """Loss of the attention-driven network (Eq. 11): `branch_weight` * sum of branch cross-entropies + fused one.

    Variants without a classifier on the fused feature (a single branch, concatenation at test time) train every branch
    by its own cross-entropy: the plain sum, as there is nothing to weigh it against.

    Args:
        branch_logits: per branch (n, classes); whole body and the parts in use. May be empty if there is a fused one.
        fused_logits: (n, classes) of the fused feature, or None.
        labels: (n,) int64 class indices.
        branch_weight: lambda; 0.5 in the paper's text, 0.1 (Market-1501, DukeMTMC-reID) or 0.2 (CUHK03) is best there.
        label_smoothing: see `cross_entropy`.

    Raises:
        ValueError: no logits at all.
    """
    branches = [cross_entropy(logits, labels, label_smoothing) for logits in branch_logits]
    if fused_logits is None:
        if not branches:
            raise ValueError("attention_driven_loss needs the logits of a branch or of the fused feature")
        return torch.stack(branches).sum()
    fused = cross_entropy(fused_logits, labels, label_smoothing)
    return branch_weight * torch.stack(branches).sum() + fused if branches else fused


def sac_loss(stage4: Tensor, stage5: Tensor, stage6: Tensor) -> Tensor:
    """Self-attention constraint (Eq. 2): ||a6 - a5||^2 + ||a6 - a4||^2, mean over the images.

    The gradient flows into all three maps.

    Args:
        stage4: (n, height, width) attention map of stage 4, see `reidtrain.models.self_attention.attention_map`.
        stage5: the same of stage 5.
        stage6: the same of stage 6.
    """
    squares = (stage6 - stage5).square() + (stage6 - stage4).square()
    return squares.flatten(1).sum(dim=1).mean()


def triplet_hard_loss(features: Tensor, labels: Tensor, margin: float = 0.5) -> Tensor:
    """Batch-hard triplet loss with l2 distances (self-attention paper, Eq. 4).

    For each anchor i: max(0, d(i, j) - d(i, k) + margin) with j the farthest image of the same identity and k the
    nearest image of another. Anchors without j (the identity's only image in the batch) or without k (a batch of one
    identity) are left out of the mean; when none is left the loss is 0, with zero gradient.

    Args:
        features: (n, dimension).
        labels: (n,) identities.
        margin: epsilon_1.
    """
    features = _precise(features)
    mined = _mine(features, labels)
    hinge = F.relu(mined.positive_distance - mined.negative_distance + margin)
    return _mean_where(hinge, mined.is_triplet)


def quadruplet_hard_loss(features: Tensor, labels: Tensor, margin: float = 0.5, wide_margin: float = 0.2) -> Tensor:
    """Quadruplet-hard loss with l2 distances (self-attention paper, Eq. 5 and the mining in Sec. 3.3).

    For each anchor i, with j the farthest image of the same identity, k the nearest image of another, and h the
    image nearest to k that is neither of i's nor of k's identity:

        max(0, d(i, j) - d(i, k) + margin) + max(0, d(i, j) - d(k, h) + wide_margin)

    The two terms are averaged separately, each over the anchors that have it. Where every anchor has both, that is
    the mean over the anchors. Without h (a batch of two identities) the second term is 0 and the triplet-hard loss
    remains; anchors without j or k count in neither mean, and when none is left the loss is 0, with zero gradient.

    Args:
        features: (n, dimension).
        labels: (n,) identities.
        margin: epsilon_1.
        wide_margin: epsilon_2.
    """
    features = _precise(features)
    mined = _mine(features, labels)
    hinge = F.relu(mined.positive_distance - mined.negative_distance + margin)
    with torch.no_grad():
        anchor_label, negative_label = labels[:, None], labels[mined.negative][:, None]
        eligible = (labels != anchor_label) & (labels != negative_label)
        other = mined.distances[mined.negative].masked_fill(~eligible, torch.inf).argmin(dim=1)
    wide_hinge = F.relu(mined.positive_distance - _distance(features[mined.negative], features[other]) + wide_margin)
    return _mean_where(hinge, mined.is_triplet) + _mean_where(wide_hinge, mined.is_triplet & eligible.any(dim=1))


@dataclass(frozen=True)
class _Mined:
    """Hardest positive and negative of each of n anchors.

    Attributes:
        distances: (n, n) between all images, without gradient.
        negative: (n,) index of the hardest negative.
        positive_distance: (n,) to the hardest positive, with gradient.
        negative_distance: (n,) to the hardest negative, with gradient.
        is_triplet: (n,) bool, False where an anchor has no positive or no negative; its entries above mean nothing.
    """

    distances: Tensor
    negative: Tensor
    positive_distance: Tensor
    negative_distance: Tensor
    is_triplet: Tensor


def _mine(features: Tensor, labels: Tensor) -> _Mined:
    with torch.no_grad():
        # By differences: the product form loses small distances to rounding, and could pick the wrong image.
        distances = torch.cdist(features, features, compute_mode="donot_use_mm_for_euclid_dist")
        same = labels[:, None] == labels
        is_positive = same & ~torch.eye(len(labels), dtype=torch.bool, device=labels.device)
        positive = distances.masked_fill(~is_positive, -torch.inf).argmax(dim=1)
        negative = distances.masked_fill(same, torch.inf).argmin(dim=1)
        is_triplet = is_positive.any(dim=1) & ~same.all(dim=1)
    # Only the chosen pairs need a gradient: n differences instead of n * n.
    return _Mined(
        distances=distances,
        negative=negative,
        positive_distance=_distance(features, features[positive]),
        negative_distance=_distance(features, features[negative]),
        is_triplet=is_triplet,
    )


def _distance(first: Tensor, second: Tensor) -> Tensor:
    """(n,) l2 distances of rows; at distance 0 the gradient is 0, unlike that of a square root."""
    distances: Tensor = torch.linalg.vector_norm(first - second, dim=1)
    return distances


def _mean_where(values: Tensor, chosen: Tensor) -> Tensor:
    """Mean of the chosen values, 0 if none is chosen; of fixed shape, so that the GPU need not wait for the host."""
    return torch.where(chosen, values, 0).sum() / chosen.sum().clamp(min=1)


def _precise(values: Tensor) -> Tensor:
    """Half-precision values as float32; float64 stays."""
    return values if values.dtype == torch.float64 else values.float()


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


def forward_options(loss: Loss) -> dict[str, Any]:
    """What a network's forward() has to be told for its output to have what the loss needs."""
    return {"attention_maps": loss.sac > 0}


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
