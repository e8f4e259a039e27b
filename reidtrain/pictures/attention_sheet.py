"""Attention maps as PNG: the crop, then the maps of each model from shallow to deep."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from reidprep.preview.palette import FAINT, INK, PAPER, RULE
from reidprep.preview.raster import fitted, font, legend_text, png, shorten

from .attention_cards import AttentionCard, Panel, Row
from .attention_maps import heat_colours

_WIDTH, _HEIGHT = 112, 224
_GAP = 6
_LINE = 17
_ROW = _LINE + _HEIGHT + _LINE + 8
_BETWEEN_GROUPS = 22
_CAPTION = 2 * _LINE + 4
_MARGIN = 20
_HEADER = 74
_SHEET_WIDTH = 1800
"""Cards stand side by side up to here."""


def draw_attention_sheet(cards: Sequence[AttentionCard], title: str) -> bytes:
    """Cards in a grid, as PNG.

    Args:
        cards: those on this sheet.
        title: what stands at the top.
    """
    card_width, card_height = max(map(_card_width, cards)), max(map(_card_height, cards))
    columns = max(1, min(len(cards), (_SHEET_WIDTH - _MARGIN) // (card_width + 2 * _MARGIN)))
    lines = -(-len(cards) // columns)
    width = max(_MARGIN + columns * (card_width + 2 * _MARGIN) - _MARGIN, 520)
    sheet = Image.new("RGB", (width, _HEADER + lines * (card_height + _MARGIN)), PAPER)
    _header(sheet, title)
    for number, card in enumerate(cards):
        line, column = divmod(number, columns)
        x, y = _MARGIN + column * (card_width + 2 * _MARGIN), _HEADER + line * (card_height + _MARGIN)
        if line and not column:
            ImageDraw.Draw(sheet).line((_MARGIN, y - _MARGIN // 2, width - _MARGIN, y - _MARGIN // 2), RULE)
        _draw_card(sheet, card, x, y, card_width)
    return png(sheet)


def _rows_width(rows: Sequence[Row]) -> int:
    return max(len(row.panels) for row in rows) * (_WIDTH + _GAP) - _GAP


def _card_width(card: AttentionCard) -> int:
    return _WIDTH + sum(_BETWEEN_GROUPS + _rows_width(rows) for _, rows in card.groups)


def _card_height(card: AttentionCard) -> int:
    return _CAPTION + _LINE + max(len(rows) for _, rows in card.groups) * _ROW


def _header(sheet: Image.Image, title: str) -> None:
    draw = ImageDraw.Draw(sheet)
    draw.text((_MARGIN, 20), shorten(title, 17, sheet.width - 2 * _MARGIN), INK, font(17), anchor="lm")
    y = 48
    x = legend_text(draw, _MARGIN, y, "attention: low") - 8
    ramp = np.broadcast_to(heat_colours()[None], (14, 256, 3))
    sheet.paste(Image.fromarray(np.ascontiguousarray(ramp)).resize((140, 14)), (x, y - 7))
    legend_text(draw, x + 150, y, "high, each map by itself; its range stands below")
    draw.line((_MARGIN, _HEADER - 10, sheet.width - _MARGIN, _HEADER - 10), RULE)


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
