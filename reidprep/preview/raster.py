"""Draw a scene as pixels."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from reidprep.crops import crop_box
from reidprep.preview.palette import ESTIMATED, FRAME, GROUND, HALO, MEASURED, Colour
from reidprep.preview.scene import HEIGHT, VIEW_WIDTH, WIDTH, Joint, Rectangle, Scene

# Lines are drawn enlarged and then averaged down: OpenCV's line widths are whole pixels.
_ENLARGED = 4
_PAD = 5


@lru_cache
def font(size: int) -> Any:
    """The font that comes with Pillow; the same on every machine."""
    return ImageFont.load_default(size)


def draw_scene(scene: Scene) -> NDArray[np.uint8]:
    """The drawing as (HEIGHT, WIDTH, 3) uint8 RGB."""
    x0, y0, x1, y1 = scene.frame
    rows, columns = scene.picture.shape[:2]
    per_x, per_y = columns / (x1 - x0), rows / (y1 - y0)
    view = (-x0 * per_x, -y0 * per_y, (VIEW_WIDTH - x0) * per_x, (HEIGHT - y0) * per_y)
    ground = np.full((HEIGHT, WIDTH, 3), GROUND, dtype=np.uint8)
    ground[:, :VIEW_WIDTH] = crop_box(scene.picture, view, (HEIGHT, VIEW_WIDTH), GROUND)

    pen = Pen(ground)
    pen.rectangle(scene.frame, FRAME, 1)
    for box in scene.boxes:
        pen.rectangle(box.rectangle, HALO, 4)
    for box in scene.boxes:
        pen.rectangle(box.rectangle, box.colour, 2)
    for limb in scene.limbs:
        pen.line(limb.start, limb.end, HALO, 4.5 if limb.sure else 3)
    for limb in scene.limbs:
        pen.line(limb.start, limb.end, limb.colour, 2.5 if limb.sure else 1.25)
    for joint in scene.joints:
        pen.joint(joint)

    image = Image.fromarray(pen.result())
    draw = ImageDraw.Draw(image)
    for box in scene.boxes:
        draw.text((VIEW_WIDTH + _PAD, box.label_y), box.name, fill=box.colour, font=font(13), anchor="lm")
    return np.asarray(image)


class Pen:
    """Draws on a copy of an image (h, w, 3) uint8, in its pixels, (0, 0) the corner of the image."""

    def __init__(self, image: NDArray[np.uint8]) -> None:
        self._canvas = image.repeat(_ENLARGED, axis=0).repeat(_ENLARGED, axis=1)

    def result(self) -> NDArray[np.uint8]:
        """The image as drawn so far."""
        height, width = (side // _ENLARGED for side in self._canvas.shape[:2])
        return np.asarray(cv2.resize(self._canvas, (width, height), interpolation=cv2.INTER_AREA), np.uint8)

    def rectangle(self, rectangle: Rectangle, colour: Colour, width: float) -> None:
        """An outline."""
        x0, y0, x1, y1 = rectangle
        cv2.rectangle(self._canvas, _enlarged(x0, y0), _enlarged(x1, y1), colour, round(width * _ENLARGED))

    def line(self, start: tuple[float, float], end: tuple[float, float], colour: Colour, width: float) -> None:
        """A straight line with round ends."""
        cv2.line(self._canvas, _enlarged(*start), _enlarged(*end), colour, round(width * _ENLARGED), cv2.LINE_AA)

    def joint(self, joint: Joint) -> None:
        """A disc for a measured joint, a ring for an estimated one."""
        if joint.filled:
            self._circle(joint, 5, HALO, round(3.5 * _ENLARGED))
            self._circle(joint, 5, ESTIMATED, 2 * _ENLARGED)
        else:
            self._circle(joint, 4.2, HALO, cv2.FILLED)
            self._circle(joint, 3, MEASURED, cv2.FILLED)

    def _circle(self, joint: Joint, radius: float, colour: Colour, thickness: int) -> None:
        centre = _enlarged(joint.x, joint.y)
        cv2.circle(self._canvas, centre, round(radius * _ENLARGED), colour, thickness, cv2.LINE_AA)


def _enlarged(x: float, y: float) -> tuple[int, int]:
    # OpenCV counts from the centre of the first pixel.
    return round(x * _ENLARGED - 0.5), round(y * _ENLARGED - 0.5)
