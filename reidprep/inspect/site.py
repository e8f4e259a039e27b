"""The pages: a request in, HTML out."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import numpy as np
from starlette.datastructures import QueryParams
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from reidprep.drawing.legend import LEGEND
from reidprep.drawing.pages import templates
from reidprep.inspect import query
from reidprep.inspect.cards import SHORT_FLAGS, Cards
from reidprep.inspect.exclusions import Exclusions
from reidprep.inspect.query import RANGES, Filter, View
from reidprep.inspect.runs import RunPictures
from reidprep.inspect.samples import Samples
from reidprep.inspect.selection import Selector

_HERE = files("reidprep.inspect")
_LINKS = (("Samples", "/"), ("Overview", "/overview"), ("Excluded", "/excluded"))
_MEDIA_TYPES = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}

Page = Callable[[Request], Response]
"""Answers a request; what it raises as `BadQuery` or `ReidError` becomes a page that says so."""

Fact = tuple[str, str, str | None]
"""Name, value and where it leads, if anywhere."""


class Site:
    """What all pages share.

    Attributes:
        samples: the opened directory.
        selector: its filters.
        exclusions: its list of samples to leave out.
        runs: pictures of training runs.
        sections: what other packages add.
        token: what a request that changes something has to bring.
        cards: makes cards of samples.
        static: file name -> media type and content of what pages load.
    """

    def __init__(
        self,
        samples: Samples,
        exclusions: Exclusions,
        runs: Sequence[RunPictures],
        token: str,
        sections: Sequence[Section] = (),
    ) -> None:
        self.samples = samples
        self.selector = Selector(samples.index)
        self.exclusions = exclusions
        self.runs = runs
        self.token = token
        self.cards = Cards(samples)
        self.sections = sections
        folders = [_HERE, *(files(section.package) for section in sections)]
        self._templates = templates("reidprep.inspect", *(section.package for section in sections))
        self.static = {
            "style.css": ("text/css", self._templates.get_template("style.css").render().encode()),
            **{
                entry.name: (_MEDIA_TYPES[entry.name.rpartition(".")[2]], entry.read_bytes())
                for folder in folders
                for entry in (folder / "static").iterdir()
                if entry.name.rpartition(".")[2] in _MEDIA_TYPES
            },
        }
        content = b"".join(data for _, data in self.static.values())
        self.static_version = hashlib.sha256(content).hexdigest()[:12]
        self._templates.filters["measure"] = measure
        self._templates.filters["worded"] = lambda text: text.replace("filled", samples.filled_word)
        self._templates.globals |= {
            "shown_layers": {name: of for name, of in LEGEND.items() if samples.crops or not name.startswith("box-")},
            "filled_word": samples.filled_word,
            "short_flags": SHORT_FLAGS,
            "static_version": self.static_version,
            "token": token,
            "version": samples.version,
            "kind": samples.kind,
            "dataset": samples.dataset,
            "sizes_known": samples.sizes_known,
            "links": (
                *_LINKS,
                *([("Run", "/run")] if runs else []),
                *(link for each in sections for link in each.links),
            ),
            "styles": [name for name in self.static if name.endswith(".css")],
            "scripts": [name for name in self.static if name.endswith(".js")],
            "total": len(samples.index),
        }

    def page(self, template: str, status: int = 200, **context: Any) -> Response:
        """A page."""
        if "excluded_count" not in context:
            context["excluded_count"] = len(self.exclusions.reasons)
        return HTMLResponse(self._templates.get_template(template).render(**context), status)

    def problem(self, status: int, title: str, reason: str) -> Response:
        """A page that says what is wrong."""
        return self.page("problem.html", status, title=title, reason=reason, excluded_count=None)

    def view(self, request: Request) -> View:
        """The view that an address asks for.

        Raises:
            BadQuery: it makes no sense, or poses have no such measure.
        """
        return self.view_of(request.query_params)

    def view_of(self, parameters: QueryParams) -> View:
        """The same, of the parameters of an address.

        Raises:
            BadQuery: it makes no sense, or poses have no such measure.
        """
        view = query.parse(parameters, parameters.getlist("flag"))
        if self.samples.kind == "poses":
            self._check_for_poses(view.filter)
        return view

    def _check_for_poses(self, chosen: Filter) -> None:
        absent = [name for name in ("residual", "height", "outside") if chosen.bounds(name) != (None, None)]
        absent += [name for name in (chosen.sort,) if name in ("residual", "height", "outside")]
        if absent:
            raise query.BadQuery(f"poses have no {RANGES[absent[0]]}; build shards from them")
        flags = [flag for flag in chosen.flags if flag not in ("excluded", "damaged")]
        if flags:
            raise query.BadQuery(f"poses have no flag {flags[0]!r}; build shards from them")


def measure(value: float | None, digits: int = 3) -> str:
    """A number for people; a dash where there is none."""
    return "-" if value is None or not np.isfinite(value) else f"{value:.{digits}f}"


def number_in(request: Request, name: str) -> int:
    """A number in the path of an address.

    Raises:
        HTTPException: it is none, or larger than there is anything of.
    """
    text = request.path_params[name]
    if not re.fullmatch("[0-9]{1,12}", text):
        raise HTTPException(404)
    return int(text)


@dataclass(frozen=True)
class Section:
    """What another package adds to the pages: behind the same guard, and in the same style.

    Attributes:
        package: its folder `templates` has its templates, which may build on those here, and its folder `static` the
            style sheets and scripts that all pages then load.
        links: text and address of what it adds to the bar.
        pages: given what all pages share, path of each page -> what answers.
        facts: what it adds to the facts of a sample.
    """

    package: str
    links: Sequence[tuple[str, str]]
    pages: Callable[[Site], Mapping[str, Page]]
    facts: Callable[[int], Sequence[Fact]]
