"""Shaded solids on a supersampled picture that remembers what is in front where."""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

Colour = tuple[float, float, float]
"""RGB, 0 to 1."""
Texture = Callable[[NDArray[np.float32], NDArray[np.float32]], NDArray[np.float32]]
"""(across, along), both (h, w) in pixels from a solid's start -> (h, w, 3) RGB."""

_CIRCLE = np.stack([np.cos(t := np.linspace(0, 2 * np.pi, 20, endpoint=False)), np.sin(t)], axis=1)
_SUBPIXEL_BITS = 4


class Layer(IntEnum):
    """What a pixel of the canvas shows."""

    BACKGROUND = 0
    TRUNK = 1
    HEAD = 2
    RIGHT_ARM = 3
    LEFT_ARM = 4
    RIGHT_LEG = 5
    LEFT_LEG = 6
    CARRIED = 7
    OCCLUDER = 8


class Canvas:
    """A picture under construction.

    Attributes:
        image: (h, w, 3) float32 RGB, 0 to 1.
        layers: (h, w) uint8, the `Layer` on top.
        light: direction towards the light in the image plane (x right, y down), length up to 1.
    """

    def __init__(self, background: NDArray[np.float32], light: tuple[float, float], rng: np.random.Generator) -> None:
        """Start from a background.

        Args:
            background: (h, w, 3) RGB, 0 to 1; taken over, not copied.
            light: direction towards the light in the image plane (x right, y down), length up to 1.
            rng: draws the creases that every cloth shows.
        """
        self.image = background
        self.layers: NDArray[np.uint8] = np.zeros(background.shape[:2], dtype=np.uint8)
        self.light = light
        self._creases = crease_field(background.shape[:2], rng)

    def solid(self, sections: ArrayLike, colour: Colour | Texture, layer: Layer, creases: float = 0.22) -> None:
        """Paint a rounded solid strung along cross-sections.

        Args:
            sections: (k, 4), each the ellipse x, y, half width, half height in pixels; neighbours are
                joined by their convex hull.
            colour: one colour, or a texture along the axis from first to last section.
            layer: what the covered pixels show afterwards.
            creases: strength of the cloth's folds, 0 for skin.
        """
        ellipses = np.asarray(sections, dtype=np.float64).reshape(-1, 4)
        outlines = ellipses[:, None, :2] + ellipses[:, None, 2:] * _CIRCLE
        if len(outlines) == 1:
            self.shape(list(outlines), colour, layer, creases=creases)
            return
        pieces = [np.concatenate(pair) for pair in pairwise(outlines)]
        axis = (ellipses[0, :2], ellipses[-1, :2])
        self.shape([_hull(piece) for piece in pieces], colour, layer, axis=axis, creases=creases)

    def shape(
        self,
        polygons: list[NDArray[np.float64]],
        colour: Colour | Texture,
        layer: Layer,
        *,
        axis: tuple[NDArray[np.float64], NDArray[np.float64]] | None = None,
        creases: float = 0.0,
        relief: float = 1.0,
    ) -> None:
        """Paint the union of convex polygons, each (k, 2) continuous pixels, as one rounded body."""
        window = self._window(np.concatenate(polygons))
        if window is None:
            return
        rows, columns = window
        mask = np.zeros((rows.stop - rows.start, columns.stop - columns.start), dtype=np.uint8)
        for polygon in polygons:
            # Pixel centres are at half-integers here and at integers in OpenCV.
            local = (polygon - [columns.start + 0.5, rows.start + 0.5]) * (1 << _SUBPIXEL_BITS)
            cv2.fillConvexPoly(mask, np.rint(local).astype(np.int32), 1, shift=_SUBPIXEL_BITS)
        inside = mask.astype(bool)
        if not inside.any():
            return
        if callable(colour):
            start, end = axis if axis is not None else (polygons[0].mean(axis=0), polygons[0][0])
            paint = colour(*_along(rows, columns, start, end))
        else:
            paint = np.broadcast_to(np.asarray(colour, dtype=np.float32), (*mask.shape, 3))
        shade = self._shade(mask, relief) + creases * self._creases[rows, columns]
        cv2.copyTo(paint * shade[..., None], mask, self.image[rows, columns])
        self.layers[rows, columns][inside] = layer

    def line(self, start: ArrayLike, end: ArrayLike, width: float, colour: Colour) -> None:
        """Paint a flat stroke on top of whatever is there, without changing the layer."""
        ends = np.asarray([start, end], dtype=np.float64)
        a, b = np.rint((ends - 0.5) * (1 << _SUBPIXEL_BITS)).astype(int).tolist()
        cv2.line(self.image, a, b, colour, max(1, round(width)), cv2.LINE_AA, _SUBPIXEL_BITS)

    def _window(self, points: NDArray[np.float64]) -> tuple[slice, slice] | None:
        height, width = self.layers.shape
        x0, y0 = np.maximum(np.floor(points.min(axis=0)).astype(int) - 2, 0)
        x1, y1 = np.minimum(np.ceil(points.max(axis=0)).astype(int) + 2, [width, height])
        return (slice(int(y0), int(y1)), slice(int(x0), int(x1))) if x1 > x0 and y1 > y0 else None

    def _shade(self, mask: NDArray[np.uint8], relief: float) -> NDArray[np.float32]:
        """Light on a surface that bulges towards the viewer in the middle of the mask."""
        depth = cv2.distanceTransform(mask, cv2.DIST_L2, 3)
        radius = max(float(depth.max()), 1.0)
        rise = np.minimum(depth / radius, 1.0)
        bulge = cv2.blur(np.sqrt(rise * (2.0 - rise)), (5, 5))
        slope_x = cv2.Sobel(bulge, cv2.CV_32F, 1, 0, scale=radius / 8)
        slope_y = cv2.Sobel(bulge, cv2.CV_32F, 0, 1, scale=radius / 8)
        towards = -np.clip(slope_x * self.light[0] + slope_y * self.light[1], -1.0, 1.0)
        return np.asarray(1.0 - relief * (0.34 - 0.34 * bulge - 0.2 * towards), dtype=np.float32)


def crease_field(shape: tuple[int, int], rng: np.random.Generator) -> NDArray[np.float32]:
    """(h, w) smooth noise of about unit size whose features are longer across than they are high."""
    height, width = shape
    field = np.zeros(shape, dtype=np.float32)
    for cell_y, cell_x, weight in ((40, 30, 0.7), (16, 20, 0.5), (4, 5, 0.2)):
        coarse = rng.standard_normal((height // cell_y + 2, width // cell_x + 2), dtype=np.float32)
        field += weight * cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.asarray(0.3 * field, dtype=np.float32)


def _hull(points: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(cv2.convexHull(points.astype(np.float32))[:, 0], dtype=np.float64)


def _along(
    rows: slice, columns: slice, start: NDArray[np.float64], end: NDArray[np.float64]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Coordinates of the window's pixels across and along an axis."""
    direction = (end - start) / max(float(np.linalg.norm(end - start)), 1e-6)
    x = np.arange(columns.start, columns.stop, dtype=np.float32)[None, :] + np.float32(0.5 - start[0])
    y = np.arange(rows.start, rows.stop, dtype=np.float32)[:, None] + np.float32(0.5 - start[1])
    dx, dy = np.float32(direction[0]), np.float32(direction[1])
    return x * dy - y * dx, x * dx + y * dy
