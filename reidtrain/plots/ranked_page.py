"""Ranked lists as one HTML file with every image inside it, which loads nothing and runs nothing."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from reidprep.drawing.palette import FRAME, PAPER, css
from reidprep.drawing.svg import data_uri
from reidtrain.plots.marks import RIGHT, WRONG
from reidtrain.plots.page import picture_page
from reidtrain.plots.ranked_cards import Hit, ListRow, QueryCard, Ranking, Shot

# Shown 176 pixels high: enough for a fine screen, and half the size of the crops as they are.
_MAX_SIDE = 288
_SIGNS = {True: "\N{CHECK MARK}", False: "\N{BALLOT X}"}

_STYLE = f"""
:root {{ --right: {css(RIGHT)}; --wrong: {css(WRONG)}; }}
@media (prefers-color-scheme: dark) {{ :root {{ --right: #3fbf7f; --wrong: #ff6f66; }} }}
.legend .query {{ border-left: 14px solid {css(FRAME)}; padding-left: 8px; }}
article {{ display: flex; gap: 20px; margin-bottom: 16px; }}
article > :first-child {{ flex: none; width: 120px; }}
article > :last-child {{ min-width: 0; }}
.list figure {{ width: 96px; }}
figure img {{ width: 96px; height: 184px; border: 4px solid {css(FRAME)}; }}
figcaption b {{ display: block; }}
.right img {{ border-color: var(--right); }}
.right b {{ color: var(--right); }}
.wrong img {{ border-color: var(--wrong); border-style: dashed; }}
.wrong b {{ color: var(--wrong); }}
.sign {{
  display: inline-block; width: 18px; border-radius: 9px; text-align: center; line-height: 18px;
  color: {css(PAPER)}; background: {css(WRONG)};
}}
.right .sign {{ background: {css(RIGHT)}; }}
h2:not(:first-child) {{ margin-top: 14px; }}
.list {{ display: flex; gap: 8px; overflow-x: auto; }}
"""


def ranked_page(title: str, what: str, rankings: Sequence[Ranking], articles: Sequence[str]) -> str:
    """The whole document.

    Args:
        title: the dataset and what this is.
        what: which queries are shown, in words.
        rankings: the models, for the scores at the top.
        articles: what `ranked_article` gave for each query.
    """
    legend = '<span class="query">query</span>' + "".join(
        f'<span class="{name}"><span class="sign">{_SIGNS[right]}</span> {escape(text)}</span>'
        for right, name, text in (
            (True, "right", "right: the query's person"),
            (False, "wrong", "wrong: somebody else"),
        )
    )
    about = f"{what}. Gallery images of the query's person at the query's camera, and junk, are left out."
    return picture_page(title, about, legend, articles, style=_STYLE, head=_scores(rankings))


def ranked_article(card: QueryCard) -> str:
    """One query and its lists."""
    query = card.query
    return (
        f'<article id="query-{query.index}"><div><h2><b>query #{query.index}</b></h2>'
        f"<figure>{_image(query, f'query: {_who(query)}')}"
        f"<figcaption>person {query.pid}<br>camera {query.camid}<br>{escape(query.path)}</figcaption></figure></div>"
        f"<div>{''.join(map(_row, card.rows))}</div></article>\n"
    )


def _row(row: ListRow) -> str:
    figures = "".join(map(_figure, row.hits))
    return f'<h2><b>{escape(row.label)}</b> {escape(row.score)}</h2><div class="list">{figures}</div>'


def _figure(hit: Hit) -> str:
    image = _image(hit.shot, f"rank {hit.rank}: {_who(hit.shot)}, {hit.verdict}, distance {hit.distance:.3f}")
    return (
        f'<figure class="{hit.verdict}">{image}<figcaption><b>{hit.rank} {_SIGNS[hit.right]} {hit.verdict}</b>'
        f"distance {hit.distance:.3f}<br>person {hit.shot.pid}<br>camera {hit.shot.camid}</figcaption></figure>"
    )


def _image(shot: Shot, text: str) -> str:
    uri = data_uri(shot.picture, _MAX_SIDE)
    return f'<img alt="{escape(text)}" title="{escape(shot.path)}" src="{uri}">'


def _who(shot: Shot) -> str:
    return f"person {shot.pid}, camera {shot.camid}"


def _scores(rankings: Sequence[Ranking]) -> str:
    """Scores of all queries, not only of those shown."""
    names = [f"Rank-{rank}" for rank in rankings[0].metrics.ranks] + ["mAP", "queries", "without match"]
    head = "".join(f'<th scope="col">{name}</th>' for name in ("all queries", *names))
    body = ""
    for ranking in rankings:
        metrics = ranking.metrics
        shares = "".join(f"<td>{share:.2%}</td>" for share in (*metrics.cmc, metrics.mAP))
        counts = f"<td>{metrics.queries:,}</td><td>{metrics.queries_without_match:,}</td>"
        body += f'<tr><th scope="row">{escape(ranking.label)}</th>{shares}{counts}</tr>'
    return f"<table><tr>{head}</tr>{body}</table>"
