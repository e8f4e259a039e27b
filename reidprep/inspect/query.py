"""What is asked for in an address: a filter, an order, a page. The same text gives the same view."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from urllib.parse import urlencode

from reidprep.alignment.align import Flag
from reidprep.errors import ReidError
from reidprep.records import SPLITS
from reidprep.skeleton import JOINTS

RANGES = {
    "filled": "joints filled",
    "score": "mean score",
    "residual": "fit residual",
    "height": "box height",
    "outside": "outside the image",
    "images": "images of the person",
}
"""Measures that `min_...` and `max_...` bound, and what they are called."""

FLAGS = {
    **{str(flag.name).lower(): str(flag.name).lower().replace("_", " ") for flag in Flag},
    "any": "any flag",
    "none": "no flag",
    "excluded": "excluded",
    "damaged": "damaged",
}
"""Values of `flag`, and what they are called."""

SORTS = {
    "index": "position",
    "pid": "person",
    "camera": "camera",
    "path": "path",
    "filled": "joints filled",
    "score": "mean score",
    "residual": "fit residual",
    "height": "box height",
    "outside": "outside the image",
    "images": "images of the person",
    "doubt": "doubt",
    **{f"score-{joint}": f"score of {joint}" for joint in JOINTS},
}
"""Values of `sort`, and what they are called."""

SHOWN = {"all": "all", "source": "source", "whole": "whole body", "parts": "parts"}
"""Values of `show`, and what they are called."""

PER_PAGE, MAX_PER_PAGE = 60, 500
_MAX_TEXT = 500
_MAX_NUMBERS = 100


class BadQuery(ReidError):
    """An address that asks for what cannot be; the message says why."""


@dataclass(frozen=True)
class Filter:
    """Which samples, in which order. What is None or empty does not restrict.

    Attributes:
        split: train, query or gallery.
        pids: any of these.
        cameras: any of these.
        path: part of the path, upper or lower case alike.
        flags: all of these, of `FLAGS`.
        joint: a joint that is filled.
        ranges: (name, least, most) by names of `RANGES`, in their order, both included, None where open.
        sort: one of `SORTS`.
        descending: largest first.
    """

    split: str | None = None
    pids: tuple[int, ...] = ()
    cameras: tuple[int, ...] = ()
    path: str = ""
    flags: tuple[str, ...] = ()
    joint: str | None = None
    ranges: tuple[tuple[str, float | None, float | None], ...] = ()
    sort: str = "index"
    descending: bool = False

    @property
    def restricts(self) -> bool:
        """Whether it leaves samples out."""
        return replace(self, sort="index", descending=False) != Filter()

    def bounds(self, name: str) -> tuple[float | None, float | None]:
        """Least and most of one of `RANGES`."""
        return next(((low, high) for key, low, high in self.ranges if key == name), (None, None))


@dataclass(frozen=True)
class View:
    """A filter, and how its samples are laid out.

    Attributes:
        filter: the filter.
        page: from 1.
        per_page: samples on a page.
        show: one of `SHOWN`, None for the default.
    """

    filter: Filter = field(default_factory=Filter)
    page: int = 1
    per_page: int = PER_PAGE
    show: str = "all"

    def text(self, changes: Mapping[str, object] | None = None, page: int = 1) -> str:
        """Write it as the query of an address, with the least that says it.

        Args:
            changes: parameters to replace, None or empty to leave out.
            page: the page.
        """
        parameters = {**self._parameters(), "page": None if page == 1 else page, **(changes or {})}
        return urlencode({name: value for name, value in parameters.items() if value not in (None, "", (), [])}, True)

    def _parameters(self) -> dict[str, object]:
        chosen = self.filter
        values: dict[str, object] = {
            "split": chosen.split,
            "pid": ",".join(map(str, chosen.pids)),
            "camera": ",".join(map(str, chosen.cameras)),
            "path": chosen.path,
            "flag": list(chosen.flags),
            "joint": chosen.joint,
        }
        for name, low, high in chosen.ranges:
            values |= {f"min_{name}": shortest(low), f"max_{name}": shortest(high)}
        return values | {
            "sort": None if chosen.sort == "index" else chosen.sort,
            "order": "desc" if chosen.descending else None,
            "show": None if self.show == "all" else self.show,
            "per_page": None if self.per_page == PER_PAGE else self.per_page,
        }


Bounds = tuple[float | None, float | None]
"""Least and most, both included, None where open."""


def within(bounds: Bounds, low: float | None, high: float | None) -> Bounds:
    """The part of low to high between bounds: a bar may reach beyond those of a filter, what it counts does not."""
    least, most = bounds
    return (
        max((bound for bound in (low, least) if bound is not None), default=None),
        min((bound for bound in (high, most) if bound is not None), default=None),
    )


def shortest(number: float | None) -> str | None:
    """A number with the digits it takes to read the same number again."""
    if number is None:
        return None
    return f"{number:.0f}" if number.is_integer() and abs(number) < 1e15 else repr(number)


def parse(parameters: Mapping[str, str], flags: Sequence[str] = ()) -> View:
    """The view that an address asks for; names that are not known are passed over, empty values too.

    Args:
        parameters: the parameters, the last of each name.
        flags: all values of `flag`.

    Raises:
        BadQuery: a value that is none of the possible ones.
    """
    given = {name: value.strip() for name, value in parameters.items() if value.strip()}
    ranges = tuple(
        (name, low, high)
        for name in RANGES
        for low, high in [(number(given, f"min_{name}"), number(given, f"max_{name}"))]
        if low is not None or high is not None
    )
    path = given.get("path", "")
    if len(path) > _MAX_TEXT or "\0" in path:
        raise BadQuery(f"path is longer than {_MAX_TEXT} characters, or holds a character that no path has")
    chosen = Filter(
        split=choice(given, "split", SPLITS),
        pids=integers(given, "pid"),
        cameras=integers(given, "camera"),
        path=path,
        flags=tuple(_flags(flags)),
        joint=choice(given, "joint", JOINTS),
        ranges=ranges,
        sort=choice(given, "sort", SORTS) or "index",
        descending=choice(given, "order", ("asc", "desc")) == "desc",
    )
    return View(
        filter=chosen,
        page=_integer(given, "page", 1, 10**9),
        per_page=_integer(given, "per_page", PER_PAGE, MAX_PER_PAGE),
        show=choice(given, "show", SHOWN) or "all",
    )


def choice(given: Mapping[str, str], name: str, choices: Sequence[str] | Mapping[str, str]) -> str | None:
    """A parameter that is one of some values, None if it is not given.

    Raises:
        BadQuery: it is another.
    """
    value = given.get(name)
    if value is not None and value not in choices:
        raise BadQuery(f"{name} is {value[:40]!r}; it can be {', '.join(choices)}")
    return value


def _flags(values: Sequence[str]) -> list[str]:
    names = [value.strip().lower().replace("-", "_").replace(" ", "_") for value in values if value.strip()]
    for name in names:
        if name not in FLAGS:
            raise BadQuery(f"flag is {name[:40]!r}; it can be {', '.join(FLAGS)}")
    return sorted(set(names), key=list(FLAGS).index)


def number(given: Mapping[str, str], name: str) -> float | None:
    """A parameter that is a number, None if it is not given.

    Raises:
        BadQuery: it is none.
    """
    if name not in given:
        return None
    try:
        value = float(given[name])
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise BadQuery(f"{name} is {given[name][:40]!r}, which is no number")
    return value


def _whole_number(text: str, name: str) -> int:
    if not re.fullmatch(r"-?[0-9]{1,18}", text):
        raise BadQuery(f"{name} is {text[:40]!r}, which is no whole number")
    return int(text)


def integers(given: Mapping[str, str], name: str) -> tuple[int, ...]:
    """A parameter that lists whole numbers with commas between them, ascending.

    Raises:
        BadQuery: it lists something else, or too many.
    """
    texts = [text.strip() for text in given.get(name, "").split(",") if text.strip()]
    if len(texts) > _MAX_NUMBERS:
        raise BadQuery(f"{name} lists {len(texts)} numbers; give up to {_MAX_NUMBERS}")
    return tuple(sorted({_whole_number(text, name) for text in texts}))


def _integer(given: Mapping[str, str], name: str, default: int, most: int) -> int:
    number = _whole_number(given.get(name, str(default)), name)
    if not 1 <= number <= most:
        raise BadQuery(f"{name} is {number}; it can be 1 to {most}")
    return number
