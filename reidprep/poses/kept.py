"""Poses that need not be estimated again.

Those of files that a stopped run had begun are kept beside the whole files until the next run has made those.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from msgspec import UNSET
from numpy.typing import NDArray

from reidprep.datasets.base import Dataset
from reidprep.files import file_sha256, write_file
from reidprep.poses.added import LABELS, check_added, labels_by_path
from reidprep.poses.format import (
    PoseFile,
    PoseManifest,
    PosePlan,
    Poses,
    concatenate,
    is_unchanged,
    poses_bytes,
    read_poses,
    take,
)
from reidprep.records import Record
from reidprep.store.writer import UNFINISHED


@dataclass(frozen=True)
class Kept:
    """Poses by the paths of their images.

    Attributes:
        poses: the poses, None for none.
        rows: where each image is among them.
    """

    poses: Poses | None = None
    rows: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def by_path(cls, poses: Poses) -> Kept:
        """All of some poses."""
        return cls(poses, {str(name): row for row, name in enumerate(poses.paths)})

    def of(self, records: Sequence[Record]) -> list[int] | None:
        """The rows of some images, None unless all are there."""
        rows = [self.rows.get(record.path) for record in records]
        return None if None in rows else [row for row in rows if row is not None]

    def among(self, records: Sequence[Record]) -> Kept:
        """Those of some images alone, of which not all need be there."""
        rows = [self.rows[record.path] for record in records if record.path in self.rows]
        return Kept() if self.poses is None else Kept.by_path(take(self.poses, np.array(rows, np.int64)))

    def joints(self, path: str, image: NDArray[np.uint8]) -> NDArray[np.float32] | None:
        """The joints (18, 3) of an image; None if there are none, or another image had this path then."""
        row = self.rows.get(path)
        if row is None or self.poses is None or not is_unchanged(image, self.poses, row):
            return None
        joints: NDArray[np.float32] = self.poses.joints[row]
        return joints


def keep(out: Path, poses: Poses, plan: PosePlan) -> None:
    """Write poses beside the whole files of a directory, in the place of those that were kept before.

    Raises:
        ReidError: the disk is full or the folder cannot be written to.
    """
    content = poses_bytes(poses, plan)
    name = f"unfinished-{len(poses)}-{hashlib.sha256(content).hexdigest()}.h5"
    write_file(out / name, content)
    for path in _files(out):
        if path.name != name:
            path.unlink(missing_ok=True)


def kept(out: Path) -> Kept:
    """What a stopped run kept of the directory's plan; nothing if it is damaged."""
    for path in _files(out):
        _, rows, sha256 = path.stem.split("-")
        if file_sha256(path) == sha256:
            return Kept.by_path(read_poses(path, int(rows)))
    return Kept()


def earlier_poses(path: Path, files: Sequence[PoseFile]) -> Kept:
    """The poses of a directory, finished or not, but for damaged files."""
    pieces = [read_poses(path / file.name, file.rows) for file in files if file_sha256(path / file.name) == file.sha256]
    if (unfinished := kept(path).poses) is not None:
        pieces.append(unfinished)
    return Kept.by_path(concatenate(pieces)) if pieces else Kept()


def check_grown(path: Path, manifest: PoseManifest, earlier: Kept, dataset: Dataset) -> None:
    """Make sure that images were added to those of which a directory has poses, and no more.

    Args:
        path: the directory.
        manifest: its manifest.
        earlier: the poses.
        dataset: the images that there are now.

    Raises:
        ReidError: as `check_added`.
    """
    poses, totals = earlier.poses, manifest.totals
    if poses is None or (totals is None and dataset.names):
        return  # an unfinished directory does not say how it had numbered the names
    records = dataset.records
    columns = {
        name: np.array([getattr(record, name[:-1]) for record in records]) for name in ("paths", *LABELS.values())
    }
    before = labels_by_path(vars(poses), UNSET if totals is None else totals.names)
    check_added(path, "poses", before, labels_by_path(columns, dataset.names), dataset.options)


def _files(out: Path) -> list[Path]:
    return [path for path in sorted(out.iterdir()) if re.fullmatch(UNFINISHED, path.name)]
