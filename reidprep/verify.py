"""Check a directory of files against its manifest, down to single images."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from reidprep.datasets.base import ImageSource
from reidprep.datasets.registry import open_images
from reidprep.errors import ImageError, ReidError, ShortageError
from reidprep.executors.local import worker_threads
from reidprep.export.webdataset import TARS
from reidprep.files import file_sha256
from reidprep.images import decode_jpeg, encode_jpeg
from reidprep.poses.format import POSES, check_unchanged, read_poses, unusable_poses
from reidprep.progress import Progress, unseen
from reidprep.shards.build import cut_crops
from reidprep.shards.file import open_shard, read_images, unusable_rows
from reidprep.shards.format import COLUMNS, SHARDS, ShardPlan, image_shapes
from reidprep.store.hdf5 import Schema, read_columns
from reidprep.store.manifest import JOURNAL, MANIFEST, AnyFile, Format, Manifest, read_manifest


@dataclass(frozen=True)
class Fault:
    """Something wrong: in which file, at which row (None: the file as a whole), and what."""

    file: str
    row: int | None
    reason: str

    def __str__(self) -> str:
        where = self.file if self.row is None else f"{self.file}: row {self.row}"
        return f"{where}: {self.reason}"


@dataclass(frozen=True)
class _Directory:
    """What the check of a file needs besides: the manifest, the source images if they are to be compared, threads."""

    manifest: Manifest[Any, Any, Any]
    images: ImageSource | None
    threads: ThreadPoolExecutor

    def faults(self, file: AnyFile, rows: Iterable[int], check: Callable[[int], None]) -> Iterator[Fault]:
        """What `check` says about rows of a file."""

        def fault(row: int) -> Fault | None:
            try:
                check(row)
            except (ImageError, OSError) as error:
                return Fault(file.name, row, str(error))
            return None

        yield from (found for found in self.threads.map(fault, rows) if found)


def verify(path: Path, *, source: Path | None = None, workers: int = 1, progress: Progress = unseen) -> list[Fault]:
    """Check hashes, row counts, column shapes, checksums and that every image decodes; of tar files the hashes.

    Args:
        path: pose or shard directory, or the tar files of `reidprep.export.webdataset`.
        source: where the images are, to be compared with what poses and shards say of them; None to compare nothing.
        workers: threads that decode.
        progress: called with rows checked and rows in all.

    Returns:
        The faults, in the order of the manifest; empty if all is well.

    Raises:
        ReidError: no readable manifest of a known version, no images at `source`, or too many files are open.
    """
    manifest = read_manifest(path, *_FORMATS)
    faults = [] if manifest.complete else [Fault(MANIFEST, None, "not complete; run the command again to finish")]
    if manifest.complete and not manifest.rows:
        faults.append(Fault(MANIFEST, None, "holds no samples; make the directory again"))
    images = None if source is None else _open_images(manifest, source)
    done = 0
    with worker_threads(workers) as executor:
        directory = _Directory(manifest, images, executor)
        for file in manifest.files:
            faults += _file_faults(path / file.name, file, directory)
            done += file.rows
            progress(done, manifest.rows)
    [beside] = [format.beside for format in _FORMATS if format.schema == manifest.schema]
    named = {MANIFEST, JOURNAL, *beside, *(file.name for file in manifest.files)}
    faults += [
        Fault(name, None, "is not in the manifest") for name in sorted({entry.name for entry in path.iterdir()} - named)
    ]
    return faults


def _open_images(manifest: Manifest[Any, Any, Any], source: Path) -> ImageSource:
    poses = manifest.plan if manifest.schema == POSES.schema else getattr(manifest.plan, "poses", None)
    if poses is None:
        raise ReidError("tar files are not compared with images; verify the shards that they were made from")
    return open_images(poses.dataset.name, source, poses.dataset.options)


def _file_faults(path: Path, file: AnyFile, directory: _Directory) -> list[Fault]:
    digest = file_sha256(path)
    if digest is None:
        return [Fault(file.name, None, "missing or unreadable")]
    faults = [Fault(file.name, None, "SHA-256 differs from the manifest")] if digest != file.sha256 else []
    try:
        return faults + list(_CHECKS[directory.manifest.schema](path, file, directory))
    except ShortageError:
        raise
    except ReidError as error:
        reason = str(error).removeprefix(f"{path}: ").removesuffix("; run 'reidprep verify'")
        return [*faults, Fault(file.name, None, reason)]


def _pose_faults(path: Path, file: AnyFile, directory: _Directory) -> Iterator[Fault]:
    poses = read_poses(path, file.rows)
    unusable = dict(unusable_poses(poses))
    yield from (Fault(file.name, row, reason) for row, reason in unusable.items())
    if (images := directory.images) is not None:
        usable = [row for row in range(file.rows) if row not in unusable]
        yield from directory.faults(
            file, usable, lambda row: check_unchanged(images.read(str(poses.paths[row])), poses, row)
        )


def _shard_faults(path: Path, file: AnyFile, directory: _Directory) -> Iterator[Fault]:
    plan: ShardPlan = directory.manifest.plan
    shard = open_shard(path, file.rows)
    with shard.file:
        shapes = image_shapes(plan)
        offsets = shard.offsets.tolist()
        if len(offsets) != file.rows * len(shapes) + 1:
            yield Fault(file.name, None, "offsets do not fit the number of rows")
            return
        if offsets[0] != 0 or offsets[-1] != len(shard.images) or offsets != sorted(offsets):
            yield Fault(file.name, None, "offsets do not cover the image bytes in order")
            return
        columns = read_columns(shard.file, COLUMNS)
        unusable = dict(unusable_rows(columns))

        def check(row: int) -> None:
            stored = read_images(shard.images, shard.offsets, shard.crc32, row, shapes, plan.encoding)
            if directory.images is not None and row not in unusable:
                image = directory.images.read(str(columns["paths"][row]))
                _compare(stored, cut_crops(image, columns["boxes"][row], shapes, plan.border), plan.quality)

        yield from directory.faults(file, range(file.rows), check)
        yield from (Fault(file.name, row, reason) for row, reason in unusable.items())
        for name in ("joints_filled", "residuals"):
            for row in np.unique(np.argwhere(~np.isfinite(columns[name]))[:, 0]).tolist():
                yield Fault(file.name, row, f"{name} holds values that are not finite")


_CROPS_AGREE = 2.0
"""Mean levels by which crops may differ from those stored, as other builds of OpenCV and libjpeg may cut them."""


def _compare(stored: Sequence[NDArray[np.uint8]], cut: Sequence[NDArray[np.uint8]], quality: int | None) -> None:
    for crop, now in zip(stored, cut, strict=True):
        if quality is not None:
            now = decode_jpeg(np.frombuffer(encode_jpeg(now, quality), np.uint8))
        if cv2.norm(crop, now, cv2.NORM_L1) > _CROPS_AGREE * crop.size:
            raise ImageError("the source image was changed since: its crops are others")


def _no_further_faults(path: Path, file: AnyFile, directory: _Directory) -> Iterator[Fault]:
    return iter(())


_FORMATS: tuple[Format[Any, Any, Any], ...] = (POSES, SHARDS, TARS)
_CHECKS: Mapping[Schema, Callable[[Path, AnyFile, _Directory], Iterator[Fault]]] = {
    POSES.schema: _pose_faults,
    SHARDS.schema: _shard_faults,
    TARS.schema: _no_further_faults,
}
