"""The poses of images, and the layout of a pose file (docs/poses-format.md)."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from msgspec import UNSET, UnsetType
from numpy.typing import NDArray

from reidprep.errors import ImageError
from reidprep.records import SPLITS, Names, Split, unsafe_rows
from reidprep.skeleton import JOINTS
from reidprep.store.fields import Count, JointCounts, JointShares, Positive, Score
from reidprep.store.hdf5 import Column, Schema, Table, hdf5_bytes, open_hdf5, read_columns
from reidprep.store.manifest import Format, Manifest, StoreFile
from reidprep.text import counted

EXCLUDE = "exclude.csv"
"""A list of images to leave out, beside poses or shards, which no command but `inspect` touches."""


@dataclass(frozen=True, kw_only=True)
class DatasetPlan:
    """What was processed.

    Attributes:
        name: of the dataset's reader.
        options: of the reader.
        splits: those that were processed.
        limit: at most so many images of each split, None for all.
        images: how many there were.
        records_sha256: hash of the list of them, hex.
        names_sha256: hash of the names of people and cameras, hex; not set where the dataset numbers both. The names
            are in the summary, as HDF5 files, which hold the plan, have no room for many.
    """

    name: str
    options: Mapping[str, str]
    splits: tuple[Split, ...]
    limit: Count | None
    images: Count
    records_sha256: str
    names_sha256: str | UnsetType = UNSET

    @property
    def has_tracklets(self) -> bool:
        """Whether the column `sequences` says which tracklet of its person and camera an image is of."""
        return self.options.get("tracklets") == "yes"


@dataclass(frozen=True, kw_only=True)
class EstimatorPlan:
    """What joints were estimated with: everything that shapes them.

    Attributes:
        name: what `create_estimator` takes.
        weights_sha256: hash of the weights, hex.
        score_scale: what the scores mean, in words.
        device: what it ran on.
        options: what else shapes the joints.
    """

    name: str
    weights_sha256: str
    score_scale: str
    device: str
    options: Mapping[str, Any] | UnsetType = UNSET


@dataclass(frozen=True, kw_only=True)
class PosePlan:
    """Every parameter that shapes poses.

    Attributes:
        dataset: what was processed.
        estimator: with what.
        confidence: score from which a joint counts as found, on the estimator's scale.
        rows_per_part: images per file.
    """

    dataset: DatasetPlan
    estimator: EstimatorPlan
    confidence: Score
    rows_per_part: Positive


@dataclass(frozen=True, kw_only=True)
class PoseStatistics:
    """What is counted in a file.

    Attributes:
        images: by split.
        joints_found: by joint.
    """

    images: Mapping[Split, Count]
    joints_found: JointCounts


@dataclass(frozen=True, kw_only=True)
class PoseSummary:
    """Totals.

    Attributes:
        images: by split.
        skipped: images left out.
        joints_found: share of the images, by joint.
        names: what the dataset calls people and cameras, not set where it numbers both.
    """

    images: Mapping[Split, Count]
    skipped: Count
    joints_found: JointShares
    names: Names | UnsetType = UNSET


def may_grow(old: PosePlan, new: PosePlan) -> bool:
    """Whether two plans differ in the images of one dataset alone, and in keypoint files, which have to know them."""
    estimator = old.estimator
    if estimator.name == "files":
        estimator = replace(estimator, weights_sha256=new.estimator.weights_sha256)
    return old.dataset.name == new.dataset.name and replace(old, dataset=new.dataset, estimator=estimator) == new


POSES = Format(
    Schema("reidprep.poses", 1),
    PosePlan,
    PoseSummary,
    PoseStatistics,
    command="reidprep extract-poses",
    most_rows=lambda plan: plan.rows_per_part,
    beside=(EXCLUDE,),
    grows=may_grow,
    options={
        "dataset.name": "--dataset",
        "dataset.options.pattern": "--pattern",
        "dataset.options.seed": "--seed",
        "dataset.options.train": "--split-by-identity",
        "dataset.options.": "--dataset-option ",
        "dataset.names_sha256": "the names of people and cameras",
        "dataset.splits": "--split",
        "dataset.limit": "--limit",
        "dataset.images": "the number of images",
        "dataset.records_sha256": "the list of images",
        "estimator.device": "--device",
        "estimator.name": "--estimator",
        "estimator.weights_sha256": "the estimator's weights",
    },
)
PoseFile = StoreFile[PoseStatistics]
PoseManifest = Manifest[PosePlan, PoseSummary, PoseStatistics]


@dataclass(frozen=True)
class Poses:
    """The estimated poses of n images.

    Attributes:
        paths: (n,) str, relative POSIX paths below the source.
        pids: (n,) int64.
        camids: (n,) int64.
        splits: (n,) str, train, query or gallery.
        sequences: (n,) int64, -1 where unknown.
        frames: (n,) int64, -1 where unknown.
        joints: (n, 18, 3) float32, x and y in source pixels, score on the estimator's scale.
        image_sizes: (n, 2) int32, width and height in pixels.
        channel_means: (n, 3) float32, mean red, green and blue of each image, 0 to 255.
        crc32: (n,) uint32, checksum of the pixels of each image; 0 in files of before it was stored.
    """

    paths: NDArray[np.str_]
    pids: NDArray[np.int64]
    camids: NDArray[np.int64]
    splits: NDArray[np.str_]
    sequences: NDArray[np.int64]
    frames: NDArray[np.int64]
    joints: NDArray[np.float32]
    image_sizes: NDArray[np.int32]
    channel_means: NDArray[np.float32]
    crc32: NDArray[np.uint32]

    def __len__(self) -> int:
        return len(self.paths)

    def __repr__(self) -> str:
        return f"Poses({counted(len(self), 'image', 'images')})"


COLUMNS: Table = {
    "paths": Column(np.str_),
    "splits": Column(np.str_),
    "pids": Column(np.int64),
    "camids": Column(np.int64),
    "sequences": Column(np.int64),
    "frames": Column(np.int64),
    "joints": Column(np.float32, (len(JOINTS), 3)),
    "image_sizes": Column(np.int32, (2,)),
    "channel_means": Column(np.float32, (3,)),
    "crc32": Column(np.uint32, optional=True),
}

Measures = tuple[int, int, float, float, float, int]
"""Of an image: width, height, mean red, green and blue, and the checksum of its pixels."""


def poses_bytes(poses: Poses, plan: PosePlan) -> bytes:
    """The file that holds `poses`."""
    return hdf5_bytes(POSES.schema, plan, COLUMNS, vars(poses))


def read_poses(path: Path, rows: int) -> Poses:
    """Read one file.

    Args:
        path: the file.
        rows: how many poses it is to hold.

    Raises:
        ReidError: missing, damaged, of another schema, with other columns or another number of rows.
    """
    with open_hdf5(path, POSES.schema, COLUMNS, rows) as file:
        return Poses(**{"crc32": np.zeros(rows, np.uint32), **read_columns(file, COLUMNS)})


def unusable_poses(poses: Poses) -> Iterator[tuple[int, str]]:
    """The rows that no command can use, and why."""
    yield from unsafe_rows(poses.paths)
    for row in np.flatnonzero(~np.isin(poses.splits, SPLITS)).tolist():
        yield row, f"the split {str(poses.splits[row])!r} is not one of {', '.join(SPLITS)}"
    for row in np.flatnonzero((poses.image_sizes < 1).any(axis=1)).tolist():
        yield row, f"image size {poses.image_sizes[row].tolist()}"
    for row in np.flatnonzero(~((poses.channel_means >= 0) & (poses.channel_means <= 255)).all(axis=1)).tolist():
        yield row, f"channel means {poses.channel_means[row].tolist()}, which are 0 to 255"


MEANS_AGREE = 1.0
"""Levels by which the mean colours of an image may differ from those stored, as decoders may. Of pairs of Market-1501's
images 1 in 2,300 are as close."""


def check_unchanged(image: NDArray[np.uint8], poses: Poses, row: int) -> None:
    """Make sure that an image is the one that a pose was estimated of.

    Raises:
        ImageError: it has another size, other mean colours, or other pixels of exactly the same ones.
    """
    width, height = poses.image_sizes[row].tolist()
    if image.shape[:2] != (height, width):
        raise ImageError(f"is {image.shape[1]}x{image.shape[0]} now, was {width}x{height} when its pose was estimated")
    means, then = np.array(cv2.mean(image)[:3]), poses.channel_means[row]
    if np.abs(means - then).max() > MEANS_AGREE:
        now, before = (" ".join(f"{level:.1f}" for level in colour.tolist()) for colour in (means, then))
        raise ImageError(
            f"was changed since its pose was estimated: its mean colour is {now} now, was {before}; "
            "run extract-poses with --overwrite"
        )
    # Another decoder gives other pixels, and then hardly ever exactly these sums; a mirrored image does.
    if (means.astype(np.float32) == then).all() and not is_unchanged(image, poses, row):
        raise ImageError(
            "was changed since its pose was estimated: it has other pixels of the same mean colour; "
            "run extract-poses with --overwrite"
        )


def is_unchanged(image: NDArray[np.uint8], poses: Poses, row: int) -> bool:
    """Whether an image is to the last bit the one that a pose was estimated of; of old files, in its mean colours."""
    width, height, *means, crc32 = measured(image)
    return (
        [width, height] == poses.image_sizes[row].tolist()
        and bool((np.array(means, np.float32) == poses.channel_means[row]).all())
        and poses.crc32[row] in (0, crc32)
    )


def measured(image: NDArray[np.uint8]) -> Measures:
    """What is stored of an image besides its joints."""
    red, green, blue = cv2.mean(image)[:3]
    return image.shape[1], image.shape[0], red, green, blue, zlib.crc32(np.ascontiguousarray(image).data)


def take(poses: Poses, rows: NDArray[np.int64]) -> Poses:
    """Some rows of `poses`."""
    return Poses(**{name: getattr(poses, name)[rows] for name in Poses.__dataclass_fields__})


def concatenate(pieces: Sequence[Poses]) -> Poses:
    """Poses one after the other; at least one piece."""
    return Poses(
        **{name: np.concatenate([getattr(piece, name) for piece in pieces]) for name in Poses.__dataclass_fields__}
    )
