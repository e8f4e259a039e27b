"""Pages that another package adds: they stand in the bar, behind the same guard, and in the same style."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import Response

if TYPE_CHECKING:
    from reidprep.inspect.site import Site

Page = Callable[[Request], Response]
"""Answers a request; what it raises as `BadQuery` or `ReidError` becomes a page that says so."""

Fact = tuple[str, str, str | None]
"""Name, value and where it leads, if anywhere."""


@dataclass(frozen=True)
class Section:
    """What a package adds to the pages.

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
