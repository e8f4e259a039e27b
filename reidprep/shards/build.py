"""Fill gaps, place boxes, cut crops: pose directory -> shard directory."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, get_args

import cv2
import numpy as np
from msgspec import UNSET
from numpy.typing import NDArray

from reidprep.alignment.align import Alignment, Boxes, Flag, align, concatenate
from reidprep.alignment.boxes import DEFAULT_BETA
from reidprep.alignment.canonical import CanonicalPoses, default_poses
from reidprep.alignment.noise import Noise, calibration_of, shipped_noise, shipped_sha256
from reidprep.datasets.base import ImageSource
from reidprep.datasets.images import check_readable
from reidprep.datasets.registry import open_images
from reidprep.errors import ImageError, ReidError
from reidprep.executors.base import Executor
from reidprep.executors.local import LocalExecutor, single_threaded
from reidprep.files import write_file
from reidprep.images import crop_box, encode_jpeg
from reidprep.poses.format import Poses, check_unchanged, take
from reidprep.poses.reader import Piece, PoseSet, read_pieces
from reidprep.progress import Progress, counted, unseen
from reidprep.records import SPLITS, Split
from reidprep.shards.exclusions import excluded_rows, fingerprint
from reidprep.shards.file import open_shard, read_encoded
from reidprep.shards.format import (
    SHARDS,
    Encoding,
    NoisePlan,
    PosesUsed,
    Scale,
    ShardFile,
    ShardManifest,
    ShardPlan,
    ShardStatistics,
    ShardSummary,
    StoredMeans,
    View,
    full_sizes,
    image_shapes,
    shard_bytes,
)
from reidprep.shards.sizes import source_sizes
from reidprep.shards.taken import Earlier, Taken, in_the_way
from reidprep.signals import WHOLE_FILES, Signals
from reidprep.store.fields import Size
from reidprep.store.growing import filling
from reidprep.store.manifest import Skipped, require_rows
from reidprep.store.writer import relative_source


@dataclass(frozen=True)
class ShardTask:
    """One file.

    Attributes:
        name: its name.
        split: of all its samples.
        pieces: the poses that it is to hold.
        taken: samples that need not be made.
    """

    name: str
    split: Split
    pieces: tuple[Piece, ...]
    taken: tuple[Taken, ...] = ()

    @property
    def rows(self) -> int:
        """How many poses."""
        return sum(len(piece.rows) for piece in self.pieces)


@dataclass(frozen=True)
class ShardJob:
    """Aligns poses, cuts crops and encodes them: the job (`reidprep.executors.base.Job`) of `build_shards`.

    Attributes:
        out: the shard directory.
        poses: the pose directory.
        images: reads the images.
        canonical: poses to fill gaps from.
        plan: the plan of the shard directory.
        readable: path of an image that can be read.
        earlier: the shard directory that samples are taken over from.
    """

    out: Path
    poses: Path
    images: ImageSource
    canonical: CanonicalPoses
    plan: ShardPlan
    readable: str
    earlier: Path
    in_threads: ClassVar[bool] = False

    def prepare(self) -> Callable[[ShardTask], ShardFile]:
        """Make sure that the images are here."""
        check_readable(self.images, self.readable)
        return partial(_make, self)


def aligned(
    joints: NDArray[np.float32], image_sizes: NDArray[np.int32], canonical: CanonicalPoses, plan: ShardPlan
) -> Alignment:
    """Fill the gaps of measured joints (n, 18, 3) and place the boxes, as a shard directory's plan has it."""
    return align(
        joints,
        image_sizes,
        canonical,
        alignment=plan.alignment,
        beta=plan.beta,
        confidence=plan.confidence,
        noise=_noise(plan),
        exact=plan.exact is True,
    )


def _noise(plan: ShardPlan) -> Noise | None:
    """What the scores are worth, None in shards of before weak joints counted."""
    return None if plan.noise is UNSET else shipped_noise(plan.noise.calibration, plan.noise.threshold)


@dataclass(frozen=True)
class _Samples:
    """Samples of a file.

    Attributes:
        places: (n,) of them among the file's poses.
        alignment: of n.
        encoded: the images of each.
        sums: (images, 3) of their pixels before encoding.
    """

    places: NDArray[np.int64]
    alignment: Alignment
    encoded: Sequence[Sequence[bytes]]
    sums: NDArray[np.float64]


