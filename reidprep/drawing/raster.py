"""Draw a scene as pixels."""

from __future__ import annotations

import io
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from reidprep.drawing.palette import ESTIMATED, FRAME, GROUND, HALO, INK, MEASURED, PAPER, RULE, Colour
from reidprep.drawing.scene import HEIGHT, VIEW_WIDTH, WIDTH, Joint, Rectangle, Scene
from reidprep.images import crop_box

# Lines are drawn enlarged and then averaged down: OpenCV's line widths are whole pixels.
_ENLARGED = 4
_PAD = 5

MARGIN = 20
"""Of sheets."""
LEGEND = 48
"""Where the middle of a sheet's legend is."""
HEADER = 74
"""Height of title and legend, with the rule below them."""


@lru_cache
def font(size: int) -> Any:
    """The font that comes with Pillow; the same on every machine."""
    return ImageFont.load_default(size)


def fitted(image: NDArray[np.uint8], width: int, height: int) -> Image.Image:
    """The image as large as fits, in its own proportions, on the ground colour."""
    rows, columns = image.shape[:2]
    scale = min(width / columns, height / rows)
    size = (max(1, round(columns * scale)), max(1, round(rows * scale)))
    resized = cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    result = Image.new("RGB", (width, height), GROUND)
    result.paste(Image.fromarray(np.asarray(resized, np.uint8)), ((width - size[0]) // 2, (height - size[1]) // 2))
    return result


def shorten(text: str, size: int, width: float) -> str:
    """One printable line that fits `width` pixels; what is cut comes out of the middle, as file names end tellingly."""
    text = "".join(character if character.isprintable() else "?" for character in text)
    kept = len(text)
    result = text
    while kept > 2 and font(size).getlength(result) > width:
        kept -= 1
        result = f"{text[: kept // 2]}...{text[len(text) - (kept + 1) // 2 :]}"
    return result


def blank_sheet(width: int, height: int, title: str) -> Image.Image:
    """A sheet with a title and a rule between the legend, yet to be drawn, and the rest."""
    sheet = Image.new("RGB", (width, height), PAPER)
    draw = ImageDraw.Draw(sheet)
    draw.text((MARGIN, 20), shorten(title, 17, width - 2 * MARGIN), INK, font(17), anchor="lm")
    draw.line((MARGIN, HEADER - 10, width - MARGIN, HEADER - 10), RULE)
    return sheet


def legend_text(draw: ImageDraw.ImageDraw, x: int, y: int, text: str) -> int:
    """Write an entry of a legend, y its middle; returns where the next one starts."""
    draw.text((x, y), text, INK, font(13), anchor="lm")
    return x + round(float(font(13).getlength(text))) + 18


def png(image: Image.Image) -> bytes:
    """The image as the bytes of a PNG file."""
    data = io.BytesIO()
    image.save(data, "PNG")
    return data.getvalue()


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
