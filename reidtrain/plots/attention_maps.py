"""Attention maps as heat over the image: stretched to one range, parts put back where they were cut."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

HEAT_SHARE = 0.6
"""How much of an overlay is heat; the rest is the image, in grey."""


FLAT = 1e-3
"""A map whose values differ by no more of the largest is drawn in one colour: stretched, it would show rounding."""


def stretch(attention: NDArray[Any]) -> NDArray[np.float32]:
    """Stretch a map to 0 to 1, its own lowest and highest value; nan stays nan.

    Args:
        attention: (h, w) of any range.

    Returns:
        (h, w) float32; zeros where all values are equal to a thousandth, as such a map prefers no place.
    """
    values = attention.astype(np.float32)
    low, high = (float(bound(values)) for bound in (np.nanmin, np.nanmax))
    if high - low <= FLAT * max(abs(low), abs(high)):
        return values * 0  # nan stays
    return (values - low) / (high - low)


def fuse_parts(
    maps: Sequence[NDArray[Any]], boxes: ArrayLike, whole: ArrayLike, size: tuple[int, int]
) -> NDArray[np.float32]:
    """Put the maps of part crops back where the parts lie in the whole-body crop.

    Where parts overlap, each counts by how far the place is from the upper or lower edge of its box, so that one
    passes into the next without a seam.

    Args:
        maps: of p parts, (h, w) each.
        boxes: (p, 4) xyxy, where each part was cut, in the coordinates of `whole`.
        whole: (4,) xyxy, where the whole-body crop was cut.
        size: (height, width) of the result.

    Returns:
        (height, width) float32, nan where no part is.
    """
    height, width = size
    x0, y0, x1, y1 = np.asarray(whole, dtype=np.float64)
    ys = y0 + (np.arange(height) + 0.5) * (y1 - y0) / height
    xs = x0 + (np.arange(width) + 0.5) * (x1 - x0) / width
    total = np.zeros(size, dtype=np.float64)
    weights = np.zeros(size, dtype=np.float64)
    for attention, (left, top, right, bottom) in zip(maps, np.asarray(boxes, dtype=np.float64), strict=True):
        inside = np.minimum(ys - top, bottom - ys).clip(min=0)[:, None] * ((xs > left) & (xs < right))
        rows, columns = attention.shape
        down = ((ys - top) / (bottom - top) * rows - 0.5).astype(np.float32)
        across = ((xs - left) / (right - left) * columns - 0.5).astype(np.float32)
        at_x, at_y = np.meshgrid(across, down)
        values = attention.astype(np.float32)
        placed = cv2.remap(values, at_x, at_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        total += inside * placed
        weights += inside
    fused = np.full(size, np.nan, dtype=np.float32)
    np.divide(total, weights, out=fused, where=weights > 0, casting="same_kind")
    return fused


def overlay(image: NDArray[np.uint8], attention: NDArray[Any]) -> NDArray[np.uint8]:
    """Lay heat over a grey copy of the image, dark where the map is low and bright where it is high.

    Args:
        image: (height, width, 3) uint8 RGB.
        attention: (h, w), 0 to 1, resized to the image; nan leaves the grey image as it is.

    Returns:
        (height, width, 3) uint8 RGB.
    """
    height, width = image.shape[:2]
    known = np.isfinite(attention)
    values = cv2.resize(
        np.where(known, attention, 0).astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR
    )
    covered = cv2.resize(known.astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST)
    heat = heat_colours()[np.rint(values.clip(0, 1) * 255).astype(np.uint8)]
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None].astype(np.float32)
    share = HEAT_SHARE * covered[..., None]
    mixed: NDArray[np.uint8] = np.rint(share * heat + (1 - share) * grey).astype(np.uint8)
    return mixed


@lru_cache
def heat_colours() -> NDArray[np.uint8]:
    """(256, 3) RGB from low to high, OpenCV's `inferno`: evenly brighter, also in grey and to the colour-blind."""
    ramp = np.arange(256, dtype=np.uint8)[:, None]
    return np.asarray(cv2.applyColorMap(ramp, cv2.COLORMAP_INFERNO)[:, 0, ::-1], np.uint8)
