"""Check a directory of files against its manifest, down to single images."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from reidprep.errors import ImageError, ReidError
from reidprep.export.webdataset import TARS
from reidprep.files import file_sha256
from reidprep.poses.format import POSES, read_poses, unusable_poses
from reidprep.progress import Progress, unseen
from reidprep.shards.file import open_shard, read_images, unusable_rows
from reidprep.shards.format import COLUMNS, SHARDS, ShardManifest, image_shapes
from reidprep.store.hdf5 import Schema, read_columns
from reidprep.store.manifest import JOURNAL, MANIFEST, AnyFile, Format, read_manifest


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
    manifest = read_manifest(path, *_FORMATS)
    faults = [] if manifest.complete else [Fault(MANIFEST, None, "not complete; run the command again to finish")]
    check = _CHECKS[manifest.schema]
    done = 0
    with ThreadPoolExecutor(workers) as executor:
        for file in manifest.files:
            faults += _file_faults(path / file.name, file, lambda found, file: check(found, file, manifest, executor))
            done += file.rows
            progress(done, manifest.rows)
    [beside] = [format.beside for format in _FORMATS if format.schema == manifest.schema]
    named = {MANIFEST, JOURNAL, *beside, *(file.name for file in manifest.files)}
    faults += [
        Fault(name, None, "is not in the manifest") for name in sorted({entry.name for entry in path.iterdir()} - named)
    ]
    return faults


Check = Callable[[Path, AnyFile], Iterator[Fault]]


def _file_faults(path: Path, file: AnyFile, check: Check) -> list[Fault]:
    digest = file_sha256(path)
    if digest is None:
        return [Fault(file.name, None, "missing or unreadable")]
    faults = [Fault(file.name, None, "SHA-256 differs from the manifest")] if digest != file.sha256 else []
    try:
        return faults + list(check(path, file))
    except ReidError as error:
        reason = str(error).removeprefix(f"{path}: ").removesuffix("; run 'reidprep verify'")
        return [*faults, Fault(file.name, None, reason)]


def _pose_faults(path: Path, file: AnyFile, manifest: object, executor: ThreadPoolExecutor) -> Iterator[Fault]:
    for row, reason in unusable_poses(read_poses(path, file.rows)):
        yield Fault(file.name, row, reason)


def _shard_faults(path: Path, file: AnyFile, manifest: ShardManifest, executor: ThreadPoolExecutor) -> Iterator[Fault]:
    shard = open_shard(path, file.rows)
    with shard.file:
        shapes = image_shapes(manifest.plan)
        offsets = shard.offsets.tolist()
        if len(offsets) != file.rows * len(shapes) + 1:
            yield Fault(file.name, None, "offsets do not fit the number of rows")
            return
        if offsets[0] != 0 or offsets[-1] != len(shard.images) or offsets != sorted(offsets):
            yield Fault(file.name, None, "offsets do not cover the image bytes in order")
            return

        def image_fault(row: int) -> Fault | None:
            try:
                read_images(shard.images, shard.offsets, shard.crc32, row, shapes, manifest.plan.encoding)
            except (ImageError, OSError) as error:
                return Fault(file.name, row, str(error))
            return None

        yield from (fault for fault in executor.map(image_fault, range(file.rows)) if fault)
        columns = read_columns(shard.file, COLUMNS)
        for row, reason in unusable_rows(columns):
            yield Fault(file.name, row, reason)
        for name in ("joints_filled", "residuals"):
            for row in np.unique(np.argwhere(~np.isfinite(columns[name]))[:, 0]).tolist():
                yield Fault(file.name, row, f"{name} holds values that are not finite")


def _no_further_faults(path: Path, file: AnyFile, manifest: object, executor: ThreadPoolExecutor) -> Iterator[Fault]:
    return iter(())


_FORMATS: tuple[Format[Any, Any, Any], ...] = (POSES, SHARDS, TARS)
_CHECKS: Mapping[Schema, Callable[[Path, AnyFile, Any, ThreadPoolExecutor], Iterator[Fault]]] = {
    POSES.schema: _pose_faults,
    SHARDS.schema: _shard_faults,
    TARS.schema: _no_further_faults,
}