def _make(job: ShardJob, task: ShardTask) -> ShardFile:
    plan = job.plan
    poses = read_pieces(job.poses, task.pieces)
    pieces = [samples for taken in task.taken if (samples := _taken_over(job, taken)) is not None]
    left = np.setdiff1d(np.arange(len(poses)), np.concatenate([np.zeros(0, np.int64), *(s.places for s in pieces)]))
    skipped: list[Skipped] = []
    if len(left) or not pieces:
        pieces.append(_made(job, poses, left, skipped))
    places = np.concatenate([piece.places for piece in pieces])
    order = np.argsort(places)
    encoded = [images for piece in pieces for images in piece.encoded]
    columns = _columns(take(poses, places[order]), concatenate([piece.alignment for piece in pieces]).take(order))
    sums = np.sum([piece.sums for piece in pieces], axis=0)
    return ShardFile(
        name=task.name,
        rows=len(places),
        sha256=write_file(job.out / task.name, shard_bytes(columns, [encoded[row] for row in order], plan)),
        skipped=tuple(skipped),
        statistics=ShardStatistics(
            split=task.split,
            pids=tuple(sorted(set(columns["pids"].tolist()))),
            channel_sums=tuple((red, green, blue) for red, green, blue in sums.astype(np.int64).tolist()),
            joints_filled=tuple(columns["filled"].sum(axis=0).tolist()),
            flags={str(flag.name): int((columns["flags"] & flag > 0).sum()) for flag in Flag},
        ),
    )


def _made(job: ShardJob, poses: Poses, places: NDArray[np.int64], skipped: list[Skipped]) -> _Samples:
    """Make samples of some of the poses of a file, and add those that cannot be made to `skipped`."""
    plan, shapes = job.plan, image_shapes(job.plan)
    sums = np.zeros((len(shapes), 3))
    kept: list[int] = []
    encoded: list[list[bytes]] = []
    alignment = aligned(poses.joints[places], poses.image_sizes[places], job.canonical, plan)
    for number, place in enumerate(places.tolist()):
        path = str(poses.paths[place])
        try:
            image = job.images.read(path)
            check_unchanged(image, poses, place)
        except ImageError as error:
            skipped.append(Skipped(path, str(error)))
            continue
        crops = cut_crops(image, alignment.boxes[number], shapes, plan.border)
        sums += _sums(crops)
        encoded.append([crop.tobytes() if plan.quality is None else encode_jpeg(crop, plan.quality) for crop in crops])
        kept.append(number)
    rows = np.array(kept, dtype=np.int64)
    return _Samples(places[rows], alignment.take(rows), encoded, sums)


def _taken_over(job: ShardJob, taken: Taken) -> _Samples | None:
    """Samples as an earlier file has them; None if an image that is needed besides cannot be used any more."""
    shapes = image_shapes(job.plan)
    sums = np.zeros((len(shapes), 3))
    shard = open_shard(job.earlier / taken.file.name, taken.file.rows)
    with shard.file:
        columns = shard.columns
        try:
            poses = read_pieces(job.poses, taken.pieces) if taken.pieces else None
            for number, row in enumerate(taken.measured.tolist()):
                assert poses is not None
                image = job.images.read(str(poses.paths[number]))
                check_unchanged(image, poses, number)
                sums += _sums(cut_crops(image, columns["boxes"][row], shapes, job.plan.border))
            encoded = [
                [image.tobytes() for image in read_encoded(shard.images, shard.offsets, shard.crc32, row, len(shapes))]
                for row in taken.rows.tolist()
            ]
        except ImageError:
            return None
    if taken.others:
        sums = np.array(taken.file.statistics.channel_sums) - sums
    alignment = Alignment(*(columns[name] for name in _ALIGNED.values())).take(taken.rows)
    return _Samples(taken.places, alignment, encoded, sums)


def _sums(crops: Sequence[NDArray[np.uint8]]) -> NDArray[np.float64]:
    return np.array([cv2.sumElems(crop)[:3] for crop in crops])


