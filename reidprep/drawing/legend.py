"""What the marks of a drawing mean: each with a small drawing of it, by layer."""

from __future__ import annotations

from typing import NamedTuple

from reidprep.drawing.palette import BOX_COLOURS, BOX_NAMES, LIMB_COLOURS, MARKS
from reidprep.drawing.scene import Box, Joint, Limb, Scene

_WIDTH, _HEIGHT = 22, 18


class Entry(NamedTuple):
    """A mark and its meaning."""

    swatch: Scene
    text: str


def _line(side: str, sure: bool) -> Scene:
    return Scene(_WIDTH, _HEIGHT, limbs=(Limb((3, _HEIGHT / 2), (_WIDTH - 3, _HEIGHT / 2), side, sure),))


LEGEND: dict[str, tuple[Entry, ...]] = {
    **{
        state: (Entry(Scene(_WIDTH, _HEIGHT, joints=(Joint("", _WIDTH / 2, _HEIGHT / 2, state),)), f"joint {state}"),)
        for state in MARKS
    },
    "skeleton": (
        *(Entry(_line(side, sure=True), f"{side} limb") for side in LIMB_COLOURS),
        Entry(_line("centre", sure=False), "thin: an end is filled"),
    ),
    **{
        box.layer: (Entry(Scene(_WIDTH, _HEIGHT, boxes=(box,)), box.name),)
        for name, colour in zip(BOX_NAMES, BOX_COLOURS, strict=True)
        for box in [Box(name, (4, 4, _WIDTH - 4, _HEIGHT - 4), colour)]
    },
}
"""Layer -> its marks. A layer is a group of the SVG of class `layer-` and its name, and can be hidden."""
