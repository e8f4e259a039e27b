"""The page of one query: its ranked lists, and what brought the images together."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray
from starlette.requests import Request
from starlette.responses import Response

from reidprep.alignment.align import Flag
from reidprep.errors import ReidError
from reidprep.inspect.cards import Card
from reidprep.inspect.grid import address
from reidprep.inspect.pictures import placeholder
from reidprep.inspect.query import View
from reidprep.inspect.site import number_in
from reidprep.skeleton import PARTS
from reidtrain.explore.explorer import LOOKS, TOPS, Asked, Explorer, Run
from reidtrain.explore.rankings import ABSENT, JUNK, RIGHT, VERDICTS, Rankings, nearness

_FURTHER = 10
"""Right images shown that lie beyond the list."""
_LARGE, _PART = 480, 112
"""Pixels of the screen that the query's drawings are about high."""


@dataclass(frozen=True)
class Part:
    """How near two images are by a feature: 1 is the same, 0 as far as the gallery is on the whole."""

    name: str
    nearness: float


@dataclass(frozen=True)
class Hit:
    """An image of a list.

    Attributes:
        card: the image.
        rank: among the images that count, None for one that does not.
        verdict: one of `VERDICTS`.
        distance: from the query, by the embedding.
        parts: how near it is by each other feature.
        pictures: name and address of each picture of attention.
    """

    card: Card
    rank: int | None
    verdict: str
    distance: float
    parts: tuple[Part, ...]
    pictures: tuple[tuple[str, str], ...]

    @property
    def label(self) -> str:
        """What a screen reader says."""
        place = f"rank {self.rank}" if self.rank else "not ranked"
        return f"{place}, {self.verdict}, distance {self.distance:.3f}, {self.card.label}"


@dataclass(frozen=True)
class Against:
    """How near the nearest wrong and the first right image are by a feature."""

    name: str
    wrong: float
    right: float


