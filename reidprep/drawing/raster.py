"""Draw a scene as pixels."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from reidprep.drawing.palette import FRAME, GROUND, HALO, LIMB_COLOURS, MARKS, Colour
from reidprep.drawing.scene import Rectangle, Scene
from reidprep.images import crop_box

# Lines are drawn enlarged and then averaged down: OpenCV's line widths are whole pixels.
_ENLARGED = 4
_LABEL = 5
"""Pixels from a box's name to the left end of the gutter."""


@lru_cache
def font(size: int) -> Any:
    """The font that comes with Pillow; the same on every machine."""
    return ImageFont.load_default(size)


def draw_scene(scene: Scene, picture: NDArray[np.uint8] | None = None) -> NDArray[np.uint8]:
    """Draw a scene over its picture.

    Args:
        scene: the scene.
        picture: (h, w, 3) uint8 RGB, stretched to the scene's frame; None for the bare ground.

    Returns:
        (height, width and gutter, 3) uint8 RGB, the scene's size in whole pixels.
    """
    height, width = max(1, round(scene.height)), max(1, round(scene.width))
    view = np.full((height, width, 3), GROUND, dtype=np.uint8)
    if picture is not None and scene.frame is not None:
        x0, y0, x1, y1 = scene.frame
        per_x, per_y = picture.shape[1] / (x1 - x0), picture.shape[0] / (y1 - y0)
        shown = (-x0 * per_x, -y0 * per_y, (width - x0) * per_x, (height - y0) * per_y)
        view = crop_box(picture, shown, (height, width), GROUND)
    canvas = view.repeat(_ENLARGED, axis=0).repeat(_ENLARGED, axis=1)
    _draw_lines(canvas, scene)
    result = Image.new("RGB", (width + round(scene.gutter), height), GROUND)
    drawn = np.asarray(cv2.resize(canvas, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
    result.paste(Image.fromarray(drawn))
    if scene.gutter:
        draw = ImageDraw.Draw(result)
        for box in scene.boxes:
            draw.text((width + _LABEL, box.label_y), box.name, fill=box.colour, font=font(13), anchor="lm")
    return np.asarray(result)


def _draw_lines(canvas: NDArray[np.uint8], scene: Scene) -> None:
    """Draw all of a scene but its picture, on an enlarged canvas."""
    weight = scene.weight * _ENLARGED

    def rectangle(corners: Rectangle, colour: Colour, width: float) -> None:
        x0, y0, x1, y1 = corners
        cv2.rectangle(canvas, _enlarged(x0, y0), _enlarged(x1, y1), colour, max(1, round(width)))

    if scene.frame is not None:
        rectangle(scene.frame, FRAME, _ENLARGED)
    for box in scene.boxes:
        rectangle(box.rectangle, HALO, 4 * weight)
    for box in scene.boxes:
        rectangle(box.rectangle, box.colour, 2 * weight)
    lines = [(HALO, 4.5 if limb.sure else 3, limb) for limb in scene.limbs]
    lines += [(LIMB_COLOURS[limb.side], 2.5 if limb.sure else 1.25, limb) for limb in scene.limbs]
    for colour, width, limb in lines:
        ends = _enlarged(*limb.start), _enlarged(*limb.end)
        cv2.line(canvas, *ends, colour, max(1, round(width * weight)), cv2.LINE_AA)
    for joint in scene.joints:
        for circle in MARKS[joint.state]:
            thickness = max(1, round(circle.width * weight)) if circle.width else cv2.FILLED
            radius = round(circle.radius * weight)
            cv2.circle(canvas, _enlarged(joint.x, joint.y), radius, circle.colour, thickness, cv2.LINE_AA)


def _enlarged(x: float, y: float) -> tuple[int, int]:
    # OpenCV counts from the centre of the first pixel.
    return round(x * _ENLARGED - 0.5), round(y * _ENLARGED - 0.5)
