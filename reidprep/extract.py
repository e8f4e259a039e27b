"""Run a pose estimator over a dataset: records -> pose directory."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from reidprep.datasets import Dataset, ImageSource
from reidprep.engines import Engine, LocalEngine
from reidprep.errors import ImageError, ReidError
from reidprep.estimators import LooksUpPaths, PoseEstimator
from reidprep.manifest import Manifest
from reidprep.parts import PartDirectory, relative_source
from reidprep.pose_parts import OnError, PoseJob, PoseTask, estimator_entry
from reidprep.poses import SCHEMA
from reidprep.records import SPLITS, Record, Split

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
        rows_per_part: images per part file.
    """

    splits: tuple[Split, ...] = SPLITS
    limit: int | None = None
    confidence: float | None = None
    rows_per_part: int = 2048


def extract_poses(
    dataset: Dataset,
    out: Path,
    estimator: PoseEstimator,
    options: ExtractOptions | None = None,
    *,
    on_error: OnError = "skip",
    overwrite: bool = False,
    workers: int = 1,
    engine: Engine | None = None,
    worker_estimator: Callable[[], PoseEstimator] | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Manifest:
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
    """
    options = options or ExtractOptions()
    engine = engine or LocalEngine(workers)
    records = _selected(dataset, options)
    if isinstance(estimator, LooksUpPaths):
        estimator.check_paths([record.path for record in records])
    plan = _plan(dataset, estimator, engine.device or estimator.device, options, records)
    with PartDirectory(out, SCHEMA, relative_source(dataset.root, out), plan, overwrite=overwrite) as directory:
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
        with closing(engine.make(job, missing, advance)) as parts:
            for part in parts:
                directory.add(part)

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
) -> dict[str, Any]:
    confidence = estimator.confidence if options.confidence is None else options.confidence
    return {
        "dataset": {
            "name": dataset.name,
            "options": dict(dataset.options),
            "splits": [split for split in SPLITS if split in options.splits],
            "limit": options.limit,
            "images": len(records),
            "records_sha256": fingerprint(records),
        },
        "estimator": {**estimator_entry(estimator), "device": device},
        "confidence": confidence,
        "rows_per_part": options.rows_per_part,
    }


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


def _summary(manifest: Manifest) -> dict[str, Any]:
    statistics = [part.statistics for part in manifest.parts]
    found = np.sum([entry["joints_found"] for entry in statistics], axis=0)
    return {
        "images": {split: sum(entry["images"][split] for entry in statistics) for split in SPLITS},
        "skipped": len(manifest.skipped),
        "joints_found": [round(float(count) / max(1, manifest.rows), 4) for count in found],
    }
