"""Attention maps as PNG: the crop, then the maps of each model from shallow to deep."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from reidprep.drawing.palette import FAINT, INK, RULE
from reidprep.drawing.raster import HEADER, LEGEND, MARGIN, blank_sheet, fitted, font, legend_text, png, shorten
from reidtrain.plots.attention_cards import AttentionCard, Panel, Row
from reidtrain.plots.attention_maps import heat_colours

_WIDTH, _HEIGHT = 112, 224
_GAP = 6
_LINE = 17
_ROW = _LINE + _HEIGHT + _LINE + 8
_BETWEEN_GROUPS = 22
_CAPTION = 2 * _LINE + 4
_SHEET_WIDTH = 1800
"""Cards stand side by side up to here."""


def draw_attention_sheet(cards: Sequence[AttentionCard], title: str) -> bytes:
    """Cards in a grid, as PNG.

    Args:
        cards: those on this sheet.
        title: what stands at the top.
    """
    card_width, card_height = max(map(_card_width, cards)), max(map(_card_height, cards))
    columns = max(1, min(len(cards), (_SHEET_WIDTH - MARGIN) // (card_width + 2 * MARGIN)))
    lines = -(-len(cards) // columns)
    width = max(MARGIN + columns * (card_width + 2 * MARGIN) - MARGIN, 520)
    sheet = blank_sheet(width, HEADER + lines * (card_height + MARGIN), title)
    _legend(sheet)
    for number, card in enumerate(cards):
        line, column = divmod(number, columns)
        x, y = MARGIN + column * (card_width + 2 * MARGIN), HEADER + line * (card_height + MARGIN)
        if line and not column:
            ImageDraw.Draw(sheet).line((MARGIN, y - MARGIN // 2, width - MARGIN, y - MARGIN // 2), RULE)
        _draw_card(sheet, card, x, y, card_width)
    return png(sheet)


def _rows_width(rows: Sequence[Row]) -> int:
    return max(len(row.panels) for row in rows) * (_WIDTH + _GAP) - _GAP


def _card_width(card: AttentionCard) -> int:
    return _WIDTH + sum(_BETWEEN_GROUPS + _rows_width(rows) for _, rows in card.groups)


def _card_height(card: AttentionCard) -> int:
    return _CAPTION + _LINE + max(len(rows) for _, rows in card.groups) * _ROW


def _legend(sheet: Image.Image) -> None:
    draw = ImageDraw.Draw(sheet)
    y = LEGEND
    x = legend_text(draw, MARGIN, y, "attention: low") - 8
    ramp = np.broadcast_to(heat_colours()[None], (14, 256, 3))
    sheet.paste(Image.fromarray(np.ascontiguousarray(ramp)).resize((140, 14)), (x, y - 7))
    legend_text(draw, x + 150, y, "high, each map by itself; its range stands below")


def _draw_card(sheet: Image.Image, card: AttentionCard, x: int, y: int, width: int) -> None:
    draw = ImageDraw.Draw(sheet)
    draw.text((x, y + _LINE // 2), shorten(card.path, 14, width), INK, font(14), anchor="lm")
    facts = f"#{card.index}, person {card.pid}, camera {card.camid}"
    draw.text((x, y + _LINE + _LINE // 2), facts, FAINT, font(13), anchor="lm")
    top = y + _CAPTION
    sheet.paste(fitted(card.picture, _WIDTH, _HEIGHT), (x, top + 2 * _LINE))
    left = x + _WIDTH + _BETWEEN_GROUPS
    for label, rows in card.groups:
        room = _rows_width(rows)
        draw.text((left, top + _LINE // 2), shorten(label, 13, room), INK, font(13), anchor="lm")
        for number, row in enumerate(rows):
            above = top + _LINE + number * _ROW
            draw.text((left, above + _LINE // 2), row.label, FAINT, font(12), anchor="lm")
            for column, panel in enumerate(row.panels):
                _draw_panel(sheet, panel, left + column * (_WIDTH + _GAP), above + _LINE)
        left += room + _BETWEEN_GROUPS


def _draw_panel(sheet: Image.Image, panel: Panel, x: int, y: int) -> None:
    sheet.paste(fitted(panel.picture, _WIDTH, _HEIGHT), (x, y))
    draw = ImageDraw.Draw(sheet)
    draw.text((x, y + _HEIGHT + _LINE // 2), panel.title, INK, font(12), anchor="lm")
    draw.text((x + _WIDTH, y + _HEIGHT + _LINE // 2), panel.range, FAINT, font(11), anchor="rm")
