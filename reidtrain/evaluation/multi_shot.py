"""Rank the matches of each query in the whole gallery: the Market-1501 rule."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .metrics import APVariant, QueryScores, score_matches
from .protocols import JUNK, Labels

_FEW_MATCHES = 30
"""Up to here, comparing a row with each match beats sorting it; measured: 24 at 16,000 images, 31 at 130,000."""


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

    matches = np.bincount(match, minlength=queries)
    nth = 1 + np.arange(len(match)) - np.repeat(np.cumsum(matches) - matches, matches)
    own = np.bincount(query, minlength=queries)
    junk = np.flatnonzero(labels.gallery_pids == JUNK)
    closer = _count_closer(distances, threshold, matches, column, own, junk)
    return score_matches(nth + closer, nth, match, queries, ranks, ap)


def _count_closer(
    distances: NDArray[Any],
    threshold: NDArray[Any],
    matches: NDArray[np.int64],
    column: NDArray[np.int64],
    own: NDArray[np.int64],
    junk: NDArray[np.int64],
) -> NDArray[np.int64]:
    """For each match, how many gallery images of other people are as close as it or closer.

    Counting takes one comparison per match and gallery image, all of them on one row in the cache. Only
    rows with many matches are sorted.

    Args:
        distances: (queries, gallery).
        threshold: (matches,) distance of each match, query by query.
        matches: (queries,) how many of them each query has.
        column: gallery images of the query's person at any camera, query by query.
        own: (queries,) how many of them each query has.
        junk: gallery images to ignore.
    """
    width = distances.shape[1]
    row = np.empty(width, dtype=distances.dtype if distances.dtype.kind == "f" else np.float64)
    mask = np.empty((_FEW_MATCHES, width), dtype=np.bool_)
    counts: list[Any] = []
    first = begin = 0
    for line, some, same in zip(distances, matches.tolist(), own.tolist(), strict=True):
        limits, columns = threshold[first : first + some], column[begin : begin + same]
        first, begin = first + some, begin + same
        if not some:
            continue
        # What is ignored and the matches themselves are put out of reach of every (finite) threshold.
        row[:] = line
        row[columns] = np.inf
        row[junk] = np.inf
        if some <= _FEW_MATCHES:
            counts.extend(map(np.count_nonzero, np.less_equal(row, limits[:, None], out=mask[:some])))
        else:
            row.sort()
            counts.extend(row.searchsorted(limits, side="right"))
    return np.array(counts, dtype=np.int64)
