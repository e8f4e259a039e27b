"""A sample, and the layout of a shard file, which docs/shards-format.md describes for other readers.

Per sample the encoded images lie one after the other in `images`: whole body, the four parts, and the plain image if
asked for. Image k of sample i is `images[offsets[i * per_sample + k] : offsets[i * per_sample + k + 1]]`.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from reidprep.alignment.align import Flag
from reidprep.skeleton import PARTS
from reidprep.store.hdf5 import Schema, hdf5_bytes
from reidprep.text import counted

View = Literal["whole", "parts", "image"]
"""What a sample shows: the aligned whole body, its four parts, or the plain resized image."""
VIEWS: tuple[View, ...] = get_args(View)


@dataclass(frozen=True, eq=False)
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

    Example:
        >>> from reidprep import ShardSet
        >>> sample = ShardSet.open("shards", "train")[0]
        >>> sample
        Sample(bounding_box_train/0002_c1s1_000451_01.jpg, pid 2, camid 1, whole 192x96, ... filled)
        >>> sample.parts.shape  # head, upper body, upper leg, lower leg
        (4, 60, 120, 3)
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

    def __repr__(self) -> str:
        height, width = self.whole.shape[:2]
        doubts = "".join(f", {flag.name}" for flag in Flag if flag in self.flags)
        return (
            f"Sample({self.path}, pid {self.pid}, camid {self.camid}, whole {height}x{width}, "
            f"{counted(int(self.filled.sum()), 'joint', 'joints')} filled{doubts})"
        )


Size = tuple[int, int]
"""Height and width."""

SCHEMA = Schema("reidprep.shards", 1)
ENCODINGS = ("jpeg", "raw")

STRINGS = ("paths",)
# Columns that are not strings: dtype and shape of one row.
COLUMNS: dict[str, tuple[type[np.generic], tuple[int, ...]]] = {
    "pids": (np.int64, ()),
    "camids": (np.int64, ()),
    "sequences": (np.int64, ()),
    "frames": (np.int64, ()),
    "joints": (np.float32, (18, 3)),
    "joints_filled": (np.float32, (18, 2)),
    "filled": (np.bool_, (18,)),
    "boxes": (np.float32, (1 + len(PARTS), 4)),
    "residuals": (np.float32, ()),
    "flags": (np.int32, ()),
}
# The same of columns that older shards do not have.
LATER_COLUMNS: dict[str, tuple[type[np.generic], tuple[int, ...]]] = {"image_sizes": (np.int32, (2,))}

# Where a view's images are among those of a sample.
POSITIONS: dict[View, range] = {
    "whole": range(1),
    "parts": range(1, 1 + len(PARTS)),
    "image": range(1 + len(PARTS), 2 + len(PARTS)),
}


def full_sizes(plan: Mapping[str, Any]) -> dict[View, Size]:
    """Size that each view was asked for at, which is the network's; without those that are not stored."""
    sizes = {"whole": plan["whole_size"], "parts": plan["part_size"], "image": plan["image_size"]}
    return {view: _size(sizes[view]) for view in VIEWS if sizes[view] is not None}


def stored_sizes(plan: Mapping[str, Any]) -> dict[View, Size]:
    """Size at which each view is stored; without those that are not."""
    full = full_sizes(plan)
    stored = plan.get("stored_sizes")  # not there in shards of before there was a choice
    return full if stored is None else {view: _size(stored[view]) for view in full}


def _size(pair: Sequence[int]) -> Size:
    height, width = pair
    return int(height), int(width)


def image_shapes(plan: Mapping[str, Any]) -> list[tuple[int, int, int]]:
    """Shapes of a sample's images, in the order they are stored."""
    return [(*size, 3) for view, size in stored_sizes(plan).items() for _ in POSITIONS[view]]


def shard_bytes(
    columns: Mapping[str, NDArray[Any]], samples: Sequence[Sequence[bytes]], plan: Mapping[str, Any]
) -> bytes:
    """A shard file.

    Args:
        columns: all of `STRINGS` and `COLUMNS`, and those of `LATER_COLUMNS` that are known, n rows each.
        samples: per row the encoded images, in the order of `image_shapes`.
        plan: the parameters that shaped it.
    """
    arrays: dict[str, Any] = {name: list(columns[name]) for name in STRINGS}
    known = {name: kind for name, kind in LATER_COLUMNS.items() if name in columns}
    for name, (dtype, shape) in {**COLUMNS, **known}.items():
        arrays[name] = np.asarray(columns[name], dtype).reshape(len(samples), *shape)
    lengths = [len(image) for images in samples for image in images]
    arrays["offsets"] = np.cumsum([0, *lengths]).astype(np.uint64)
    arrays["crc32"] = np.array([zlib.crc32(b"".join(images)) for images in samples], dtype=np.uint32)
    arrays["images"] = np.frombuffer(b"".join(image for images in samples for image in images), dtype=np.uint8)
    return hdf5_bytes(SCHEMA, plan, arrays)
