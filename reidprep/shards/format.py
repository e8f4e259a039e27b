"""A sample, and the layout of a shard file, which docs/shards-format.md describes for other readers.

Per sample the encoded images lie one after the other in `images`: whole body, the four parts, and the plain image if
asked for. Image k of sample i is `images[offsets[i * per_sample + k] : offsets[i * per_sample + k + 1]]`.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Annotated, Any, Literal, get_args

import numpy as np
from msgspec import UNSET, Meta, UnsetType
from numpy.typing import NDArray

from reidprep.alignment.align import Boxes, Flag
from reidprep.alignment.noise import Calibration
from reidprep.poses.format import EXCLUDE, PosePlan
from reidprep.poses.format import may_grow as poses_may_grow
from reidprep.records import Names, Split
from reidprep.skeleton import JOINTS, PARTS
from reidprep.store.fields import Colour, Count, Id, JointCounts, JointShares, Positive, Score, Share, Size
from reidprep.store.hdf5 import Column, Schema, Table, hdf5_bytes
from reidprep.store.manifest import Format, Manifest, Origin, StoreFile
from reidprep.text import counted

View = Literal["whole", "parts", "image"]
"""What a sample shows: the aligned whole body, its four parts, or the plain resized image."""
VIEWS: tuple[View, ...] = get_args(View)

Scale = Literal["source", "full"]
Encoding = Literal["jpeg", "raw"]


@dataclass(frozen=True, eq=False)
class Sample:
    """One person image, aligned; heights and widths are `ShardSet.stored_sizes`.

    Attributes:
        whole: (height, width, 3) uint8 RGB, the whole-body crop.
        parts: (4, height, width, 3) uint8 RGB: head, upper body, upper leg, lower leg.
        image: (height, width, 3) uint8 RGB, the plain resized image, or None if the shards were built without.
        pid: person id, -1 for junk.
        camid: camera number.
        path: relative POSIX path of the source image.
        sequence: recording sequence, -1 where unknown.
        frame: frame number, -1 where unknown.
        joints: (18, 3) float32 as measured: x, y in source pixels, score.
        joints_filled: (18, 2) float32, as estimated from all that was measured: complete.
        filled: (18,) bool, True where a joint was not found: missing, or scored below the confidence.
        joint_spreads: (18,) float32, standard deviation of `joints_filled` in x and in y, source pixels; None in shards
            of before it was stored.
        boxes: (5, 4) float32 xyxy in source pixels: whole body and the four parts; may leave the image.
        residual: distance of the found joints from the fitted canonical pose, as a fraction of body height.
        flags: what is doubtful.

    Example:
        >>> from reidprep import ShardSet
        >>> sample = ShardSet.open("shards", "train")[0]
        >>> sample
        Sample(bounding_box_train/0002_c1s1_000451_01.jpg, pid 2, camid 1, whole 144x72, ... filled)
        >>> sample.parts.shape  # head, upper body, upper leg, lower leg
        (4, 60, 120, 3)
    """

    whole: NDArray[np.uint8]
    parts: NDArray[np.uint8]
    image: NDArray[np.uint8] | None
    pid: int
    camid: int
    path: str
    sequence: int
    frame: int
    joints: NDArray[np.float32]
    joints_filled: NDArray[np.float32]
    filled: NDArray[np.bool_]
    joint_spreads: NDArray[np.float32] | None
    boxes: NDArray[np.float32]
    residual: float
    flags: Flag

    def __repr__(self) -> str:
        height, width = self.whole.shape[:2]
        doubts = "".join(f", {flag.name}" for flag in Flag if flag in self.flags)
        return (
            f"Sample({self.path}, pid {self.pid}, camid {self.camid}, whole {height}x{width}, "
            f"{counted(int(self.filled.sum()), 'joint', 'joints')} filled{doubts})"
        )


@dataclass(frozen=True, kw_only=True)
class PosesUsed(PosePlan, Origin):
    """The poses that shards were built from."""


@dataclass(frozen=True, kw_only=True)
class Excluded:
    """Images that were left out.

    Attributes:
        images: how many.
        sha256: hash of their paths, hex.
    """

    images: Count
    sha256: str


@dataclass(frozen=True, kw_only=True)
class NoisePlan:
    """What the scores of measured joints are worth.

    Attributes:
        calibration: which of the shipped calibrations.
        threshold: for scores that nobody calibrated, the one that was taken for MoveNet's 0.3; None for others.
        sha256: hash of the file of calibrations, hex.
    """

    calibration: Calibration
    threshold: Annotated[float, Meta(gt=0, le=3e38)] | None
    sha256: str


@dataclass(frozen=True, kw_only=True)
class ShardPlan:
    """Every parameter that shapes shards.

    Attributes:
        poses: what they were built from.
        canonical_sha256: hash of the canonical poses, hex.
        alignment: `pose` for Eq. 1-2 boxes, `strips` for the papers' baseline.
        beta: overlap of neighbouring parts as a fraction of the body height.
        confidence: score from which a joint counted as found.
        whole_size: height and width of the whole-body crop, as asked for.
        part_size: the same of a part crop.
        image_size: the same of the plain image, None where there is none.
        scale: whether views are stored as asked for, or no larger than the source images fill; not set in shards of
            before there was a choice, which are as asked for.
        encoding: `jpeg` or `raw`.
        quality: JPEG quality, None for raw.
        border: colour outside the image.
        samples_per_shard: samples per file.
        stored_sizes: height and width at which each view is stored; not set where `scale` is not.
        excluded: images left out, not set if there were none.
        noise: what scores are worth; not set in shards of before weak joints counted.
        exact: whether found joints stay where they were measured; not set as `noise`.
    """

    poses: PosesUsed
    canonical_sha256: str
    alignment: Boxes
    beta: Share
    confidence: Score
    whole_size: Size
    part_size: Size
    image_size: Size | None
    scale: Scale | UnsetType = UNSET
    encoding: Encoding
    quality: Annotated[int, Meta(ge=1, le=100)] | None
    border: Colour
    samples_per_shard: Positive
    stored_sizes: Mapping[View, Size] | UnsetType = UNSET
    excluded: Excluded | UnsetType = UNSET
    noise: NoisePlan | UnsetType = UNSET
    exact: bool | UnsetType = UNSET

    def __post_init__(self) -> None:
        if self.stored_sizes is not UNSET and set(self.stored_sizes) != set(full_sizes(self)):
            raise ValueError(f"stored_sizes: gives {', '.join(self.stored_sizes)}, not {', '.join(full_sizes(self))}")


@dataclass(frozen=True, kw_only=True)
class ShardStatistics:
    """What is added up over files.

    Attributes:
        split: of all samples of the file.
        pids: person ids that occur in it.
        channel_sums: sum of red, green and blue over all pixels, for each image of a sample.
        joints_filled: samples with an estimate, by joint.
        flags: samples that have it, by flag.
    """

    split: Split
    pids: tuple[Id, ...]
    channel_sums: tuple[tuple[Count, Count, Count], ...]
    joints_filled: JointCounts
    flags: Mapping[str, Count]


@dataclass(frozen=True, kw_only=True)
class StoredMeans:
    """Mean colour of the training crops as stored, before encoding.

    Attributes:
        whole: of the whole-body crops.
        parts: of each of the four parts.
        image: of the plain images, None where there are none.
    """

    whole: Colour
    parts: tuple[Colour, Colour, Colour, Colour]
    image: Colour | None


@dataclass(frozen=True, kw_only=True)
class ShardSummary:
    """Totals.

    Attributes:
        images: by split.
        skipped: images left out of the shards as they could not be read.
        skipped_in_poses: images of which there were no poses.
        excluded: images left out on demand, by split.
        train_labels: class index of each training identity, 0 to classes - 1 in the order of the ids.
        channel_means: mean colour of the training crops.
        joints_filled: share of the samples with an estimate, by joint.
        flags: samples that have it, by flag.
        names: as those of the poses.
    """

    images: Mapping[Split, Count]
    skipped: Count
    skipped_in_poses: Count
    excluded: Mapping[Split, Count] = field(default_factory=dict)
    train_labels: Mapping[Id, Count]
    channel_means: StoredMeans
    joints_filled: JointShares
    flags: Mapping[str, Count]
    names: Names | UnsetType = UNSET

    def __post_init__(self) -> None:
        if list(self.train_labels.values()) != list(range(len(self.train_labels))):
            raise ValueError("train_labels: are not numbered 0, 1, 2 and so on")


def may_grow(old: ShardPlan, new: ShardPlan) -> bool:
    """Whether two plans differ in the images of one dataset alone, what follows from these, and those excluded."""
    poses = replace(old.poses, tool=new.poses.tool, sha256=new.poses.sha256)
    others = old.poses.sha256 != new.poses.sha256 or old.excluded != new.excluded
    following = ("poses", "border", "stored_sizes", "excluded")
    chosen = {each.name for each in fields(ShardPlan)} - {*following}
    same = all(getattr(old, name) == getattr(new, name) for name in chosen)
    return others and poses_may_grow(poses, new.poses) and same


SHARDS = Format(
    Schema("reidprep.shards", 1),
    ShardPlan,
    ShardSummary,
    ShardStatistics,
    command="reidprep build-shards",
    most_rows=lambda plan: plan.samples_per_shard,
    fits=lambda plan, statistics: len(statistics.channel_sums) == len(image_shapes(plan)),
    beside=(EXCLUDE,),
    grows=may_grow,
    options={
        "poses": "the poses",
        "image_size": "--with-image",
        "canonical_sha256": "--canonical",
        "noise": "the noise of scores",
        "samples_per_shard": "--shard-size",
        "excluded": "--exclude",
        "stored_sizes.": "stored size of the ",
    },
)
ShardFile = StoreFile[ShardStatistics]
ShardManifest = Manifest[ShardPlan, ShardSummary, ShardStatistics]

COLUMNS: Table = {
    "paths": Column(np.str_),
    "pids": Column(np.int64),
    "camids": Column(np.int64),
    "sequences": Column(np.int64),
    "frames": Column(np.int64),
    "joints": Column(np.float32, (len(JOINTS), 3)),
    "joints_filled": Column(np.float32, (len(JOINTS), 2)),
    "filled": Column(np.bool_, (len(JOINTS),)),
    "joint_spreads": Column(np.float32, (len(JOINTS),), optional=True),
    "boxes": Column(np.float32, (1 + len(PARTS), 4)),
    "residuals": Column(np.float32),
    "flags": Column(np.int32),
    "image_sizes": Column(np.int32, (2,), optional=True),
    "offsets": Column(np.uint64, per_sample=False),
    "crc32": Column(np.uint32),
    "images": Column(np.uint8, per_sample=False),
}

# Where a view's images are among those of a sample.
POSITIONS: dict[View, range] = {
    "whole": range(1),
    "parts": range(1, 1 + len(PARTS)),
    "image": range(1 + len(PARTS), 2 + len(PARTS)),
}


def full_sizes(plan: ShardPlan) -> dict[View, Size]:
    """Size that each view was asked for at, which is the network's; without those that are not stored."""
    sizes: dict[View, Size] = {"whole": plan.whole_size, "parts": plan.part_size}
    return sizes if plan.image_size is None else {**sizes, "image": plan.image_size}


def stored_sizes(plan: ShardPlan) -> dict[View, Size]:
    """Size at which each view is stored; without those that are not."""
    stored, full = plan.stored_sizes, full_sizes(plan)
    return full if stored is UNSET else {view: stored[view] for view in full}


def image_shapes(plan: ShardPlan) -> list[tuple[int, int, int]]:
    """Shapes of a sample's images, in the order they are stored."""
    return [(*size, 3) for view, size in stored_sizes(plan).items() for _ in POSITIONS[view]]


def shard_bytes(columns: Mapping[str, NDArray[Any]], samples: Sequence[Sequence[bytes]], plan: ShardPlan) -> bytes:
    """A shard file.

    Args:
        columns: of `COLUMNS` those that describe samples, n rows each.
        samples: per row the encoded images, in the order of `image_shapes`.
        plan: the parameters that shaped it.
    """
    lengths = [len(image) for images in samples for image in images]
    stored = {
        "offsets": np.cumsum([0, *lengths]),
        "crc32": [zlib.crc32(b"".join(images)) for images in samples],
        "images": np.frombuffer(b"".join(image for images in samples for image in images), dtype=np.uint8),
    }
    return hdf5_bytes(SHARDS.schema, plan, COLUMNS, {**columns, **stored})
