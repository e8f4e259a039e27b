"""CUHK03 classic: a gallery of one random image per person, scored by its exact expectation.

The rank of a match at distance t is one plus the number of other people whose drawn image is as close or
closer. Person i's drawn image is so with probability f_i, the share of i's eligible images within t, and people
are drawn independently: the number is a sum of independent Bernoulli variables (Poisson binomial), whose
distribution follows exactly from adding one person at a time. Averaged over the match drawn, this
gives what drawing galleries for ever would converge to.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .metrics import APVariant, QueryScores, average_precisions
from .protocols import JUNK, Labels


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

    # What each possible rank is worth, then the mean over ranks and over the match drawn.
    rank = np.arange(1, len(probability) + 1)
    one = np.ones_like(rank)
    worth = {
        "cmc": (rank <= np.asarray(ranks)[:, None]).astype(np.float64),
        "ap": average_precisions(rank, one, rank - 1, len(rank), ap)[None],
        "inp": 1 / rank[None],
        "rank": rank[None].astype(np.float64),
    }

    def mean(name: str) -> NDArray[np.float64]:
        values = worth[name] @ probability
        sums = np.stack([np.bincount(query, weights=value, minlength=queries) for value in values], axis=1)
        result = np.full_like(sums, np.nan)
        result[matches > 0] = sums[matches > 0] / matches[matches > 0, None]
        return result

    return QueryScores(mean("cmc"), mean("ap")[:, 0], mean("inp")[:, 0], mean("rank")[:, 0])


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
    return closer / np.maximum(total, 1)


def _rank_probabilities(shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """(people + 1, n) probability of each rank from 1, from the (people, n) chances of being outranked."""
    probability = np.zeros((len(shares) + 1, shares.shape[1]))
    probability[0] = 1
    for person, share in enumerate(shares, start=1):
        moved = probability[:person] * share
        probability[:person] -= moved
        probability[1 : person + 1] += moved
    return probability
