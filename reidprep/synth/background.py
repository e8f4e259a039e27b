"""Streets and squares behind the people, and things that stand in front of them."""

from __future__ import annotations

from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from reidprep.synth.canvas import Canvas, Layer, crease_field

HEIGHT, WIDTH = 256, 1024
"""Size of a panorama in pixels: as high as an image at twice its resolution, several images wide."""

Backdrop = Literal["shops", "bushes", "wall"]
BACKDROPS: tuple[Backdrop, ...] = ("shops", "bushes", "wall")
Picture = NDArray[np.float32]


def draw_panorama(backdrop: Backdrop, rng: np.random.Generator) -> Picture:
    """Draw the empty place a camera watches, (`HEIGHT`, `WIDTH`, 3) RGB 0 to 1."""
    picture: Picture = np.empty((HEIGHT, WIDTH, 3), dtype=np.float32)
    horizon = int(rng.uniform(0.25, 0.5) * HEIGHT)
    paint = {"bushes": _bushes, "wall": _wall, "shops": _shops}[backdrop]
    picture[:horizon] = paint(horizon, rng)
    picture[horizon:] = _ground(HEIGHT - horizon, rng)
    if rng.random() < 0.6:
        _bicycles(picture, horizon, rng)
    for _ in range(int(rng.integers(1, 5))):
        _post(picture, horizon, rng)
    picture *= 1 + 0.06 * crease_field((HEIGHT, WIDTH), rng)[..., None]
    # The place is farther away than the person the camera is focused on.
    blurred = cv2.GaussianBlur(picture, (0, 0), rng.uniform(1.2, 2.2))
    return np.asarray(np.clip(blurred, 0, 1), dtype=np.float32)


def cut_background(panorama: Picture, size: tuple[int, int], rng: np.random.Generator) -> Picture:
    """A random piece of a panorama, resampled to a canvas of (width, height)."""
    width, height = size
    tall = round(HEIGHT * rng.uniform(0.85, 1.0))
    wide = round(tall * width / height)
    x, y = int(rng.integers(WIDTH - wide)), int(rng.integers(HEIGHT - tall + 1))
    piece = panorama[y : y + tall, x : x + wide]
    return np.asarray(cv2.resize(piece, size, interpolation=cv2.INTER_LINEAR))


def _tone(rng: np.random.Generator, low: float, high: float, tint: float = 0.02) -> Picture:
    return np.asarray(np.clip(rng.uniform(low, high) + rng.normal(0, tint, 3), 0, 1), dtype=np.float32)


def _ground(height: int, rng: np.random.Generator) -> Picture:
    """Paving that recedes to the horizon."""
    ground = np.broadcast_to(_tone(rng, 0.45, 0.7), (height, WIDTH, 3)).copy()
    # A row at depth z lies at 1 / z below the horizon; joints are evenly spaced in z and in x / z.
    below = (np.arange(height, dtype=np.float32) + 12)[:, None] / height
    x = (np.arange(WIDTH, dtype=np.float32)[None, :] - WIDTH / 2) / WIDTH
    tile = rng.uniform(0.15, 0.3)
    across, deep = x / below / tile, 0.35 / below / tile
    joints = (np.abs((across % 1) - 0.5) < 0.04 / below / 4) | (np.abs((deep % 1) - 0.5) < 0.06)
    chess = (np.floor(across + 0.5) + np.floor(deep + 0.5)) % 2
    ground *= (1 - 0.10 * joints - rng.uniform(0.0, 0.08) * chess)[..., None]
    fade = np.linspace(0.92, 1.05, height, dtype=np.float32)[:, None, None]
    return np.asarray(ground * fade, dtype=np.float32)


