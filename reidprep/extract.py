"""Run a pose estimator over a dataset: records -> pose directory."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple, dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from reidprep.datasets import Dataset, ImageSource
from reidprep.errors import ImageError, ReidError
from reidprep.estimators import PoseEstimator
from reidprep.files import write_file
from reidprep.manifest import Manifest, Part
from reidprep.parts import PartDirectory, relative_source
from reidprep.pipeline import ordered_map
from reidprep.poses import SCHEMA, Poses, poses_bytes
from reidprep.records import SPLITS, Record, Split
from reidprep.skeleton import JOINTS

OnError = Literal["skip", "fail"]
# Fewer would spend time on handing work to threads.
_LEAST_IMAGES_PER_CALL = 16
NO_JOINTS = "the estimator has no joints for it"


@dataclass(frozen=True)
class ExtractOptions:
    """Parameters of `extract_poses` that shape its output.

    Attributes:
        splits: the splits to process.
        limit: at most so many images of each split, None for all.
        confidence: score from which a joint counts as found, None for the estimator's own.
        rows_per_part: images per part file.
    """

    splits: tuple[Split, ...] = SPLITS
    limit: int | None = None
    confidence: float | None = None
    rows_per_part: int = 2048


@dataclass(frozen=True)
class _Batch:
    part: int
    records: Sequence[Record]


@dataclass(frozen=True)
class _Estimated:
    """What became of a batch: the rows of the readable images, and the reasons for the others."""

    part: int
    records: Sequence[Record]
    joints: NDArray[np.float32]
    images: Sequence[tuple[int, int, float, float, float]]  # width, height, channel means
    skipped: Sequence[dict[str, str]]


def extract_poses(
    dataset: Dataset,
    out: Path,
    estimator: PoseEstimator,
    options: ExtractOptions | None = None,
    *,
    on_error: OnError = "skip",
    overwrite: bool = False,
    workers: int = 1,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Manifest:
    """Estimate the pose of every image and write a pose directory; resumes an interrupted one.

    Reading, decoding and estimating of different batches run at the same time on threads (all of it releases the
    interpreter lock), parts are written while the next batches are under way.

    Args:
        dataset: what to process.
        out: the pose directory.
        estimator: called with batches from up to `workers` threads.
        options: what shapes the output.
        on_error: leave unreadable images out and list them, or stop at the first.
        overwrite: replace poses made with other parameters.
        workers: threads.
        progress: called with the images done, and all images, those of an earlier run included.

    Raises:
        ReidError: nothing to process, an unusable `out`, a full disk, an unreadable image with `on_error` "fail".
    """
    options = options or ExtractOptions()
    records = _selected(dataset, options)
    plan = _plan(dataset, estimator, options, records)
    with PartDirectory(out, SCHEMA, relative_source(dataset.root, out), plan, overwrite=overwrite) as directory:
        size = options.rows_per_part
        names = [f"part-{i:05d}.h5" for i in range(-(-len(records) // size))]
        missing = [i for i, name in enumerate(names) if name not in directory.present]
        done = len(records) - sum(len(records[i * size : (i + 1) * size]) for i in missing)
        progress(done, len(records))

        step = -(-_LEAST_IMAGES_PER_CALL // estimator.batch_size) * estimator.batch_size
        batches = (
            _Batch(part, records[start : min(start + step, (part + 1) * size)])
            for part in missing
            for start in range(part * size, min((part + 1) * size, len(records)), step)
        )

        def estimate(batch: _Batch) -> _Estimated:
            return _estimate(batch, dataset.images, estimator, on_error)

        with ThreadPoolExecutor(workers) as executor:
            results = ordered_map(executor, estimate, batches, ahead=4 * workers)

            def counted() -> Iterator[_Estimated]:
                nonlocal done
                for result in results:
                    done += len(result.records) + len(result.skipped)
                    progress(done, len(records))
                    yield result

            for part, pieces in groupby(counted(), key=lambda result: result.part):
                directory.add(_write_part(out / names[part], list(pieces), plan))

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
    dataset: Dataset, estimator: PoseEstimator, options: ExtractOptions, records: Sequence[Record]
) -> dict[str, Any]:
    listing = json.dumps([astuple(record) for record in records], ensure_ascii=False)
    confidence = estimator.confidence if options.confidence is None else options.confidence
    return {
        "dataset": {
            "name": dataset.name,
            "options": dict(dataset.options),
            "splits": [split for split in SPLITS if split in options.splits],
            "limit": options.limit,
            "images": len(records),
            "records_sha256": hashlib.sha256(listing.encode("utf-8", "surrogatepass")).hexdigest(),
        },
        "estimator": {
            "name": estimator.name,
            "weights_sha256": estimator.weights_sha256,
            "score_scale": estimator.score_scale,
            "device": estimator.device,
            **({"options": dict(estimator.options)} if estimator.options else {}),
        },
        "confidence": confidence,
        "rows_per_part": options.rows_per_part,
    }


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
                skip(record, NO_JOINTS, "choose another estimator")
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
        batch.part,
        kept,
        np.array(joints, np.float32).reshape(-1, len(JOINTS), 3),
        measured,
        [{"path": record.path, "reason": skipped[record.path]} for record in batch.records if record.path in skipped],
    )


def _write_part(path: Path, pieces: Sequence[_Estimated], plan: dict[str, Any]) -> Part:
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
    found = (joints[..., 2] >= plan["confidence"]) & np.isfinite(joints).all(axis=-1)
    return Part(
        name=path.name,
        rows=len(records),
        sha256=write_file(path, poses_bytes(poses, plan)),
        skipped=tuple(entry for piece in pieces for entry in piece.skipped),
        statistics={
            "images": {split: int((poses.splits == split).sum()) for split in SPLITS},
            "joints_found": [int(count) for count in found.sum(axis=0)],
        },
    )


def _summary(manifest: Manifest) -> dict[str, Any]:
    statistics = [part.statistics for part in manifest.parts]
    found = np.sum([entry["joints_found"] for entry in statistics], axis=0)
    return {
        "images": {split: sum(entry["images"][split] for entry in statistics) for split in SPLITS},
        "skipped": len(manifest.skipped),
        "joints_found": [round(float(count) / max(1, manifest.rows), 4) for count in found],
    }
