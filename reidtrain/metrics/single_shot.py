"""CUHK03 classic: a gallery of one random image per person, scored by its exact expectation.

The rank of a match at distance t is one plus the number of other people whose drawn image is as close or
closer. Person i's drawn image is so with probability f_i, the share of i's eligible images within t, and
people are drawn independently: the number is a sum of independent Bernoulli variables (Poisson binomial),
whose distribution follows exactly from adding one person at a time. Averaged over the match drawn, this
gives what drawing galleries for ever would converge to.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reidtrain.metrics.protocols import JUNK, Labels
from reidtrain.metrics.scores import APVariant, QueryScores, average_precisions


def score_single_shot(
    distances: NDArray[Any], labels: Labels, start: int, ranks: Sequence[int], ap: APVariant, any_camera: bool
) -> QueryScores:
    """Expected scores of queries `start` onwards over the random gallery.

    Args:
        distances: (queries of the block, gallery) finite real numbers.
        labels: of all queries and the gallery.
        start: query of the first row of `distances`.
        ranks: k of the CMC.
        ap: definition of average precision; with its one match at rank r, `step` gives 1 / r.
        any_camera: other people's images may come from the query's camera too.
    """
    queries = len(distances)
    columns = labels.order[labels.sorted_pids != JUNK]
    people, firsts = np.unique(labels.gallery_pids[columns], return_index=True)
    shares = [
        _closer_shares(line, labels, start + row, columns, people, firsts, any_camera)
        for row, line in enumerate(distances)
    ]
    matches = np.array([len(share) for share in shares])
    query = np.repeat(np.arange(queries), matches)
    probability = _rank_probabilities(np.concatenate(shares).T)

    # What each possible rank is worth to each score; then the mean over ranks, and over the match drawn.
    rank = np.arange(1, len(probability) + 1)
    precision = average_precisions(rank, np.ones_like(rank), rank - 1, len(rank), ap)
    worth = np.vstack([rank <= np.asarray(ranks)[:, None], precision, 1 / rank, rank])
    sums = np.stack([np.bincount(query, expected, queries) for expected in worth @ probability])
    means = np.full(sums.shape, np.nan)
    np.divide(sums, matches, out=means, where=matches > 0)
    return QueryScores(means[:-3].T, means[-3], means[-2], means[-1])


def _closer_shares(
    line: NDArray[Any],
    labels: Labels,
    query: int,
    columns: NDArray[np.int64],
    people: NDArray[np.int64],
    firsts: NDArray[np.int64],
    any_camera: bool,
) -> NDArray[np.float64]:
    """(matches, people) share of each other person's eligible images as close as each match or closer.

    `columns` are the gallery images sorted by person, whose blocks begin at `firsts`.
    """
    pid = labels.query_pids[query]
    mine = labels.gallery_pids[columns] == pid
    other_camera = labels.gallery_camids[columns] != labels.query_camids[query]
    if pid == JUNK or not (mine & other_camera).any():
        return np.zeros((0, len(people)))
    row = line[columns]
    limits = row[mine & other_camera]
    eligible = ~mine & (other_camera | any_camera)
    closer = np.add.reduceat((row <= limits[:, None]) & eligible, firsts, axis=1, dtype=np.int64)
    total = np.add.reduceat(eligible, firsts, dtype=np.int64)
    shares: NDArray[np.float64] = closer / np.maximum(total, 1)
    return shares


def _rank_probabilities(shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """(people + 1, n) probability of each rank from 1, from the (people, n) chances of being outranked."""
    probability = np.zeros((len(shares) + 1, shares.shape[1]))
    probability[0] = 1
    for person, share in enumerate(shares, start=1):
        moved = probability[:person] * share
        probability[:person] -= moved
        probability[1 : person + 1] += moved
    return probability
