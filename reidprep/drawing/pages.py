"""Pages from templates (Jinja), in which everything from the data is escaped."""

from __future__ import annotations

import jinja2

from reidprep.drawing import palette
from reidprep.drawing.legend import LEGEND
from reidprep.drawing.svg import data_uri, draw_svg
from reidprep.files import TOOL


def templates(*packages: str) -> jinja2.Environment:
    """The templates in the folders `templates` of packages, which may build on those beside this module.

    `document.html` is any page; `page.html` one that holds all it shows, loads nothing and runs nothing: a legend that
    stays in view, and articles. `theme.css` has what they look like, light or dark as the browser is set.
    """
    environment = jinja2.Environment(
        loader=jinja2.ChoiceLoader([jinja2.PackageLoader(package) for package in (*packages, __package__)]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.globals |= {"colours": palette, "css": palette.css, "layers": LEGEND, "tool": TOOL}
    environment.filters |= {"data_uri": data_uri, "svg": draw_svg}
    return environment
