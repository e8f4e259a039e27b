"""Score a ranking of gallery images by the protocols of the field."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from reidprep.errors import ReidError

from .distances import FeatureDistances, Metric
from .metrics import APVariant, RankingMetrics, summarise
from .multi_shot import score_multi_shot
from .protocols import JUNK, PROTOCOLS, Labels, Protocol
from .single_shot import score_single_shot

if TYPE_CHECKING:
    from .reranking import Reranking

RANKS = (1, 5, 10, 20)
_QUERIES_AT_ONCE = 256


def evaluate_ranking(
    distances: ArrayLike,
    query_pids: ArrayLike,
    gallery_pids: ArrayLike,
    query_camids: ArrayLike,
    gallery_camids: ArrayLike,
    *,
    ap: APVariant = "step",
    ranks: Sequence[int] = RANKS,
    protocol: Protocol = "market1501",
) -> RankingMetrics:
    """Score a matrix of distances.

    Gallery images with pid -1 are ignored, as are those of the query's person at the query's camera. A wrong
    image at exactly a match's distance ranks before the match, so scores depend neither on the order of
    the images nor on luck, and features that are all equal score worst.

    Args:
        distances: (queries, gallery) finite real numbers, small where alike.
        query_pids: (queries,) person ids.
        gallery_pids: (gallery,) person ids; -1 is ignored.
        query_camids: (queries,) cameras.
        gallery_camids: (gallery,) cameras.
        ap: definition of average precision, `step` (mean of the precision at each hit) or `trapezoid`.
        ranks: k at which to give the CMC.
        protocol: a key of `PROTOCOLS`.

    Raises:
        ReidError: wrong shapes or types, distances that are not finite, or no query with a match.
    """
    matrix = np.asarray(distances)
    if matrix.ndim != 2 or 0 in matrix.shape:
        raise ReidError(f"distances have shape {matrix.shape}; they need (queries, gallery), neither of them 0")
    if matrix.dtype.kind not in "fiu":
        raise ReidError(f"distances hold {matrix.dtype}; they need real numbers, such as float32")
    if not (np.isfinite(matrix.min()) and np.isfinite(matrix.max())):
        query, image = np.argwhere(~np.isfinite(matrix))[0]
        raise ReidError(f"the distance of query {query} and gallery image {image} is {matrix[query, image]}")
    labels = Labels.checked(query_pids, gallery_pids, query_camids, gallery_camids, *matrix.shape)
    return _evaluate(lambda start, stop: matrix[start:stop], _QUERIES_AT_ONCE, labels, ap, ranks, protocol)


def evaluate_features(
    query_features: ArrayLike,
    gallery_features: ArrayLike,
    query_pids: ArrayLike,
    gallery_pids: ArrayLike,
    query_camids: ArrayLike,
    gallery_camids: ArrayLike,
    *,
    metric: Metric = "euclidean",
    rerank: Reranking | None = None,
    ap: APVariant = "step",
    ranks: Sequence[int] = RANKS,
    protocol: Protocol = "market1501",
) -> RankingMetrics:
    """Score features, holding a block of the distance matrix at a time.

    The gallery may be a memory-mapped file. Otherwise as `evaluate_ranking`.

    Args:
        query_features: (queries, dimension) finite real numbers.
        gallery_features: (gallery, dimension) of the same model.
        query_pids: (queries,) person ids.
        gallery_pids: (gallery,) person ids; -1 is ignored.
        query_camids: (queries,) cameras.
        gallery_camids: (gallery,) cameras.
        metric: `euclidean` or `cosine`.
        rerank: parameters of k-reciprocal re-ranking, or None for none.
        ap: definition of average precision.
        ranks: k at which to give the CMC.
        protocol: a key of `PROTOCOLS`.

    Raises:
        ReidError: wrong shapes or types, features not finite or of two models, no query with a match, or
            re-ranking asked for where the gallery is drawn.
    """
    _require("metric", metric, get_args(Metric))
    features = FeatureDistances.checked(query_features, gallery_features, metric)
    sizes = len(features.query), len(features.gallery)
    labels = Labels.checked(query_pids, gallery_pids, query_camids, gallery_camids, *sizes)
    if rerank is None:
        return _evaluate(features.block, features.rows_per_block(), labels, ap, ranks, protocol)

    if protocol not in ("market1501", "cuhk03-np"):
        raise ReidError(
            f"protocol {protocol} draws the gallery, re-ranking compares each image with the whole of it: "
            "no expectation is known; re-rank under cuhk03-np instead"
        )
    from .reranking import KReciprocal

    kept = labels.gallery_pids != JUNK
    labels.require_match(protocol)
    if not kept.all():
        # Junk must not be a neighbour of anything.
        features = FeatureDistances.checked(features.query, features.gallery[kept], metric)
        labels = Labels.checked(
            labels.query_pids,
            labels.gallery_pids[kept],
            labels.query_camids,
            labels.gallery_camids[kept],
            len(features.query),
            len(features.gallery),
        )
    reranked = KReciprocal.encode(features, rerank)
    return _evaluate(reranked.block, features.rows_per_block(), labels, ap, ranks, protocol)


def _evaluate(
    block: Callable[[int, int], NDArray[Any]],
    rows: int,
    labels: Labels,
    ap: APVariant,
    ranks: Sequence[int],
    protocol: Protocol,
) -> RankingMetrics:
    """Score the distances that `block(start, stop)` gives for queries, at most `rows` at a time."""
    _require("ap", ap, get_args(APVariant))
    _require("protocol", protocol, tuple(PROTOCOLS))
    if not ranks or min(ranks) < 1:
        raise ReidError(f"ranks are {tuple(ranks)}; at least one is needed, none below 1")
    labels.require_match(protocol)
    single_shot = protocol in ("cuhk03-classic", "cuhk03-classic-any-camera")
    queries = len(labels.query_pids)
    scores = []
    for first in range(0, queries, rows):
        distances = block(first, min(first + rows, queries))
        for offset in range(0, len(distances), _QUERIES_AT_ONCE):
            part = distances[offset : offset + _QUERIES_AT_ONCE]
            start = first + offset
            if single_shot:
                any_camera = protocol == "cuhk03-classic-any-camera"
                scores.append(score_single_shot(part, labels, start, ranks, ap, any_camera))
            else:
                scores.append(score_multi_shot(part, labels, start, ranks, ap))
    return summarise(scores, ranks)


def _require(name: str, value: str, known: Sequence[str]) -> None:
    if value not in known:
        raise ReidError(f"{name} is {value!r}; it is one of {', '.join(known)}")
