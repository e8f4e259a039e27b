"""A sample on a PNG sheet: source image with joints and boxes, crops, and what is said about it."""

from __future__ import annotations

from PIL import Image

from reidprep.drawing.legend import LEGEND
from reidprep.drawing.palette import ALERT, BOX_COLOURS, BOX_NAMES, FAINT, Colour
from reidprep.drawing.raster import draw_scene
from reidprep.drawing.scene import GUTTER, HEIGHT, WIDTH
from reidprep.drawing.sheets import Canvas, Mark
from reidprep.preview.shown import Shown

_GAP = 8
_TITLE = 16
_WHOLE_WIDTH = HEIGHT // 2
_PART_HEIGHT = (HEIGHT - 3 * (_TITLE + 4)) // 4
_PART_WIDTH = 2 * _PART_HEIGHT
_WIDTH = WIDTH + GUTTER + _WHOLE_WIDTH + _PART_WIDTH + 2 * _GAP
_CAPTION = 58


def marks() -> list[Mark]:
    """The legend of a sheet; the boxes have their names beside them."""
    entries = [entry for layer, entries in LEGEND.items() if not layer.startswith("box-") for entry in entries]
    return [Mark(Image.fromarray(draw_scene(swatch)), text) for swatch, text in entries]


def draw_card(shown: Shown) -> Image.Image:
    """Draw a sample."""
    sample = shown.sample
    card = Canvas(_WIDTH, _TITLE + HEIGHT + _CAPTION)

    def titled(x: int, y: int, text: str, colour: Colour | None = None) -> None:
        if colour is not None:
            card.draw.rectangle((x, y + 2, x + 9, y + _TITLE - 5), colour, FAINT)
            x += 15
        card.write(x, y + _TITLE // 2 - 1, text, 12, FAINT)

    titled(0, 0, shown.title)
    card.put(0, _TITLE, Image.fromarray(draw_scene(shown.scene, shown.picture)))
    x = WIDTH + GUTTER + _GAP
    titled(x, 0, BOX_NAMES[0], BOX_COLOURS[0])
    card.show(x, _TITLE, sample.whole, _WHOLE_WIDTH, HEIGHT)
    x += _WHOLE_WIDTH + _GAP
    for i, part in enumerate(sample.parts):
        y = i * (_TITLE + _PART_HEIGHT + 4)
        titled(x, y, BOX_NAMES[1 + i], BOX_COLOURS[1 + i])
        card.show(x, y + _TITLE, part, _PART_WIDTH, _PART_HEIGHT)
    bottom = _TITLE + HEIGHT + 12
    card.write(0, bottom, sample.path, 14, room=_WIDTH)
    card.write(0, bottom + 18, shown.facts, 13, FAINT)
    remarks = [*shown.flags, *([shown.problem] if shown.problem else [])]
    card.write(0, bottom + 36, ", ".join(remarks), 13, ALERT, room=_WIDTH)
    return card.image
