"""Contact sheets: several samples in one PNG."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from reidprep.drawing import scene
from reidprep.drawing.palette import ALERT, BOX_COLOURS, BOX_NAMES, FAINT, GROUND, INK, LIMB_COLOURS, MEASURED, Colour
from reidprep.drawing.raster import (
    HEADER,
    LEGEND,
    MARGIN,
    Pen,
    blank_sheet,
    draw_scene,
    fitted,
    font,
    legend_text,
    png,
    shorten,
)
from reidprep.preview.shown import Shown, facts, flag_names, source_title

COLUMNS = 2

_GAP = 8
_TITLE = 16
_WHOLE_WIDTH = scene.HEIGHT // 2
_PART_HEIGHT = (scene.HEIGHT - 3 * (_TITLE + 4)) // 4
_PART_WIDTH = 2 * _PART_HEIGHT
_CARD_WIDTH = scene.WIDTH + _WHOLE_WIDTH + _PART_WIDTH + 2 * _GAP
_CAPTION = 58
_CARD_HEIGHT = _TITLE + scene.HEIGHT + _CAPTION


def draw_sheet(samples: Sequence[Shown], title: str) -> bytes:
    """A contact sheet with a legend, as PNG.

    Args:
        samples: those on this sheet.
        title: what stands at the top.
    """
    columns = min(COLUMNS, len(samples))
    rows = -(-len(samples) // columns)
    width = max(1, columns) * (_CARD_WIDTH + MARGIN) + MARGIN
    height = HEADER + rows * (_CARD_HEIGHT + MARGIN)
    sheet = blank_sheet(width, height, title)
    _legend(sheet)
    for i, shown in enumerate(samples):
        x = MARGIN + (i % columns) * (_CARD_WIDTH + MARGIN)
        y = HEADER + (i // columns) * (_CARD_HEIGHT + MARGIN)
        _card(sheet, shown, x, y)
    return png(sheet)


def _legend(sheet: Image.Image) -> None:
    draw = ImageDraw.Draw(sheet)
    x, y = MARGIN, LEGEND
    for filled, name in ((False, "measured joint"), (True, "estimated joint")):
        swatch = np.full((18, 22, 3), GROUND, dtype=np.uint8)
        pen = Pen(swatch)
        pen.joint(scene.Joint("", 11, 9, filled, 1.0))
        sheet.paste(Image.fromarray(pen.result()), (x, y - 9))
        x = legend_text(draw, x + 27, y, name)
    limbs = [(colour, 3, f"{side} limb") for side, colour in LIMB_COLOURS.items()]
    for colour, thickness, name in (*limbs, (MEASURED, 1, "thin: an end is estimated")):
        draw.rectangle((x, y - 9, x + 21, y + 8), GROUND)
        draw.line((x + 3, y, x + 18, y), colour, thickness)
        x = legend_text(draw, x + 27, y, name)


def _card(sheet: Image.Image, shown: Shown, x: int, y: int) -> None:
    draw = ImageDraw.Draw(sheet)
    sample = shown.sample

    def titled(text: str, left: int, top: int, colour: Colour | None = None) -> None:
        if colour is not None:
            draw.rectangle((left, top + 2, left + 9, top + _TITLE - 5), colour, FAINT)
            left += 15
        draw.text((left, top + _TITLE // 2 - 1), text, FAINT, font(12), anchor="lm")

    titled(source_title(shown), x, y)
    sheet.paste(Image.fromarray(draw_scene(scene.compose(sample, shown.source))), (x, y + _TITLE))
    left = x + scene.WIDTH + _GAP
    titled(BOX_NAMES[0], left, y, BOX_COLOURS[0])
    sheet.paste(fitted(sample.whole, _WHOLE_WIDTH, scene.HEIGHT), (left, y + _TITLE))
    left += _WHOLE_WIDTH + _GAP
    for i, part in enumerate(sample.parts):
        top = y + i * (_TITLE + _PART_HEIGHT + 4)
        titled(BOX_NAMES[1 + i], left, top, BOX_COLOURS[1 + i])
        sheet.paste(fitted(part, _PART_WIDTH, _PART_HEIGHT), (left, top + _TITLE))

    bottom = y + _TITLE + scene.HEIGHT + 12
    draw.text((x, bottom), shorten(sample.path, 14, _CARD_WIDTH), INK, font(14), anchor="lm")
    draw.text((x, bottom + 18), ", ".join(facts(shown)), FAINT, font(13), anchor="lm")
    remarks = [*flag_names(sample.flags), *([shown.problem] if shown.problem else [])]
    draw.text((x, bottom + 36), shorten(", ".join(remarks), 13, _CARD_WIDTH), ALERT, font(13), anchor="lm")
