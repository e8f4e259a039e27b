"""The page of people: who is confused with whom, how often, and between which cameras."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from starlette.requests import Request
from starlette.responses import Response

from reidprep.inspect import query as addresses
from reidprep.inspect.cards import Card
from reidprep.inspect.grid import address
from reidprep.inspect.query import View
from reidtrain.explore.explorer import Explorer, of_page, pager
from reidtrain.explore.rankings import WRONG

_PER_PAGE, _CAMERAS = 20, 4


@dataclass(frozen=True, eq=False)
class Confusion:
    """A person whose queries find another before themselves.

    Attributes:
        pid: whose queries.
        other: whom they find.
        queries: positions of the queries.
        images: of the other, the first that each query finds, as samples.
        cameras: that of each query, and that of its image.
    """

    pid: int
    other: int
    queries: list[int]
    images: list[int]
    cameras: list[tuple[int, int]]

    def between(self, cameras: Collection[int], to: Collection[int]) -> Confusion:
        """That of the queries at some cameras which find the other at some; empty for all."""
        if not cameras and not to:
            return self
        kept = [
            at
            for at, (first, second) in enumerate(self.cameras)
            if (not cameras or first in cameras) and (not to or second in to)
        ]
        return replace(
            self,
            queries=[self.queries[at] for at in kept],
            images=[self.images[at] for at in kept],
            cameras=[self.cameras[at] for at in kept],
        )


@dataclass(frozen=True)
class Shown:
    """A confusion as it is shown: the cards of a query and of what it finds, and addresses."""

    confusion: Confusion
    query: Card
    image: Card
    of: int
    href: str
    cameras: list[tuple[str, int, str]]


class IdentitiesPage:
    """Shows who is confused with whom.

    Args:
        explorer: what the pages share.
    """

    def __init__(self, explorer: Explorer) -> None:
        self.explorer = explorer
        self.confusions = self._confusions()

    def identities(self, request: Request) -> Response:
        """The confusions of an address, the most frequent first."""
        site = self.explorer.site
        given = {name: value.strip() for name, value in request.query_params.items() if value.strip()}
        pids = addresses.integers(given, "pid")
        pairs = {name: addresses.integers(given, name) for name in ("camera", "to")}
        view = View(page=addresses.parse({"page": given.get("page", "1")}).page, per_page=_PER_PAGE)

        def to(page: int = 1, changes: Mapping[str, object] | None = None) -> str:
            asked = {name: ",".join(map(str, numbers)) for name, numbers in {"pid": pids, **pairs}.items()}
            return address("/confused", View().text({**asked, **(changes or {})}, page))

        chosen = [
            some
            for each in self.confusions
            if (not pids or each.pid in pids or each.other in pids)
            and (some := each.between(pairs["camera"], pairs["to"])).queries
        ]
        chosen.sort(key=lambda each: -len(each.queries))
        page, pages, shown = of_page(len(chosen), view)
        return site.page(
            "identities.html",
            confusions=[self._shown(each, pairs["camera"]) for each in chosen[shown]],
            count=len(chosen),
            people=len({each.pid for each in chosen}),
            page=page,
            pages=pages,
            pager=pager(to, page, pages),
            pids=",".join(map(str, pids)),
            cameras=self.explorer.cameras,
            camera=pairs["camera"],
            to=pairs["to"],
            chips=[
                (f"{text} {', '.join(map(str, numbers))}", to(changes={name: None}))
                for name, text, numbers in (
                    ("pid", "person", pids),
                    ("camera", "query's camera", pairs["camera"]),
                    ("to", "other's camera", pairs["to"]),
                )
                if numbers
            ],
        )

    def _confusions(self) -> list[Confusion]:
        """Each person, and whom its queries find before the first right image; the most frequent first."""
        rankings, index = self.explorer.rankings, self.explorer.index
        found: dict[tuple[int, int], Confusion] = {}
        for query in np.flatnonzero(rankings.first_rank > 1).tolist():
            wrong = np.flatnonzero(rankings.verdicts[query] == WRONG)
            before = rankings.lists[query, wrong[: int(rankings.first_rank[query]) - 1]]
            row = rankings.rows[query]
            others = index.pids[before].tolist()
            for other in dict.fromkeys(others):
                pair = int(index.pids[row]), int(other)
                if pair not in found:
                    found[pair] = Confusion(*pair, [], [], [])
                image = int(before[others.index(other)])
                found[pair].queries.append(query)
                found[pair].images.append(image)
                found[pair].cameras.append((int(index.camids[row]), int(index.camids[image])))
        return sorted(found.values(), key=lambda each: (-len(each.queries), each.pid, each.other))

    @cached_property
    def _queries_of(self) -> dict[int, list[int]]:
        """Person -> cameras of its queries with a match."""
        rankings, index = self.explorer.rankings, self.explorer.index
        cameras: dict[int, list[int]] = defaultdict(list)
        for row in rankings.rows[rankings.match_counts > 0].tolist():
            cameras[int(index.pids[row])].append(int(index.camids[row]))
        return cameras

    def _shown(self, confusion: Confusion, cameras: tuple[int, ...]) -> Shown:
        explorer = self.explorer
        rows = [int(explorer.rankings.rows[confusion.queries[0]]), confusion.images[0]]
        query, image = explorer.site.cards.of(rows, View(), explorer.site.exclusions.excluded, "whole")

        def queries(**more: object) -> str:
            return address(
                "/queries",
                View().text({"pid": confusion.pid, "camera": ",".join(map(str, cameras)), "min_first": 2, **more}),
            )

        return Shown(
            confusion,
            query,
            image,
            sum(not cameras or camera in cameras for camera in self._queries_of[confusion.pid]),
            queries(),
            [
                (f"camera {first} to {second}", count, queries(camera=first))
                for (first, second), count in Counter(confusion.cameras).most_common(_CAMERAS)
            ],
        )
