"""What is shown: which queries, and of each its image and its ranked list by each of the compared models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reidprep.errors import ReidError
from reidprep.shards.reader import ShardSet
from reidtrain.metrics.ranked_lists import NOBODY, RankedLists
from reidtrain.metrics.scores import RankingMetrics


@dataclass(frozen=True, eq=False)
class Ranking:
    """What one model makes of all queries.

    Attributes:
        label: names the model.
        lists: of the queries to show.
        metrics: of all queries.
    """

    label: str
    lists: RankedLists
    metrics: RankingMetrics


@dataclass(frozen=True, eq=False)
class Shot:
    """A person image; `picture` is (h, w, 3) uint8 RGB, `index` its position in its split; None is not known."""

    picture: NDArray[np.uint8]
    index: int
    path: str
    pid: int | None
    camid: int | None

    @property
    def who(self) -> str:
        """Whose image it is, and where it was taken; empty if that is not known."""
        person = [] if self.pid is None else [f"person {self.pid}"]
        return ", ".join(person if self.camid is None else [*person, f"camera {self.camid}"])

    @property
    def name(self) -> str:
        """The end of its path."""
        return self.path.rpartition("/")[2]


@dataclass(frozen=True, eq=False)
class Hit:
    """A gallery image in a list.

    Attributes:
        shot: the image.
        rank: from 1.
        distance: from the query.
        right: whether it shows the query's person; None where that is not known, or the image counts for neither.
        junk: whether it counts for neither.
    """

    shot: Shot
    rank: int
    distance: float
    right: bool | None
    junk: bool = False

    @property
    def verdict(self) -> str:
        """The frame's colour in a word, as colour alone does not reach everybody; empty where nothing is known."""
        if self.right is None:
            return "junk" if self.junk else ""
        return "right" if self.right else "wrong"

    @property
    def words(self) -> str:
        """All that the card says of it."""
        said = [self.shot.who or self.shot.name, self.verdict, f"distance {self.distance:.3f}"]
        return f"rank {self.rank}: {', '.join(word for word in said if word)}"


@dataclass(frozen=True, eq=False)
class ListRow:
    """One model's list: its label, what it scores on this query, and the images, nearest first."""

    label: str
    score: str
    hits: tuple[Hit, ...]


@dataclass(frozen=True, eq=False)
class QueryCard:
    """A query, and a list of each model."""

    query: Shot
    rows: tuple[ListRow, ...]


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


def query_card(rankings: Sequence[Ranking], row: int, queries: ShardSet, gallery: ShardSet) -> QueryCard:
    """Read the images of a query and of its lists.

    Args:
        rankings: of models that were asked for the same queries.
        row: which of the queries.
        queries: the query split.
        gallery: the gallery split.

    Raises:
        ReidError: a damaged sample.
    """
    return QueryCard(
        _shot(queries, int(rankings[0].lists.queries[row])),
        tuple(ListRow(ranking.label, _score(ranking, row), _hits(ranking.lists, row, gallery)) for ranking in rankings),
    )


def _shot(shards: ShardSet, index: int) -> Shot:
    sample = shards[index]
    return Shot(sample.whole, index, sample.path, sample.pid, sample.camid)


def _hits(lists: RankedLists, row: int, gallery: ShardSet) -> tuple[Hit, ...]:
    found = zip(lists.gallery[row].tolist(), lists.distances[row].tolist(), lists.right[row].tolist(), strict=True)
    return tuple(
        Hit(_shot(gallery, position), rank, distance, right)
        for rank, (position, distance, right) in enumerate(found, start=1)
        if position != NOBODY
    )


def _score(ranking: Ranking, row: int) -> str:
    query = ranking.lists.queries[row]
    precision, first = ranking.metrics.average_precision[query], ranking.metrics.first_match_rank[query]
    if np.isnan(precision):
        return "no match in the gallery"
    return f"AP {precision:.1%}, first match at rank {first:,.0f}"
