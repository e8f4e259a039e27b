"""What is drawn over a picture of a person, in pixels of the drawing: worked out once, drawn as pixels and as SVG."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from reidprep.drawing.palette import BOX_COLOURS, BOX_NAMES, Colour, State
from reidprep.skeleton import JOINTS, LIMBS

WIDTH, HEIGHT = 232, 424
ASPECT = WIDTH / HEIGHT
"""Usual size and proportion of a drawing."""
GUTTER = 84
"""Width of a strip at the right that has room for the names of the boxes."""
LABEL_SPACING = 17

_MARGIN = 0.03
# The boxes of a body share their left and right sides: drawn a little inside of one another they can be told apart.
_INSETS = dict(zip(BOX_NAMES, (0, 3, 6, 3, 6), strict=True))
REFINED = 0.02
"""Share of the body's height from which a joint that was found and moved is called refined."""
# A limb may lead out of the view; one that ends further away than so many views is an error, and says nothing.
_NEAR = 3

Rectangle = tuple[float, float, float, float]
"""Left, top, right, bottom."""


class Joint(NamedTuple):
    """A joint: its place, what it is, the score it was measured with and its standard deviation in source pixels.

    The last two are nan if there are none.
    """

    name: str
    x: float
    y: float
    state: State
    score: float = math.nan
    spread: float = math.nan

    def text(self, filled: str) -> str:
        """Name, state and score in words; `filled` is what the caller calls filled joints."""
        score = f"score {self.score:.2f}" if math.isfinite(self.score) else "no score"
        spread = f", \N{PLUS-MINUS SIGN} {self.spread:.1f} px" if math.isfinite(self.spread) else ""
        return f"{self.name}: {filled if self.state == 'filled' else self.state}, {score}{spread}"


class Limb(NamedTuple):
    """A line between two joints, on a side of `LIMB_COLOURS`; `sure` if neither end is an estimate."""

    start: tuple[float, float]
    end: tuple[float, float]
    side: str
    sure: bool


class Box(NamedTuple):
    """A box, and the height at which its name stands in the gutter."""

    name: str
    rectangle: Rectangle
    colour: Colour
    label_y: float = 0

    @property
    def layer(self) -> str:
        """The layer it is in."""
        return f"box-{self.name.replace(' ', '-')}"


@dataclass(frozen=True)
class Scene:
    """A drawing; all in its pixels.

    Attributes:
        width: of the view.
        height: of the view.
        gutter: width of the strip to the right of it with the names of the boxes, 0 for none.
        weight: what lines and marks are enlarged by.
        frame: where the picture lies, None where there is none.
        limbs: the skeleton.
        joints: in or near the view.
        boxes: from the lowest to the uppermost.
    """

    width: float
    height: float
    gutter: float = 0
    weight: float = 1
    frame: Rectangle | None = None
    limbs: tuple[Limb, ...] = ()
    joints: tuple[Joint, ...] = ()
    boxes: tuple[Box, ...] = ()


