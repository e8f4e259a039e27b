"""Attention maps as one HTML file with every image inside it."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from reidprep.drawing.palette import css
from reidprep.drawing.svg import data_uri
from reidtrain.plots.attention_cards import AttentionCard, Row
from reidtrain.plots.attention_maps import heat_colours
from reidtrain.plots.page import picture_page

_MAX_SIDE = 384
_STOPS = 9

_STYLE = """
main { display: flex; flex-wrap: wrap; gap: 16px; }
.views { display: flex; gap: 20px; overflow-x: auto; }
.views > section { flex: none; }
figure { width: 120px; }
figure img { width: 120px; height: 240px; }
figcaption { display: flex; justify-content: space-between; font-size: 11px; white-space: nowrap; }
.row { display: flex; gap: 6px; margin-bottom: 8px; }
.views > figure { margin-top: 42px; }
.views p { font-size: 12px; color: var(--faint); }
h3 { margin: 0; font-size: 14px; overflow-wrap: anywhere; }
article > p { margin-bottom: 8px; color: var(--faint); }
.ramp { display: inline-block; width: 140px; height: 12px; margin: 0 6px; vertical-align: -2px; }
"""


def attention_page(title: str, what: str, articles: Sequence[str]) -> str:
    """The whole document.

    Args:
        title: the dataset and what this is.
        what: which samples are shown, in words.
        articles: what `attention_article` gave for each sample.
    """
    colours = heat_colours().tolist()
    stops = ",".join(css(tuple(colours[round(i * 255 / (_STOPS - 1))])) for i in range(_STOPS))
    ramp = f'<span class="ramp" style="background:linear-gradient(to right,{stops})"></span>'
    legend = f"<span>attention: low {ramp} high, each map by itself; its range stands below it</span>"
    return picture_page(title, f"{what}.", legend, articles, style=_STYLE)


def attention_article(card: AttentionCard) -> str:
    """One sample with the maps of each model."""
    original = f'<figure><img alt="crop of {escape(card.path)}" src="{data_uri(card.picture, _MAX_SIDE)}"></figure>'
    sections = "".join(
        f"<section><h2><b>{escape(label)}</b></h2>{''.join(_row(label, row) for row in rows)}</section>"
        for label, rows in card.groups
    )
    return (
        f'<article id="sample-{card.index}"><h3>{escape(card.path)}</h3>'
        f"<p>#{card.index}, person {card.pid}, camera {card.camid}</p>"
        f'<div class="views">{original}{sections}</div></article>\n'
    )


def _row(label: str, row: Row) -> str:
    figures = "".join(
        f'<figure><img alt="{escape(f"{label}: attention of {row.label}, {panel.title}, {panel.range}")}" '
        f'src="{data_uri(panel.picture, _MAX_SIDE)}">'
        f"<figcaption><b>{escape(panel.title)}</b> {escape(panel.range)}</figcaption></figure>"
        for panel in row.panels
    )
    return f'<p>{escape(row.label)}</p><div class="row">{figures}</div>'
