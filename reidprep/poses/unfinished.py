"""Poses of files that a stopped run had begun: kept beside the whole files until the next run has made those."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from reidprep.files import file_sha256, write_file
from reidprep.poses.format import PosePlan, Poses, poses_bytes, read_poses
from reidprep.records import Record
from reidprep.store.writer import UNFINISHED


@dataclass(frozen=True)
class Kept:
    """Poses by the paths of their images."""

    poses: Poses | None
    rows: Mapping[str, int]

    def of(self, records: Sequence[Record]) -> list[int] | None:
        """The rows of some images, None unless all are there."""
        rows = [self.rows.get(record.path) for record in records]
        return None if None in rows else [row for row in rows if row is not None]


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
            poses = read_poses(path, int(rows))
            return Kept(poses, {str(name): row for row, name in enumerate(poses.paths)})
    return Kept(None, {})


def _files(out: Path) -> list[Path]:
    return [path for path in sorted(out.iterdir()) if re.fullmatch(UNFINISHED, path.name)]
