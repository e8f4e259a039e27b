"""What every export takes and gives; numbers in JSON that read back as the same float32."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reidprep.errors import ReidError
from reidprep.files import file_sha256
from reidprep.poses.format import POSES
from reidprep.shards.format import SHARDS
from reidprep.shards.reader import ShardSet
from reidprep.store.manifest import Format, read_manifest

FORMATS: Mapping[str, Format[Any, Any, Any]] = {
    "coco": POSES,
    "openpose": POSES,
    "openpifpaf": POSES,
    "webdataset": SHARDS,
    "images": SHARDS,
}
"""The formats, and the kind of directory that each is made from."""


@dataclass(frozen=True)
class Exported:
    """What was written.

    Attributes:
        out: the file or folder.
        images: images by split.
        files: number of files, a manifest not counted.
        bytes: their size.
        notes: what is to be said about it.
    """

    out: Path
    images: Mapping[str, int]
    files: int
    bytes: int
    notes: tuple[str, ...] = ()


def check_kind(path: Path, format: str) -> None:
    """Make sure that a directory is of the kind that a format is made from.

    Raises:
        ReidError: it is not, or neither poses nor shards.
    """
    schema = read_manifest(path, POSES, SHARDS).schema
    if schema != FORMATS[format].schema:
        kind, other = (wanted.name.removeprefix("reidprep.") for wanted in (FORMATS[format].schema, schema))
        possible = " or ".join(f"--format {name}" for name, wanted in FORMATS.items() if wanted.schema == schema)
        raise ReidError(
            f"{path}: holds {other}, but --format {format} takes {kind}; use {possible}, or give the {kind}"
        )


def check_shards(sets: Iterable[ShardSet]) -> None:
    """Raise if a shard is not the one that its manifest lists: no checksum but this covers the labels."""
    for shards in sets:
        for file in shards.files:
            path = shards.path / file.name
            if path.exists() and file_sha256(path) != file.sha256:
                raise ReidError(
                    f"{path}: is damaged or was changed (its SHA-256 differs from the manifest); "
                    "'reidprep verify' finds the row, the same build-shards command makes the file anew"
                )


def exact(values: NDArray[np.float32]) -> Any:
    """Nested lists of the shortest decimals that give `values` again when read as float32; None where not finite."""
    short = values.astype(np.str_).astype(np.float64)
    # A decimal is the nearest to its float32; read as a float64 first, it might in theory round to the neighbour.
    decimals = np.where(short.astype(np.float32) == values, short, values.astype(np.float64))
    boxed = decimals.astype(np.object_)
    boxed[~np.isfinite(values)] = None
    return boxed.tolist()
