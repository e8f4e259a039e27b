"""The style sheet: the preview's colours, and what is only here."""

from __future__ import annotations

from importlib.resources import files

from reidprep.drawing.palette import BOX_COLOURS, ESTIMATED, GROUND, MEASURED, css
from reidprep.drawing.style import THEME
from reidprep.inspect.overlay import LAYERS


def style_sheet() -> bytes:
    """All of it."""
    own = (files("reidprep.inspect") / "static" / "style.css").read_text(encoding="utf-8")
    colours = {"ground": GROUND, "measured": MEASURED, "estimated": ESTIMATED}
    colours |= {layer: colour for layer, colour in zip(LAYERS[3:], BOX_COLOURS, strict=True)}
    variables = "".join(f"  --{name}: {css(colour)};\n" for name, colour in colours.items())
    hidden = ",\n".join(f'body:has(input[name="{layer}"]:not(:checked)) .layer-{layer}' for layer in LAYERS)
    return f"{THEME}:root {{\n{variables}}}\n{hidden} {{ display: none; }}\n{own}".encode()
