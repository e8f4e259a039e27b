"""Pages with many samples: the grid, the excluded ones, a person's."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from starlette.requests import Request
from starlette.responses import Response

from reidprep.alignment.align import Flag
from reidprep.inspect.cards import Card
from reidprep.inspect.index import UNKNOWN, Index
from reidprep.inspect.query import FLAGS, RANGES, SHOWN, SORTS, Filter, View, shortest
from reidprep.inspect.site import Site, measure
from reidprep.records import JUNK_PID, SPLITS
from reidprep.skeleton import JOINTS

ONLY_SHARDS = ("residual", "height", "outside", "doubt")
"""Measures and orders that poses do not have."""
PER_PERSON = 240
"""A person's images on one page; distractors and junk go by one id each, and have thousands."""


@dataclass(frozen=True)
class Choice:
    """An entry of a list in the filter."""

    value: str
    text: str
    count: int | None = None


class GridPages:
    """Pages that show samples as cards.

    Args:
        site: what all pages share.
    """

    def __init__(self, site: Site) -> None:
        self.site = site

    def grid(self, request: Request) -> Response:
        """The samples of a filter."""
        site, view = self.site, self.site.view(request)
        excluded = site.exclusions.excluded
        rows = site.selector.rows(view.filter, excluded)
        return site.page(
            "grid.html",
            **self._form(view),
            **self._cards(view, rows),
            chips=chips(view),
            everything=view.text() if view.filter.restricts else "",
            all_excluded=bool(excluded.mask[rows].all()),
        )

    def excluded(self, request: Request) -> Response:
        """The list of what is left out."""
        site, view = self.site, self.site.view(request)
        reasons = site.exclusions.reasons
        rows = np.flatnonzero(site.exclusions.excluded.mask)
        listed = {site.samples.index.paths[row]: row for row in rows.tolist()}
        cards = self._cards(view, rows, base="/excluded", context=replace(view, filter=Filter(flags=("excluded",))))
        return site.page(
            "excluded.html",
            **cards,
            reasons={row: reasons[path] for path, row in listed.items()},
            absent=[(path, reason) for path, reason in reasons.items() if path not in listed],
            file=str(site.exclusions.file),
            excluded_count=len(reasons),
        )

    def identity(self, request: Request) -> Response:
        """All images of a person, by camera."""
        site, view = self.site, self.site.view(request)
        index = site.samples.index
        text = request.path_params["pid"]
        pid = int(text) if re.fullmatch(r"-?[0-9]{1,18}", text) else UNKNOWN
        of_person = np.flatnonzero((index.pids == pid) & ~index.damaged)
        if not len(of_person):
            return site.problem(404, "No such person", f"There is no image of person {text[:40]} here.")
        keys = (of_person, index.frames[of_person], index.sequences[of_person], index.splits[of_person])
        rows = of_person[np.lexsort((*keys, index.camids[of_person]))]
        pages = -(-len(rows) // PER_PERSON)
        page = min(view.page, pages)
        shown = rows[(page - 1) * PER_PERSON : page * PER_PERSON]
        show = (request.query_params.get("show") and view.show) or ("whole" if site.samples.crops else "source")
        context = View(Filter(pids=(pid,)))
        excluded = site.exclusions.excluded
        cards = site.cards.of(shown, context, excluded, show)
        cameras = [
            (camera, [card for card in cards if card.camid == camera], int((index.camids[rows] == camera).sum()))
            for camera in dict.fromkeys(card.camid for card in cards)
        ]
        pids = np.unique(index.pids[~index.damaged])
        at = int(np.searchsorted(pids, pid))
        return site.page(
            "identity.html",
            pid=pid,
            junk=pid == JUNK_PID,
            show=show,
            shown=self._shown(f"/identity/{pid}", View(), show),
            cameras=cameras,
            count=len(rows),
            all_excluded=bool(excluded.mask[rows].all()),
            splits=[(name, int((index.splits[rows] == i).sum())) for i, name in enumerate(SPLITS)],
            page=page,
            pages=pages,
            pager=self._pager(f"/identity/{pid}", View(), page, pages, {"show": show}),
            previous=int(pids[at - 1]) if at > 0 else None,
            following=int(pids[at + 1]) if at + 1 < len(pids) else None,
        )

    def _cards(
        self, view: View, rows: NDArray[np.intp], base: str = "/", context: View | None = None
    ) -> dict[str, Any]:
        # A sample is opened among those of `context`.
        site = self.site
        pages = max(1, -(-len(rows) // view.per_page))
        page = min(view.page, pages)
        start = (page - 1) * view.per_page
        shown = rows[start : start + view.per_page]
        return {
            "cards": self._valued(site.cards.of(shown, context or view, site.exclusions.excluded), view.filter.sort),
            "count": len(rows),
            "first": start + 1 if len(rows) else 0,
            "last": start + len(shown),
            "page": page,
            "pages": pages,
            "pager": self._pager(base, view, page, pages),
            "show": view.show if site.samples.crops else "source",
            "shown": self._shown(base, view, view.show),
        }

    def _valued(self, cards: list[Card], sort: str) -> list[Card]:
        """Cards that say what they are sorted by."""
        if sort in ("index", "pid", "camera", "path", "filled"):
            return cards
        keys = self.site.selector.keys(sort)
        digits = {"height": 0, "images": 0}.get(sort, 2 if sort.startswith("score") else 3)
        return [replace(card, value=(SORTS[sort], measure(float(keys[card.index]), digits))) for card in cards]

    def _pager(
        self, base: str, view: View, page: int, pages: int, changes: Mapping[str, object] | None = None
    ) -> dict[str, str | None]:
        def to(number: int) -> str | None:
            if not 1 <= number <= pages or number == page:
                return None
            return address(base, view.text(changes, number))

        return {"first": to(1), "previous": to(page - 1), "next": to(page + 1), "last": to(pages)}

    def _shown(self, base: str, view: View, show: str) -> list[tuple[str, str, bool]]:
        """Text, address and whether it is the present one, of what cards can show."""
        if not self.site.samples.crops:
            return []
        return [(text, address(base, view.text({"show": name})), name == show) for name, text in SHOWN.items()]

    def _form(self, view: View) -> dict[str, Any]:
        poses = not self.site.samples.crops
        chosen = view.filter
        ranges = [
            (name, text, *(shortest(bound) or "" for bound in chosen.bounds(name)))
            for name, text in RANGES.items()
            if not (poses and name in ONLY_SHARDS)
        ]
        sorts = [(name, text) for name, text in SORTS.items() if not (poses and name in ONLY_SHARDS)]
        return {
            "view": view,
            "filter": chosen,
            "pids": ",".join(map(str, chosen.pids)),
            "camera_list": ",".join(map(str, chosen.cameras)),
            "splits": self._facets["splits"],
            "cameras": self._facets["cameras"],
            "flags": self._facets["flags"],
            "ranges": ranges,
            "sorts": sorts,
            "joints": JOINTS,
        }

    @cached_property
    def _facets(self) -> dict[str, list[Choice]]:
        return facets(self.site.samples.index, self.site.samples.kind == "poses")


def facets(index: Index, poses: bool) -> dict[str, list[Choice]]:
    """What there is to choose from in the filter, with the number of samples of each."""
    splits = [Choice(name, name, int((index.splits == i).sum())) for i, name in enumerate(SPLITS)]
    numbers, counts = np.unique(index.camids[index.camids != UNKNOWN], return_counts=True)
    cameras = [Choice(str(n), f"camera {n}", c) for n, c in zip(numbers.tolist(), counts.tolist(), strict=True)]
    flags = [] if poses else [
        Choice(str(flag.name).lower(), FLAGS[str(flag.name).lower()], int((index.flags & flag > 0).sum()))
        for flag in Flag
    ]  # fmt: skip
    if not poses:
        flags.append(Choice("any", FLAGS["any"], int((index.flags != 0).sum())))
        flags.append(Choice("none", FLAGS["none"], int(((index.flags == 0) & ~index.damaged).sum())))
    if index.damaged.any():
        flags.append(Choice("damaged", FLAGS["damaged"], int(index.damaged.sum())))
    flags.append(Choice("excluded", FLAGS["excluded"]))
    return {"splits": [choice for choice in splits if choice.count], "cameras": cameras, "flags": flags}


def address(base: str, query: str) -> str:
    """A path with its query, if there is one."""
    return f"{base}?{query}" if query else base


def chips(view: View) -> list[tuple[str, str]]:
    """Each restriction of a filter in words, with the address without it."""
    return [(text, address("/", view.text(changes))) for text, changes in restrictions(view.filter)]


def restrictions(chosen: Filter) -> list[tuple[str, dict[str, object]]]:
    """Each restriction of a filter in words, and what to change in an address to be without it."""
    found: list[tuple[str, dict[str, object]]] = []
    singles: Sequence[tuple[str, str, str]] = (
        ("split", "split", chosen.split or ""),
        ("pid", "person", ", ".join(map(str, chosen.pids))),
        ("camera", "camera", ", ".join(map(str, chosen.cameras))),
        ("path", "path holds", chosen.path),
        ("joint", "filled:", chosen.joint or ""),
    )
    found += [(f"{text} {value}", {name: None}) for name, text, value in singles if value]
    found += [(FLAGS[flag], {"flag": [other for other in chosen.flags if other != flag]}) for flag in chosen.flags]
    return found + [
        (f"{RANGES[name]} {bounds(low, high)}", {f"min_{name}": None, f"max_{name}": None})
        for name, low, high in chosen.ranges
    ]


def bounds(low: float | None, high: float | None) -> str:
    """Least and most in words."""
    if low is not None and high is not None:
        return f"{low:.4g} to {high:.4g}"
    return f"at least {low:.4g}" if low is not None else f"at most {high:.4g}"
