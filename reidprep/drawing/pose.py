"""Draw joints and boxes over anybody's image."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from reidprep.drawing.raster import draw_scene
from reidprep.drawing.scene import HEIGHT, compose, view_around
from reidprep.errors import ReidError
from reidprep.skeleton import JOINTS

SMALLEST, LARGEST = 16, 4096
"""Sizes that a picture may have."""
FURTHEST = 10
"""How far from the image a box may reach, in longer sides of the image."""


def draw_pose(
    image: NDArray[np.uint8],
    joints: ArrayLike,
    boxes: ArrayLike | None = None,
    *,
    filled: ArrayLike | None = None,
    size: int = HEIGHT,
) -> NDArray[np.uint8]:
    """Draw a person's joints, skeleton and boxes over an image; the image itself is not changed.

    The picture shows the image and all boxes, enlarged or reduced, with room around them. A measured joint is a white
    disc, an estimate a pink ring; limbs are blue on the person's left, orange on the right, grey between, and thin
    where an end is an estimate. Five boxes are taken for those of a body: the whole in white, head in yellow, upper
    body in green, upper leg in red-orange, lower leg in violet-blue; as they share their sides, they are drawn a little
    inside of one another.

    Args:
        image: (h, w, 3) uint8 RGB.
        joints: (18, 2) of x, y in pixels of the image, or (18, 3) with a score, in the order of
            `reidprep.skeleton.JOINTS`. A joint that is not finite was not found and is left out; so is one whose score
            is 0 or less, unless it is `filled`.
        boxes: (n, 4) of left, top, right, bottom in pixels of the image, which they may leave; None for none.
        filled: (18,) bool, True where a joint is an estimate; None if none is.
        size: pixels of the longer side of the picture, 16 to 4096.

    Returns:
        (h', w', 3) uint8 RGB.

    Raises:
        ReidError: an array of another shape or type, a box without area or far from the image, or a size out of bounds.

    Example:
        >>> import numpy as np
        >>> from reidprep import draw_pose
        >>> image = np.full((128, 64, 3), 90, dtype=np.uint8)
        >>> joints = np.stack([np.linspace(20, 44, 18), np.linspace(10, 120, 18)], axis=1)
        >>> draw_pose(image, joints, boxes=[[10, 4, 54, 126]], size=256).shape
        (256, 128, 3)
    """
    picture = _picture(image)
    points = _numbers("joints", joints)
    if points.ndim != 2 or len(points) != len(JOINTS) or points.shape[1] not in (2, 3):
        raise ReidError(f"joints have shape {points.shape}; give (18, 2) of x, y, or (18, 3) with scores")
    estimates = np.zeros(len(JOINTS), dtype=np.bool_) if filled is None else np.asarray(filled)
    if estimates.shape != (len(JOINTS),) or estimates.dtype != np.bool_:
        raise ReidError(f"filled is {estimates.dtype} of shape {estimates.shape}; give bool of shape (18,)")
    corners = np.zeros((0, 4)) if boxes is None else _boxes(_numbers("boxes", boxes), max(picture.shape))
    if not SMALLEST <= size <= LARGEST:
        raise ReidError(f"a picture of {size} pixels; give {SMALLEST} to {LARGEST}")
    places = points[:, :2].copy()
    if points.shape[1] == 3:
        places[(points[:, 2] <= 0) & ~estimates] = np.nan
    frame = (0, 0, picture.shape[1], picture.shape[0])
    view = x0, y0, x1, y1 = view_around(frame, corners, places, aspect=None)
    height = size * min(1, (y1 - y0) / (x1 - x0))
    return draw_scene(compose(places, frame, filled=estimates, boxes=corners, view=view, height=height), picture)


def _picture(image: ArrayLike) -> NDArray[np.uint8]:
    array = _array("the image", image)
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != 3 or not array.size:
        raise ReidError(f"the image is {array.dtype} of shape {array.shape}; give uint8 of shape (h, w, 3), RGB")
    return np.ascontiguousarray(array)


def _numbers(name: str, values: ArrayLike) -> NDArray[np.float64]:
    array = _array(name, values)
    if array.dtype.kind not in "iuf":
        raise ReidError(f"{name} are {array.dtype}; give real numbers")
    return array.astype(np.float64)


def _array(name: str, values: ArrayLike) -> NDArray[Any]:
    try:
        return np.asarray(values)
    except (ValueError, TypeError) as error:
        raise ReidError(f"{name}: is no array ({str(error).splitlines()[0]})") from None


def _boxes(corners: NDArray[np.float64], longest: int) -> NDArray[np.float64]:
    if corners.ndim != 2 or corners.shape[1] != 4:
        raise ReidError(f"boxes have shape {corners.shape}; give (n, 4) of left, top, right, bottom")
    for number, box in enumerate(corners.tolist()):
        x0, y0, x1, y1 = box
        if not (x0 < x1 and y0 < y1):
            raise ReidError(f"box {number} is {box}; give left < right and top < bottom")
        if max(map(abs, box)) > FURTHEST * longest:
            raise ReidError(
                f"box {number} is {box}, far from this image of at most {longest} pixels; give its own boxes"
            )
    return corners
