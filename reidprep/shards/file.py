"""Read one shard file."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from reidprep.errors import ImageError, ReidError, first_line
from reidprep.images import decode_jpeg
from reidprep.records import unsafe_rows
from reidprep.shards.format import COLUMNS, SHARDS
from reidprep.store.hdf5 import DAMAGE, open_hdf5, read_columns

_FARTHEST = 1e9


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
            ReidError: damaged, or a row that no command can use.
        """
        columns = read_columns(self.file, COLUMNS)
        for row, reason in unusable_rows(columns):
            raise ReidError(f"{self.file.filename}: row {row}: {reason}; make the shards again")
        return columns


def unusable_rows(columns: Mapping[str, NDArray[Any]]) -> Iterator[tuple[int, str]]:
    """The rows that no command can use, and why: what `build-shards` never writes."""
    yield from unsafe_rows(columns["paths"])
    boxes = columns["boxes"]
    for row in np.flatnonzero(~(np.abs(boxes) <= _FARTHEST).all(axis=(1, 2))).tolist():
        yield row, f"a box is not finite, or more than {_FARTHEST:g} pixels away"
    for row in np.flatnonzero((boxes[..., 2:] <= boxes[..., :2]).any(axis=(1, 2))).tolist():
        yield row, "a box is empty"


def open_shard(path: Path, rows: int) -> OpenShard:
    """Open a shard file.

    Args:
        path: the file.
        rows: samples it is to hold.

    Raises:
        ReidError: missing, damaged, of another schema, with other columns or another number of rows.
    """
    file = open_hdf5(path, SHARDS.schema, COLUMNS, rows)
    try:
        return OpenShard(file, file["images"], file["offsets"][:], file["crc32"][:])
    except DAMAGE as error:
        file.close()
        raise ReidError(f"{path}: damaged shard ({first_line(error)}); run 'reidprep verify'") from None


def read_images(
    images: h5py.Dataset,
    offsets: NDArray[np.uint64],
    crc32: NDArray[np.uint32],
    row: int,
    shapes: Sequence[tuple[int, int, int]],
    encoding: str,
    wanted: Mapping[int, NDArray[np.uint8]] | None = None,
) -> list[NDArray[np.uint8]]:
    """Read the images of one row with a single read, check all of them, and decode those wanted.

    Args:
        images: bytes of the images of a file, one after the other.
        offsets: where each begins.
        crc32: of each row.
        row: the row.
        shapes: of the images of a row.
        encoding: of the images.
        wanted: positions in a row, each with the contiguous array that its pixels are written to; None for new arrays
            of all.

    Raises:
        ImageError: the bytes do not match their checksum, or are no image of the right shape.
    """
    stored = read_encoded(images, offsets, crc32, row, len(shapes))
    decoded = []
    for position, out in (dict.fromkeys(range(len(shapes))) if wanted is None else wanted).items():
        encoded, shape = stored[position], shapes[position]
        if encoding == "raw" and encoded.size != np.prod(shape):
            raise ImageError(f"{encoded.size} bytes for a raw image of shape {shape}")
        image = encoded.reshape(shape) if encoding == "raw" else decode_jpeg(encoded, out)
        if image.shape != shape:
            raise ImageError(f"an image of shape {image.shape} where {shape} belongs")
        if encoding == "raw" and out is not None:
            out[:] = image
        decoded.append(image)
    return decoded


def read_encoded(
    images: h5py.Dataset, offsets: NDArray[np.uint64], crc32: NDArray[np.uint32], row: int, count: int
) -> list[NDArray[np.uint8]]:
    """Read the `count` images of one row with a single read, check all of them, and decode none.

    Raises:
        ImageError: the bytes do not match their checksum, or the row has none.
    """
    bounds = offsets[row * count : (row + 1) * count + 1].tolist()
    if len(bounds) != count + 1:
        raise ImageError("the offsets of the stored images end before this row")
    if bounds != sorted(bounds):
        raise ImageError("the offsets of the stored images are not in order")
    data = images[bounds[0] : bounds[-1]]
    if zlib.crc32(data) != crc32[row]:
        raise ImageError("the stored images do not match their checksum")
    return [data[start - bounds[0] : end - bounds[0]] for start, end in pairwise(bounds)]
