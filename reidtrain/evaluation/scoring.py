"""Scores of every feature of a network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reidprep.errors import ReidError
from reidprep.progress import Progress, unseen
from reidtrain.features.extractor import Features
from reidtrain.metrics.distances import Metric
from reidtrain.metrics.protocols import Protocol
from reidtrain.metrics.ranking import evaluate_features
from reidtrain.metrics.reranking import Reranking
from reidtrain.metrics.scores import APVariant, RankingMetrics

RANKS = (1, 5, 10, 20)


@dataclass(frozen=True)
class Scoring:
    """How features are scored; see `reidtrain.metrics.ranking.evaluate_features`.

    Attributes:
        protocol: which gallery images count.
        metric: distance.
        ap: definition of average precision.
        rerank: re-rank by k-reciprocal neighbours, with the paper's parameters.
    """

    protocol: Protocol
    metric: Metric = "euclidean"
    ap: APVariant = "step"
    rerank: bool = False


def score_features(
    query: Features,
    gallery: Features,
    scoring: Scoring,
    *,
    ranks: Sequence[int] = RANKS,
    device: str = "cpu",
    progress: Progress = unseen,
) -> dict[str, RankingMetrics]:
    """Score each feature alone.

    Args:
        query: of the queries.
        gallery: of the gallery, by the same network.
        scoring: how.
        ranks: k of the CMC.
        device: PyTorch's name of where distances are computed.
        progress: called with features done and in total.

    Returns:
        Metrics by the name of the feature.

    Raises:
        ReidError: as `evaluate_features`, naming the feature.
    """
    scores: dict[str, RankingMetrics] = {}
    for name, features in query.arrays.items():
        try:
            scores[name] = evaluate_features(
                _placed(features, device),
                _placed(gallery.arrays[name], device),
                query.pids,
                gallery.pids,
                query.camids,
                gallery.camids,
                metric=scoring.metric,
                rerank=Reranking() if scoring.rerank else None,
                ap=scoring.ap,
                ranks=ranks,
                protocol=scoring.protocol,
            )
        except ReidError as error:
            raise ReidError(f"feature {name}: {error}") from None
        progress(len(scores), len(query.arrays))
    return scores


def named_scores(metrics: RankingMetrics) -> dict[str, float]:
    """`rank1`, `rank5`, `rank10`, `rank20`, `mAP` and `mINP`, 0 to 1."""
    ranks = {f"rank{rank}": metrics.cmc_at(rank) for rank in RANKS}
    return {name: round(float(value), 6) for name, value in {**ranks, "mAP": metrics.mAP, "mINP": metrics.mINP}.items()}


def _placed(features: NDArray[np.float32], device: str) -> Any:
    if device == "cpu":
        return features
    import torch

    return torch.from_numpy(features).to(device)
