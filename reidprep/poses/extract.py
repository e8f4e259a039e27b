"""Run a pose estimator over a dataset: records -> pose directory."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import astuple, dataclass, replace
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
from msgspec import UNSET
from numpy.typing import NDArray

from reidprep.datasets.base import Dataset, ImageSource
from reidprep.datasets.images import check_readable
from reidprep.datasets.selection import select
from reidprep.errors import ImageError, ReidError
from reidprep.estimators.base import ChecksJoints, LooksUpPaths, PoseEstimator
from reidprep.executors.base import Executor
from reidprep.executors.local import LocalExecutor
from reidprep.files import write_file
from reidprep.poses.format import (
    POSES,
    DatasetPlan,
    EstimatorPlan,
    Measures,
    PoseFile,
    PoseManifest,
    PosePlan,
    Poses,
    PoseStatistics,
    PoseSummary,
    concatenate,
    measured,
    poses_bytes,
    read_poses,
    take,
)
from reidprep.poses.kept import Kept, check_grown, earlier_poses, keep, kept
from reidprep.progress import Progress, counted, unseen
from reidprep.records import SPLITS, Names, Record, Split
from reidprep.signals import WHOLE_FILES, Signals
from reidprep.skeleton import JOINTS
from reidprep.store.fields import plain
from reidprep.store.growing import filling
from reidprep.store.manifest import Skipped, require_rows
from reidprep.store.writer import relative_source
from reidprep.text import differences

OnError = Literal["skip", "fail"]
# Fewer would spend time on handing work to threads.
_LEAST_IMAGES_PER_STEP = 16
NO_JOINTS = "the estimator has no joints for it"


@dataclass(frozen=True)
class PoseTask:
    """Images of a file that follow one another.

    Attributes:
        file: its name.
        records: the images.
        earlier: poses of some of them from before the dataset grew.
    """

    file: str
    records: Sequence[Record]
    earlier: Kept


@dataclass(frozen=True)
class Estimated:
    """What became of a task: the rows of the readable images, and the reasons for the others.

    Attributes:
        file: the task's.
        records: the readable images.
        joints: (n, 18, 3) of them.
        images: what is stored of each besides.
        skipped: the other images.
        taken_over: how many of the joints are those of before the dataset grew.
        replaced: images that are others than those of the same names of then.
    """

    file: str
    records: Sequence[Record]
    joints: NDArray[np.float32]
    images: Sequence[Measures]
    skipped: Sequence[Skipped]
    taken_over: int = 0
    replaced: Sequence[str] = ()

    @property
    def images_seen(self) -> int:
        """How many images there were."""
        return len(self.records) + len(self.skipped)


@dataclass(frozen=True)
class PoseJob:
    """Estimates poses: the job (`reidprep.executors.base.Job`) of `extract_poses`.

    Reading, decoding and estimating of different tasks run at the same time on threads, which call one estimator: all
    of it releases the interpreter lock.

    Attributes:
        out: the pose directory.
        images: reads the images.
        estimator: makes the estimator.
        plan: the plan of the pose directory.
        on_error: leave unreadable images out and list them, or stop at the first.
        readable: path of an image that can be read, None if none is known.
    """

    out: Path
    images: ImageSource
    estimator: Callable[[], PoseEstimator]
    plan: PosePlan
    on_error: OnError
    readable: str | None
    in_threads: ClassVar[bool] = True

    def prepare(self) -> Callable[[PoseTask], Estimated]:
        """Make the estimator, and make sure that it is the one of the plan."""
        check_readable(self.images, self.readable)
        estimator = self.estimator()
        planned, made = plain(self.plan.estimator), plain(estimator_plan(estimator))
        if planned != made:
            raise ReidError(
                "the estimator is another one here than where the command was started "
                f"({', '.join(differences(planned, made))}); give all machines the same model and device"
            )
        return lambda task: _estimate(task, self.images, estimator, self.on_error)


def images_per_step(estimator: PoseEstimator) -> int:
    """Images after which a batch ends even if some could not be read: a multiple of the batch size."""
    return -(-_LEAST_IMAGES_PER_STEP // estimator.batch_size) * estimator.batch_size


def estimator_plan(estimator: PoseEstimator) -> EstimatorPlan:
    """What the plan of a pose directory says of an estimator."""
    return EstimatorPlan(
        name=estimator.name,
        weights_sha256=estimator.weights_sha256,
        score_scale=estimator.score_scale,
        device=estimator.device,
        options=dict(estimator.options) or UNSET,
    )


def _estimate(task: PoseTask, source: ImageSource, estimator: PoseEstimator, on_error: OnError) -> Estimated:
    joints: dict[str, NDArray[np.float32]] = {}
    measures: dict[str, Measures] = {}
    skipped: dict[str, str] = {}
    replaced: list[str] = []

    def skip(record: Record, reason: str, remedy: str) -> None:
        if on_error == "fail":
            raise ReidError(f"{record.path}: {reason}; {remedy}, or use --on-error skip to go on without it")
        skipped[record.path] = reason

    def estimate(records: Sequence[Record], images: Sequence[NDArray[np.uint8]]) -> None:
        for record, image, row in zip(records, images, estimator(images, [r.path for r in records]), strict=True):
            if np.isnan(row).all():
                skip(record, NO_JOINTS, "give its joints or leave it out of the dataset")
                continue
            joints[record.path] = row
            measures[record.path] = measured(image)

    taken_over = 0
    waiting: list[tuple[Record, NDArray[np.uint8]]] = []
    step = images_per_step(estimator)
    for number, record in enumerate(task.records, start=1):
        try:
            image = source.read(record.path)
        except ImageError as error:
            skip(record, str(error), "repair or remove it")
        else:
            if (earlier := task.earlier.joints(record.path, image)) is not None:
                joints[record.path], measures[record.path] = earlier, measured(image)
                taken_over += 1
            else:
                waiting.append((record, image))
                replaced += [record.path] * (record.path in task.earlier.rows)
        # No more at once: images may be large.
        if len(waiting) == estimator.batch_size or (waiting and number % step == 0):
            estimate(*zip(*waiting, strict=True))
            waiting = []
    if waiting:
        estimate(*zip(*waiting, strict=True))
    kept = [record for record in task.records if record.path in joints]
    return Estimated(
        task.file,
        kept,
        np.array([joints[record.path] for record in kept], np.float32).reshape(-1, len(JOINTS), 3),
        [measures[record.path] for record in kept],
        [Skipped(record.path, skipped[record.path]) for record in task.records if record.path in skipped],
        taken_over,
        replaced,
    )


def _poses(pieces: Sequence[Estimated]) -> Poses:
    records = [record for piece in pieces for record in piece.records]
    images = np.array([row for piece in pieces for row in piece.images], np.float64).reshape(-1, 6)
    return Poses(
        paths=np.array([record.path for record in records], dtype=np.str_),
        pids=np.array([record.pid for record in records], dtype=np.int64),
        camids=np.array([record.camid for record in records], dtype=np.int64),
        splits=np.array([record.split for record in records], dtype=np.str_),
        sequences=np.array([record.sequence for record in records], dtype=np.int64),
        frames=np.array([record.frame for record in records], dtype=np.int64),
        joints=np.concatenate([piece.joints for piece in pieces]).astype(np.float32),
        image_sizes=images[:, :2].astype(np.int32),
        channel_means=images[:, 2:5].astype(np.float32),
        crc32=images[:, 5].astype(np.uint32),
    )


def _known(task: PoseTask, unfinished: Kept) -> Estimated | None:
    """A task that a stopped run has done."""
    rows = unfinished.of(task.records)
    if rows is None or unfinished.poses is None:
        return None
    poses = take(unfinished.poses, np.array(rows, np.int64))
    columns = (poses.image_sizes, poses.channel_means, poses.crc32)
    measures = [
        (width, height, red, green, blue, crc32)
        for (width, height), (red, green, blue), crc32 in zip(*(column.tolist() for column in columns), strict=True)
    ]
    return Estimated(task.file, task.records, poses.joints, measures, ())


def _write_file(path: Path, pieces: Sequence[Estimated], plan: PosePlan) -> PoseFile:
    poses = _poses(pieces)
    found = (poses.joints[..., 2] >= plan.confidence) & np.isfinite(poses.joints).all(axis=-1)
    return PoseFile(
        name=path.name,
        rows=len(poses),
        sha256=write_file(path, poses_bytes(poses, plan)),
        skipped=tuple(entry for piece in pieces for entry in piece.skipped),
        statistics=PoseStatistics(
            images={split: int((poses.splits == split).sum()) for split in SPLITS},
            joints_found=tuple(found.sum(axis=0).tolist()),
        ),
    )


_PROBES = 16
# Records that are turned into JSON at once.
_HASHED = 8192


@dataclass(frozen=True)
class ExtractOptions:
    """Parameters of `extract_poses` that shape its output.

    Attributes:
        splits: the splits to process.
        limit: at most so many images of each split, of whole identities (`reidprep.datasets.selection.select`); None
            for all.
        confidence: score from which a joint counts as found, None for the estimator's own.
        rows_per_part: images per file.

    Example:
        >>> from reidprep import ExtractOptions, create_estimator, extract_poses, open_dataset
        >>> options = ExtractOptions(splits=("train",), limit=2)
        >>> len(extract_poses(open_dataset("people"), "few-poses", create_estimator(), options).files)
        1
    """

    splits: tuple[Split, ...] = SPLITS
    limit: int | None = None
    confidence: float | None = None
    rows_per_part: int = 2048


def extract_poses(
    dataset: Dataset,
    out: str | Path,
    estimator: PoseEstimator,
    options: ExtractOptions | None = None,
    *,
    on_error: OnError = "skip",
    overwrite: bool = False,
    grow: bool = False,
    workers: int = 1,
    executor: Executor | None = None,
    worker_estimator: Callable[[], PoseEstimator] | None = None,
    progress: Progress = unseen,
) -> PoseManifest:
    """Estimate the pose of every image and write a pose directory; resumes an interrupted one.

    Ctrl-C and SIGTERM end it after the images that are being estimated; all that are done are kept.

    Args:
        dataset: what to process.
        out: the pose directory.
        estimator: called with batches from up to `workers` threads.
        options: what shapes the output.
        on_error: leave unreadable images out and list them, or stop at the first.
        overwrite: replace poses made with other parameters.
        grow: where images were added to a dataset since its poses were made, estimate those of the new images and of
            replaced ones only. The new directory takes the place of the old one when it is complete; it is the same
            as one made of the whole dataset.
        workers: threads.
        executor: has the poses estimated, None for the threads of this process.
        worker_estimator: makes the same estimator in a worker of `executor`; picklable.
        progress: called with the images done, and all images, those of an earlier run included.

    Raises:
        ReidError: nothing to process, an unusable `out`, a full disk, an unreadable image with `on_error` "fail", or
            with `grow` a dataset that has lost images or changed labels.
        Interrupted: a signal.

    Example:
        >>> from reidprep import create_estimator, extract_poses, open_dataset
        >>> manifest = extract_poses(open_dataset("people"), "new-poses", create_estimator())
        >>> manifest.rows, manifest.skipped
        (22, [])
    """
    out = Path(out)
    options = options or ExtractOptions()
    executor = executor or LocalExecutor(workers)
    dataset = select(dataset, options.splits, options.limit)
    records = dataset.records
    if isinstance(estimator, LooksUpPaths):
        estimator.check_paths([record.path for record in records])
    plan = _plan(dataset, estimator, executor.device or estimator.device, options, records)
    with (
        filling(out, POSES, relative_source(dataset.root, out), plan, overwrite=overwrite, grow=grow) as filled,
        Signals(WHOLE_FILES if executor.whole_files else None) as signals,
    ):
        directory, place = filled.writer, filled.writer.path
        earlier = Kept()
        if filled.earlier is not None:
            earlier = earlier_poses(out, filled.earlier.files)
            check_grown(out, filled.earlier, earlier, dataset)
        if isinstance(estimator, LooksUpPaths):
            earlier = Kept()  # what it says of an image may be something else now
        size = options.rows_per_part
        files = {
            f"part-{number:05d}.h5": records[start : start + size]
            for number, start in enumerate(range(0, len(records), size))
        }
        missing = {name: some for name, some in files.items() if name not in directory.present}
        step = size if executor.whole_files else images_per_step(estimator)
        tasks = [
            PoseTask(name, images, earlier.among(images))
            for name, some in missing.items()
            for start in range(0, len(some), step)
            for images in [some[start : start + step]]
        ]
        job = PoseJob(
            out=place.resolve(),
            images=dataset.images,
            estimator=worker_estimator or (lambda: estimator),
            plan=plan,
            on_error=on_error,
            readable=_readable(dataset.images, records),
        )
        unfinished = kept(place)
        known = [_known(task, unfinished) for task in tasks]
        done = len(records) - sum(map(len, missing.values()))
        taken_over = 0
        replaced: list[str] = []
        pieces: list[Estimated] = []
        with closing(executor.map(job, [task for task, old in zip(tasks, known, strict=True) if not old])) as results:
            waiting = iter(known)
            all_pieces = (old or next(results) for old in waiting)
            for piece in counted(all_pieces, lambda piece: piece.images_seen, progress, done, len(records)):
                pieces.append(piece)
                taken_over += piece.taken_over
                replaced += piece.replaced
                if sum(each.images_seen for each in pieces) == len(files[piece.file]):
                    directory.add(_write_file(place / piece.file, pieces, plan))
                    done += len(files[piece.file])
                    pieces = []
                if signals.caught and done < len(records):
                    pieces += filter(None, waiting)
                    if pieces:
                        keep(place, _poses(pieces), plan)
                    done += sum(each.images_seen for each in pieces)
                    share = f"{done:,} of {len(records):,} images"
                    signals.stop(f"{share} are done and kept; the same command does the rest")

        require_rows(directory.manifest, "images")
        if isinstance(estimator, ChecksJoints) and not directory.manifest.complete:
            written = concatenate([read_poses(place / file.name, file.rows) for file in directory.manifest.files])
            estimator.check_joints(written.joints, written.image_sizes, plan.confidence)
        directory.finish(_summary(directory.manifest, dataset.names))
        kept_rows = directory.manifest.kept + taken_over
    return replace(directory.manifest, kept=kept_rows, replaced=tuple(sorted(replaced)))


def _plan(
    dataset: Dataset, estimator: PoseEstimator, device: str, options: ExtractOptions, records: Sequence[Record]
) -> PosePlan:
    return PosePlan(
        dataset=DatasetPlan(
            name=dataset.name,
            options=dict(dataset.options),
            splits=tuple(split for split in SPLITS if split in options.splits),
            limit=options.limit,
            images=len(records),
            records_sha256=fingerprint(records),
            names_sha256=hashlib.sha256(json.dumps(plain(dataset.names)).encode()).hexdigest()
            if dataset.names
            else UNSET,
        ),
        estimator=replace(estimator_plan(estimator), device=device),
        confidence=estimator.confidence if options.confidence is None else options.confidence,
        rows_per_part=options.rows_per_part,
    )


def fingerprint(records: Sequence[Record]) -> str:
    """SHA-256 of the JSON list of all records, put together without holding it."""
    digest = hashlib.sha256(b"[")
    for start in range(0, len(records), _HASHED):
        values = [astuple(record) for record in records[start : start + _HASHED]]
        listing = json.dumps(values, ensure_ascii=False)[1:-1]
        digest.update(((", " if start else "") + listing).encode("utf-8", "surrogatepass"))
    digest.update(b"]")
    return digest.hexdigest()


def _readable(images: ImageSource, records: Sequence[Record]) -> str | None:
    """Path of one of some images spread over the records that can be read."""
    for record in records[:: -(-len(records) // _PROBES)]:
        try:
            images.read(record.path)
            return record.path
        except ImageError:
            continue
    return None


def _summary(manifest: PoseManifest, names: Names) -> PoseSummary:
    statistics = [file.statistics for file in manifest.files]
    found = np.sum([entry.joints_found for entry in statistics], axis=0)
    return PoseSummary(
        images={split: sum(entry.images.get(split, 0) for entry in statistics) for split in SPLITS},
        skipped=len(manifest.skipped),
        joints_found=tuple(round(float(count) / max(1, manifest.rows), 4) for count in found),
        names=names or UNSET,
    )
