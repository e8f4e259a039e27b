"""CMC, mAP and mINP from where the right gallery images are in each query's ranked list."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from reidprep.text import counted

APVariant = Literal["step", "trapezoid"]
"""`step`: mean of the precision at each hit. `trapezoid`: the Market-1501 authors' area under the curve."""

RANKS = (1, 5, 10, 20)
"""The k at which the CMC is given, unless others are asked for."""

METRIC_NAMES = {**{f"rank{rank}": f"Rank-{rank}" for rank in RANKS}, "mAP": "mAP", "mINP": "mINP"}
"""What people read, by what stands in JSON."""


@dataclass(frozen=True, eq=False)
class QueryScores:
    """Scores of each query, nan where the gallery holds no match.

    Attributes:
        cmc: (queries, ranks) float64, probability that a match is within the first k.
        average_precision: (queries,) float64.
        inverse_penalty: (queries,) float64, number of matches / rank of the last match.
        first_match_rank: (queries,) float64, 1 is the best; an expectation where the gallery is drawn.
    """

    cmc: NDArray[np.float64]
    average_precision: NDArray[np.float64]
    inverse_penalty: NDArray[np.float64]
    first_match_rank: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class RankingMetrics:
    """How well a ranking finds the query's person. All scores are 0 to 1.

    Attributes:
        ranks: the k of `cmc`.
        cmc: (len(ranks),) float64, share of queries with a match within the first k.
        mAP: mean average precision.
        mINP: mean inverse negative penalty, matches / rank of the last match (Ye et al. 2021, Eq. 3).
        average_precision: (queries,) float64, nan where a query has no match in the gallery.
        first_match_rank: (queries,) float64, 1 is the best, nan where a query has no match in the gallery;
            the expected rank where the protocol draws the gallery at random.
        queries: number of queries, with those that have no match.
        queries_without_match: number of queries left out of every mean, for want of a match.
        queries_identical: number of queries of which the very same image is in the gallery and counts; known where
            files of features or networks are scored.
    """

    ranks: tuple[int, ...]
    cmc: NDArray[np.float64]
    mAP: float
    mINP: float
    average_precision: NDArray[np.float64]
    first_match_rank: NDArray[np.float64]
    queries: int
    queries_without_match: int
    queries_identical: int = 0

    def cmc_at(self, rank: int) -> float:
        """CMC at one of `ranks`."""
        return float(self.cmc[self.ranks.index(rank)])

    def __repr__(self) -> str:
        queries = counted(self.queries, "query", "queries")
        return f"RankingMetrics(Rank-{self.ranks[0]} {self.cmc[0]:.2%}, mAP {self.mAP:.2%}, {queries})"

    def remark(self) -> str:
        """A sentence on queries that find themselves; empty if there are none."""
        if not self.queries_identical:
            return ""
        have = counted(self.queries_identical, "query has", "queries have")
        return f"{have} the very same image in the gallery (distance 0), which flatters the scores"

    def named(self) -> dict[str, float]:
        """`rank1`, `rank5`, `rank10`, `rank20`, `mAP` and `mINP`, 0 to 1."""
        return {**{f"rank{rank}": self.cmc_at(rank) for rank in RANKS}, "mAP": self.mAP, "mINP": self.mINP}


def percent(share: float | None) -> str:
    """Write a score as the papers' tables do: 94.65; a dash for None."""
    return "-" if share is None else f"{100 * share:.2f}"


