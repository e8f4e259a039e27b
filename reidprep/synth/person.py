"""A clothed person on the canvas, painted from far to near."""

from __future__ import annotations

import numpy as np

from reidprep.synth.canvas import Canvas, Colour, Layer, Texture
from reidprep.synth.carried import draw_bag
from reidprep.synth.figure import Figure
from reidprep.synth.head import draw_hair_behind, draw_head
from reidprep.synth.skeleton3d import HIP_HEIGHT

ARM = {"r": Layer.RIGHT_ARM, "l": Layer.LEFT_ARM}
LEG = {"r": Layer.RIGHT_LEG, "l": Layer.LEFT_LEG}

# Cross-sections of the trunk: height, half width, half depth, as shares of body height.
TRUNK = (
    (0.848, 0.038, 0.036),
    (0.838, 0.060, 0.042),
    (0.812, 0.104, 0.050),
    (0.735, 0.096, 0.066),
    (0.610, 0.080, 0.058),
    (0.540, 0.092, 0.064),
    (0.490, 0.094, 0.066),
)
PELVIS = ((0.590, 0.080, 0.058), (0.520, 0.092, 0.064), (0.462, 0.086, 0.062))
LEG_RADII = (0.052, 0.047, 0.035, 0.034, 0.021)
ARM_RADII = (0.027, 0.029, 0.023, 0.023, 0.016)
CLOTH = 0.007
COLLAR = np.array([(-1, -0.9), (1, -0.9), (0.45, 0.5), (-0.45, 0.5)])
SQUARE = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)])


def draw_figure(canvas: Canvas, figure: Figure) -> None:
    """Paint a person."""
    arms = sorted("rl", key=lambda side: figure.near(f"{side}_elbow"))
    behind = [side for side in arms if figure.near(f"{side}_elbow") < -0.1]
    draw_bag(canvas, figure, near=False)
    for side in behind:
        _arm(canvas, figure, side)
    for side in sorted("rl", key=lambda side: figure.near(f"{side}_knee") + figure.near(f"{side}_ankle")):
        _leg(canvas, figure, side)
    if np.cos(figure.view.yaw) > 0:
        draw_hair_behind(canvas, figure)
    _trunk(canvas, figure)
    draw_bag(canvas, figure, near=True)
    draw_head(canvas, figure)
    if np.cos(figure.view.yaw) <= 0:
        draw_hair_behind(canvas, figure)
    for side in arms:
        if side not in behind:
            _arm(canvas, figure, side)


def _leg(canvas: Canvas, figure: Figure, side: str) -> None:
    who, names = figure.identity, (f"{side}_hip", f"{side}_knee", f"{side}_ankle")
    canvas.solid(figure.tube(names, LEG_RADII), who.skin, LEG[side], creases=0.05)
    _shoe(canvas, figure, side)
    if who.lower in ("trousers", "shorts"):
        loose = CLOTH if who.lower == "trousers" else 1.6 * CLOTH
        canvas.solid(figure.tube(names, LEG_RADII, who.length, loose), _texture(figure, lower=True), LEG[side])


def _shoe(canvas: Canvas, figure: Figure, side: str) -> None:
    ankle, toe = figure.points[f"{side}_ankle"], figure.points[f"{side}_toe"]
    forward = (toe - ankle) / np.linalg.norm(toe - ankle)
    # Towards the sole: at right angles to the foot's axis, in the plane of the foot.
    sole = np.cross([1.0, 0, 0], forward)
    sole = -sole / np.linalg.norm(sole)
    height = figure.height
    heel = ankle + height * (0.020 * sole - 0.012 * forward)
    ball = ankle + height * (0.022 * sole + 0.075 * forward)
    centres = figure.view.project([heel, ball, toe + height * 0.004 * sole])
    radii = np.array([0.025, 0.023, 0.017])[:, None] * height * figure.view.scale
    canvas.solid(np.concatenate([centres, radii, 0.9 * radii], axis=1), figure.identity.shoes, LEG[side], creases=0.1)


def _arm(canvas: Canvas, figure: Figure, side: str) -> None:
    who, names = figure.identity, (f"{side}_shoulder", f"{side}_elbow", f"{side}_wrist")
    hand = figure.tube((f"{side}_wrist", f"{side}_hand"), (0.019, 0.025, 0.017))
    canvas.solid(hand, who.skin, ARM[side], creases=0.05)
    canvas.solid(figure.tube(names, ARM_RADII), who.skin, ARM[side], creases=0.05)
    if who.sleeve > 0.2:
        loose = CLOTH * (0.7 if who.sleeve > 0.6 else 1.3)
        canvas.solid(figure.tube(names, ARM_RADII, who.sleeve, loose), _texture(figure), ARM[side])


def _trunk(canvas: Canvas, figure: Figure) -> None:
    who, facing = figure.identity, float(np.cos(figure.view.yaw))
    neck = figure.tube(("neck", "head"), (0.036, 0.033, 0.031))
    r, g, b = who.skin
    canvas.solid(neck, (0.9 * r, 0.9 * g, 0.9 * b), Layer.HEAD, creases=0.0)
    if who.lower == "dress":
        _skirt(canvas, figure, _texture(figure), top=0.60)
    elif who.lower == "skirt":
        _skirt(canvas, figure, _texture(figure, lower=True), top=0.59)
    else:
        canvas.solid(figure.barrel(PELVIS), _texture(figure, lower=True), Layer.TRUNK)
    rings = np.array(TRUNK)
    rings[2, 1] = who.build.shoulders + 0.010
    if who.lower in ("skirt", "dress"):
        rings = rings[:-1]
    canvas.solid(figure.barrel(rings), _texture(figure), Layer.TRUNK)
    if facing > 0.3:
        _front(canvas, figure, facing)


def _skirt(canvas: Canvas, figure: Figure, cloth: Texture | Colour, top: float) -> None:
    hem = HIP_HEIGHT - 0.48 * figure.identity.length
    rings = ((top, 0.080, 0.058), (0.53, 0.098, 0.074), (hem, 0.125, 0.105))
    canvas.solid(figure.barrel(rings), cloth, Layer.TRUNK)


def _front(canvas: Canvas, figure: Figure, facing: float) -> None:
    """Neckline and print: what tells a chest from a back."""
    who, height = figure.identity, figure.height
    forward = np.array([0, 0.05 * height, 0])
    size = height * figure.view.scale
    x, y = figure.view.project(figure.points["neck"] + forward)
    collar = COLLAR * [0.034 * facing * size, 0.026 * size] + np.array([x, y])
    canvas.shape([collar], who.skin, Layer.TRUNK, relief=0.2)
    if who.logo:
        x, y = figure.view.project(figure.points["chest"] + forward)
        logo = SQUARE * [0.035 * facing * size, 0.028 * size] + np.array([x, y])
        canvas.shape([logo], who.top.second, Layer.TRUNK, relief=0.1)


def _texture(figure: Figure, lower: bool = False) -> Texture | Colour:
    fabric = figure.identity.bottom if lower else figure.identity.top
    return fabric.base if fabric.pattern == "plain" else fabric.texture(figure.view.scale)