def cut_crops(
    image: NDArray[np.uint8],
    boxes: NDArray[np.float32],
    shapes: Sequence[tuple[int, int, int]],
    border: Sequence[float],
    wanted: Sequence[int] | None = None,
) -> list[NDArray[np.uint8]]:
    """The images of one sample: whole body, parts and, if `shapes` has one more, the plain resized image.

    Args:
        image: (h, w, 3) uint8.
        boxes: (5, 4) xyxy in source pixels.
        shapes: what `reidprep.shards.format.image_shapes` says.
        border: colour outside the image.
        wanted: which of them, by their places; None for all.
    """
    height, width = image.shape[:2]
    everything = np.concatenate([boxes, np.array([[0, 0, width, height]], dtype=np.float32)])
    chosen = range(len(shapes)) if wanted is None else wanted
    return [crop_box(image, everything[place], shapes[place][:2], border) for place in chosen]


def _columns(poses: Poses, alignment: Alignment) -> dict[str, NDArray[Any]]:
    return {
        "paths": poses.paths,
        "pids": poses.pids,
        "camids": poses.camids,
        "sequences": poses.sequences,
        "frames": poses.frames,
        "joints": poses.joints,
        **{column: getattr(alignment, name) for name, column in _ALIGNED.items()},
        "image_sizes": poses.image_sizes,
    }


# Columns of what alignment gives, in the order of its fields.
_ALIGNED = {
    "joints": "joints_filled",
    "filled": "filled",
    "spread": "joint_spreads",
    "boxes": "boxes",
    "residuals": "residuals",
    "flags": "flags",
}


# A shard is put together in memory: about 25 MB of JPEG or 70 MB of raw crops.
SAMPLES_PER_SHARD = {"jpeg": 1024, "raw": 128}
# Enlarged crops have little detail to lose.
QUALITY: dict[Scale, int] = {"source": 95, "full": 90}
_PROBES = 16
# Poses, spread over the dataset, from which the stored sizes are chosen.
_SIZED = 4096


@dataclass(frozen=True)
class BuildOptions:
    """Parameters of `build_shards` that shape its output.

    Attributes:
        alignment: `pose` for Eq. 1-2 boxes, `strips` for the papers' baseline.
        beta: overlap of neighbouring parts as a fraction of the body height.
        confidence: score from which a joint counts as found, None for what the poses say.
        whole_size: height and width of the whole-body crop, as the network takes it.
        part_size: the same of a part crop.
        image_size: the same of the plain resized image, None to leave it out.
        scale: `source` stores crops no larger than the source images can fill (`reidprep.shards.sizes`), `full` at the
            sizes above.
        encoding: `jpeg` or `raw`.
        quality: JPEG quality, 1 to 100, None for what suits the scale.
        border: colour (red, green, blue) outside the image, None for the mean of the training images.
        samples_per_shard: samples per file, None for what suits the encoding.
        exact: leave joints that count as found where they were measured.

    Example:
        >>> from reidprep import BuildOptions, ShardSet, build_shards
        >>> manifest = build_shards("poses", "small", BuildOptions(whole_size=(96, 48), part_size=(24, 48)))
        >>> ShardSet.open("small", "query")
        ShardSet(small, query: 4 samples, whole 96x48, parts 24x48)
    """

    alignment: Boxes = "pose"
    beta: float = DEFAULT_BETA
    confidence: float | None = None
    whole_size: Size = (384, 192)
    part_size: Size = (96, 192)
    image_size: Size | None = None
    scale: Scale = "source"
    encoding: Encoding = "jpeg"
    quality: int | None = None
    border: tuple[float, float, float] | None = None
    samples_per_shard: int | None = None
    exact: bool = False

    def __post_init__(self) -> None:
        for name, kind in (("alignment", Boxes), ("scale", Scale), ("encoding", Encoding)):
            if getattr(self, name) not in get_args(kind):
                raise ReidError(f"{name} is {getattr(self, name)!r}; it is one of {', '.join(get_args(kind))}")


