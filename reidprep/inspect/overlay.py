"""Joints, skeleton and boxes over a source image or a crop, as SVG in source pixels without any style in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from reidprep.drawing.palette import BOX_COLOURS, ESTIMATED, FRAME, HALO, LIMB_COLOURS, MEASURED, css
from reidprep.drawing.scene import INSET, Rectangle, limb_side
from reidprep.inspect.samples import Geometry
from reidprep.skeleton import LIMBS, PARTS

LAYERS = ("joints", "filled", "skeleton", *(f"box-{name.replace('_', '-')}" for name in ("whole", *PARTS)))
"""Classes of the groups of an overlay, `layer-` before each, and names of the checkboxes that hide them."""

_MARGIN = 0.03
_ASPECT = 0.55
"""Width of an overlay's view by its height."""


@dataclass(frozen=True)
class Picture:
    """An image in a drawing: its address and the rectangle that it fills, in source pixels."""

    href: str
    place: Rectangle


def view_of(geometry: Geometry, aspect: float = _ASPECT) -> Rectangle:
    """The rectangle, in source pixels, that shows image and boxes, as (x0, y0, x1, y1) of one proportion.

    Joints beyond them widen it, up to half its size: a wild one must not shrink the person to a dot.
    """
    rectangles = geometry.boxes.astype(np.float64)
    if geometry.size is not None:
        rectangles = np.vstack([rectangles, [0, 0, *geometry.size]])
    low, high = rectangles[:, :2].min(axis=0), rectangles[:, 2:].max(axis=0)
    joints = geometry.joints.astype(np.float64)
    reach = (high - low) / 4
    near = np.clip(joints[np.isfinite(joints).all(axis=1)], low - reach, high + reach)
    low, high = np.vstack([near, low]).min(axis=0), np.vstack([near, high]).max(axis=0)
    centre = (low + high) / 2
    height = max((high - low)[1], (high - low)[0] / aspect) * (1 + 2 * _MARGIN)
    (x, y), width = centre.tolist(), height * aspect
    return x - width / 2, y - height / 2, x + width / 2, y + height / 2


def draw(
    geometry: Geometry,
    picture: Picture,
    title: str,
    *,
    view: Rectangle,
    height: float,
    tooltips: Sequence[str] = (),
) -> Markup:
    """An `svg` element with a group for each of `LAYERS`.

    Args:
        geometry: what to draw.
        picture: the image below it.
        title: what a screen reader says.
        view: what to show, in source pixels.
        height: about how many pixels of the screen it will be high; lines have their width there.
        tooltips: what is said of each joint where the pointer rests on it.
    """
    x0, y0, x1, y1 = view
    # Small drawings have thinner lines, but not in proportion.
    unit = (y1 - y0) / height * min(1.0, 0.6 + height / 1200)
    points = geometry.joints.astype(np.float64)
    shown = np.asarray(np.isfinite(points).all(axis=1), np.bool_)
    frame = ""
    if geometry.size is not None:
        frame = f'<rect {_placed((0, 0, *geometry.size))} fill="none" stroke="{css(FRAME)}" stroke-width="{unit:.3g}"/>'
    return Markup(
        f'<svg class="overlay" viewBox="{x0:.2f} {y0:.2f} {x1 - x0:.2f} {y1 - y0:.2f}" role="img">'
        f"<title>{escape(title)}</title>"
        f'<image {_placed(picture.place)} preserveAspectRatio="none" href="{escape(picture.href)}"/>{frame}'
        f"{_boxes(geometry.boxes, unit)}"
        f"{_skeleton(points, geometry.filled, shown, unit)}"
        f"{_joints(points, geometry, shown, unit, tooltips)}</svg>"
    )


def _placed(rectangle: Sequence[float]) -> str:
    x0, y0, x1, y1 = rectangle
    return f'x="{x0:.2f}" y="{y0:.2f}" width="{max(0.01, x1 - x0):.2f}" height="{max(0.01, y1 - y0):.2f}"'


def _boxes(boxes: NDArray[np.float32], unit: float) -> str:
    drawn = []
    for layer, box, colour, inset in zip(LAYERS[3:], boxes.tolist(), BOX_COLOURS, INSET, strict=False):
        x0, y0, x1, y1 = box
        inside = min(inset * unit, (x1 - x0) / 4)
        rectangle = f'<rect {_placed((x0 + inside, y0, x1 - inside, y1))} fill="none" stroke'
        drawn.append(
            f'<g class="layer-{layer}">{rectangle}="{css(HALO)}" stroke-width="{3.5 * unit:.3g}"/>'
            f'{rectangle}="{css(colour)}" stroke-width="{1.75 * unit:.3g}"/></g>'
        )
    return "".join(drawn)


def _skeleton(points: NDArray[np.float64], filled: NDArray[np.bool_], shown: NDArray[np.bool_], unit: float) -> str:
    # One path for all lines that look the same: a page has many skeletons.
    lines: dict[tuple[str, bool], list[str]] = {}
    for a, b in LIMBS:
        if shown[a] and shown[b]:
            line = "M{:.1f} {:.1f}L{:.1f} {:.1f}".format(*points[a].tolist(), *points[b].tolist())
            lines.setdefault((limb_side(a, b), not (filled[a] or filled[b])), []).append(line)
    halos = [(css(HALO), 4.0 if sure else 2.75, lines[side, sure]) for side, sure in lines]
    colours = [(css(LIMB_COLOURS[side]), 2.25 if sure else 1.1, lines[side, sure]) for side, sure in lines]
    paths = "".join(
        f'<path d="{"".join(path)}" stroke="{colour}" stroke-width="{width * unit:.3g}"/>'
        for colour, width, path in (*halos, *colours)
    )
    return f'<g class="layer-skeleton" stroke-linecap="round" fill="none">{paths}</g>'


def _joints(
    points: NDArray[np.float64], geometry: Geometry, shown: NDArray[np.bool_], unit: float, tooltips: Sequence[str]
) -> str:
    groups = []
    for layer, which in (("joints", shown & ~geometry.filled), ("filled", shown & geometry.filled)):
        drawn = []
        for joint in np.flatnonzero(which).tolist():
            circles = _circles(points[joint], bool(geometry.filled[joint]), unit)
            if tooltips:
                circles = f"<g><title>{escape(tooltips[joint])}</title>{circles}</g>"
            drawn.append(circles)
        groups.append(f'<g class="layer-{layer}">{"".join(drawn)}</g>')
    return "".join(groups)


def _circles(point: NDArray[np.float64], filled: bool, unit: float) -> str:
    at = '<circle cx="{:.1f}" cy="{:.1f}"'.format(*point.tolist())
    if not filled:
        return (
            f'{at} r="{3.2 * unit:.3g}" fill="{css(MEASURED)}" stroke="{css(HALO)}" stroke-width="{1.1 * unit:.3g}"/>'
        )
    # The inside of the ring takes the pointer too.
    ring = f'{at} r="{4.4 * unit:.3g}" fill="{css(HALO)}" fill-opacity="0" stroke'
    return (
        f'{ring}="{css(HALO)}" stroke-width="{3.2 * unit:.3g}"/>'
        f'{ring}="{css(ESTIMATED)}" stroke-width="{1.8 * unit:.3g}"/>'
    )
