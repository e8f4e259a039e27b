"""Read one shard file."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from reidprep.errors import ImageError, ReidError
from reidprep.images import decode_jpeg
from reidprep.shards.format import COLUMNS, LATER_COLUMNS, SHARDS, STRINGS
from reidprep.store.hdf5 import DAMAGE, open_hdf5, read_strings


@dataclass(frozen=True)
class OpenShard:
    """A shard file; its image bytes stay on disk.

    Attributes:
        file: the file.
        images: the bytes of all images.
        offsets: where each image begins, and where the last one ends.
        crc32: of the bytes of each row.
    """

    file: h5py.File
    images: h5py.Dataset
    offsets: NDArray[np.uint64]
    crc32: NDArray[np.uint32]

    @cached_property
    def columns(self) -> dict[str, NDArray[Any]]:
        """The columns by name, read when they are first asked for.

        Raises:
            ReidError: damaged, or columns of other shapes.
        """
        try:
            columns = {name: read_strings(self.file[name]) for name in STRINGS}
            kinds = {**COLUMNS, **{name: kind for name, kind in LATER_COLUMNS.items() if name in self.file}}
            columns |= {name: self.file[name][:] for name in kinds}
            rows = len(columns["paths"])
            for name, (dtype, shape) in kinds.items():
                if columns[name].dtype != dtype or columns[name].shape != (rows, *shape):
                    raise KeyError(f"column {name} is {columns[name].dtype}{columns[name].shape}")
            return columns
        except DAMAGE as error:
            raise _damaged(Path(self.file.filename), error) from None


def open_shard(path: Path) -> OpenShard:
    """Open a shard file.

    Raises:
        ReidError: missing, damaged or of another schema.
    """
    file = open_hdf5(path, SHARDS.schema)
    try:
        return OpenShard(file, file["images"], file["offsets"][:], file["crc32"][:])
    except DAMAGE as error:
        file.close()
        raise _damaged(path, error) from None


def _damaged(path: Path, error: Exception) -> ReidError:
    return ReidError(f"{path}: damaged shard ({error}); run 'reidprep verify'")


def read_images(
    images: h5py.Dataset,
    offsets: NDArray[np.uint64],
    crc32: NDArray[np.uint32],
    row: int,
    shapes: Sequence[tuple[int, int, int]],
    encoding: str,
    wanted: Iterable[int] | None = None,
) -> list[NDArray[np.uint8]]:
    """Read the images of one row with a single read, check all of them, and decode those wanted, None for all.

    Raises:
        ImageError: the bytes do not match their checksum, or are no image of the right shape.
    """
    stored = read_encoded(images, offsets, crc32, row, len(shapes))
    decoded = []
    for position in range(len(shapes)) if wanted is None else wanted:
        encoded, shape = stored[position], shapes[position]
        if encoding == "raw" and encoded.size != np.prod(shape):
            raise ImageError(f"{encoded.size} bytes for a raw image of shape {shape}")
        image = encoded.reshape(shape) if encoding == "raw" else decode_jpeg(encoded)
        if image.shape != shape:
            raise ImageError(f"an image of shape {image.shape} where {shape} belongs")
        decoded.append(image)
    return decoded


def read_encoded(
    images: h5py.Dataset, offsets: NDArray[np.uint64], crc32: NDArray[np.uint32], row: int, count: int
) -> list[NDArray[np.uint8]]:
    """Read the `count` images of one row with a single read, check all of them, and decode none.

    Raises:
        ImageError: the bytes do not match their checksum, or the row has none.
    """
    bounds = offsets[row * count : (row + 1) * count + 1].astype(np.int64)
    if len(bounds) != count + 1 or row >= len(crc32):
        raise ImageError("the offsets of the stored images end before this row")
    data = images[bounds[0] : bounds[-1]]
    if zlib.crc32(data) != crc32[row]:
        raise ImageError("the stored images do not match their checksum")
    starts = (bounds - bounds[0]).tolist()
    return [data[start:end] for start, end in pairwise(starts)]