def build_shards(
    poses_path: str | Path,
    out: str | Path,
    options: BuildOptions | None = None,
    *,
    source: str | Path | None = None,
    canonical: CanonicalPoses | None = None,
    exclude: Collection[str] = (),
    overwrite: bool = False,
    grow: bool = False,
    workers: int = 1,
    executor: Executor | None = None,
    progress: Progress = unseen,
    log: Callable[[str], None] = lambda line: None,
) -> ShardManifest:
    """Cut aligned crops for every pose and write a shard directory; resumes an interrupted one.

    Ctrl-C and SIGTERM end it after the files that are being made.

    Args:
        poses_path: a complete pose directory.
        out: the shard directory.
        options: what shapes the output.
        source: where the images are now, None for where they were when the poses were estimated.
        canonical: poses to fill gaps from, None for the default set.
        exclude: paths of images to leave out; those that the poses do not have are ignored.
        overwrite: replace shards made with other parameters.
        grow: where images were added to the poses since shards were made of them, cut the new ones only, if border
            colour and stored sizes are the same. The new directory takes the place of the old one when it is complete;
            it is the same as one made of all poses.
        workers: processes; one works in this process.
        executor: has the shards made, None for processes on this machine.
        progress: called with the samples done, and all samples, those of an earlier run included.
        log: called with a line for the reader if nothing can be taken over.

    Raises:
        ReidError: unusable input or output, a full disk, a list that excludes nothing or everything, or with `grow`
            poses that have lost images or changed labels. Images that cannot be read are left out and listed.
        Interrupted: a signal.

    Example:
        >>> from reidprep import build_shards
        >>> manifest = build_shards("poses", "new-shards")
        >>> manifest.summary.images
        {'train': 8, 'query': 4, 'gallery': 10}
    """
    poses_path, out = Path(poses_path), Path(out)
    options = options or BuildOptions()
    canonical = canonical or default_poses()
    poses = PoseSet(poses_path)
    if not len(poses):
        raise ReidError(f"{poses_path}: holds no poses")
    if source is None and not poses.source.exists():
        raise ReidError(f"{poses.source}: the images are not there any more; say where they are by --source")
    source = Path(source) if source else poses.source
    images = open_images(poses.plan.dataset.name, source, poses.plan.dataset.options)
    splits, means, *paths = poses.columns("splits", "channel_means", *(["paths"] if exclude else []))
    excluded = excluded_rows(paths[0], exclude) if exclude else np.zeros(len(splits), np.bool_)
    kept = np.flatnonzero(~excluded)
    readable = _check_source(source, images, poses, kept)
    plan = _plan(options, poses, canonical, splits[kept], means[kept], kept)
    if excluded.any():
        plan = replace(plan, excluded=fingerprint(paths[0][excluded]))
    executor = executor or LocalExecutor(workers)
    with (
        filling(out, SHARDS, relative_source(source, out), plan, overwrite=overwrite, grow=grow) as filled,
        Signals(WHOLE_FILES if executor.whole_files else None) as signals,
    ):
        directory, earlier = filled.writer, None
        if filled.earlier is not None:
            earlier = Earlier(out, filled.earlier, poses)
            if reason := in_the_way(filled.earlier.plan, plan):
                log(reason)
                earlier = None
        tasks = [
            ShardTask(f"{split}-{number:05d}.h5", split, poses.pieces(rows), earlier.taken(rows) if earlier else ())
            for split in SPLITS
            for number, rows in enumerate(_chunks(kept[splits[kept] == split], plan.samples_per_shard))
        ]
        missing = [task for task in tasks if task.name not in directory.present]
        job = ShardJob(directory.path.resolve(), poses_path.resolve(), images, canonical, plan, readable, out.resolve())
        done = len(kept) - sum(task.rows for task in missing)
        with closing(executor.map(job, signals.until(missing))) as files:
            for file in counted(files, lambda file: file.rows + len(file.skipped), progress, done, len(kept)):
                directory.add(file)
        if len(directory.present) < len(tasks):
            made = directory.manifest.rows + len(directory.manifest.skipped)
            signals.stop(f"{made:,} of {len(kept):,} samples are done and kept; the same command does the rest")

        require_rows(directory.manifest, "poses")
        directory.finish(_summary(directory.manifest, poses, splits[excluded]))
        taken_over = sum(len(taken.rows) for task in missing for taken in task.taken)
    return replace(directory.manifest, kept=directory.manifest.kept + taken_over)


def _check_source(source: Path, images: ImageSource, poses: PoseSet, kept: NDArray[np.int64]) -> str:
    """Path of an image that is there.

    Raise if not one of some images spread over the `kept` rows is there: better than leaving out all of them.
    """
    reasons: list[str] = []
    for path in poses.read(_spread(kept, _PROBES)).paths:
        try:
            images.read(str(path))
            return str(path)
        except ImageError as error:
            reasons.append(f"{path}: {error}")
    raise ReidError(f"{source}: does not hold the images of the poses ({reasons[0]}); say where they are by --source")


