"""Samples that shards of fewer images hold already: what of them a new file takes over.

Joints tell images apart that an estimator saw, to the last bit. So a sample of the same path, joints and size, made by
the same parameters, is what would be made of it now. What is not stored of each sample is its share of the colour sums
of its file: those of a file that is taken over in part are put together by cutting the crops, of the samples that are
taken or of the others, whichever are fewer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reidprep.files import file_sha256
from reidprep.poses.added import LABELS, check_added, labels_by_path
from reidprep.poses.reader import Piece, PoseSet
from reidprep.shards.format import ShardFile, ShardManifest, ShardPlan
from reidprep.shards.reader import ShardSet

NOTHING = -1


@dataclass(frozen=True)
class Taken:
    """Samples of one earlier file that a new one takes over.

    Attributes:
        file: the earlier one.
        rows: (n,) of it.
        places: (n,) of the same samples in the new one.
        measured: rows of it whose crops are cut to get at the colour sums.
        pieces: poses of `measured`, in that order.
        others: whether these are the rows that are not taken over.
    """

    file: ShardFile
    rows: NDArray[np.int64]
    places: NDArray[np.int64]
    measured: NDArray[np.int64]
    pieces: tuple[Piece, ...]
    others: bool


class Earlier:
    """The samples of a shard directory that a larger one takes over.

    Args:
        path: the directory.
        manifest: its manifest.
        poses: those that the larger one is made from.

    Raises:
        ReidError: images are gone since, or have other labels.
    """

    def __init__(self, path: Path, manifest: ShardManifest, poses: PoseSet) -> None:
        whole = [file for file in manifest.files if file_sha256(path / file.name) == file.sha256]
        shards = ShardSet(path, manifest, tuple(whole))
        wanted = ("paths", *LABELS.values(), "joints", "image_sizes")
        now = dict(zip(wanted, poses.columns(*wanted), strict=True))
        row_of = {name: row for row, name in enumerate(now["paths"].tolist())}
        labels = labels_by_path(now, poses.manifest.summary.names)
        self._poses, self._files = poses, whole
        self._file, self._row = (np.full(len(poses), NOTHING) for _ in range(2))
        self._pose_rows: list[NDArray[np.int64]] = []
        for number, file in enumerate(whole):
            columns: Mapping[str, NDArray[Any]] = {
                "splits": np.full(file.rows, file.statistics.split),
                **shards.file_columns(file),
            }
            if manifest.totals is not None or not poses.manifest.summary.names:
                names = poses.manifest.summary.names if manifest.totals is None else manifest.totals.names
                check_added(path, "samples", labels_by_path(columns, names), labels, poses.plan.dataset.options)
            rows = np.array([row_of.get(name, NOTHING) for name in columns["paths"].tolist()], np.int64)
            for name in ("joints", "image_sizes"):
                rows[(columns[name] != now[name][rows]).reshape(file.rows, -1).any(axis=1)] = NOTHING
            self._pose_rows.append(rows)
            there = np.flatnonzero(rows != NOTHING)
            self._file[rows[there]], self._row[rows[there]] = number, there

    def taken(self, rows: NDArray[np.int64]) -> tuple[Taken, ...]:
        """What a file of the given poses takes over."""
        return tuple(
            self._of_file(number, rows) for number in np.unique(self._file[rows]).tolist() if number != NOTHING
        )

    def _of_file(self, number: int, rows: NDArray[np.int64]) -> Taken:
        file, pose_rows = self._files[number], self._pose_rows[number]
        places = np.flatnonzero(self._file[rows] == number)
        own = self._row[rows[places]]
        left = np.setdiff1d(np.arange(file.rows), own)
        others = len(left) < len(own) and bool((pose_rows[left] != NOTHING).all())
        measured = left if others else own
        measured = measured[np.argsort(pose_rows[measured])]
        return Taken(file, own, places, measured, self._poses.pieces(pose_rows[measured]), others)


def in_the_way(old: ShardPlan, new: ShardPlan) -> str | None:
    """Why no sample of shards of fewer images can be taken over; None if they can."""
    if new.poses.estimator.name == "files":
        return (
            "joints come from keypoint files, which do not tell whether an image was replaced: all samples are cut anew"
        )
    if old.border != new.border:
        was, now = (",".join(map(str, colour)) for colour in (old.border, new.border))
        return (
            f"the colour outside the images was {was} and is {now} now, by default the mean of the train images: all "
            f"samples are cut anew; --border {was} keeps them"
        )
    if old.stored_sizes != new.stored_sizes:
        return "crops are stored at other sizes, which follow from the images: all samples are cut anew"
    return None