def average_precisions(
    ranks: NDArray[np.int64], nth: NDArray[np.int64], query: NDArray[np.int64], queries: int, ap: APVariant
) -> NDArray[np.float64]:
    """Average precision of each query from the ranks of its matches.

    With P matches, the n-th of them at rank r_n: `step` is sum(n / r_n) / P. `trapezoid` is the area under
    straight lines between the points of the precision-recall curve before and at each hit,
    sum((n - 1) / (r_n - 1) + n / r_n) / 2P, where a precision before any image counts as 1
    (Zheng et al. 2015, the evaluation code of Market-1501).

    Args:
        ranks: (matches,) rank of each match in its query's list, from 1.
        nth: (matches,) 1 for the query's best ranked match, 2 for the next ...
        query: (matches,) query each match belongs to.
        queries: number of queries.
        ap: which definition.

    Returns:
        (queries,) float64, nan where a query has no match.
    """
    precision = nth / ranks
    if ap == "trapezoid":
        before = np.divide(nth - 1, ranks - 1, out=np.ones(len(ranks)), where=ranks > 1)
        precision = (precision + before) / 2
    matches = np.bincount(query, minlength=queries)
    sums = np.bincount(query, weights=precision, minlength=queries)
    result = np.full(queries, np.nan)
    np.divide(sums, matches, out=result, where=matches > 0)
    return result


def score_matches(
    ranks: NDArray[np.int64],
    nth: NDArray[np.int64],
    query: NDArray[np.int64],
    queries: int,
    at: Sequence[int],
    ap: APVariant,
) -> QueryScores:
    """All scores of each query from the ranks of its matches; arguments as for `average_precisions`.

    `query` must ascend, and `ranks` within a query; `at` are the k of the CMC.
    """
    matches = np.bincount(query, minlength=queries)
    some = matches > 0
    ends = np.cumsum(matches)[some]
    first = np.full(queries, np.nan)
    last = np.full(queries, np.nan)
    first[some] = ranks[ends - matches[some]]
    last[some] = ranks[ends - 1]
    cmc = (first[:, None] <= np.asarray(at)).astype(np.float64)
    cmc[~some] = np.nan
    return QueryScores(cmc, average_precisions(ranks, nth, query, queries, ap), matches / last, first)


def summarise(blocks: Sequence[QueryScores], ranks: Sequence[int]) -> RankingMetrics:
    """Means over the queries that have a match, of which there must be one in some block."""
    precision = np.concatenate([block.average_precision for block in blocks])
    penalty = np.concatenate([block.inverse_penalty for block in blocks])
    cmc = np.concatenate([block.cmc for block in blocks])
    some = ~np.isnan(precision)
    return RankingMetrics(
        ranks=tuple(ranks),
        cmc=cmc[some].mean(axis=0),
        mAP=float(precision[some].mean()),
        mINP=float(penalty[some].mean()),
        average_precision=precision,
        first_match_rank=np.concatenate([block.first_match_rank for block in blocks]),
        queries=len(precision),
        queries_without_match=int(np.count_nonzero(~some)),
    )


def with_junk_queries(metrics: RankingMetrics, people: NDArray[np.bool_]) -> RankingMetrics:
    """Scores of some queries as those of all, of which the others show nobody and have no match.

    Args:
        metrics: of the queries that show a person.
        people: (queries,) which of all queries these are.
    """

    def spread(values: NDArray[np.float64]) -> NDArray[np.float64]:
        of_all = np.full(len(people), np.nan)
        of_all[people] = values
        return of_all

    return replace(
        metrics,
        average_precision=spread(metrics.average_precision),
        first_match_rank=spread(metrics.first_match_rank),
        queries=len(people),
        queries_without_match=metrics.queries_without_match + int(np.count_nonzero(~people)),
    )


def average_splits(splits: Sequence[RankingMetrics]) -> RankingMetrics:
    """Mean over test splits, each with equal weight, as CUHK03 classic asks of its 20.

    Counts are summed and the per-query arrays joined, in the order of the splits, which share `ranks`.
    """
    if len({split.ranks for split in splits}) != 1:
        raise ValueError("splits to average need the same ranks, and there must be at least one")
    return RankingMetrics(
        ranks=splits[0].ranks,
        cmc=np.mean([split.cmc for split in splits], axis=0),
        mAP=float(np.mean([split.mAP for split in splits])),
        mINP=float(np.mean([split.mINP for split in splits])),
        average_precision=np.concatenate([split.average_precision for split in splits]),
        first_match_rank=np.concatenate([split.first_match_rank for split in splits]),
        queries=sum(split.queries for split in splits),
        queries_without_match=sum(split.queries_without_match for split in splits),
        queries_identical=sum(split.queries_identical for split in splits),
    )
