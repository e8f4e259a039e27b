"""The page of all queries: which are found, which are not, and between which cameras."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from starlette.requests import Request
from starlette.responses import Response

from reidprep.inspect.charts import Histogram, histogram
from reidprep.inspect.grid import address, facets
from reidprep.inspect.query import shortest, within
from reidtrain.explore.explorer import SORTS, Asked, Explorer, chips, of_page, pager


@dataclass(frozen=True)
class Cell:
    """How queries of one camera find their person at another.

    Attributes:
        href: where these queries are, the worst first.
        count: how many they are.
        found: how many have a right image before any wrong one.
    """

    href: str
    count: int
    found: int


class QueriesPage:
    """Shows all queries of a filter.

    Args:
        explorer: what the pages share.
    """

    def __init__(self, explorer: Explorer) -> None:
        self.explorer = explorer

    def queries(self, request: Request) -> Response:
        """The queries, as cards, with what they have in common."""
        explorer = self.explorer
        site, rankings, asked = explorer.site, explorer.rankings, explorer.asked(request)
        queries = explorer.queries(asked)
        page, pages, shown = of_page(len(queries), asked.view)
        measures = explorer.measures(asked.to)
        scored = queries[~np.isnan(measures["first"][queries])]
        chosen = asked.view.filter
        return site.page(
            "queries.html",
            cards=explorer.query_cards(queries[shown], asked),
            count=len(queries),
            of=len(rankings.rows),
            page=page,
            pages=pages,
            pager=pager(lambda number: address("/queries", asked.text(page=number)), page, pages),
            chips=chips(asked, "/queries"),
            asked=asked,
            filter=chosen,
            pids=",".join(map(str, chosen.pids)),
            camera_list=",".join(map(str, chosen.cameras)),
            bounds={name: [shortest(end) or "" for end in pair] for name, pair in asked.ranges.items()},
            filled=[shortest(end) or "" for end in chosen.bounds("filled")],
            sorts=SORTS,
            run=explorer.runs[0],
            rank1=float((measures["first"][scored] == 1).mean()) if len(scored) else None,
            mean_ap=float(rankings.average_precision[scored].mean()) if len(scored) else None,
            failures=int((measures["first"][scored] > 1).sum()),
            to_failures=address("/queries", asked.text({"min_first": 2})),
            histogram=self._histogram(asked, measures["ap"][queries]),
            matrix=self._matrix(asked),
            cameras=explorer.cameras,
            flags=facets(explorer.index, poses=False)["flags"],
        )

    def _histogram(self, asked: Asked, precisions: NDArray[np.float32]) -> Histogram:
        def link(low: float | None, high: float | None) -> str:
            low, high = within(asked.ranges["ap"], low, high)
            return address("/queries", asked.text({"min_ap": shortest(low), "max_ap": shortest(high)}))

        return histogram(precisions, link, unit="queries", limit=100)

    def _matrix(self, asked: Asked) -> list[tuple[int, list[Cell | None]]]:
        """For each camera of queries, each camera of matches; None where there are no such queries."""
        explorer = self.explorer
        found: dict[int, list[Cell | None]] = {camera: [] for camera in explorer.cameras}
        for to in explorer.cameras:
            # What the cell leads to: bounds of the first right rank are of that at its camera.
            queries = explorer.queries(replace(asked, to=to))
            cameras = explorer.index.camids[explorer.rankings.rows[queries]]
            first = explorer.measures(to)["first"][queries]
            for camera, cells in found.items():
                of = first[cameras == camera]
                href = address("/queries", asked.text({"camera": camera, "to": to, "sort": "first", "order": "desc"}))
                cells.append(Cell(href, len(of), int((of == 1).sum())) if len(of) else None)
        return [(camera, cells) for camera, cells in found.items() if any(cells)]
