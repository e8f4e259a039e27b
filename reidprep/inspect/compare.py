"""Two shard directories of the same images: which crops moved, and by how much."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from reidprep.errors import ReidError
from reidprep.inspect.cards import Card, Cards, Views
from reidprep.inspect.grid import address, chips
from reidprep.inspect.pictures import picture_response
from reidprep.inspect.query import BadQuery, View
from reidprep.inspect.samples import CROPS, Samples
from reidprep.inspect.shard_samples import ShardSamples
from reidprep.inspect.site import Fact, Page, Section, Site, number_in
from reidprep.text import counted

BOXES = CROPS[:5]
"""What moves, in the order of the boxes."""
LIMITS = (0.9, 0.7, 0.5, 0.3)
"""Overlaps below which the page counts."""
PER_PAGE = 24


def overlap(first: NDArray[np.float32], second: NDArray[np.float32]) -> NDArray[np.float64]:
    """Intersection over union of boxes.

    Args:
        first: (..., 4) xyxy.
        second: (..., 4) xyxy, beside those of `first`.

    Returns:
        (...) 0 to 1; 1 for two equal boxes, whatever their area, nan where a box is not known.
    """
    a, b = first.astype(np.float64), second.astype(np.float64)
    sides = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])
    shared = sides.clip(min=0).prod(axis=-1)
    union = (a[..., 2:] - a[..., :2]).prod(axis=-1) + (b[..., 2:] - b[..., :2]).prod(axis=-1) - shared
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.where((a == b).all(axis=-1), 1.0, shared / union))


class Comparison:
    """Samples beside those that another directory made of the same images.

    Args:
        samples: the opened directory.
        other: the directory to compare with.
        source: where the source images are now, None for where they were.

    Attributes:
        other: it, opened.
        rows: (n,) position there of each sample, -1 where it has none.
        overlaps: (n, 5) overlap of the boxes; nan where a sample is missing or damaged.
        only_here: samples that the other does not have.
        only_there: samples that only the other has.

    Raises:
        ReidError: one of them is no complete shard directory, or they share no image.
    """

    def __init__(self, samples: Samples, other: Path, source: Path | None = None) -> None:
        if not isinstance(samples, ShardSamples):
            raise ReidError(f"{samples.path}: holds poses, which have no crops; compare two shard directories")
        self.other = ShardSamples(other, source)
        places = {path: row for row, path in enumerate(self.other.index.paths) if path}
        rows = [places.get(path, -1) if path else -1 for path in samples.index.paths]
        self.rows: NDArray[np.intp] = np.array(rows, dtype=np.intp)
        both = self.rows >= 0
        if not both.any():
            raise ReidError(f"{other}: holds none of the images of {samples.path}; compare shards of the same images")
        self.only_here = int((~both).sum())
        self.only_there = len(self.other.index) - int(both.sum())
        self.overlaps = np.full((len(rows), 5), np.nan)
        self.overlaps[both] = overlap(samples.boxes[both], self.other.boxes[self.rows[both]])


@dataclass(frozen=True)
class Pair:
    """A sample here and there.

    Attributes:
        here: its card.
        there: how the other directory shows it.
    """

    here: Card
    there: Views


@dataclass(frozen=True)
class Counts:
    """How far a box moved in all samples of a filter.

    Attributes:
        box: its name in words.
        href: the samples in which it moved most.
        mean: overlap.
        below: number of samples with less overlap than each of `LIMITS`, and where they are shown.
    """

    box: str
    href: str
    mean: float
    below: tuple[tuple[int, str], ...]


class ComparePage:
    """Shows the samples whose crops moved most.

    Args:
        site: what all pages share.
        comparison: what to compare with.
    """

    def __init__(self, site: Site, comparison: Comparison) -> None:
        self.site = site
        self.comparison = comparison
        self._cards = Cards(comparison.other, "/other")

    def compare(self, request: Request) -> Response:
        """The samples of a filter, the least overlap first."""
        site, view = self.site, self.site.view(request)
        box = request.query_params.get("box") or "any"
        if box != "any" and box not in BOXES:
            raise BadQuery(f"box is {box[:40]!r}; it can be any, {', '.join(BOXES)}")
        below = _share(request.query_params.get("below") or "1")
        self.comparison.other.check_unchanged()
        excluded = site.exclusions.excluded
        rows = site.selector.rows(view.filter, excluded)
        rows = rows[np.isfinite(self.comparison.overlaps[rows]).all(axis=1)]
        overlaps = self.comparison.overlaps[rows]
        least = overlaps.min(axis=1) if box == "any" else overlaps[:, BOXES.index(box)]
        order = np.argsort(least, kind="stable")
        moved = rows[order[least[order] < below]]
        pages = max(1, -(-len(moved) // PER_PAGE))
        page = min(view.page, pages)

        def link(name: str = box, limit: float = below, number: int = 1) -> str:
            own = {"box": None if name == "any" else name, "below": None if limit == 1 else f"{limit:g}"}
            return address("/compare", view.text(own, number))

        def to(number: int) -> str | None:
            return link(number=number) if 1 <= number <= pages and number != page else None

        return site.page(
            "compare.html",
            other=str(self.comparison.other.path),
            only_here=counted(self.comparison.only_here, "sample", "samples"),
            only_there=counted(self.comparison.only_there, "sample", "samples"),
            compared=len(rows),
            count=len(moved),
            pairs=self._pairs(moved[(page - 1) * PER_PAGE : page * PER_PAGE], view, box),
            limits=LIMITS,
            table=[self._counts(overlaps, name, link) for name in ("any", *BOXES)],
            shown=[(_words(name), link(name=name), name == box) for name in ("any", *BOXES)],
            chips=[(text, href.replace("/", "/compare", 1)) for text, href in chips(view)]
            + ([(f"overlap below {below:g}", link(limit=1))] if below < 1 else []),
            page=page,
            pages=pages,
            pager={"first": to(1), "previous": to(page - 1), "next": to(page + 1), "last": to(pages)},
        )

    def picture(self, request: Request) -> Response:
        """A picture of a sample in the other directory."""
        index, name = number_in(request, "index"), request.path_params["name"]
        if index >= len(self.comparison.other.index) or name not in ("source", *CROPS):
            raise HTTPException(404)
        return picture_response(request, self.comparison.other, index, name)

    def _pairs(self, rows: NDArray[np.intp], view: View, box: str) -> list[Pair]:
        excluded, overlaps = self.site.exclusions.excluded, self.comparison.overlaps
        here = self.site.cards.of(rows, view, excluded, "all")
        pairs = []
        for row, card in zip(rows.tolist(), here, strict=True):
            which = int(overlaps[row].argmin()) if box == "any" else BOXES.index(box)
            there = self._cards.views(int(self.comparison.rows[row]), "all")
            value = (f"overlap of the {_words(BOXES[which])}", f"{_words(BOXES[which])} {overlaps[row, which]:.2f}")
            pairs.append(Pair(replace(card, value=value), there))
        return pairs

    def _counts(self, overlaps: NDArray[np.float64], name: str, link: Callable[..., str]) -> Counts:
        least = overlaps.min(axis=1) if name == "any" else overlaps[:, BOXES.index(name)]
        return Counts(
            box=_words(name),
            href=link(name=name, limit=1),
            mean=float(least.mean()) if len(least) else float("nan"),
            below=tuple((int((least < limit).sum()), link(name=name, limit=limit)) for limit in LIMITS),
        )


def _words(name: str) -> str:
    return "any crop" if name == "any" else "whole body" if name == "whole" else name.replace("_", " ")


def _share(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = float("nan")
    if not 0 < share <= 1:
        raise BadQuery(f"below is {text[:40]!r}; it can be more than 0, up to 1")
    return share


def compare_section(comparison: Comparison) -> Section:
    """The page of a comparison, the other directory's pictures, and what a sample's page says of it."""

    def facts(row: int) -> list[Fact]:
        overlaps = comparison.overlaps[row]
        if not np.isfinite(overlaps).all():
            return [("compared", "not in the other shards, or damaged", None)]
        least = int(overlaps.argmin())
        return [
            ("compared", f"{_words(BOXES[least])} overlaps by {overlaps[least]:.2f}", f"/compare?box={BOXES[least]}")
        ]

    def pages(site: Site) -> dict[str, Page]:
        page = ComparePage(site, comparison)
        return {"/compare": page.compare, "/other/{index}/{name}": page.picture}

    return Section("reidprep.inspect", (("Compare", "/compare"),), pages, facts)
