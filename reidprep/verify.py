"""Check a directory of parts against its manifest, down to single images."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from reidprep.errors import ImageError, ReidError
from reidprep.export.webdataset import SCHEMA as TARS
from reidprep.files import file_sha256
from reidprep.poses import format as poses
from reidprep.poses.format import read_poses
from reidprep.progress import Progress, unseen
from reidprep.shards import format as shards
from reidprep.shards.exclusions import EXCLUDE
from reidprep.shards.file import open_shard, read_images
from reidprep.store.manifest import JOURNAL, MANIFEST, Manifest, StoreFile, checked_fields, read_manifest


@dataclass(frozen=True)
class Fault:
    """Something wrong: in which file, at which row (None: the file as a whole), and what."""

    file: str
    row: int | None
    reason: str

    def __str__(self) -> str:
        where = self.file if self.row is None else f"{self.file}: row {self.row}"
        return f"{where}: {self.reason}"


def verify(path: Path, *, workers: int = 1, progress: Progress = unseen) -> list[Fault]:
    """Check hashes, row counts, column shapes, checksums and that every image decodes; of tar files the hashes.

    Args:
        path: pose or shard directory, or the tar files of `reidprep.export.webdataset`.
        workers: threads that decode.
        progress: called with rows checked and rows in all.

    Returns:
        The faults, in the order of the manifest; empty if all is well.

    Raises:
        ReidError: no readable manifest of a known version.
    """
    manifest = read_manifest(path, *_CHECKS)
    faults = [] if manifest.complete else [Fault(MANIFEST, None, "not complete; run the command again to finish")]
    check = _CHECKS[manifest.schema]
    done = 0
    with checked_fields(path), ThreadPoolExecutor(workers) as executor:
        for part in manifest.files:
            faults += _part_faults(path / part.name, part, lambda file, part: check(file, part, manifest, executor))
            done += part.rows
            progress(done, manifest.rows)
    named = {MANIFEST, JOURNAL, EXCLUDE, *(part.name for part in manifest.files)}
    faults += [
        Fault(name, None, "is not in the manifest") for name in sorted({entry.name for entry in path.iterdir()} - named)
    ]
    return faults


Check = Callable[[Path, StoreFile], Iterator[Fault]]


def _part_faults(file: Path, part: StoreFile, check: Check) -> list[Fault]:
    digest = file_sha256(file)
    if digest is None:
        return [Fault(part.name, None, "missing or unreadable")]
    faults = [Fault(part.name, None, "SHA-256 differs from the manifest")] if digest != part.sha256 else []
    try:
        return faults + list(check(file, part))
    except ReidError as error:
        return [*faults, Fault(part.name, None, str(error).removeprefix(f"{file}: "))]


def _row_count(part: StoreFile, rows: int) -> Iterator[Fault]:
    if rows != part.rows:
        yield Fault(part.name, None, f"holds {rows} rows, the manifest says {part.rows}")


def _pose_faults(file: Path, part: StoreFile, manifest: Manifest, executor: ThreadPoolExecutor) -> Iterator[Fault]:
    content = read_poses(file)
    yield from _row_count(part, len(content))
    for row in np.flatnonzero((content.image_sizes < 1).any(axis=1)):
        yield Fault(part.name, int(row), f"image size {content.image_sizes[row].tolist()}")


def _shard_faults(file: Path, part: StoreFile, manifest: Manifest, executor: ThreadPoolExecutor) -> Iterator[Fault]:
    shard = open_shard(file)
    with shard.file:
        shapes = shards.image_shapes(manifest.plan)
        rows = len(shard.columns["paths"])
        yield from _row_count(part, rows)
        offsets = shard.offsets.astype(np.int64)
        if len(offsets) != rows * len(shapes) + 1 or len(shard.crc32) != rows:
            yield Fault(part.name, None, "offsets or checksums do not fit the number of rows")
            return
        if offsets[0] != 0 or offsets[-1] != len(shard.images) or (np.diff(offsets) < 0).any():
            yield Fault(part.name, None, "offsets do not cover the image bytes in order")
            return

        def image_fault(row: int) -> Fault | None:
            try:
                read_images(shard.images, shard.offsets, shard.crc32, row, shapes, manifest.plan["encoding"])
            except (ImageError, OSError) as error:
                return Fault(part.name, row, str(error))
            return None

        yield from (fault for fault in executor.map(image_fault, range(rows)) if fault)
        for name in ("joints_filled", "boxes", "residuals"):
            odd = np.argwhere(~np.isfinite(shard.columns[name]))[:, 0]
            for row in np.unique(odd):
                yield Fault(part.name, int(row), f"{name} holds values that are not finite")
        boxes = shard.columns["boxes"]
        for row in np.flatnonzero((boxes[..., 2:] <= boxes[..., :2]).any(axis=(1, 2))):
            yield Fault(part.name, int(row), "a box is empty")


def _no_further_faults(
    file: Path, part: StoreFile, manifest: Manifest, executor: ThreadPoolExecutor
) -> Iterator[Fault]:
    return iter(())


_CHECKS = {poses.SCHEMA: _pose_faults, shards.SCHEMA: _shard_faults, TARS: _no_further_faults}
