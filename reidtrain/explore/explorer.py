"""What the pages of a run share: its rankings, beside the samples that `reidprep.inspect` shows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from starlette.requests import Request

from reidprep.inspect import query as addresses
from reidprep.inspect.cards import Card
from reidprep.inspect.grid import address, bounds, restrictions
from reidprep.inspect.query import BadQuery, View, shortest
from reidprep.inspect.site import Site
from reidtrain.explore.attention import Attention
from reidtrain.explore.rankings import Rankings

MEASURES = {"ap": "average precision", "first": "first right rank"}
"""Measures of a query that `min_...` and `max_...` bound beside those of samples, and what they are called."""
_OWN = (*(f"{end}_{name}" for name in MEASURES for end in ("min", "max")), "to", "show", "top")
LOOKS = {"whole": "crops", "source": "joints and boxes", "attention": "attention"}
"""What images of a list show, and what it is called."""
TOPS = (10, 20, 50, 100)
SORTS = {
    **MEASURES,
    "index": "position",
    "pid": "person",
    "camera": "camera",
    "filled": "joints filled",
    "doubt": "doubt",
    "score": "mean score",
    "height": "box height",
}
"""Orders of queries, and what they are called."""


@dataclass(frozen=True)
class Run:
    """A run that is looked at.

    Attributes:
        label: names it.
        rankings: of the queries of the shards.
        attention: what it looks at.
    """

    label: str
    rankings: Rankings
    attention: Attention


@dataclass(frozen=True)
class Asked:
    """Which queries an address asks for, and in which order.

    Attributes:
        view: filter of the samples, and layout; its own order where `sort` is none of `MEASURES`.
        ranges: (least, most) of each of `MEASURES`, both included, None where open.
        to: camera at which a match is; the first right rank is then that of these matches alone.
        sort: one of `SORTS`.
        show: one of `LOOKS`.
        top: images shown of a list.
    """

    view: View
    ranges: Mapping[str, tuple[float | None, float | None]]
    to: int | None
    sort: str
    show: str = "whole"
    top: int = TOPS[1]

    def text(self, changes: Mapping[str, object] | None = None, page: int = 1) -> str:
        """Write it as the query of an address; the arguments are those of `View.text`."""
        own: dict[str, object] = {
            "to": self.to,
            "sort": None if self.sort == "ap" else self.sort,
            "show": None if self.show == "whole" else self.show,
            "top": None if self.top == TOPS[1] else self.top,
        }
        for name, (low, high) in self.ranges.items():
            own |= {f"min_{name}": shortest(low), f"max_{name}": shortest(high)}
        return self.view.text({"split": None, **own, **(changes or {})}, page)


class Explorer:
    """What the pages share.

    Args:
        site: that of the samples.
        runs: one, or two to compare, by the same images.
    """

    def __init__(self, site: Site, runs: Sequence[Run]) -> None:
        self.site = site
        self.runs = runs
        self.rankings = runs[0].rankings
        self.index = site.samples.index
        cameras = np.unique(self.index.camids[~self.index.damaged])
        self.cameras: list[int] = cameras.tolist()
        self.query_of = np.full(len(self.index), -1)
        self.query_of[self.rankings.rows] = np.arange(len(self.rankings.rows))

    def asked(self, request: Request) -> Asked:
        """The queries that an address asks for.

        Raises:
            BadQuery: it makes no sense.
        """
        given = {name: value.strip() for name, value in request.query_params.items() if value.strip()}
        own = {name: given.pop(name) for name in _OWN if name in given}
        cameras = addresses.integers(own, "to")
        if len(cameras) > 1:
            raise BadQuery("to is one camera")
        sort = addresses.choice(given, "sort", SORTS) or "ap"
        if sort in MEASURES:
            given.pop("sort", None)
        view = addresses.parse(given, request.query_params.getlist("flag"))
        ranges = {
            name: (addresses.number(own, f"min_{name}"), addresses.number(own, f"max_{name}")) for name in MEASURES
        }
        return Asked(
            view=replace(view, filter=replace(view.filter, split="query")),
            ranges=ranges,
            to=next(iter(cameras), None),
            sort=sort,
            show=addresses.choice(own, "show", LOOKS) or "whole",
            top=int(addresses.choice(own, "top", tuple(map(str, TOPS))) or TOPS[1]),
        )

    def measures(self, to: int | None) -> dict[str, NDArray[np.float32]]:
        """`MEASURES` of each query, (q,) each."""
        first = (
            self.rankings.first_rank if to is None else self.first_at.get(to, np.full(len(self.rankings.rows), np.nan))
        )
        # As the bars of a distribution count them: rounded otherwise, a value would lie on the other side of a bound.
        measures = {"ap": 100 * self.rankings.average_precision, "first": first}
        return {name: values.astype(np.float32) for name, values in measures.items()}

    @cached_property
    def first_at(self) -> dict[int, NDArray[np.float64]]:
        """Camera -> (q,) first right rank as if the matches at this camera were the only ones, nan without one."""
        rankings = self.rankings
        nth = np.arange(len(rankings.match_rows)) - rankings.match_ends[rankings.match_query]
        ranks = rankings.match_ranks - nth
        cameras = self.index.camids[rankings.match_rows]
        found = {}
        for camera in np.unique(cameras).tolist():
            first = np.full(len(rankings.rows), np.inf)
            of = cameras == camera
            np.minimum.at(first, rankings.match_query[of], ranks[of])
            found[camera] = np.where(np.isinf(first), np.nan, first)
        return found

    def queries(self, asked: Asked) -> NDArray[np.intp]:
        """The queries of an address in its order, equals by their position; those without a value last."""
        chosen = asked.view.filter
        by_sample = replace(chosen, sort="index", descending=False)
        rows = self.site.selector.rows(by_sample, self.site.exclusions.excluded)
        queries = self.query_of[rows]
        queries = queries[queries >= 0]
        measures = self.measures(asked.to)
        for name, (low, high) in asked.ranges.items():
            values = measures[name][queries]
            if low is not None or high is not None:
                queries = queries[between(values, low, high)]
        if asked.to is not None:
            queries = queries[~np.isnan(measures["first"][queries])]
        keys = (
            measures[asked.sort] if asked.sort in measures else self.site.selector.keys(asked.sort)[self.rankings.rows]
        )
        keys = keys[queries]
        return queries[np.argsort(-keys if chosen.descending else keys, kind="stable")]

    def query_cards(self, queries: NDArray[np.intp], asked: Asked, base: str = "/query") -> list[Card]:
        """Cards of queries, with their average precision and first right rank."""
        text = asked.text(page=asked.view.page)
        rows = self.rankings.rows[queries]
        cards = self.site.cards.of(rows, asked.view, self.site.exclusions.excluded, "whole")
        return [
            replace(
                card, href=address(f"{base}/{card.index}", text), value=("average precision, first right rank", words)
            )
            for card, words in zip(cards, (self.rankings.in_short(int(query)) for query in queries), strict=True)
        ]


def between(values: NDArray[np.float32], low: float | None, high: float | None) -> NDArray[np.bool_]:
    """Which values lie between two bounds, both included, None where open."""
    least, greatest = np.float32(-np.inf if low is None else low), np.float32(np.inf if high is None else high)
    return np.asarray((values >= least) & (values <= greatest))


def pager(to: Callable[[int], str], page: int, pages: int) -> dict[str, str | None]:
    """Addresses of the first, previous, next and last page."""
    numbers = {"first": 1, "previous": page - 1, "next": page + 1, "last": pages}
    return {name: to(number) if 1 <= number <= pages and number != page else None for name, number in numbers.items()}


def of_page(count: int, view: View) -> tuple[int, int, slice]:
    """Page, number of pages, and what is on it."""
    pages = max(1, -(-count // view.per_page))
    page = min(view.page, pages)
    return page, pages, slice((page - 1) * view.per_page, page * view.per_page)


def chips(asked: Asked, base: str) -> list[tuple[str, str]]:
    """Each restriction of an address in words, with the address without it."""
    found: list[tuple[str, dict[str, object]]] = [
        (f"{MEASURES[name]} {bounds(low, high)}", {f"min_{name}": None, f"max_{name}": None})
        for name, (low, high) in asked.ranges.items()
        if low is not None or high is not None
    ]
    if asked.to is not None:
        found.append((f"match at camera {asked.to}", {"to": None}))
    found += restrictions(replace(asked.view.filter, split=None))
    return [(text, address(base, asked.text(changes))) for text, changes in found]
