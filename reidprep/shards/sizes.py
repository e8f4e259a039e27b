"""The sizes at which crops are stored: no larger than the source images can fill."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from reidprep.shards.format import POSITIONS, View
from reidprep.store.fields import Size

STEPS = 8
"""Stored sizes are multiples of this fraction of the full size, so that small changes to the poses change nothing."""
SHARE = 0.95
"""Share of the boxes that lose no resolution. The largest few would make all others several times as costly."""


def source_sizes(
    full: dict[View, Size], boxes: NDArray[np.float32], image_sizes: NDArray[np.int32]
) -> dict[View, Size]:
    """One stored size for each view that the source images can fill.

    It is the smallest multiple of an eighth of the full size at which 95 % of a view's boxes have no more source pixels
    than stored ones, neither in height nor in width; at most the full size.

    Args:
        full: the sizes asked for.
        boxes: (n, 5, 4) xyxy in source pixels: whole body and parts.
        image_sizes: (n, 2) width and height of the source images.
    """
    sides = boxes[..., 2:] - boxes[..., :2]
    sides = np.concatenate([sides, image_sizes[:, None].astype(sides.dtype)], axis=1)[..., ::-1]
    return {view: _capped(size, sides[:, list(POSITIONS[view])].reshape(-1, 2)) for view, size in full.items()}


def _capped(full: Size, sides: NDArray[np.float32]) -> Size:
    """The smallest eighth of `full` that is enough for 95 % of (n, 2) heights and widths; at most all of it."""
    # Both sides share one fraction: parts and whole keep their proportions.
    needed = (sides / np.array(full, dtype=sides.dtype)).max(axis=1)
    # The inverted CDF is a value that occurs, so that a single size among the sources is met exactly.
    fraction = float(np.quantile(needed, SHARE, method="inverted_cdf"))
    eighths = min(max(int(np.ceil(STEPS * fraction)), 1), STEPS)
    height, width = (-(-side * eighths // STEPS) for side in full)
    return height, width
