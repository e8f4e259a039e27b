"""Draw a scene as SVG, with names and scores of the joints as tooltips."""

from __future__ import annotations

import base64
import math
from html import escape

import cv2
import numpy as np
from numpy.typing import NDArray

from reidprep.drawing.palette import ESTIMATED, FRAME, GROUND, HALO, MEASURED, css
from reidprep.drawing.scene import HEIGHT, VIEW_WIDTH, WIDTH, Joint, Rectangle, Scene
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


def draw_svg(scene: Scene, title: str) -> str:
    """The drawing as an `svg` element; layers have the classes `boxes`, `limbs` and `joints`."""
    boxes = "".join(
        f'<rect {_place(box.rectangle)} stroke="{css(HALO)}" stroke-width="4"/>' for box in scene.boxes
    ) + "".join(
        f'<rect {_place(box.rectangle)} stroke="{css(box.colour)}" stroke-width="2"/>'
        f'<text x="{VIEW_WIDTH + 5}" y="{box.label_y:.1f}" fill="{css(box.colour)}">{escape(box.name)}</text>'
        for box in scene.boxes
    )
    limbs = "".join(
        f'<path d="{path}" stroke="{css(HALO)}" stroke-width="{4.5 if limb.sure else 3}"/>'
        f'<path d="{path}" stroke="{css(limb.colour)}" stroke-width="{2.5 if limb.sure else 1.25}"/>'
        for limb in scene.limbs
        for path in ["M{:.1f} {:.1f}L{:.1f} {:.1f}".format(*limb.start, *limb.end)]
    )
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" role="img">'
        f'<title>{escape(title)}</title><rect width="{WIDTH}" height="{HEIGHT}" fill="{css(GROUND)}"/>'
        f'<image {_place(scene.frame)} preserveAspectRatio="none" href="{data_uri(scene.picture)}"/>'
        f'<rect {_place(scene.frame)} fill="none" stroke="{css(FRAME)}"/>'
        f'<g class="boxes" fill="none">{boxes}</g><g class="limbs" stroke-linecap="round">{limbs}</g>'
        f'<g class="joints">{"".join(joint_svg(joint) for joint in scene.joints)}</g></svg>'
    )


def joint_svg(joint: Joint) -> str:
    """A disc for a measured joint, a ring for an estimated one, with a tooltip."""
    score = f"score {joint.score:.2f}" if math.isfinite(joint.score) else "no score"
    text = f"{joint.name}: {'estimated' if joint.filled else 'measured'}, {score}"
    at = f'cx="{joint.x:.1f}" cy="{joint.y:.1f}"'
    if not joint.filled:
        disc = f'<circle {at} r="3.6" fill="{css(MEASURED)}" stroke="{css(HALO)}" stroke-width="1.2"/>'
        return f"<g><title>{escape(text)}</title>{disc}</g>"
    # The inside of the ring takes the pointer too.
    ring = f'<circle {at} r="5" fill="{css(HALO)}" fill-opacity="0" stroke'
    return (
        f'<g><title>{escape(text)}</title>{ring}="{css(HALO)}" stroke-width="3.5"/>'
        f'{ring}="{css(ESTIMATED)}" stroke-width="2"/></g>'
    )


def _place(rectangle: Rectangle) -> str:
    x0, y0, x1, y1 = rectangle
    return f'x="{x0:.1f}" y="{y0:.1f}" width="{max(0.1, x1 - x0):.1f}" height="{max(0.1, y1 - y0):.1f}"'
