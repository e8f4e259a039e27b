"""Run a pose estimator over a dataset: records -> pose directory."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import astuple, dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from msgspec import UNSET
from numpy.typing import NDArray

from reidprep.datasets.base import Dataset, ImageSource
from reidprep.datasets.images import check_readable
from reidprep.errors import ImageError, ReidError
from reidprep.estimators.base import LooksUpPaths, PoseEstimator
from reidprep.executors.base import Advance, Executor
from reidprep.executors.local import LocalExecutor, ordered_map
from reidprep.files import write_file
from reidprep.poses.format import (
    POSES,
    DatasetPlan,
    EstimatorPlan,
    PoseFile,
    PoseManifest,
    PosePlan,
    Poses,
    PoseStatistics,
    PoseSummary,
    poses_bytes,
)
from reidprep.progress import Progress, unseen
from reidprep.records import SPLITS, Record, Split
from reidprep.skeleton import JOINTS
from reidprep.store.fields import plain
from reidprep.store.manifest import Skipped
from reidprep.store.writer import StoreWriter, relative_source
from reidprep.text import differences

OnError = Literal["skip", "fail"]
# Fewer would spend time on handing work to threads.
_LEAST_IMAGES_PER_CALL = 16
NO_JOINTS = "the estimator has no joints for it"


@dataclass(frozen=True)
class PoseTask:
    """One file: its name and what it is to hold."""

    name: str
    records: Sequence[Record]


@dataclass(frozen=True)
class PoseJob:
    """Estimates poses; see `reidprep.executors.base.Job`.

    Reading, decoding and estimating of different batches run at the same time on threads (all of it releases the
    interpreter lock); a file is written while the batches of the next one are under way.

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

    def start(self) -> Callable[[PoseTask], PoseFile]:
        """See `reidprep.executors.base.Job.start`."""
        check_readable(self.images, self.readable)
        estimator = self.estimator()
        planned, made = plain(self.plan.estimator), plain(estimator_plan(estimator))
        if planned != made:
            raise ReidError(
                "the estimator is another one here than where the command was started "
                f"({', '.join(differences(planned, made))}); give all machines the same model and device"
            )

        def make(task: PoseTask) -> PoseFile:
            [file] = self._make([task], estimator, 1, lambda images: None)
            return file

        return make

    def make_all(self, tasks: Sequence[PoseTask], workers: int, advance: Advance) -> Generator[PoseFile, None, None]:
        """See `reidprep.executors.base.Job.make_all`; threads call one estimator."""
        yield from self._make(tasks, self.estimator(), workers, advance)

    def _make(
        self, tasks: Sequence[PoseTask], estimator: PoseEstimator, workers: int, advance: Advance
    ) -> Iterator[PoseFile]:
        step = -(-_LEAST_IMAGES_PER_CALL // estimator.batch_size) * estimator.batch_size
        batches = (
            _Batch(task.name, task.records[start : start + step])
            for task in tasks
            for start in range(0, len(task.records), step)
        )

        def estimate(batch: _Batch) -> _Estimated:
            return _estimate(batch, self.images, estimator, self.on_error)

        with ThreadPoolExecutor(workers) as executor:
            results = ordered_map(executor, estimate, batches, ahead=4 * workers)

            def counted() -> Iterator[_Estimated]:
                for result in results:
                    advance(len(result.records) + len(result.skipped))
                    yield result

            for name, pieces in groupby(counted(), key=lambda result: result.file):
                yield _write_file(self.out / name, list(pieces), self.plan)


def estimator_plan(estimator: PoseEstimator) -> EstimatorPlan:
    """What the plan of a pose directory says of an estimator."""
    return EstimatorPlan(
        name=estimator.name,
        weights_sha256=estimator.weights_sha256,
        score_scale=estimator.score_scale,
        device=estimator.device,
        options=dict(estimator.options) or UNSET,
    )


@dataclass(frozen=True)
class _Batch:
    file: str
    records: Sequence[Record]


@dataclass(frozen=True)
class _Estimated:
    """What became of a batch: the rows of the readable images, and the reasons for the others."""

    file: str
    records: Sequence[Record]
    joints: NDArray[np.float32]
    images: Sequence[tuple[int, int, float, float, float]]  # width, height, channel means
    skipped: Sequence[Skipped]


def _estimate(batch: _Batch, source: ImageSource, estimator: PoseEstimator, on_error: OnError) -> _Estimated:
    kept: list[Record] = []
    joints: list[NDArray[np.float32]] = []
    measured: list[tuple[int, int, float, float, float]] = []
    skipped: dict[str, str] = {}

    def skip(record: Record, reason: str, remedy: str) -> None:
        if on_error == "fail":
            raise ReidError(f"{record.path}: {reason}; {remedy}, or use --on-error skip to go on without it")
        skipped[record.path] = reason

    def estimate(records: Sequence[Record], images: Sequence[NDArray[np.uint8]]) -> None:
        for record, image, row in zip(records, images, estimator(images, [r.path for r in records]), strict=True):
            if np.isnan(row).all():
                skip(record, NO_JOINTS, "give its joints or leave it out of the dataset")
                continue
            kept.append(record)
            joints.append(row)
            measured.append((image.shape[1], image.shape[0], *cv2.mean(image)[:3]))

    waiting: list[tuple[Record, NDArray[np.uint8]]] = []
    for record in batch.records:
        try:
            waiting.append((record, source.read(record.path)))
        except ImageError as error:
            skip(record, str(error), "repair or remove it")
        if len(waiting) == estimator.batch_size:  # no more at once: images may be large
            estimate(*zip(*waiting, strict=True))
            waiting = []
    if waiting:
        estimate(*zip(*waiting, strict=True))
    return _Estimated(
        batch.file,
        kept,
        np.array(joints, np.float32).reshape(-1, len(JOINTS), 3),
        measured,
        [Skipped(record.path, skipped[record.path]) for record in batch.records if record.path in skipped],
    )


def _write_file(path: Path, pieces: Sequence[_Estimated], plan: PosePlan) -> PoseFile:
    records = [record for piece in pieces for record in piece.records]
    images = np.array([row for piece in pieces for row in piece.images], np.float64).reshape(-1, 5)
    joints = np.concatenate([piece.joints for piece in pieces]).astype(np.float32)
    poses = Poses(
        paths=np.array([record.path for record in records], dtype=np.str_),
        pids=np.array([record.pid for record in records], dtype=np.int64),
        camids=np.array([record.camid for record in records], dtype=np.int64),
        splits=np.array([record.split for record in records], dtype=np.str_),
        sequences=np.array([record.sequence for record in records], dtype=np.int64),
        frames=np.array([record.frame for record in records], dtype=np.int64),
        joints=joints,
        image_sizes=images[:, :2].astype(np.int32),
        channel_means=images[:, 2:].astype(np.float32),
    )
    found = (joints[..., 2] >= plan.confidence) & np.isfinite(joints).all(axis=-1)
    return PoseFile(
        name=path.name,
        rows=len(records),
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
        limit: at most so many images of each split, None for all.
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
    workers: int = 1,
    engine: Executor | None = None,
    worker_estimator: Callable[[], PoseEstimator] | None = None,
    progress: Progress = unseen,
) -> PoseManifest:
    """Estimate the pose of every image and write a pose directory; resumes an interrupted one.

    Args:
        dataset: what to process.
        out: the pose directory.
        estimator: called with batches from up to `workers` threads.
        options: what shapes the output.
        on_error: leave unreadable images out and list them, or stop at the first.
        overwrite: replace poses made with other parameters.
        workers: threads.
        engine: has the parts made, None for the threads of this process.
        worker_estimator: makes the same estimator in a worker of `engine`; picklable.
        progress: called with the images done, and all images, those of an earlier run included.

    Raises:
        ReidError: nothing to process, an unusable `out`, a full disk, an unreadable image with `on_error` "fail".

    Example:
        >>> from reidprep import create_estimator, extract_poses, open_dataset
        >>> manifest = extract_poses(open_dataset("people"), "new-poses", create_estimator())
        >>> manifest.rows, manifest.skipped
        (22, [])
    """
    out = Path(out)
    options = options or ExtractOptions()
    engine = engine or LocalExecutor(workers)
    records = _selected(dataset, options)
    if isinstance(estimator, LooksUpPaths):
        estimator.check_paths([record.path for record in records])
    plan = _plan(dataset, estimator, engine.device or estimator.device, options, records)
    with StoreWriter(out, POSES, relative_source(dataset.root, out), plan, overwrite=overwrite) as directory:
        size = options.rows_per_part
        tasks = [
            PoseTask(f"part-{number:05d}.h5", records[start : start + size])
            for number, start in enumerate(range(0, len(records), size))
        ]
        missing = [task for task in tasks if task.name not in directory.present]
        done = len(records) - sum(len(task.records) for task in missing)
        progress(done, len(records))

        def advance(images: int) -> None:
            nonlocal done
            done += images
            progress(done, len(records))

        job = PoseJob(
            out=out.resolve(),
            images=dataset.images,
            estimator=worker_estimator or (lambda: estimator),
            plan=plan,
            on_error=on_error,
            readable=_readable(dataset.images, records),
        )
        with closing(engine.make(job, missing, advance)) as files:
            for file in files:
                directory.add(file)

        directory.finish(_summary(directory.manifest))
        return directory.manifest


def _selected(dataset: Dataset, options: ExtractOptions) -> list[Record]:
    records: list[Record] = []
    for split in SPLITS:
        if split in options.splits:
            records += [record for record in dataset.records if record.split == split][: options.limit]
    if not records:
        raise ReidError(f"{dataset.root}: no image in the splits {', '.join(options.splits)}")
    return records


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


def _summary(manifest: PoseManifest) -> PoseSummary:
    statistics = [file.statistics for file in manifest.files]
    found = np.sum([entry.joints_found for entry in statistics], axis=0)
    return PoseSummary(
        images={split: sum(entry.images.get(split, 0) for entry in statistics) for split in SPLITS},
        skipped=len(manifest.skipped),
        joints_found=tuple(round(float(count) / max(1, manifest.rows), 4) for count in found),
    )
