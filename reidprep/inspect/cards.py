"""What the pages say and show of single samples."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from reidprep.alignment.align import Flag
from reidprep.drawing.palette import State
from reidprep.drawing.scene import compose, joint_states
from reidprep.drawing.svg import draw_svg
from reidprep.errors import ReidError
from reidprep.inspect.index import UNKNOWN, Index
from reidprep.inspect.query import View
from reidprep.inspect.samples import Geometry, Samples
from reidprep.inspect.selection import Excluded
from reidprep.records import JUNK_PID
from reidprep.skeleton import JOINTS, PARTS

SHORT_FLAGS = {
    "few joints": "few",
    "poor fit": "poor",
    "degenerate boxes": "boxes",
    "truncated": "cut",
    "wrong joint": "joint",
}
"""Characters that a small card has room for."""
# Pixels of the screen that a small overlay is high, by what a card shows.
_HEIGHTS = {"all": 160, "source": 232}


@dataclass(frozen=True)
class Crop:
    """A crop to show: its name, address and size in pixels as stored."""

    name: str
    href: str
    width: int
    height: int


@dataclass(frozen=True)
class Card:
    """One sample among many.

    Attributes:
        index: its position in the directory.
        href: its own page.
        pid: person id, None where unknown.
        camid: camera, None where unknown.
        split: train, query or gallery.
        path: of the source image, empty where unknown.
        filled: number of joints filled.
        flags: what is doubtful, in words.
        excluded: whether it is on the list.
        problem: why it cannot be shown, empty if it can.
        overlay: the source image with what is drawn over it, None where not asked for.
        crops: those asked for.
        value: name and value of what the samples are sorted by, where the card does not say it anyway.
    """

    index: int
    href: str
    pid: int | None
    camid: int | None
    split: str
    path: str
    filled: int
    flags: tuple[str, ...]
    excluded: bool
    problem: str
    overlay: Markup | None
    crops: tuple[Crop, ...]
    value: tuple[str, str] | None = None

    @property
    def label(self) -> str:
        """What a screen reader says."""
        if self.pid is None:
            return f"sample {self.index}, damaged"
        person = "junk" if self.pid == JUNK_PID else f"person {self.pid}"
        return ", ".join((f"sample {self.index}", person, f"camera {self.camid}", self.split, *self.flags))


@dataclass(frozen=True)
class Views:
    """The pictures of a sample, as `Card` has them."""

    problem: str
    overlay: Markup | None
    crops: tuple[Crop, ...]


class Cards:
    """Makes cards of samples.

    Args:
        samples: the opened directory.
        base: address below which their pictures are.
    """

    def __init__(self, samples: Samples, base: str = "/image") -> None:
        self.samples = samples
        self._base = base

    def of(self, rows: Iterable[int], view: View, excluded: Excluded, show: str | None = None) -> list[Card]:
        """The cards of some samples.

        Args:
            rows: their positions.
            view: the address that they lead back to.
            excluded: which are on the list.
            show: one of `SHOWN`, None for that of the view.
        """
        query = view.text()
        ending = f"?{query}" if query else ""
        return [
            self._card(int(row), f"/sample/{row}{ending}", bool(excluded.mask[row]), show or view.show) for row in rows
        ]

    def _card(self, row: int, href: str, excluded: bool, show: str) -> Card:
        index = self.samples.index
        views = self.views(row, show)
        return Card(
            index=row,
            href=href,
            pid=known(index, row, "pids"),
            camid=known(index, row, "camids"),
            split=index.split(row),
            path=index.paths[row],
            filled=int(index.filled[row].sum()),
            flags=tuple(Flag(int(index.flags[row])).words),
            excluded=excluded,
            problem=views.problem,
            overlay=views.overlay,
            crops=views.crops,
        )

    def views(self, row: int, show: str) -> Views:
        """What one of `SHOWN` shows of a sample."""
        overlay = None
        try:
            geometry = self.samples.geometry(row)
            if show in _HEIGHTS or not self.samples.crops:
                overlay = self.overlay(row, geometry, height=_HEIGHTS.get(show, 232))
        except ReidError as error:
            return Views(str(error), None, ())
        names = {"all": ("whole", *PARTS), "whole": ("whole",), "parts": PARTS}.get(show, ())
        return Views("", overlay, self.crops(row, names))

    def crops(self, row: int, names: Sequence[str]) -> tuple[Crop, ...]:
        """Those of some crops that the samples have."""
        sizes = self.samples.crop_sizes
        return tuple(
            Crop(name.replace("_", " "), self.address(row, name), sizes[name][1], sizes[name][0])
            for name in names
            if name in sizes
        )

    def address(self, row: int, name: str) -> str:
        """Where a picture is; another one for other shards, as browsers keep it."""
        return f"{self._base}/{row}/{name}?v={self.samples.version}"

    def overlay(self, row: int, geometry: Geometry, *, height: float, tooltips: bool = False) -> Markup:
        """A sample's source image with all layers; the whole-body crop at its place where there is no source."""
        size = None if self.samples.crops and self.samples.source_problem else geometry.size
        name, frame = ("source", (0, 0, *size)) if size else ("whole", geometry.boxes[0])
        scene = compose(
            geometry.joints,
            frame,
            filled=geometry.filled,
            scores=geometry.scores,
            measured=geometry.measured,
            spreads=geometry.spreads,
            boxes=geometry.boxes,
            height=height,
        )
        title = f"source image of sample {row} with joints and boxes"
        return draw_svg(scene, self.address(row, name), title, self.samples.filled_word if tooltips else "")

    def crop_overlay(self, row: int, geometry: Geometry, position: int, *, height: float) -> Markup:
        """A crop with joints and skeleton.

        Args:
            row: the sample.
            geometry: of the sample.
            position: 0 for the whole body, 1 to 4 for the parts.
            height: about how many pixels it will be high.
        """
        name, box = ("whole", *PARTS)[position], geometry.boxes[position]
        rows, columns = self.samples.crop_sizes[name]
        width = height * columns / rows
        scene = compose(
            geometry.joints,
            box,
            filled=geometry.filled,
            measured=geometry.measured,
            view=box,
            height=height,
            width=width,
        )
        return draw_svg(scene, self.address(row, name), f"{name.replace('_', ' ')} crop of sample {row} with joints")


def known(index: Index, row: int, column: str) -> int | None:
    """A person id or camera, None where it is not known."""
    value = int(getattr(index, column)[row])
    return None if value == UNKNOWN else value


@dataclass(frozen=True)
class JointRow:
    """A line of the table of joints.

    Attributes:
        name: of the joint.
        score: as measured.
        filled: whether it was not found.
        state: what it is drawn as.
        x: where it is drawn, None where it is not.
        y: the same.
        spread: standard deviation, None where unknown.
    """

    name: str
    score: float
    filled: bool
    state: State
    x: float | None
    y: float | None
    spread: float | None


def joint_rows(geometry: Geometry) -> list[JointRow]:
    """The table of a sample's joints."""
    rows = []
    states = joint_states(geometry.joints, geometry.filled, geometry.measured)
    for joint, name in enumerate(JOINTS):
        x, y = (float(value) for value in geometry.joints[joint])
        spread = float(geometry.spreads[joint])
        placed = x == x and y == y
        score, filled = float(geometry.scores[joint]), bool(geometry.filled[joint])
        rows.append(
            JointRow(
                name=name,
                score=score,
                filled=filled,
                state=states[joint],
                x=x if placed else None,
                y=y if placed else None,
                spread=spread if spread == spread else None,
            )
        )
    return rows