def _spread(rows: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """At most `count` of `rows`, evenly spread."""
    return rows[np.unique(np.linspace(0, len(rows) - 1, count).astype(np.int64))]


def _chunks(rows: NDArray[np.int64], size: int) -> list[NDArray[np.int64]]:
    return [rows[start : start + size] for start in range(0, len(rows), size)]


def _plan(
    options: BuildOptions,
    poses: PoseSet,
    canonical: CanonicalPoses,
    splits: NDArray[np.generic],
    means: NDArray[np.float32],
    kept: NDArray[np.int64],
) -> ShardPlan:
    border = options.border
    if border is None:
        train = means[splits == "train"]
        red, green, blue = np.round((train if len(train) else means).mean(axis=0, dtype=np.float64), 2).tolist()
        border = (red, green, blue)
    quality = QUALITY[options.scale] if options.quality is None else options.quality
    confidence = poses.plan.confidence if options.confidence is None else options.confidence
    calibration, threshold = calibration_of(poses.plan.estimator.score_scale, confidence)
    plan = ShardPlan(
        poses=PosesUsed(tool=poses.manifest.tool, sha256=poses.manifest.sha256, **vars(poses.plan)),
        canonical_sha256=canonical.sha256,
        alignment=options.alignment,
        beta=options.beta,
        confidence=confidence,
        whole_size=options.whole_size,
        part_size=options.part_size,
        image_size=options.image_size,
        scale=options.scale,
        encoding=options.encoding,
        quality=quality if options.encoding == "jpeg" else None,
        border=border,
        samples_per_shard=options.samples_per_shard or SAMPLES_PER_SHARD[options.encoding],
        noise=NoisePlan(calibration=calibration, threshold=threshold, sha256=shipped_sha256()),
        exact=options.exact,
    )
    return replace(plan, stored_sizes=_stored_sizes(plan, poses, canonical, kept))


def _stored_sizes(
    plan: ShardPlan, poses: PoseSet, canonical: CanonicalPoses, kept: NDArray[np.int64]
) -> Mapping[View, Size]:
    full = full_sizes(plan)
    if plan.scale == "full":
        return full
    some = poses.read(_spread(kept, _SIZED))
    with single_threaded():
        boxes = aligned(some.joints, some.image_sizes, canonical, plan).boxes
    return source_sizes(full, boxes, some.image_sizes)


def _summary(manifest: ShardManifest, poses: PoseSet, excluded: NDArray[np.str_]) -> ShardSummary:
    of_split = {split: [file for file in manifest.files if file.statistics.split == split] for split in SPLITS}
    pids = sorted({pid for file in of_split["train"] for pid in file.statistics.pids if pid >= 0})
    filled = np.sum([file.statistics.joints_filled for file in manifest.files], axis=0)
    return ShardSummary(
        images={split: sum(file.rows for file in files) for split, files in of_split.items()},
        skipped=len(manifest.skipped),
        skipped_in_poses=len(poses.manifest.skipped),
        excluded={split: int((excluded == split).sum()) for split in SPLITS},
        train_labels={pid: label for label, pid in enumerate(pids)},
        channel_means=_channel_means(of_split["train"] or manifest.files, image_shapes(manifest.plan)),
        joints_filled=tuple(round(float(count) / max(1, manifest.rows), 4) for count in filled),
        flags={
            str(flag.name): sum(file.statistics.flags.get(str(flag.name), 0) for file in manifest.files)
            for flag in Flag
        },
        names=poses.manifest.summary.names,
    )


def _channel_means(files: Sequence[ShardFile], shapes: Sequence[tuple[int, int, int]]) -> StoredMeans:
    """Mean red, green and blue, 0 to 255, of the training crops, before encoding."""
    rows = sum(file.rows for file in files)
    pixels = np.array([[height * width] for height, width, _ in shapes], dtype=np.float64) * max(1, rows)
    sums = np.sum([file.statistics.channel_sums for file in files], axis=0)
    means = [(red, green, blue) for red, green, blue in np.round(sums / pixels, 3).tolist()]
    head, upper_body, upper_leg, lower_leg = means[1:5]
    return StoredMeans(
        whole=means[0],
        parts=(head, upper_body, upper_leg, lower_leg),
        image=means[5] if len(means) > 5 else None,
    )
