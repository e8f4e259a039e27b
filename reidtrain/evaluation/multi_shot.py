"""Rank the matches of each query in the whole gallery: the Market-1501 rule."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .metrics import APVariant, QueryScores, score_matches
from .protocols import JUNK, Labels

_MASK_BYTES = 1 << 19
"""Comparisons done in one call: few enough to stay in the processor's cache."""


def score_multi_shot(
    distances: NDArray[Any], labels: Labels, start: int, ranks: Sequence[int], ap: APVariant
) -> QueryScores:
    """Score queries `start` onwards, each in the gallery without junk and its own person at its own camera.

    Args:
        distances: (queries of the block, gallery) finite real numbers.
        labels: of all queries and the gallery.
        start: query of the first row of `distances`.
        ranks: k of the CMC.
        ap: definition of average precision.
    """
    queries = len(distances)
    query, column = labels.same_person(start, start + queries)
    other_camera = labels.query_camids[start + query] != labels.gallery_camids[column]
    match, match_column = query[other_camera], column[other_camera]
    threshold = distances[match, match_column]
    order = np.lexsort((threshold, match))
    match, threshold = match[order], threshold[order]

    ends = np.cumsum(np.bincount(match, minlength=queries))
    nth = 1 + np.arange(len(match)) - np.concatenate([[0], ends])[match]
    same = np.split(column, np.cumsum(np.bincount(query, minlength=queries))[:-1])
    closer = _count_closer(distances, np.split(threshold, ends[:-1]), same, labels)
    return score_matches(nth + closer, nth, match, queries, ranks, ap)


def _count_closer(
    distances: NDArray[Any], thresholds: list[NDArray[Any]], same: list[NDArray[np.int64]], labels: Labels
) -> NDArray[np.int64]:
    """For each threshold of each row, how many gallery images of other people are as close or closer.

    Counting takes one comparison per match and gallery image, all of them on one row in the cache;
    sorting the row would take more, and moving the row from memory is what remains in the end.
    """
    width = distances.shape[1]
    junk = np.flatnonzero(labels.gallery_pids == JUNK)
    # Ignored images and the matches themselves are put out of reach of every (finite) threshold.
    row = np.empty(width, dtype=distances.dtype if distances.dtype.kind == "f" else np.float64)
    at_once = max(1, _MASK_BYTES // width)
    mask = np.empty((at_once, width), dtype=np.bool_)
    counts: list[Any] = []
    for line, limits, own in zip(distances, thresholds, same, strict=True):
        if not len(limits):
            continue
        row[:] = line
        row[own] = np.inf
        row[junk] = np.inf
        for first in range(0, len(limits), at_once):
            some = limits[first : first + at_once]
            flags = np.less_equal(row, some[:, None], out=mask[: len(some)])
            counts.extend(map(np.count_nonzero, flags))
    return np.array(counts, dtype=np.int64)