def _bushes(height: int, rng: np.random.Generator) -> Picture:
    scale = np.array([0.75, 1.0, 0.55], dtype=np.float32) * rng.uniform(0.25, 0.45)
    leaves = 1 + 0.8 * crease_field((height, WIDTH), rng)
    grain = rng.standard_normal((height // 3 + 1, WIDTH // 3), dtype=np.float32)
    leaves += 0.25 * cv2.resize(grain, (WIDTH, height))
    return np.asarray(np.clip(leaves, 0.2, 2)[..., None] * scale, dtype=np.float32)


def _wall(height: int, rng: np.random.Generator) -> Picture:
    wall = np.broadcast_to(_tone(rng, 0.35, 0.75, 0.06), (height, WIDTH, 3)).copy()
    course = int(rng.integers(14, 26))
    wall[::course] *= 0.85
    for row, top in enumerate(range(0, height, course)):
        wall[top : top + course, (row % 2) * course :: 2 * course] *= 0.88
    wall[-8:] *= 0.7
    return np.asarray(wall)


def _shops(height: int, rng: np.random.Generator) -> Picture:
    front = np.broadcast_to(_tone(rng, 0.3, 0.6), (height, WIDTH, 3)).copy()
    x = 0
    while x < WIDTH:
        wide = int(rng.integers(40, 120))
        front[int(0.2 * height) :, x + 4 : x + wide - 4] = _tone(rng, 0.15, 0.55, 0.04)
        front[: int(0.2 * height), x : x + wide] = _tone(rng, 0.3, 0.7, 0.08)
        x += wide
    return np.asarray(front)


def _bicycles(picture: Picture, horizon: int, rng: np.random.Generator) -> None:
    """A row of parked bicycles: thin clutter at leg height."""
    for x in range(0, WIDTH, 70):
        if rng.random() < 0.5:
            continue
        left, y = x + int(rng.integers(20)), horizon + int(rng.integers(8, 24))
        radius = int(rng.integers(15, 21))
        colour = tuple(float(c) for c in _tone(rng, 0.1, 0.45, 0.12))
        rear, front, saddle, handle = (left, y), (left + 46, y), (left + 16, y - 30), (left + 38, y - 34)
        cv2.circle(picture, rear, radius, (0.15, 0.15, 0.15), 2)
        cv2.circle(picture, front, radius, (0.15, 0.15, 0.15), 2)
        for a, b in ((rear, saddle), (saddle, front), (rear, handle), (handle, front), (saddle, handle)):
            cv2.line(picture, a, b, colour, 2, cv2.LINE_AA)


def _post(picture: Picture, horizon: int, rng: np.random.Generator) -> None:
    x, wide = int(rng.integers(WIDTH)), int(rng.integers(3, 10))
    picture[: horizon + int(rng.integers(10, 50)), x : x + wide] = _tone(rng, 0.2, 0.7, 0.1)


def cast_shadow(canvas: Canvas, x: float, y: float, pixels_per_metre: float) -> None:
    """Darken the ground under a person who stands at a point of the canvas."""
    height, width = canvas.layers.shape
    shadow = np.zeros((height // 4, width // 4), dtype=np.float32)
    centre = (round((x - 0.12 * canvas.light[0] * pixels_per_metre) / 4), round(y / 4))
    axes = (round(0.3 * pixels_per_metre / 4), max(1, round(0.07 * pixels_per_metre / 4)))
    cv2.ellipse(shadow, centre, axes, 0, 0, 360, 0.45, -1)
    shadow = cv2.GaussianBlur(shadow, (0, 0), 3)
    canvas.image *= 1 - cv2.resize(shadow, (width, height))[..., None]


def draw_occluder(canvas: Canvas, rng: np.random.Generator) -> None:
    """Put something in front of the person: a post, a box or hedge at the feet, or someone's side."""
    height, width = canvas.layers.shape
    r, g, b = (float(c) for c in _tone(rng, 0.15, 0.7, 0.12))
    kind = int(rng.integers(3))
    if kind == 0:
        x, half = rng.uniform(0.15, 0.85) * width, rng.uniform(0.025, 0.06) * width
        canvas.solid([(x, -height, half, half), (x, 2 * height, half, half)], (r, g, b), Layer.OCCLUDER)
    elif kind == 1:
        top, left = rng.uniform(0.72, 0.86) * height, rng.uniform(-0.3, 0.3) * width
        box = np.array([(left, top), (left + width, top), (left + width, 2 * height), (left, 2 * height)])
        canvas.shape([box], (r, g, b), Layer.OCCLUDER, creases=0.6)
    else:
        x = width * (rng.uniform(-0.08, 0.04) if rng.random() < 0.5 else rng.uniform(0.96, 1.08))
        half, top = rng.uniform(0.14, 0.22) * width, rng.uniform(0.1, 0.3) * height
        waist = 0.55 * height
        trunk = [(x, top, 0.6 * half, half), (x, top + half, half, half), (x, waist, 0.9 * half, half)]
        legs = [(x, waist, 0.8 * half, half), (x, 1.2 * height, 0.5 * half, half)]
        canvas.solid(legs, (0.6 * g, 0.6 * b, 0.6 * r), Layer.OCCLUDER)
        canvas.solid(trunk, (r, g, b), Layer.OCCLUDER)
