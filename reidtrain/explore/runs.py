"""The page of two runs side by side: the queries that each wins, and by how much."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from starlette.requests import Request
from starlette.responses import Response

from reidprep.inspect import query as addresses
from reidprep.inspect.charts import histogram
from reidprep.inspect.grid import address, bounds
from reidprep.inspect.query import View, shortest, within
from reidtrain.explore.explorer import Asked, Explorer, between, of_page, pager

WINS = {"first": "the first is better", "second": "the second is better", "equal": "both are equal", "all": "all"}
"""Which queries are shown, and what they are called."""


class RunsPage:
    """Shows the queries of two runs, those that differ most first.

    Args:
        explorer: what the pages share; of two runs.
    """

    def __init__(self, explorer: Explorer) -> None:
        self.explorer = explorer
        first, second = (100 * run.rankings.average_precision for run in explorer.runs)
        self.gains: NDArray[np.float32] = (second - first).astype(np.float32)
        """(q,) by how much the second is better, in average precision; nan without a match."""

    def runs(self, request: Request) -> Response:
        """The queries that one of both wins."""
        explorer = self.explorer
        given = {name: value.strip() for name, value in request.query_params.items() if value.strip()}
        wins = addresses.choice(given, "wins", WINS) or "all"
        low, high = (addresses.number(given, name) for name in ("min_gain", "max_gain"))
        view = View(page=addresses.parse({"page": given.get("page", "1")}).page)

        def to(page: int = 1, **changes: object) -> str:
            asked = {"wins": wins, "min_gain": shortest(low), "max_gain": shortest(high), **changes}
            asked["wins"] = None if asked["wins"] == "all" else asked["wins"]
            return address("/runs", View().text(asked, page))

        def link(least: float | None, most: float | None) -> str:
            least, most = within((low, high), least, most)
            return to(min_gain=shortest(least), max_gain=shortest(most), wins="all")

        gains = self.gains
        masks = {"first": gains < 0, "second": gains > 0, "equal": gains == 0, "all": ~np.isnan(gains)}
        masks = {name: mask & between(gains, low, high) for name, mask in masks.items()}
        chosen = np.flatnonzero(masks[wins])
        chosen = chosen[np.argsort(-np.abs(gains[chosen]), kind="stable")]
        page, pages, shown = of_page(len(chosen), view)
        both = [run.rankings for run in explorer.runs]
        cards = explorer.query_cards(chosen[shown], Asked(View(), {}, None, "ap"))
        first = [rankings.first_rank for rankings in both]
        words = [
            f"AP {_change(100 * rankings.average_precision[query] for rankings in both)}, "
            f"rank {_change(rankings.first_rank[query] for rankings in both)}"
            for query in chosen[shown]
        ]
        return explorer.site.page(
            "runs.html",
            runs=explorer.runs,
            cards=[
                replace(card, value=("average precision and first right rank, by the first and by the second", text))
                for card, text in zip(cards, words, strict=True)
            ],
            count=len(chosen),
            page=page,
            pages=pages,
            pager=pager(to, page, pages),
            wins=[(f"{text} ({int(masks[name].sum()):,})", to(wins=name), name == wins) for name, text in WINS.items()],
            chips=[(f"gain {bounds(low, high)}", to(min_gain=None, max_gain=None))]
            if low is not None or high is not None
            else [],
            scores=[
                (*rankings.scores, int(((mine == 1) & (theirs > 1)).sum()))
                for rankings, mine, theirs in zip(both, first, first[::-1], strict=True)
            ],
            histogram=histogram(
                gains[masks["all"]],
                link,
                unit="queries",
                limit=100,
            ),
        )


def _change(values: Iterable[float]) -> str:
    """A value by the first run, and by the second."""
    return " → ".join(f"{value:.0f}" for value in values)
