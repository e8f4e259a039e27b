"""Scores of features: the one place where a network or a file is scored."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reidprep.errors import ReidError
from reidprep.progress import Progress, unseen
from reidtrain.features.files import EMBEDDING, Features, read_query_and_gallery
from reidtrain.features.tracklets import pooled
from reidtrain.metrics.distances import Metric
from reidtrain.metrics.protocols import JUNK, Protocol
from reidtrain.metrics.ranking import evaluate_features
from reidtrain.metrics.scores import RANKS, APVariant, RankingMetrics, average_splits


@dataclass(frozen=True)
class Scoring:
    """How features are scored; see `reidtrain.metrics.ranking.evaluate_features`.

    Attributes:
        protocol: which gallery images count.
        metric: distance.
        ap: definition of average precision.
        rerank: re-rank by k-reciprocal neighbours, with the paper's parameters.
    """

    protocol: Protocol = "market1501"
    metric: Metric = "euclidean"
    ap: APVariant = "step"
    rerank: bool = False


def score(
    query: Features,
    gallery: Features,
    scoring: Scoring,
    feature: str = EMBEDDING,
    *,
    ranks: Sequence[int] = RANKS,
    device: str = "cpu",
) -> RankingMetrics:
    """Score a feature, of tracklets where there are any (`reidtrain.features.tracklets.pooled`).

    Args:
        query: of the queries.
        gallery: of the gallery, by the same network.
        scoring: how.
        feature: its name.
        ranks: k of the CMC.
        device: PyTorch's name of where distances are computed.

    Raises:
        ReidError: as `evaluate_features`.
    """
    query, gallery = pooled(query), pooled(gallery)
    parameters = None
    if scoring.rerank:
        from reidtrain.metrics.reranking import Reranking  # needs SciPy

        parameters = Reranking()
    return evaluate_features(
        _placed(query.arrays[feature], device),
        _placed(gallery.arrays[feature], device),
        query.pids,
        gallery.pids,
        query.camids,
        gallery.camids,
        metric=scoring.metric,
        rerank=parameters,
        ap=scoring.ap,
        ranks=ranks,
        protocol=scoring.protocol,
    )


def score_each(
    query: Features,
    gallery: Features,
    scoring: Scoring,
    *,
    ranks: Sequence[int] = RANKS,
    device: str = "cpu",
    progress: Progress = unseen,
) -> dict[str, RankingMetrics]:
    """Score each feature alone; the arguments are those of `score`.

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
        ReidError: as `score`, naming the feature.
    """
    query, gallery = pooled(query), pooled(gallery)
    scores: dict[str, RankingMetrics] = {}
    for name in query.arrays:
        try:
            scores[name] = score(query, gallery, scoring, name, ranks=ranks, device=device)
        except ReidError as error:
            raise ReidError(f"feature {name}: {error}") from None
        progress(len(scores), len(query.arrays))
    return scores


def identical(query: Features, gallery: Features, protocol: Protocol = "market1501", feature: str = EMBEDDING) -> int:
    """Queries of which there is a gallery image that counts and has the very same feature: distance 0."""
    asked, searched = query.arrays[feature], gallery.arrays[feature]
    cameras = protocol != "no-cameras"
    places: dict[bytes, list[int]] = defaultdict(list)
    for row in np.flatnonzero(gallery.pids != JUNK).tolist():
        places[hashlib.blake2b(np.ascontiguousarray(searched[row]).tobytes()).digest()].append(row)
    found = 0
    for row in range(len(query.pids)):
        same = places.get(hashlib.blake2b(np.ascontiguousarray(asked[row]).tobytes()).digest(), ())
        own = (query.pids[row], query.camids[row])
        found += any(not cameras or (gallery.pids[other], gallery.camids[other]) != own for other in same)
    return found


def score_files(paths: Sequence[Path], scoring: Scoring, feature: str = EMBEDDING) -> RankingMetrics:
    """Score one file of features of any model, or several that are the splits of one test and count equally.

    Raises:
        ReidError: as `read_query_and_gallery` and `score`, naming the file.
    """
    splits = []
    for path in paths:
        query, gallery = map(pooled, read_query_and_gallery(path, (feature,)))
        try:
            same = identical(query, gallery, scoring.protocol, feature)
            splits.append(replace(score(query, gallery, scoring, feature), queries_identical=same))
        except ReidError as error:
            raise ReidError(f"{path}: {error}") from None
    return average_splits(splits)


def _placed(features: NDArray[Any], device: str) -> Any:
    if device == "cpu":
        return features
    import torch

    return torch.from_numpy(np.asarray(features)).to(device)