class QueryPage:
    """Shows one query.

    Args:
        explorer: what the pages share.
    """

    def __init__(self, explorer: Explorer) -> None:
        self.explorer = explorer

    def query(self, request: Request) -> Response:
        """A query, its neighbours being those of the filter in the address."""
        explorer = self.explorer
        site, asked, row = explorer.site, explorer.asked(request), number_in(request, "index")
        query = int(explorer.query_of[row]) if row < len(explorer.index) else -1
        if query < 0:
            return site.problem(
                404, "No such query", f"Sample {row} is none of the {len(explorer.rankings.rows)} queries."
            )
        index = explorer.index
        excluded = site.exclusions.excluded
        here = f"/query/{row}"
        return site.page(
            "query.html",
            index=row,
            path=index.paths[row],
            pid=int(index.pids[row]),
            camera=int(index.camids[row]),
            flags=Flag(int(index.flags[row])).words,
            excluded=bool(excluded.mask[row]),
            reason=site.exclusions.reasons.get(index.paths[row], ""),
            asked=asked,
            looks=[
                (text, address(here, replace(asked, show=show).text()), show == asked.show)
                for show, text in LOOKS.items()
            ],
            tops=[(str(top), address(here, replace(asked, top=top).text()), top == asked.top) for top in TOPS],
            lists=[
                (run, run.rankings.in_short(query), self._hits(run, query, asked), self._further(run, query, asked))
                for run in explorer.runs
            ],
            ranks=[self._ranks(run.rankings, query) for run in explorer.runs],
            against=self._against(explorer.rankings, query),
            pictures=self._pictures(explorer.runs[0], row),
            **self._drawings(row),
            **self._neighbours(asked, query),
        )

    def picture(self, request: Request) -> Response:
        """The attention of a run over a sample."""
        explorer = self.explorer
        number, row, name = number_in(request, "run"), number_in(request, "index"), number_in(request, "name")
        try:
            if number >= len(explorer.runs) or row >= len(explorer.index):
                raise ReidError("there is no such picture")
            attention = explorer.runs[number].attention
            if name >= len(attention.names):
                raise ReidError("this network has no attention to show")
            data = attention.picture(row, attention.names[name])
        except ReidError as error:
            return Response(placeholder(str(error)), 404, media_type="image/svg+xml")
        return Response(data, media_type="image/jpeg", headers={"Cache-Control": "private, no-cache"})

    def _pictures(self, run: Run, row: int) -> tuple[tuple[str, str], ...]:
        number = self.explorer.runs.index(run)
        return tuple((name, f"/attention/{number}/{row}/{at}") for at, name in enumerate(run.attention.names))

    def _drawings(self, row: int) -> dict[str, Any]:
        """The query's source image and crops, each with joints; nothing of a damaged sample."""
        site = self.explorer.site
        try:
            geometry = site.samples.geometry(row)
        except ReidError as error:
            return {"overlay": None, "whole": None, "parts": [], "problem": str(error)}
        crop = site.cards.crop_overlay
        parts: list[tuple[str, Markup]] = [
            (name.replace("_", " "), crop(row, geometry, 1 + number, height=_PART)) for number, name in enumerate(PARTS)
        ]
        return {
            "overlay": site.cards.overlay(row, geometry, height=_LARGE, tooltips=True),
            "whole": crop(row, geometry, 0, height=_LARGE),
            "parts": parts,
            "problem": "",
        }

    def _hits(self, run: Run, query: int, asked: Asked) -> list[Hit]:
        rankings = run.rankings
        verdicts = rankings.verdicts[query]
        shown = np.flatnonzero(verdicts != ABSENT)[: asked.top]
        ranks = np.cumsum(verdicts < JUNK)
        parts = nearness(rankings.part_distances[query, shown], rankings.typical[query, 1:])
        return [
            replace(hit, rank=int(ranks[at]) if verdicts[at] < JUNK else None)
            for at, hit in zip(
                shown.tolist(),
                self._of(
                    run, rankings.lists[query, shown], verdicts[shown], rankings.distances[query, shown], parts, asked
                ),
                strict=True,
            )
        ]

    def _further(self, run: Run, query: int, asked: Asked) -> list[Hit]:
        """The first right images that lie beyond the list."""
        rankings = run.rankings
        listed = set(rankings.lists[query, : asked.top].tolist())
        of = rankings.matches(query)
        at = np.array(
            [i for i in range(of.start, of.stop) if int(rankings.match_rows[i]) not in listed][:_FURTHER], int
        )
        parts = nearness(rankings.match_part_distances[at], rankings.typical[query, 1:])
        verdicts = np.full(len(at), RIGHT)
        hits = self._of(run, rankings.match_rows[at], verdicts, rankings.match_distances[at], parts, asked)
        return [replace(hit, rank=int(rankings.match_ranks[i])) for i, hit in zip(at.tolist(), hits, strict=True)]

    def _of(
        self,
        run: Run,
        rows: NDArray[Any],
        verdicts: NDArray[Any],
        distances: NDArray[np.float32],
        parts: NDArray[np.float32],
        asked: Asked,
    ) -> list[Hit]:
        site = self.explorer.site
        show = "source" if asked.show == "source" else "whole"
        cards = site.cards.of(rows, View(), site.exclusions.excluded, show)
        names = [worded(name) for name in run.rankings.parts]
        return [
            Hit(
                card=card,
                rank=None,
                verdict=VERDICTS[verdict],
                distance=distance,
                parts=tuple(Part(name, value) for name, value in zip(names, near, strict=True)),
                pictures=self._pictures(run, card.index) if asked.show == "attention" else (),
            )
            for card, verdict, distance, near in zip(
                cards, verdicts.tolist(), distances.tolist(), parts.tolist(), strict=True
            )
        ]

    def _ranks(self, rankings: Rankings, query: int) -> list[int]:
        return [int(rank) for rank in rankings.match_ranks[rankings.matches(query)]]

    def _against(self, rankings: Rankings, query: int) -> list[Against]:
        """The nearest wrong beside the first right image, by each feature; nothing if there are not both."""
        wrong = np.flatnonzero(rankings.verdicts[query] == VERDICTS.index("wrong"))
        matches = rankings.matches(query)
        if not len(wrong) or matches.start == matches.stop:
            return []
        usual = rankings.typical[query]
        sides = []
        for whole, parts in (
            (rankings.distances[query, wrong[0]], rankings.part_distances[query, wrong[0]]),
            (rankings.match_distances[matches.start], rankings.match_part_distances[matches.start]),
        ):
            sides.append(nearness(np.concatenate([[whole], parts]), usual).tolist())
        names = ("embedding", *map(worded, rankings.parts))
        return [Against(*values) for values in zip(names, *sides, strict=True)]

    def _neighbours(self, asked: Asked, query: int) -> dict[str, Any]:
        explorer = self.explorer
        queries = explorer.queries(asked)
        found = np.flatnonzero(queries == query)
        at = int(found[0]) if len(found) else None
        later = queries[at + 1 :] if at is not None else queries
        failed = later[explorer.rankings.first_rank[later] > 1]

        def to(position: int | None) -> str | None:
            if position is None or not 0 <= position < len(queries):
                return None
            return self._address(int(queries[position]), asked)

        page = 1 if at is None else at // asked.view.per_page + 1
        row = explorer.rankings.rows[query]
        return {
            "position": at,
            "count": len(queries),
            "previous": to(None if at is None else at - 1),
            "following": to(None if at is None else at + 1),
            "failure": self._address(int(failed[0]), asked) if len(failed) else None,
            "back": address("/queries", asked.text(page=page)) + f"#sample-{row}",
        }

    def _address(self, query: int, asked: Asked) -> str:
        return address(f"/query/{self.explorer.rankings.rows[query]}", asked.text())


def worded(name: str) -> str:
    """A feature's name for people."""
    return {"whole": "whole body", "fused": "parts, fused"}.get(name, name.replace("_", " "))
