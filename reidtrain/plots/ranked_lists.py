"""Ranked lists: for some queries, the gallery images nearest to each (Fig. 6 of the attention-driven paper)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from reidprep.errors import ReidError
from reidtrain.metrics.distances import FeatureDistances, Metric
from reidtrain.metrics.protocols import JUNK, Labels

NOBODY = -1
"""In place of a gallery position, where the gallery has fewer images that count than were asked for."""


@dataclass(frozen=True, eq=False)
class RankedLists:
    """The first k gallery images of q queries.

    Attributes:
        queries: (q,) int64 positions of the queries.
        gallery: (q, k) int64 positions in the gallery, nearest first, `NOBODY` after the last that counts.
        distances: (q, k) float64, Euclidean or cosine; nan after the last.
        right: (q, k) bool, whether the image shows the query's person.
    """

    queries: NDArray[np.int64]
    gallery: NDArray[np.int64]
    distances: NDArray[np.float64]
    right: NDArray[np.bool_]


def rank_lists(
    query_features: ArrayLike,
    gallery_features: ArrayLike,
    query_pids: ArrayLike,
    gallery_pids: ArrayLike,
    query_camids: ArrayLike,
    gallery_camids: ArrayLike,
    *,
    queries: ArrayLike,
    top: int = 10,
    metric: Metric = "euclidean",
) -> RankedLists:
    """The gallery images nearest to some queries, by the Market-1501 rule.

    Gallery images with pid -1 and those of the query's person at the query's camera are left out. Of images at
    equal distances wrong ones come first, as in `evaluate_features`, then those earlier in the gallery.

    Args:
        query_features: (n, dimension) finite real numbers, of all queries.
        gallery_features: (gallery, dimension) of the same model.
        query_pids: (n,) person ids.
        gallery_pids: (gallery,) person ids.
        query_camids: (n,) cameras.
        gallery_camids: (gallery,) cameras.
        queries: (q,) positions of the queries to rank for, in the order wanted.
        top: k.
        metric: `euclidean` or `cosine`.

    Raises:
        ReidError: features or labels as `evaluate_features` refuses them, a query that is not there, or `top`
            below 1.
    """
    if top < 1:
        raise ReidError(f"the first {top} images of each list; give 1 or more")
    everything = FeatureDistances.checked(query_features, gallery_features, metric)
    total, size = len(everything.query), len(everything.gallery)
    labels = Labels.checked(query_pids, gallery_pids, query_camids, gallery_camids, total, size)
    chosen = _positions(queries, total)
    some = FeatureDistances(
        everything.query[chosen],
        everything.gallery,
        metric,
        everything.query_squares[chosen],
        everything.gallery_squares,
    )
    lists = RankedLists(
        chosen,
        np.full((len(chosen), top), NOBODY),
        np.full((len(chosen), top), np.nan),
        np.zeros((len(chosen), top), dtype=np.bool_),
    )
    rows = some.rows_per_block()
    for start in range(0, len(chosen), rows):
        for row, distances in enumerate(some.block(start, min(start + rows, len(chosen))), start=start):
            pid, camid = labels.query_pids[chosen[row]], labels.query_camids[chosen[row]]
            same = (labels.gallery_pids == pid) & (pid != JUNK)
            counted = np.flatnonzero((labels.gallery_pids != JUNK) & ~(same & (labels.gallery_camids == camid)))
            first = _first(distances, same, counted, top)
            lists.gallery[row, : len(first)] = first
            lists.distances[row, : len(first)] = distances[first]
            lists.right[row, : len(first)] = same[first]
    if metric == "euclidean":
        np.sqrt(lists.distances, out=lists.distances)
    return lists


def choose_queries(
    average_precision: NDArray[np.float64],
    count: int,
    *,
    worst: bool = False,
    generator: np.random.Generator | None = None,
) -> NDArray[np.int64]:
    """Which queries to show, and in which order.

    Args:
        average_precision: (n,) of each query, nan where it has no match; as `RankingMetrics` has it.
        count: at most so many.
        worst: those with the lowest average precision, lowest first, of those that have a match.
        generator: draws the queries at random, shown in their own order. Without it, and without `worst`, they
            are spread evenly.

    Returns:
        (at most `count`,) int64 positions.

    Raises:
        ReidError: no query asked for, or both worst and random.
    """
    if count < 1:
        raise ReidError(f"{count} queries; show 1 or more")
    if worst and generator is not None:
        raise ReidError("choose the worst queries or random ones, not both")
    total = len(average_precision)
    if worst:
        order = np.argsort(average_precision, kind="stable")  # nan comes last
        return order[: min(count, int(np.count_nonzero(~np.isnan(average_precision))))]
    count = min(count, total)
    if generator is not None:
        return np.sort(generator.choice(total, size=count, replace=False))
    return np.arange(count) * total // count


def _positions(queries: ArrayLike, total: int) -> NDArray[np.int64]:
    positions = np.asarray(queries)
    if positions.ndim != 1 or not np.issubdtype(positions.dtype, np.integer):
        raise ReidError(f"queries are positions, whole numbers from 0 to {total - 1}")
    outside = positions[(positions < 0) | (positions >= total)]
    if len(outside):
        raise ReidError(f"there is no query {outside[0]}; they are counted from 0 to {total - 1}")
    return positions.astype(np.int64)


def _first(distances: NDArray[Any], same: NDArray[np.bool_], counted: NDArray[np.int64], top: int) -> NDArray[np.int64]:
    """The nearest of the `counted` gallery positions, without sorting them all."""
    if len(counted) > top:
        furthest = np.partition(distances[counted], top - 1)[top - 1]
        counted = counted[distances[counted] <= furthest]
    return counted[np.lexsort((counted, same[counted], distances[counted]))][:top]
