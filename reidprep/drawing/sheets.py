"""PNG sheets: a title and a legend, and cards in a grid below them."""

from __future__ import annotations

import io
from bisect import bisect_right
from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from reidprep.drawing.palette import GROUND, INK, PAPER, RULE, Colour
from reidprep.drawing.raster import font

MARGIN = 20

_TITLE, _LEGEND, _HEADER = 20, 48, 74
_WIDTH = 1800
"""Cards stand side by side up to here."""


class Mark(NamedTuple):
    """An entry of a legend: a small picture, and what it means."""

    picture: Image.Image
    text: str


class Canvas:
    """White paper of some pixels, to write and to show pictures on."""

    def __init__(self, width: int, height: int) -> None:
        self.image = Image.new("RGB", (width, height), PAPER)
        self.draw = ImageDraw.Draw(self.image)

    def write(
        self, x: float, y: float, text: str, size: int = 13, colour: Colour = INK, *, room: float = 0, anchor: str = "l"
    ) -> float:
        """Write one line; returns how far it reaches to the right of `x`.

        Args:
            x: its left or right end.
            y: its middle.
            text: what to write.
            size: of the letters.
            colour: of the letters.
            room: how long it may be; 0 for any length.
            anchor: l if `x` is its left end, r if it is its right end.
        """
        text = shorten(text, size, room) if room else text
        self.draw.text((x, y), text, colour, font(size), anchor=f"{anchor}m")
        return float(font(size).getlength(text))

    def show(self, x: int, y: int, picture: NDArray[np.uint8], width: int, height: int) -> None:
        """Show a picture (h, w, 3) uint8 RGB as large as fits, in its own proportions, on the ground colour."""
        rows, columns = picture.shape[:2]
        scale = min(width / columns, height / rows)
        size = (max(1, round(columns * scale)), max(1, round(rows * scale)))
        resized = cv2.resize(picture, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
        self.draw.rectangle((x, y, x + width - 1, y + height - 1), GROUND)
        left, top = x + (width - size[0]) // 2, y + (height - size[1]) // 2
        self.put(left, top, Image.fromarray(np.asarray(resized, np.uint8)))

    def put(self, x: int, y: int, image: Image.Image) -> None:
        """Put an image down with its corner at (x, y); what is transparent stays as it was."""
        self.image.paste(image, (x, y), image if image.mode == "RGBA" else None)


def draw_sheet(title: str, legend: Sequence[Mark], cards: Sequence[Image.Image]) -> bytes:
    """Draw a sheet, and give the bytes of the PNG file.

    Args:
        title: what stands at the top.
        legend: what stands below it, one mark or more.
        cards: one or more, left to right and top to bottom.
    """
    card_width = max(card.width for card in cards)
    columns = max(1, min(len(cards), (_WIDTH - MARGIN) // (card_width + MARGIN)))
    lines = [cards[start : start + columns] for start in range(0, len(cards), columns)]
    heights = [max(card.height for card in line) + MARGIN for line in lines]
    ends = np.cumsum([mark.picture.width + 6 + font(13).getlength(mark.text) + 18 for mark in legend]).tolist()
    width = max(columns * (card_width + MARGIN) - MARGIN, round(ends[-1]))
    sheet = Canvas(width + 2 * MARGIN, _HEADER + sum(heights))
    sheet.write(MARGIN, _TITLE, title, 17, room=width)
    for mark, start in zip(legend, [0, *ends], strict=False):
        x = MARGIN + round(start)
        sheet.put(x, _LEGEND - mark.picture.height // 2, mark.picture)
        sheet.write(x + mark.picture.width + 6, _LEGEND, mark.text)
    top = _HEADER
    for line, height in zip(lines, heights, strict=True):
        sheet.draw.line((MARGIN, top - MARGIN // 2, MARGIN + width - 1, top - MARGIN // 2), RULE)
        for column, card in enumerate(line):
            sheet.put(MARGIN + column * (card_width + MARGIN), top, card)
        top += height
    data = io.BytesIO()
    sheet.image.save(data, "PNG", compress_level=4)  # twice as fast as 6, and 4 % larger
    return data.getvalue()


def shorten(text: str, size: int, width: float) -> str:
    """One printable line that fits `width` pixels; what is cut comes out of the middle, as file names end tellingly."""
    text = "".join(character if character.isprintable() else "?" for character in text)

    def cut(kept: int) -> str:
        return f"{text[: kept // 2]}...{text[len(text) - (kept + 1) // 2 :]}"

    if len(text) <= 2 or font(size).getlength(text) <= width:
        return text
    return cut(max(2, bisect_right(range(len(text)), width, key=lambda kept: font(size).getlength(cut(kept))) - 1))
