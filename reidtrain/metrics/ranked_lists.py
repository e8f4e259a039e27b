"""Ranked lists: for some queries, the gallery images nearest to each (Fig. 6 of the attention-driven paper)."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from reidprep.errors import ReidError
from reidprep.progress import Progress, unseen
from reidtrain.metrics.distances import FeatureDistances, Metric
from reidtrain.metrics.protocols import JUNK, Labels, Protocol

NOBODY = -1
"""Stands for a gallery position where the gallery has fewer images that count than were asked for."""


@dataclass(frozen=True, eq=False)
class RankedLists:
    """The first k gallery images of q queries.

    Attributes:
        queries: (q,) int64 positions of the queries.
        gallery: (q, k) int64 positions in the gallery, nearest first, `NOBODY` after the last that counts.
        distances: (q, k) float64, Euclidean or cosine; nan after the last.
        right: (q, k) bool, whether the image shows the query's person and counts.
        junk: (q, k) bool, whether the image counts for neither; None where such images are left out.
    """

    queries: NDArray[np.int64]
    gallery: NDArray[np.int64]
    distances: NDArray[np.float64]
    right: NDArray[np.bool_]
    junk: NDArray[np.bool_] | None = None


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
    protocol: Protocol = "market1501",
    junk: bool = False,
    progress: Progress = unseen,
) -> RankedLists:
    """The gallery images nearest to some queries, by the Market-1501 rule or without cameras.

    Gallery images with pid -1 and, but for `no-cameras`, those of the query's person at the query's camera are left
    out, or marked. Of images at equal distances wrong ones come first, as in `evaluate_features`, then those that count
    for neither, then those earlier in the gallery.

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
        protocol: `market1501`, its other name `cuhk03-np`, or `no-cameras`.
        junk: keep images that count for neither in the lists, and mark them.
        progress: called with queries done and in total.

    Raises:
        ReidError: features or labels as `evaluate_features` refuses them, a query that is not there, or `top`
            below 1.
    """
    if top < 1:
        raise ReidError(f"the first {top} images of each list; give 1 or more")
    everything = FeatureDistances.checked(query_features, gallery_features, metric)
    total, size = len(everything.query), len(everything.gallery)
    labels = Labels.checked(query_pids, gallery_pids, query_camids, gallery_camids, total, size).under(protocol)
    chosen = _positions(queries, total)
    ops = everything.ops
    some = replace(
        everything,
        query=ops.take(everything.query, chosen),
        query_squares=ops.take(everything.query_squares, chosen),
    )
    lists = RankedLists(
        chosen,
        np.full((len(chosen), top), NOBODY),
        np.full((len(chosen), top), np.nan),
        np.zeros((len(chosen), top), dtype=np.bool_),
        np.zeros((len(chosen), top), dtype=np.bool_) if junk else None,
    )
    rows = some.rows_per_block()
    for start in range(0, len(chosen), rows):
        block = some.block(start, min(start + rows, len(chosen)))
        for row in range(start, start + len(block)):
            counted, wrong, right = _counted(labels, int(chosen[row]), junk)
            if not len(counted):
                continue
            line = ops.columns(block[row - start : row - start + 1], counted)
            distances, nearest = (found[0] for found in ops.smallest(line, min(top, len(counted))))
            lists.gallery[row, : len(nearest)] = counted[nearest]
            lists.distances[row, : len(nearest)] = distances
            lists.right[row, : len(nearest)] = nearest >= len(counted) - right
            if lists.junk is not None:
                lists.junk[row, : len(nearest)] = (nearest >= wrong) & (nearest < len(counted) - right)
        progress(start + len(block), len(chosen))
    if metric == "euclidean":
        np.sqrt(lists.distances, out=lists.distances)
    return lists


def _positions(queries: ArrayLike, total: int) -> NDArray[np.int64]:
    positions = np.asarray(queries)
    if positions.ndim != 1 or not np.issubdtype(positions.dtype, np.integer):
        raise ReidError(f"queries are positions, whole numbers from 0 to {total - 1}")
    outside = positions[(positions < 0) | (positions >= total)]
    if len(outside):
        raise ReidError(f"there is no query {outside[0]}; they are counted from 0 to {total - 1}")
    return positions.astype(np.int64)


def _counted(labels: Labels, query: int, junk: bool) -> tuple[NDArray[np.int64], int, int]:
    """Gallery positions that count for a query, in the order of equal distances; how many are wrong, and right.

    What counts for neither lies between these.
    """
    pid = labels.query_pids[query]
    same = (labels.gallery_pids == pid) & (pid != JUNK)
    wrong = np.flatnonzero(~same & (labels.gallery_pids != JUNK))
    other_camera = labels.gallery_camids != labels.query_camids[query]
    right = np.flatnonzero(same & other_camera)
    neither = np.flatnonzero((labels.gallery_pids == JUNK) | (same & ~other_camera)) if junk else right[:0]
    return np.concatenate([wrong, neither, right]), len(wrong), len(right)
