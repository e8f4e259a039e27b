"""What every export takes and gives."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from reidprep.errors import ReidError
from reidprep.files import Schema
from reidprep.manifest import read_manifest
from reidprep.poses import SCHEMA as POSES
from reidprep.shards.format import SCHEMA as SHARDS

FORMATS: Mapping[str, Schema] = {"coco": POSES, "openpose": POSES, "webdataset": SHARDS}
"""The formats, and the kind of directory that each is made from."""

Progress = Callable[[int, int], None]
"""Called with the images done, and all images."""


@dataclass(frozen=True)
class Exported:
    """What was written.

    Attributes:
        out: the file or folder.
        images: images by split.
        files: number of files, a manifest not counted.
        bytes: their size.
    """

    out: Path
    images: Mapping[str, int]
    files: int
    bytes: int


def check_kind(path: Path, format: str) -> None:
    """Make sure that a directory is of the kind that a format is made from.

    Raises:
        ReidError: it is not, or neither poses nor shards.
    """
    schema = read_manifest(path, POSES, SHARDS).schema
    if schema != FORMATS[format]:
        kind, other = (wanted.name.removeprefix("reidprep.") for wanted in (FORMATS[format], schema))
        possible = " or ".join(f"--format {name}" for name, wanted in FORMATS.items() if wanted == schema)
        raise ReidError(
            f"{path}: holds {other}, but --format {format} takes {kind}; use {possible}, or give the {kind}"
        )
