"""Cut boxes out of images.

Coordinates are continuous source pixels: the image covers [0, width] x [0, height], so pixel (0, 0) has its
centre at (0.5, 0.5). Boxes are (x0, y0, x1, y1) and may leave the image.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray


def crop_box(
    image: NDArray[np.uint8], box: ArrayLike, size: tuple[int, int], border: Sequence[float]
) -> NDArray[np.uint8]:
    """Resample what a box covers to a fixed size; what lies outside the image gets the border colour.

    Args:
        image: (h, w, 3) uint8.
        box: (x0, y0, x1, y1), x1 > x0 and y1 > y0, sub-pixel positions honoured.
        size: (height, width) of the result.
        border: colour of three values 0 to 255, in the image's channel order.

    Returns:
        (height, width, 3) uint8, bilinear; averaged first where it shrinks by two or more.
    """
    x0, y0, x1, y1 = np.asarray(box, dtype=np.float64)
    height, width = size
    image, shrink_x, shrink_y = _reduced(image, (x1 - x0) / width, (y1 - y0) / height)
    scale_x, scale_y = width / ((x1 - x0) * shrink_x), height / ((y1 - y0) * shrink_y)
    matrix = np.array(
        [
            [scale_x, 0, scale_x * (0.5 - x0 * shrink_x) - 0.5],
            [0, scale_y, scale_y * (0.5 - y0 * shrink_y) - 0.5],
        ]
    )
    crop = cv2.warpAffine(
        image,
        matrix,
        (width, height),
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=tuple(float(c) for c in border),
    )
    return crop.astype(np.uint8, copy=False)


def _reduced(image: NDArray[np.uint8], ratio_x: float, ratio_y: float) -> tuple[NDArray[np.uint8], float, float]:
    """Average an image down by whole factors where bilinear sampling would skip pixels."""
    factor_x, factor_y = max(1, int(ratio_x)), max(1, int(ratio_y))
    if factor_x == factor_y == 1:
        return image, 1.0, 1.0
    height, width = image.shape[:2]
    small = (max(1, round(width / factor_x)), max(1, round(height / factor_y)))
    reduced = cv2.resize(image, small, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
    return reduced, small[0] / width, small[1] / height
