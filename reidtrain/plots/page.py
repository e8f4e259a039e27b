"""What the pages have in common: one HTML file that loads nothing and runs nothing, light or dark."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from reidprep.drawing.palette import GROUND, css
from reidprep.drawing.style import THEME
from reidprep.files import TOOL
from reidprep.preview.page import document

_STYLE = f"""{THEME.rstrip()}
table {{ border-collapse: collapse; font-size: 13px; margin-top: 8px; }}
th, td {{ padding: 1px 16px 1px 0; text-align: right; font-weight: normal; font-variant-numeric: tabular-nums; }}
th {{ color: var(--faint); }}
th:first-child {{ text-align: left; overflow-wrap: anywhere; }}
.legend {{
  position: sticky; top: 0; z-index: 1; margin: 14px -20px; padding: 7px 20px; display: flex; flex-wrap: wrap;
  gap: 4px 24px; background: var(--paper); border-block: 1px solid var(--rule); font-size: 13px;
}}
article {{ padding: 12px; background: var(--card); border-radius: 6px; min-width: 0; scroll-margin-top: 60px; }}
figure {{ flex: none; margin: 0; }}
img {{ display: block; object-fit: contain; background: {css(GROUND)} content-box; }}
figcaption {{ font-size: 12px; line-height: 16px; color: var(--faint); overflow-wrap: anywhere; }}
figcaption b {{ color: var(--ink); font-weight: 600; }}
h2 {{ margin: 0 0 4px; font-weight: normal; overflow-wrap: anywhere; }}
h2 b {{ color: var(--ink); }}
footer {{ margin-top: 20px; color: var(--faint); font-size: 13px; }}
"""


def picture_page(title: str, about: str, legend: str, articles: Sequence[str], *, style: str, head: str = "") -> str:
    """The whole document.

    Args:
        title: heading, as text.
        about: what is shown, as text.
        legend: stays in view, as HTML.
        articles: as HTML.
        style: CSS beyond the common one.
        head: stands under `about`, as HTML.
    """
    body = f"""<header>
<h1>{escape(title)}</h1>
<p>{escape(about)}</p>
{head}</header>
<div class="legend">{legend}</div>
<main>
{"".join(articles)}</main>
<footer>Written by {escape(TOOL)}.</footer>"""
    return document(title, _STYLE + style, body)
