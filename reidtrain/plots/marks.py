"""Marks of right and wrong: a colour, a tick or a cross, and a word beside it."""

from __future__ import annotations

from functools import lru_cache

from PIL import Image, ImageDraw

from reidprep.drawing.palette import PAPER, Colour

RIGHT: Colour = (20, 130, 75)
WRONG: Colour = (200, 40, 40)
BADGE = 20

_ENLARGED = 8


def verdict_colour(right: bool) -> Colour:
    """Green or red; the red is the darker of the two."""
    return RIGHT if right else WRONG


@lru_cache
def badge(right: bool) -> Image.Image:
    """A disc with a white tick or cross: `BADGE` x `BADGE`, RGBA."""
    large = Image.new("RGBA", (BADGE * _ENLARGED,) * 2)
    draw = ImageDraw.Draw(large)
    draw.ellipse((0, 0, large.width - 1, large.height - 1), verdict_colour(right))

    def stroke(*points: tuple[float, float]) -> None:
        ends = [(x * large.width, y * large.height) for x, y in points]
        draw.line(ends, PAPER, round(0.12 * large.width), joint="curve")

    if right:
        stroke((0.26, 0.52), (0.44, 0.70), (0.76, 0.32))
    else:
        stroke((0.30, 0.30), (0.70, 0.70))
        stroke((0.30, 0.70), (0.70, 0.30))
    return large.resize((BADGE, BADGE), Image.Resampling.BOX)
