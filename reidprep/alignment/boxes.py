"""Body and part boxes of the attention-driven paper (section 3.2, Eq. 1-2).

Coordinates are continuous source pixels, (0, 0) the top-left corner of the image; boxes are (x0, y0, x1, y1).
Box 0 is the whole body, boxes 1-4 are the parts in the order of `reidprep.skeleton.PARTS`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from reidprep.skeleton import PARTS, REGIONS

DEFAULT_BETA = 3 / 48
"""Overlap of neighbouring parts as a fraction of H: best of the paper's Table 11 (its text says 1/10)."""

# A re-identification crop was cut around its person, so a body far smaller, larger or farther off than the
# image is a wrong pose, and the whole image is the better guess. The limits are wide because true extremes
# exist: in the 12,936 training images of Market-1501, H is 0.48 to 2.1 image heights (small children to
# people cut off at the hips), and at least 0.22 of the box lies inside the image.
MIN_HEIGHT = 0.25
MIN_VISIBLE = 0.1
"""Least share of the whole-body box's area that must lie inside the image."""


def body_boxes(
    joints: ArrayLike, image_sizes: ArrayLike, *, beta: float = DEFAULT_BETA
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    r"""Boxes around the body and its four parts, from complete joints (paper 1, Eq. 1-2).

    With y downwards, P1 the head joints, P4 the lower-leg joints and b = beta H::

        top    = 2 min(y in P1) - max(y in P1)
        bottom = 4/3 max(y in P4) - 1/3 min(y in P4)
        H      = bottom - top
        x_c    = mean of x over all 18 joints
        x_l    = min(x_c - H/4, min x)        x_r = max(x_c + H/4, max x)

        R0 whole body              (x_l, top,               x_r, bottom)
        R1 head                    (x_l, top,               x_r, max(y in P1) + b)
        R2 upper body, R3 upper leg  (x_l, min(y in Pi) - b,  x_r, max(y in Pi) + b)
        R4 lower leg               (x_l, min(y in P4) - b,  x_r, bottom)

    Boxes may leave the image. A row is degenerate, and gets `strip_boxes`, when its joints are not finite,
    when H is less than `MIN_HEIGHT` image heights (a body upside down has H < 0), when less than
    `MIN_VISIBLE` of its whole-body box lies inside the image, when a part reaches more than H above or
    below the whole body (a raised arm does not), or when a box would have no height.

    Args:
        joints: (n, 18, 2) of x, y.
        image_sizes: (n, 2) of width, height, both positive.
        beta: half the overlap of neighbouring parts as a fraction of H, at least 0.

    Returns:
        Boxes (n, 5, 4) float32, each wider and higher than nothing, and the degenerate rows (n,) bool.

    Raises:
        ValueError: a shape does not fit, a size is not positive, or beta is negative or not finite.

    Example:
        >>> from reidprep import align, body_boxes, create_estimator, read_image
        >>> image = read_image("person.jpg")
        >>> sizes = [image.shape[1::-1]]
        >>> joints = align(create_estimator()(image), sizes).joints  # complete
        >>> boxes, degenerate = body_boxes(joints, sizes, beta=1 / 10)
        >>> boxes.shape, degenerate.tolist()
        ((1, 5, 4), [False])
    """
    points = np.asarray(joints, dtype=np.float64)
    fallback = strip_boxes(image_sizes)
    if points.shape != (len(fallback), 18, 2):
        raise ValueError(f"joints have shape (n, 18, 2) with a row per image size, not {points.shape}")
    if not 0 <= beta < np.inf:
        raise ValueError(f"beta is a fraction of the body height, 0 or more, not {beta}")

    with np.errstate(all="ignore"):  # rows with NaN or huge joints are replaced below
        boxes = _boxes(points, beta)
        degenerate = ~_plausible(boxes, np.asarray(image_sizes, dtype=np.float64))
        result = boxes.astype(np.float32)
        # The last word is on what is returned: float32 can round a thin part away.
        degenerate |= ~(result[..., 2:] > result[..., :2]).all(axis=(1, 2))
    result[degenerate] = fallback[degenerate]
    return result, degenerate


def strip_boxes(image_sizes: ArrayLike) -> NDArray[np.float32]:
    """The papers' baseline alignment: the whole image and four equal horizontal strips.

    Args:
        image_sizes: (n, 2) of width, height, both positive.

    Returns:
        (n, 5, 4) float32.

    Raises:
        ValueError: the array is not (n, 2), or a size is not positive and finite.
    """
    sizes = np.asarray(image_sizes, dtype=np.float32)
    if sizes.ndim != 2 or sizes.shape[1] != 2:
        raise ValueError(f"image sizes have shape (n, 2), not {sizes.shape}")
    if not ((sizes > 0) & (sizes < np.inf)).all():
        raise ValueError("image sizes are positive and finite")
    boxes = np.zeros((len(sizes), 1 + len(PARTS), 4), dtype=np.float32)
    boxes[:, :, 2] = sizes[:, None, 0]
    boxes[:, 0, 3] = sizes[:, 1]
    edges = np.linspace(0, 1, len(PARTS) + 1, dtype=np.float32) * sizes[:, 1:]
    boxes[:, 1:, 1], boxes[:, 1:, 3] = edges[:, :-1], edges[:, 1:]
    return boxes


def _boxes(points: NDArray[np.float64], beta: float) -> NDArray[np.float64]:
    x, y = points[..., 0], points[..., 1]
    part_y = [y[:, REGIONS[part]] for part in PARTS]
    low = np.stack([part.min(axis=1) for part in part_y], axis=1)
    high = np.stack([part.max(axis=1) for part in part_y], axis=1)
    head, lower_leg = PARTS.index("head"), PARTS.index("lower_leg")
    top = 2 * low[:, head] - high[:, head]
    bottom = (4 * high[:, lower_leg] - low[:, lower_leg]) / 3
    body_height = bottom - top
    centre = x.mean(axis=1)

    boxes = np.empty((len(points), 1 + len(PARTS), 4))
    boxes[..., 0] = np.minimum(centre - body_height / 4, x.min(axis=1))[:, None]
    boxes[..., 2] = np.maximum(centre + body_height / 4, x.max(axis=1))[:, None]
    overlap = beta * body_height[:, None]
    boxes[:, 1:, 1] = low - overlap
    boxes[:, 1:, 3] = high + overlap
    boxes[:, [0, 1 + head], 1] = top[:, None]
    boxes[:, [0, 1 + lower_leg], 3] = bottom[:, None]
    return boxes


def _plausible(boxes: NDArray[np.float64], sizes: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Rows whose boxes are finite, of a believable height and largely enough in the image; NaN fails."""
    whole = boxes[:, 0]
    extent = whole[:, 2:] - whole[:, :2]
    inside = np.minimum(whole[:, 2:], sizes) - np.maximum(whole[:, :2], 0)
    visible = inside.clip(min=0).prod(axis=1) / extent.prod(axis=1)
    relative = extent[:, 1] / sizes[:, 1]
    reach = np.maximum(whole[:, 1] - boxes[..., 1].min(axis=1), boxes[..., 3].max(axis=1) - whole[:, 3])
    believable = (relative >= MIN_HEIGHT) & (visible >= MIN_VISIBLE) & (reach <= extent[:, 1])
    result: NDArray[np.bool_] = believable & np.isfinite(boxes).all(axis=(1, 2))
    return result
