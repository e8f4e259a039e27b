"""Poses that need not be estimated again.

Those of files that a stopped run had begun are kept beside the whole files until the next run has made those.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from msgspec import UNSET
from numpy.typing import NDArray

from reidprep.datasets.base import Dataset
from reidprep.errors import ReidError
from reidprep.files import file_sha256, write_file
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
from reidprep.records import NUMBERED, Names, Record
from reidprep.store.writer import UNFINISHED
from reidprep.text import counted, quoted


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
    """Make sure that images were added to those of which there are poses, and no more.

    Args:
        path: the directory of the poses.
        manifest: its manifest.
        earlier: the poses.
        dataset: the images that there are now.

    Raises:
        ReidError: images are gone, or have other labels; says how many, and names the first.
    """
    poses, totals = earlier.poses, manifest.totals
    if poses is None:
        return
    remedy = "or make all poses again by --overwrite"
    now = {record.path: record for record in dataset.records}
    if gone := [name for name in earlier.rows if name not in now]:
        raise ReidError(
            f"{path}: has poses of {counted(len(gone), 'image', 'images')} that the dataset does not have (any more), "
            f"such as {quoted(gone, 3)}; put them back, {remedy}"
        )
    if totals is None and dataset.names:
        return  # an unfinished directory does not say how it had numbered the names
    names = NUMBERED if totals is None or totals.names is UNSET else totals.names
    changed = [
        f"{record.path}: {what}"
        for name, row in earlier.rows.items()
        for record in [now[name]]
        for what in [", ".join(_relabelled(poses, row, names, record, dataset))]
        if what
    ]
    if changed:
        raise ReidError(
            f"{path}: {counted(len(changed), 'image has', 'images have')} other labels now than when the poses were "
            f"estimated ({quoted(changed, 3)}); take the new labels back, {remedy}"
        )


def _relabelled(poses: Poses, row: int, names: Names, now: Record, dataset: Dataset) -> Iterator[str]:
    # Numbers that stand for names follow from which others there are, as does the split of people that we divide.
    labels = {
        "person": (_called(poses.pids[row], names.people), _called(now.pid, dataset.names.people)),
        "camera": (_called(poses.camids[row], names.cameras), _called(now.camid, dataset.names.cameras)),
        "split": (str(poses.splits[row]), now.split),
        "sequence": (int(poses.sequences[row]), now.sequence),
        "frame": (int(poses.frames[row]), now.frame),
    }
    if "seed" in dataset.options:
        del labels["split"]
    for label, (before, after) in labels.items():
        if before != after:
            yield f"{label} {before} -> {after}"


def _called(number: int, names: Sequence[str]) -> str | int:
    return names[number - 1] if 1 <= number <= len(names) else int(number)


def _files(out: Path) -> list[Path]:
    return [path for path in sorted(out.iterdir()) if re.fullmatch(UNFINISHED, path.name)]
