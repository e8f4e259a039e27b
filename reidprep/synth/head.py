"""Head, face and hair: an ellipsoid whose surface knows where eyes, brows, mouth and hairline are."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from reidprep.synth.appearance import Identity
from reidprep.synth.canvas import Canvas, Layer
from reidprep.synth.figure import Figure

HALF_AXES = (0.047, 0.058, 0.068)
"""Left-right, front-back, up-down, as shares of body height."""

# Where the hair begins: height on the unit head (-1 chin, 1 crown) against distance forward (-1 to 1).
HAIRLINES = {
    "short": ((-0.4, -0.05, 0.25, 0.5), (-0.55, -0.05, 0.3, 0.52)),
    "long": ((-0.1, 0.15, 0.4, 0.6), (-2.0, -1.0, 0.35, 0.5)),
    "tail": ((-0.3, -0.05, 0.25, 0.5), (-0.9, -0.15, 0.3, 0.52)),
    "cap": ((-0.4, -0.05, 0.25, 0.5), (-0.55, -0.05, 0.3, 0.52)),
}
CAP_EDGE = ((-0.5, -0.1, 0.3, 0.6), (0.1, 0.15, 0.25, 0.42))


def draw_hair_behind(canvas: Canvas, figure: Figure) -> None:
    """Paint long hair or a tail, which hang down the back of the neck."""
    who, height = figure.identity, figure.height
    if who.hair not in ("long", "tail"):
        return
    back = figure.head_rotation @ [0, -1.0, 0]
    if who.hair == "long":
        path = [(0.015, 0.012, 0.050), (0.03, -0.06, 0.056), (0.055, -0.155, 0.054)]
    else:
        path = [(0.050, 0.035, 0.022), (0.075, 0.0, 0.030), (0.070, -0.055, 0.028), (0.065, -0.075, 0.018)]
    centres = [figure.points["head"] + height * (away * back + [0, 0, up]) for away, up, _ in path]
    radii = np.array([radius for _, _, radius in path])[:, None] * height * figure.view.scale
    sections = np.concatenate([figure.view.project(centres), radii, radii], axis=1)
    canvas.solid(sections, who.hair_colour, Layer.HEAD, creases=0.5)


def draw_head(canvas: Canvas, figure: Figure) -> None:
    """Paint skull, face and ears."""
    who, view, height = figure.identity, figure.view, figure.height
    nose_size = 0.012 * height * view.scale
    if figure.near("nose") > figure.near("head"):
        x, y = view.project(figure.points["nose"])
        canvas.solid([(x, y, nose_size, nose_size)], who.skin, Layer.HEAD, creases=0.0)
    _skull(canvas, figure)
    if who.hair == "long":
        return
    for side in "rl":
        ear = figure.points[f"{side}_ear"]
        if figure.near(f"{side}_ear") > figure.near("head") - 0.02 * height:
            size = 0.013 * height * view.scale
            canvas.solid([(*view.project(ear), 0.6 * size, size)], who.skin, Layer.HEAD, creases=0.0)


def _skull(canvas: Canvas, figure: Figure) -> None:
    who, view = figure.identity, figure.view
    axes = view.rotation() @ figure.head_rotation
    half = np.linalg.norm(axes[:2] * (np.array(HALF_AXES) * figure.height), axis=1) * view.scale
    centre = view.project(figure.points["head"])
    low = np.maximum(np.floor(centre - half).astype(int), 0)
    high = np.minimum(np.ceil(centre + half).astype(int) + 1, canvas.layers.shape[::-1])
    if (high <= low).any():
        return
    qx = (np.arange(low[0], high[0]) + 0.5 - centre[0])[None, :] / half[0]
    qy = (np.arange(low[1], high[1]) + 0.5 - centre[1])[:, None] / half[1]
    qx = qx / (1.0 - 0.18 * np.clip(qy, 0, 1) ** 2)  # a chin is narrower than a brow
    inside = qx**2 + qy**2 < 1
    towards = np.sqrt(np.maximum(1 - qx**2 - qy**2, 0))
    surface = np.stack(np.broadcast_arrays(qx, qy, towards), axis=-1) @ axes  # left, forward, up
    shade = 0.62 + 0.38 * towards - 0.12 * (qx * -canvas.light[0] + qy * -canvas.light[1])
    window = (slice(low[1], high[1]), slice(low[0], high[0]))
    paint = _face(surface, who) * shade[..., None]
    canvas.image[window][inside] = paint[inside].astype(np.float32)
    canvas.layers[window][inside] = Layer.HEAD


def _face(surface: NDArray[np.float64], who: Identity) -> NDArray[np.float64]:
    """Colours of points on the unit head, (..., 3) as left, forward, up -> (..., 3) RGB."""
    skin = np.array(who.skin)
    left, forward, up = (surface[..., i] for i in range(3))
    front = forward > 0.1
    beside = np.abs(left)
    colours = np.empty_like(surface)
    colours[:] = skin

    def fill(where: NDArray[np.bool_], colour: NDArray[np.float64]) -> None:
        colours[front & where] = colour

    fill((beside < 0.16) & (np.abs(up + 0.26) < 0.05), 0.62 * skin)  # under the nose
    fill((beside > 0.06) & (beside < 0.14) & (up > -0.2) & (up < 0.2), 0.86 * skin)  # beside its bridge
    fill((beside < 0.28) & (np.abs(up + 0.52) < 0.07), skin * [0.75, 0.45, 0.45])  # lips
    fill(((beside - 0.40) / 0.24) ** 2 + ((up - 0.08) / 0.15) ** 2 < 1, 0.8 * skin)  # sockets
    fill(((beside - 0.40) / 0.15) ** 2 + ((up - 0.08) / 0.08) ** 2 < 1, np.array([0.1, 0.08, 0.07]))  # eyes
    fill((np.abs(beside - 0.40) < 0.22) & (np.abs(up - 0.30) < 0.05), 0.35 * skin)  # brows
    colours[up > np.interp(forward, *HAIRLINES[who.hair])] = who.hair_colour
    if who.hair == "cap":
        covered = up > np.interp(forward, *CAP_EDGE)
        colours[covered] = who.cap
        fill(covered & (up < 0.5), 0.6 * np.array(who.cap))  # the brim
    return colours
