"""What is drawn over a source image, in pixels of the drawing: worked out once, then drawn as PNG and as SVG."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reidprep.drawing.palette import BOX_COLOURS, BOX_NAMES, LIMB_COLOURS, Colour
from reidprep.shards.format import Sample
from reidprep.skeleton import JOINTS, LIMBS

VIEW_WIDTH, HEIGHT = 232, 424
GUTTER = 84
"""Strip to the right of the view that holds the names of the boxes."""
WIDTH = VIEW_WIDTH + GUTTER
LABEL_SPACING = 17
_MARGIN = 0.03
# Boxes overlap and share their left and right sides: drawn a little inside of one another they can be told apart.
INSET = (0, 3, 6, 3, 6)
"""How far each box is drawn inside its left and right side, in pixels of the drawing."""

Rectangle = tuple[float, float, float, float]


@dataclass(frozen=True)
class Joint:
    """A joint to draw: position, and whether it was measured or estimated."""

    name: str
    x: float
    y: float
    filled: bool
    score: float


@dataclass(frozen=True)
class Limb:
    """A line between two joints; `sure` if both were measured."""

    start: tuple[float, float]
    end: tuple[float, float]
    colour: Colour
    sure: bool


@dataclass(frozen=True)
class Box:
    """A box, and the height at which its name stands in the gutter."""

    name: str
    rectangle: Rectangle
    colour: Colour
    label_y: float


@dataclass(frozen=True)
class Scene:
    """A drawing `WIDTH` x `HEIGHT`.

    Attributes:
        picture: (h, w, 3) uint8 RGB, the source image, or the whole-body crop where that is gone.
        frame: where the picture lies.
        scale: pixels of the drawing per source pixel.
        limbs: the skeleton.
        joints: those within the view.
        boxes: whole body and parts.
    """

    picture: NDArray[np.uint8]
    frame: Rectangle
    scale: float
    limbs: tuple[Limb, ...]
    joints: tuple[Joint, ...]
    boxes: tuple[Box, ...]


def compose(sample: Sample, source: NDArray[np.uint8] | None) -> Scene:
    """Place a sample's source image, joints and boxes in a drawing that shows all of the boxes.

    Args:
        sample: the sample.
        source: (h, w, 3) uint8 RGB, None if it is gone: the whole-body crop is then put where it was cut.
    """
    boxes = sample.boxes.astype(np.float64)
    picture = sample.whole if source is None else source
    frame = boxes[0] if source is None else np.array([0, 0, source.shape[1], source.shape[0]], dtype=np.float64)
    scale, origin = _view(np.vstack([boxes, frame]), sample.joints_filled.astype(np.float64))

    def place(points: NDArray[np.float64]) -> NDArray[np.float64]:
        return (points - origin) * scale

    points = place(sample.joints_filled.astype(np.float64))
    visible = np.all((points >= 0) & (points <= (VIEW_WIDTH, HEIGHT)), axis=1)
    return Scene(
        picture=picture,
        frame=_rectangle(place(frame.reshape(2, 2))),
        scale=scale,
        limbs=tuple(_limb(points, sample.filled, *ends) for ends in LIMBS if visible[list(ends)].all()),
        joints=tuple(
            Joint(
                JOINTS[i], float(points[i, 0]), float(points[i, 1]), bool(sample.filled[i]), float(sample.joints[i, 2])
            )
            for i in np.flatnonzero(visible)
        ),
        boxes=_boxes(np.stack([place(box.reshape(2, 2)) for box in boxes])),
    )


def _view(rectangles: NDArray[np.float64], joints: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
    """Scale and top-left source point of a view, of the drawing's proportions, around the rectangles.

    Joints beyond the rectangles widen it, up to half its size: a wild one must not shrink the person to a dot.
    """
    low, high = rectangles[:, :2].min(axis=0), rectangles[:, 2:].max(axis=0)
    reach = (high - low) / 4
    near = np.clip(joints[np.isfinite(joints).all(axis=1)], low - reach, high + reach)
    low, high = np.vstack([near, low]).min(axis=0), np.vstack([near, high]).max(axis=0)
    extent = np.array([VIEW_WIDTH, HEIGHT], dtype=np.float64)
    scale = float((extent / (high - low)).min() * (1 - 2 * _MARGIN))
    return scale, (low + high) / 2 - extent / (2 * scale)


def _rectangle(corners: NDArray[np.float64]) -> Rectangle:
    x0, y0, x1, y1 = corners.reshape(4).tolist()
    return x0, y0, x1, y1


def _limb(points: NDArray[np.float64], filled: NDArray[np.bool_], a: int, b: int) -> Limb:
    (ax, ay), (bx, by) = points[a].tolist(), points[b].tolist()
    return Limb((ax, ay), (bx, by), LIMB_COLOURS[limb_side(a, b)], not filled[[a, b]].any())


def limb_side(a: int, b: int) -> str:
    """The key in `LIMB_COLOURS` of the limb between two joints."""
    sides = {JOINTS[end][:2] for end in (a, b)}
    return "left" if "l_" in sides else "right" if "r_" in sides else "centre"


def _boxes(corners: NDArray[np.float64]) -> tuple[Box, ...]:
    """Boxes drawn inside one another, with names that do not overlap.

    Args:
        corners: (5, 2, 2) in pixels of the drawing.
    """
    wanted = corners[:, :, 1].mean(axis=1)
    wanted[0] = corners[0, 0, 1] + LABEL_SPACING / 2
    heights = spread(wanted, LABEL_SPACING, HEIGHT)
    boxes = []
    for i, (name, colour) in enumerate(zip(BOX_NAMES, BOX_COLOURS, strict=True)):
        (x0, y0), (x1, y1) = corners[i].tolist()
        inset = min(INSET[i], (x1 - x0) / 4)
        boxes.append(Box(name, (x0 + inset, y0, x1 - inset, y1), colour, float(heights[i])))
    return tuple(boxes)


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
