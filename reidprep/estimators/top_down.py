"""Top-down pose networks, as mmpose defines them: the image as the network sees it, and its answers back in the image.

Coordinates are mmpose's own, in the image and in the network's input, so that joints are those it gives.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

PADDING = 1.25
"""mmpose's usual size of the region around a person's box, relative to the box."""

SIMCC_SCORES = ("lower of the two SimCC maxima at the joint as the network gives them, not a probability", 0.4)
HEAT_MAP_SCORES = ("heat map value at the joint, about 0 to 1", 0.3)
"""Meaning of the scores, and the score from which a joint counts as found (docs/estimators.md)."""


def region_size(image_size: tuple[int, int], input_size: tuple[int, int], padding: float) -> tuple[float, float]:
    """What the network sees of an image that shows one person: a region around its centre, larger than the image.

    Args:
        image_size: (height, width).
        input_size: (height, width) of the network's input, whose shape the region has.
        padding: its size relative to the image, in the direction where the image fills it more.

    Returns:
        (height, width) of the region in source pixels.
    """
    # In single precision, as mmpose: other roundings change pixels of the warp by a grey level.
    height, width = (float(np.float32(side) * np.float32(padding)) for side in image_size)
    aspect = input_size[1] / input_size[0]
    return (width / aspect, width) if width > height * aspect else (height, height * aspect)


def warp(image: NDArray[np.uint8], input_size: tuple[int, int], padding: float = PADDING) -> NDArray[np.uint8]:
    """Bring an image to the size of the network's input, aspect kept, black around it.

    Args:
        image: (h, w, 3) uint8.
        input_size: (height, width).
        padding: see `region_size`.

    Returns:
        (height, width, 3) uint8, bilinear.
    """
    height, width = input_size
    half = region_size(image.shape[:2], input_size, padding)[1] / 2
    x, y = image.shape[1] / 2, image.shape[0] / 2
    # By three points, as mmpose; see `region_size`.
    source = np.array([[x, y], [x - half, y], [x - half, y + half]], dtype=np.float32)
    target = np.array([[width, height], [0, height], [0, height + width]], dtype=np.float32) / 2
    matrix = cv2.getAffineTransform(source, target)
    warped = cv2.warpAffine(image, matrix, (width, height), flags=cv2.INTER_LINEAR)
    return warped.astype(np.uint8, copy=False)


def to_image(
    points: NDArray[np.floating], image_size: tuple[int, int], input_size: tuple[int, int], padding: float = PADDING
) -> NDArray[np.float64]:
    """Points of the network's input -> points of the image.

    Args:
        points: (..., 2) of x, y in pixels of the input.
        image_size: (height, width).
        input_size: (height, width).
        padding: see `region_size`.
    """
    region = np.array(region_size(image_size, input_size, padding)[::-1])
    corner = (np.array(image_size[::-1]) - region) / 2
    result: NDArray[np.float64] = points / np.array(input_size[::-1]) * region + corner
    return result


def decode_simcc(x: NDArray[np.floating], y: NDArray[np.floating], input_size: tuple[int, int]) -> NDArray[np.float32]:
    """Joints from SimCC's two rows of bins per joint: the highest bin of each, with the lower of their values as score.

    SimCC: Li et al., ECCV 2022; the score is RTMPose's (Jiang et al., 2023).

    Args:
        x: (n, k, bins along the width), a whole or fractional number of bins to a pixel.
        y: (n, k, bins along the height).
        input_size: (height, width) of the network's input.

    Returns:
        (n, k, 3) of x, y in pixels of the input, score.
    """
    height, width = input_size
    return np.stack(
        [
            x.argmax(axis=2) * (width / x.shape[2]),
            y.argmax(axis=2) * (height / y.shape[2]),
            np.minimum(x.max(axis=2), y.max(axis=2)),
        ],
        axis=-1,
    ).astype(np.float32)


def decode_heat_maps(maps: NDArray[np.floating], input_size: tuple[int, int]) -> NDArray[np.float32]:
    """Joints from heat maps: the highest cell, moved a quarter of a cell towards the higher of its neighbours.

    As in Newell et al., ECCV 2016, with mmpose's rule for the edge: a cell there is not moved across it, nor is one of
    the second row or column towards either side.

    Args:
        maps: (n, k, rows, columns).
        input_size: (height, width) of the network's input.

    Returns:
        (n, k, 3) of x, y in pixels of the input, score (the value of the highest cell).
    """
    n, k, rows, columns = maps.shape
    flat = maps.reshape(n, k, -1)
    best = flat.argmax(axis=2)
    row, column = best // columns, best % columns
    image, joint = np.arange(n)[:, None], np.arange(k)

    left, right = (maps[image, joint, row, np.clip(column + step, 0, columns - 1)] for step in (-1, 1))
    above, below = (maps[image, joint, np.clip(row + step, 0, rows - 1), column] for step in (-1, 1))
    move_x = (column > 1) & (column < columns - 1) & (row > 0)
    move_y = (row > 1) & (row < rows - 1) & (column > 0)
    x = column + 0.25 * np.sign(right - left) * move_x
    y = row + 0.25 * np.sign(below - above) * move_y
    score = flat.max(axis=2)
    height, width = input_size
    return np.stack([x * (width / columns), y * (height / rows), score], axis=-1).astype(np.float32)
