"""The poses of images, and the layout of a pose file (docs/poses-format.md)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reidprep.errors import ReidError
from reidprep.store.hdf5 import DAMAGE, Schema, hdf5_bytes, open_hdf5, read_strings
from reidprep.text import counted

SCHEMA = Schema("reidprep.poses", 1)


@dataclass(frozen=True)
class Poses:
    """The estimated poses of n images.

    Attributes:
        paths: (n,) str, relative POSIX paths below the source.
        pids: (n,) int64.
        camids: (n,) int64.
        splits: (n,) str, train, query or gallery.
        sequences: (n,) int64, -1 where unknown.
        frames: (n,) int64, -1 where unknown.
        joints: (n, 18, 3) float32, x and y in source pixels, score on the estimator's scale.
        image_sizes: (n, 2) int32, width and height in pixels.
        channel_means: (n, 3) float32, mean red, green and blue of each image, 0 to 255.
    """

    paths: NDArray[np.str_]
    pids: NDArray[np.int64]
    camids: NDArray[np.int64]
    splits: NDArray[np.str_]
    sequences: NDArray[np.int64]
    frames: NDArray[np.int64]
    joints: NDArray[np.float32]
    image_sizes: NDArray[np.int32]
    channel_means: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.paths)

    def __repr__(self) -> str:
        return f"Poses({counted(len(self), 'image', 'images')})"


STRINGS = ("paths", "splits")
# Columns that are not strings: dtype and shape of one row.
COLUMNS: dict[str, tuple[type[np.generic], tuple[int, ...]]] = {
    "pids": (np.int64, ()),
    "camids": (np.int64, ()),
    "sequences": (np.int64, ()),
    "frames": (np.int64, ()),
    "joints": (np.float32, (18, 3)),
    "image_sizes": (np.int32, (2,)),
    "channel_means": (np.float32, (3,)),
}


def poses_bytes(poses: Poses, plan: Mapping[str, Any]) -> bytes:
    """The part file that holds `poses`."""
    columns = {name: list(getattr(poses, name)) for name in STRINGS}
    arrays = {
        name: np.asarray(getattr(poses, name), dtype).reshape(len(poses), *shape)
        for name, (dtype, shape) in COLUMNS.items()
    }
    return hdf5_bytes(SCHEMA, plan, {**columns, **arrays})


def read_poses(path: Path) -> Poses:
    """Read one part file.

    Raises:
        ReidError: missing, damaged, of another schema, or with columns of other shapes.
    """
    try:
        with open_hdf5(path, SCHEMA) as file:
            columns: dict[str, NDArray[Any]] = {name: read_strings(file[name]) for name in STRINGS}
            columns |= {name: file[name][:] for name in COLUMNS}
    except DAMAGE as error:
        raise ReidError(f"{path}: damaged pose file ({error}); run 'reidprep verify'") from None
    rows = len(columns["paths"])
    for name, (dtype, shape) in COLUMNS.items():
        if columns[name].dtype != dtype or columns[name].shape != (rows, *shape):
            raise ReidError(
                f"{path}: column {name} is {columns[name].dtype}{columns[name].shape}, "
                f"expected {np.dtype(dtype)}{(rows, *shape)}"
            )
    return Poses(**columns)


def take(poses: Poses, rows: NDArray[np.int64]) -> Poses:
    """Some rows of `poses`."""
    return Poses(**{name: getattr(poses, name)[rows] for name in Poses.__dataclass_fields__})


def concatenate(pieces: Sequence[Poses]) -> Poses:
    """Poses one after the other; at least one piece."""
    return Poses(
        **{name: np.concatenate([getattr(piece, name) for piece in pieces]) for name in Poses.__dataclass_fields__}
    )
