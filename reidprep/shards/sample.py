"""One sample of a shard."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntFlag
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

View = Literal["whole", "parts", "image"]
"""What a sample shows: the aligned whole body, its four parts, or the plain resized image."""
VIEWS: tuple[View, ...] = get_args(View)


class Flag(IntFlag):
    """What is doubtful about a sample's alignment; several may be set."""

    FEW_JOINTS = 1
    """Too few joints were found to fit a canonical pose; an upright one was placed."""
    POOR_FIT = 2
    """The found joints lie far from every canonical pose."""
    DEGENERATE_BOXES = 4
    """The joints gave no usable boxes; fixed strips were used."""
    TRUNCATED = 8
    """The whole-body box leaves the image by more than a fifth of its height: feet or head are likely cut off."""


@dataclass(frozen=True)
class Sample:
    """One person image, aligned; heights and widths are `ShardSet.stored_sizes`.

    Attributes:
        whole: (height, width, 3) uint8 RGB, the whole-body crop.
        parts: (4, height, width, 3) uint8 RGB: head, upper body, upper leg, lower leg.
        image: (height, width, 3) uint8 RGB, the plain resized image, or None if the shards were built without.
        pid: person id, -1 for junk.
        camid: camera number.
        path: relative POSIX path of the source image.
        sequence: recording sequence, -1 where unknown.
        frame: frame number, -1 where unknown.
        joints: (18, 3) float32 as measured: x, y in source pixels, score.
        joints_filled: (18, 2) float32, missing joints estimated.
        filled: (18,) bool, True where `joints_filled` is an estimate.
        boxes: (5, 4) float32 xyxy in source pixels: whole body and the four parts; may leave the image.
        residual: distance of the found joints from the fitted canonical pose, as a fraction of body height.
        flags: what is doubtful.
    """

    whole: NDArray[np.uint8]
    parts: NDArray[np.uint8]
    image: NDArray[np.uint8] | None
    pid: int
    camid: int
    path: str
    sequence: int
    frame: int
    joints: NDArray[np.float32]
    joints_filled: NDArray[np.float32]
    filled: NDArray[np.bool_]
    boxes: NDArray[np.float32]
    residual: float
    flags: Flag