def compose(
    joints: ArrayLike,
    frame: ArrayLike,
    *,
    filled: ArrayLike = False,
    scores: ArrayLike = math.nan,
    measured: ArrayLike | None = None,
    spreads: ArrayLike = math.nan,
    boxes: ArrayLike = (),
    view: ArrayLike | None = None,
    height: float = HEIGHT,
    width: float | None = None,
    gutter: float = 0,
) -> Scene:
    """Place a picture, joints and boxes in a drawing.

    Args:
        joints: (18, 2) in source pixels; those that are not finite are left out.
        frame: (4,) xyxy, where the picture lies in source pixels: the source image itself in (0, 0, width, height).
        filled: (18,) bool, True where a joint is an estimate, or one value for all.
        scores: (18,) as measured, or one value for all.
        measured: (18, 2) where joints were measured, in source pixels; None if they are drawn there.
        spreads: (18,) standard deviations in source pixels, or one value for all.
        boxes: (n, 4) xyxy in source pixels. Five are those of a body: the whole, then its parts.
        view: (4,) xyxy, what the drawing shows, in source pixels; None for `view_around` everything.
        height: of the drawing.
        width: of the drawing without the gutter, None for the proportion of the view.
        gutter: width of the strip with the names of the boxes.
    """
    points = np.asarray(joints, dtype=np.float64)
    corners = np.asarray(boxes, dtype=np.float64).reshape(-1, 2, 2)
    sides = view_around(frame, boxes, points) if view is None else view
    shown = np.asarray(sides, dtype=np.float64).reshape(2, 2)
    extent = shown[1] - shown[0]
    size = np.array([height * extent[0] / extent[1] if width is None else width, height])

    def place(of: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray((of - shown[0]) * size / extent, np.float64)

    with np.errstate(invalid="ignore", over="ignore"):
        points = place(points)
        near = np.flatnonzero((np.abs(points - size / 2) <= _NEAR * size).all(axis=1)).tolist()
    states = joint_states(joints, filled, measured)
    score_of, spread_of = (np.broadcast_to(values, len(JOINTS)).tolist() for values in (scores, spreads))
    placed = {
        i: Joint(JOINTS[i], x, y, states[i], score_of[i], spread_of[i]) for i in near for x, y in [points[i].tolist()]
    }
    weight = (height / HEIGHT) ** (1 / 3)
    return Scene(
        width=float(size[0]),
        height=height,
        gutter=gutter,
        weight=weight,
        frame=_rectangle(place(np.reshape(frame, (2, 2)))),
        limbs=tuple(_limb(placed[a], placed[b], side) for a, b, side in _SIDES if a in placed and b in placed),
        joints=tuple(placed.values()),
        boxes=_boxes(place(corners), weight, height if gutter else None),
    )


def joint_states(joints: ArrayLike, filled: ArrayLike = False, measured: ArrayLike | None = None) -> list[State]:
    """What each of the 18 joints is; arguments as for `compose`."""
    points = np.asarray(joints, dtype=np.float64)
    places = points if measured is None else np.asarray(measured, dtype=np.float64)
    with np.errstate(invalid="ignore", over="ignore"):
        moved = np.square(points - places).sum(axis=1) > np.square(REFINED * np.ptp(points[:, 1]))
    kinds = np.where(np.broadcast_to(filled, len(JOINTS)), "filled", np.where(moved, "refined", "measured"))
    result: list[State] = kinds.tolist()
    return result


def view_around(
    frame: ArrayLike, boxes: ArrayLike = (), joints: ArrayLike = (), aspect: float | None = ASPECT
) -> Rectangle:
    """The rectangle that shows a picture and boxes with a margin, in source pixels.

    Joints beyond them widen it, up to half its size: a wild one must not shrink the person to a dot.

    Args:
        frame: (4,) xyxy of the picture.
        boxes: (n, 4) xyxy.
        joints: (18, 2); those that are not finite count for nothing.
        aspect: its width by its height, None for whatever fits.
    """
    rectangles = np.vstack([np.reshape(frame, (1, 4)), np.reshape(boxes, (-1, 4))]).astype(np.float64)
    low, high = rectangles[:, :2].min(axis=0), rectangles[:, 2:].max(axis=0)
    reach = (high - low) / 4
    points = np.asarray(joints, dtype=np.float64).reshape(-1, 2)
    near = np.clip(points[np.isfinite(points).all(axis=1)], low - reach, high + reach)
    low, high = np.vstack([near, low]).min(axis=0), np.vstack([near, high]).max(axis=0)
    width, height = (high - low) * (1 + 2 * _MARGIN)
    if aspect is not None:
        height = max(height, width / aspect)
        width = height * aspect
    return _rectangle((low + high + np.multiply.outer((-1, 1), (width, height))) / 2)


def spread(wanted: NDArray[np.float64], spacing: float, length: float) -> NDArray[np.float64]:
    """Positions near the wanted ones, `spacing` apart and half of it from both ends of [0, length].

    The order is that of the wanted positions; `length` has to have room for all.
    """
    order = np.argsort(wanted, kind="stable")
    steps = np.arange(len(wanted)) * spacing
    # Less its step, each position only has to be no smaller than the one before.
    slack = np.maximum.accumulate(wanted[order] - steps)
    result = np.empty_like(wanted)
    result[order] = slack.clip(spacing / 2, length - spacing * (len(wanted) - 0.5)) + steps
    return result


def _rectangle(corners: NDArray[np.float64]) -> Rectangle:
    x0, y0, x1, y1 = corners.reshape(4).tolist()
    return x0, y0, x1, y1


def _side(*ends: int) -> str:
    sides = {JOINTS[end][:2] for end in ends}
    return "left" if "l_" in sides else "right" if "r_" in sides else "centre"


_SIDES = [(a, b, _side(a, b)) for a, b in LIMBS]


def _limb(a: Joint, b: Joint, side: str) -> Limb:
    return Limb((a.x, a.y), (b.x, b.y), side, sure="filled" not in (a.state, b.state))


def _boxes(corners: NDArray[np.float64], weight: float, height: float | None) -> tuple[Box, ...]:
    """Boxes of a body a little inside of one another, with names that do not overlap.

    Args:
        corners: (n, 2, 2) in pixels of the drawing.
        weight: what lines are enlarged by.
        height: of the drawing, None where names are not written.
    """
    body = len(corners) == len(BOX_NAMES)
    names: Sequence[str] = BOX_NAMES if body else [f"box {i}" for i in range(1, len(corners) + 1)]
    wanted = corners[:, :, 1].mean(axis=1)
    if body:
        wanted[0] = corners[0, 0, 1] + LABEL_SPACING / 2
    labels = wanted if height is None else spread(wanted, LABEL_SPACING, height)
    boxes = []
    for i, (x0, y0, x1, y1) in enumerate(corners.reshape(-1, 4).tolist()):
        inset = min(_INSETS.get(names[i], 0) * weight, (x1 - x0) / 4)
        rectangle = x0 + inset, y0, x1 - inset, y1
        boxes.append(Box(names[i], rectangle, BOX_COLOURS[i % len(BOX_COLOURS)], float(labels[i])))
    return tuple(boxes)
