"""Ranked lists as PNG: the query, then the nearest gallery images, a row for each model."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image, ImageDraw

from reidprep.drawing.palette import FAINT, FRAME, INK, RULE, Colour
from reidprep.drawing.raster import HEADER, LEGEND, MARGIN, blank_sheet, fitted, font, legend_text, png, shorten
from reidtrain.plots.marks import BADGE, badge, verdict_colour
from reidtrain.plots.ranked_cards import Hit, QueryCard, Shot

_WIDTH, _HEIGHT = 96, 192
_EDGE = 4
_CELL = _WIDTH + 2 * _EDGE
_GAP = 8
_LINE = 16
_CAPTION = 3 * _LINE + 4
_ROW = _LINE + 4 + _HEIGHT + 2 * _EDGE + _CAPTION + 6
_ASIDE = 24
"""Between a query and its lists."""
_BETWEEN = 18


def draw_ranked_sheet(cards: Sequence[QueryCard], title: str) -> bytes:
    """Cards one below the other, as PNG.

    Args:
        cards: those on this sheet.
        title: what stands at the top.
    """
    longest = max((len(row.hits) for card in cards for row in card.rows), default=0)
    # The legend needs room too.
    width = max(2 * MARGIN + _CELL + _ASIDE + longest * (_CELL + _GAP) - _GAP, 560)
    height = HEADER + sum(_card_height(card) for card in cards)
    sheet = blank_sheet(width, height, title)
    _legend(sheet)
    top = HEADER
    for number, card in enumerate(cards):
        if number:
            y = top - _BETWEEN // 2
            ImageDraw.Draw(sheet).line((MARGIN, y, width - MARGIN, y), RULE)
        _draw_card(sheet, card, top)
        top += _card_height(card)
    return png(sheet)


def _card_height(card: QueryCard) -> int:
    return len(card.rows) * _ROW + _BETWEEN


def _legend(sheet: Image.Image) -> None:
    draw = ImageDraw.Draw(sheet)
    x, y = MARGIN, LEGEND
    draw.rectangle((x, y - 9, x + 19, y + 9), outline=FRAME, width=_EDGE)
    x = legend_text(draw, x + 27, y, "query")
    for right, text in ((True, "right: the query's person"), (False, "wrong: somebody else")):
        sheet.paste(badge(right), (x, y - BADGE // 2), badge(right))
        x = legend_text(draw, x + 27, y, text)


def _draw_card(sheet: Image.Image, card: QueryCard, top: int) -> None:
    draw = ImageDraw.Draw(sheet)
    draw.text((MARGIN, top + _LINE // 2), f"query #{card.query.index}", INK, font(13), anchor="lm")
    captions = (shorten(card.query.path, 12, _CELL + _ASIDE - 4), *_who(card.query))
    _framed(sheet, card.query, MARGIN, top + _LINE + 4, FRAME, [(text, FAINT) for text in captions])
    for number, row in enumerate(card.rows):
        left, y = MARGIN + _CELL + _ASIDE, top + number * _ROW
        room = sheet.width - left - MARGIN - font(13).getlength(row.score) - 16
        label = shorten(row.label, 13, room)
        draw.text((left, y + _LINE // 2), label, INK, font(13), anchor="lm")
        draw.text((left + font(13).getlength(label) + 12, y + _LINE // 2), row.score, FAINT, font(13), anchor="lm")
        for hit in row.hits:
            _draw_hit(sheet, hit, left + (hit.rank - 1) * (_CELL + _GAP), y + _LINE + 4)


def _draw_hit(sheet: Image.Image, hit: Hit, x: int, y: int) -> None:
    colour = verdict_colour(hit.right)
    person, camera = _who(hit.shot)
    captions = [(f"{hit.rank}  {hit.verdict}", colour), (f"d {hit.distance:.3f}, {camera}", INK), (person, FAINT)]
    _framed(sheet, hit.shot, x, y, colour, captions)
    sheet.paste(badge(hit.right), (x + _EDGE, y + _EDGE), badge(hit.right))


def _framed(
    sheet: Image.Image, shot: Shot, x: int, y: int, colour: Colour, captions: Sequence[tuple[str, Colour]]
) -> None:
    draw = ImageDraw.Draw(sheet)
    draw.rectangle((x, y, x + _CELL - 1, y + _HEIGHT + 2 * _EDGE - 1), colour)
    sheet.paste(fitted(shot.picture, _WIDTH, _HEIGHT), (x + _EDGE, y + _EDGE))
    for number, (text, ink) in enumerate(captions):
        line = y + _HEIGHT + 2 * _EDGE + 4 + number * _LINE + _LINE // 2
        draw.text((x, line), text, ink, font(12), anchor="lm")


def _who(shot: Shot) -> tuple[str, str]:
    return f"person {shot.pid}", f"cam {shot.camid}"
