"""Rank the matches of each query in the whole gallery: the Market-1501 rule."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reidtrain.metrics.counting import search_rows, sorted_rows
from reidtrain.metrics.distances import Distances
from reidtrain.metrics.protocols import JUNK, Labels
from reidtrain.metrics.scores import APVariant, QueryScores, score_matches


def score_multi_shot(
    distances: Distances, labels: Labels, start: int, stop: int, ranks: Sequence[int], ap: APVariant
) -> QueryScores:
    """Score queries `start:stop`, each in the gallery without junk and its own person at its own camera.

    A match ranks behind the wrong images that are as close or closer. Those are all images as close or closer, less
    junk, less images of its own person; no row is ever sorted.

    Args:
        distances: of all queries to the gallery, finite real numbers.
        labels: of all queries and the gallery.
        start: first query.
        stop: query after the last.
        ranks: k of the CMC.
        ap: definition of average precision.
    """
    queries = stop - start
    query, column = labels.same_person(start, stop)
    blocks = _Blocks(distances, start, stop, len(labels.gallery_pids))
    distance = _distances_of_pairs(blocks, query, column)

    own_sizes = np.bincount(query, minlength=queries)
    own = sorted_rows(distance, own_sizes)
    other_camera = labels.query_camids[start + query] != labels.gallery_camids[column]
    matches = np.bincount(query[other_camera], minlength=queries)
    limits = sorted_rows(distance[other_camera], matches)
    match, nth = np.nonzero(np.arange(limits.shape[1]) < matches[:, None])
    limits = limits[match, nth]

    junk = np.flatnonzero(labels.gallery_pids == JUNK)
    wrong = _count_without(blocks, junk, match, limits) - search_rows(own, own_sizes, match, limits)
    return score_matches(nth + 1 + wrong, nth + 1, match, queries, ranks, ap)


class _Blocks:
    """The distances of some queries by gallery images, computed once where one block holds them all."""

    def __init__(self, distances: Distances, start: int, stop: int, gallery: int) -> None:
        self.ops = distances.ops
        self._distances, self._queries, self._gallery = distances, (start, stop), gallery
        self._held = list(self._compute()) if distances.tile()[1] >= gallery else None

    def __iter__(self) -> Iterator[tuple[int, Any]]:
        """Blocks, each with the index of its first gallery image."""
        return iter(self._compute() if self._held is None else self._held)

    def _compute(self) -> Iterator[tuple[int, Any]]:
        columns = self._distances.tile()[1]
        for first in range(0, self._gallery, columns):
            yield first, self._distances.block(*self._queries, slice(first, first + columns))


def _distances_of_pairs(blocks: _Blocks, query: NDArray[np.int64], column: NDArray[np.int64]) -> NDArray[Any]:
    """(pairs,) distances of single queries to single gallery images.

    They are taken from the blocks that they are compared with later: computed otherwise they could be
    rounded otherwise, and equal features would not have equal distances.
    """
    result: NDArray[Any] = np.empty(0)
    for first, block in blocks:
        within = (column >= first) & (column < first + block.shape[1])
        values = blocks.ops.pick(block, query[within], column[within] - first)
        if not len(result):
            result = np.empty(len(query), dtype=values.dtype)
        result[within] = values
    return result


def _count_without(
    blocks: _Blocks, left_out: NDArray[np.int64], match: NDArray[np.int64], limits: NDArray[Any]
) -> NDArray[np.int64]:
    """(matches,) how many gallery images, but those `left_out`, are as close as each match or closer."""
    ops = blocks.ops
    counts = np.zeros(len(match), dtype=np.int64)
    for first, block in blocks:
        counts += ops.count_at_most(block, match, limits)
        some = left_out[(left_out >= first) & (left_out < first + block.shape[1])] - first
        if len(some):
            counts -= ops.count_at_most(ops.columns(block, some), match, limits)
    return counts
