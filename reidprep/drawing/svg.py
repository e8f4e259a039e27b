"""Draw a scene as SVG, with names and scores of the joints as tooltips; no style in it."""

from __future__ import annotations

import base64
from html import escape

import cv2
import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from reidprep.drawing.palette import FRAME, HALO, LIMB_COLOURS, MARKS, Circle, css
from reidprep.drawing.scene import HEIGHT, Rectangle, Scene
from reidprep.images import encode_jpeg

JPEG_QUALITY = 90
# A larger source image is embedded at twice the size it is shown at.
_MAX_SIDE = 2 * HEIGHT


def data_uri(image: NDArray[np.uint8], max_side: int = _MAX_SIDE) -> str:
    """The image (h, w, 3) uint8 RGB as a JPEG in a data URI, no side longer than `max_side`."""
    shrink = max_side / max(image.shape[:2])
    if shrink < 1:
        height, width = (max(1, round(side * shrink)) for side in image.shape[:2])
        image = np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
    return "data:image/jpeg;base64," + base64.b64encode(encode_jpeg(image, JPEG_QUALITY)).decode()


def draw_svg(scene: Scene, href: str = "", title: str = "", filled: str = "") -> Markup:
    """Draw an `svg` element of class `overlay` in which each layer has a class of its own.

    Args:
        scene: the scene.
        href: address of its picture.
        title: what a screen reader says; empty for a `swatch`, which is passed over.
        filled: what tooltips call filled joints; empty for no tooltips.
    """
    width, height = scene.width + scene.gutter, scene.height
    picture = ""
    if scene.frame is not None:
        picture = (
            f'<image {_place(scene.frame)} preserveAspectRatio="none" href="{escape(href)}"/>'
            f'<rect {_place(scene.frame)} fill="none" stroke="{css(FRAME)}"/>'
        )
    drawn = f"{picture}{_boxes(scene)}{_skeleton(scene)}{_joints(scene, filled)}"
    if scene.gutter:
        # An element of its own cuts off what leads into the gutter.
        drawn = f'<svg width="{scene.width:.1f}" height="{height:.1f}">{drawn}</svg>{_labels(scene)}'
    box = f'viewBox="0 0 {width:.1f} {height:.1f}"'
    if not title:
        return Markup(f'<svg class="swatch" {box} aria-hidden="true">{drawn}</svg>')
    return Markup(f'<svg class="overlay" {box} role="img"><title>{escape(title)}</title>{drawn}</svg>')


def _place(rectangle: Rectangle) -> str:
    x0, y0, x1, y1 = rectangle
    return f'x="{x0:.1f}" y="{y0:.1f}" width="{max(0.1, x1 - x0):.1f}" height="{max(0.1, y1 - y0):.1f}"'


def _boxes(scene: Scene) -> str:
    drawn = []
    halo, line = (f'stroke-width="{width * scene.weight:.3g}"/>' for width in (4, 2))
    for box in scene.boxes:
        rectangle = f"<rect {_place(box.rectangle)} stroke"
        drawn.append(
            f'<g class="layer-{box.layer}" fill="none">'
            f'{rectangle}="{css(HALO)}" {halo}{rectangle}="{css(box.colour)}" {line}</g>'
        )
    return "".join(drawn)


def _labels(scene: Scene) -> str:
    return "".join(
        f'<text class="layer-{box.layer}" x="{scene.width + 5:.1f}" y="{box.label_y:.1f}" font-size="13" '
        f'dominant-baseline="central" fill="{css(box.colour)}">{escape(box.name)}</text>'
        for box in scene.boxes
    )


def _skeleton(scene: Scene) -> str:
    # One path for all lines that look the same: a page has many skeletons.
    lines: dict[tuple[str, bool], list[str]] = {}
    for limb in scene.limbs:
        line = "M{:.1f} {:.1f}L{:.1f} {:.1f}".format(*limb.start, *limb.end)
        lines.setdefault((limb.side, limb.sure), []).append(line)
    halos = [(css(HALO), 4.5 if sure else 3, path) for (_, sure), path in lines.items()]
    colours = [(css(LIMB_COLOURS[side]), 2.5 if sure else 1.25, path) for (side, sure), path in lines.items()]
    paths = "".join(
        f'<path d="{"".join(path)}" stroke="{colour}" stroke-width="{width * scene.weight:.3g}"/>'
        for colour, width, path in (*halos, *colours)
    )
    return f'<g class="layer-skeleton" stroke-linecap="round" fill="none">{paths}</g>' if paths else ""


def _joints(scene: Scene, filled: str) -> str:
    groups = []
    for state, circles in MARKS.items():
        marks = [_looks(circle, scene.weight) for circle in circles]
        drawn = []
        for joint in scene.joints:
            if joint.state == state:
                at = f'<circle cx="{joint.x:.1f}" cy="{joint.y:.1f}"'
                mark = "".join(f"{at} {looks}/>" for looks in marks)
                drawn.append(f"<g><title>{escape(joint.text(filled))}</title>{mark}</g>" if filled else mark)
        if drawn:
            groups.append(f'<g class="layer-{state}">{"".join(drawn)}</g>')
    return "".join(groups)


def _looks(circle: Circle, weight: float) -> str:
    radius = f'r="{circle.radius * weight:.3g}"'
    if not circle.width:
        return f'{radius} fill="{css(circle.colour)}"'
    # The inside of a ring takes the pointer too.
    line = f'stroke="{css(circle.colour)}" stroke-width="{circle.width * weight:.3g}"'
    return f'{radius} fill="{css(HALO)}" fill-opacity="0" {line}'
