"""Colours and marks of drawings, after Okabe and Ito's set for colour-blind readers, lightened for a dark ground."""

from __future__ import annotations

from functools import cache
from typing import Literal, NamedTuple

from reidprep.skeleton import PARTS

Colour = tuple[int, int, int]
"""Red, green, blue, 0 to 255."""

GROUND: Colour = (43, 47, 54)
"""Around the picture; the same in light and dark pages, as the lines are made for it."""
HALO: Colour = (0, 0, 0)
"""Under lines and joints, so that they stand out from any clothing."""

PAPER: Colour = (255, 255, 255)
INK: Colour = (28, 30, 34)
FAINT: Colour = (92, 97, 105)
ALERT: Colour = (176, 32, 32)
RULE: Colour = (218, 221, 226)

FRAME: Colour = (140, 146, 156)

State = Literal["measured", "refined", "filled"]
"""What a joint is: where it was measured, moved from there, or an estimate where it was not measured well enough."""


class Circle(NamedTuple):
    """A circle around a joint, in pixels of a drawing of the usual height; a disc if its line has no width."""

    radius: float
    colour: Colour
    width: float = 0


MEASURED: Colour = (255, 255, 255)
FILLED: Colour = (255, 92, 202)

MARKS: dict[State, tuple[Circle, ...]] = {
    "measured": (Circle(4.2, HALO), Circle(3, MEASURED)),
    "refined": (Circle(5, HALO), Circle(3.8, MEASURED), Circle(2.2, FILLED)),
    "filled": (Circle(5, HALO, 3.5), Circle(5, FILLED, 2)),
}
"""What a joint is drawn as, the lowest first."""

LIMB_COLOURS: dict[str, Colour] = {
    "left": (86, 180, 233),
    "right": (240, 167, 0),
    "centre": (205, 208, 214),
}

BOX_NAMES = ("whole body", *(part.replace("_", " ") for part in PARTS))
BOX_COLOURS: tuple[Colour, ...] = (
    (255, 255, 255),
    (240, 228, 66),
    (38, 196, 147),
    (240, 112, 60),
    (128, 150, 255),
)


@cache
def css(colour: Colour) -> str:
    """The colour as #rrggbb."""
    return "#{:02x}{:02x}{:02x}".format(*colour)
