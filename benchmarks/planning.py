"""What grows with the dataset beside the work itself: list of records, manifest, reading of the poses to plan shards.

    python benchmarks/planning.py [--images 10000000] [--pose-parts 500]

Records and statistics are made up, in the sizes that Market-1501 gives them. Every step runs in a process of its own,
which says how much memory it took at most. Times are of one core, but for the adding of parts, which waits for a disk.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from reidprep.files import write_file
from reidprep.poses.extract import ExtractOptions, fingerprint
from reidprep.poses.format import (
    POSES,
    DatasetPlan,
    EstimatorPlan,
    PoseFile,
    PosePlan,
    Poses,
    PoseStatistics,
    PoseSummary,
    poses_bytes,
)
from reidprep.poses.reader import PoseSet
from reidprep.records import Record
from reidprep.skeleton import JOINTS
from reidprep.store.fields import plain
from reidprep.store.hdf5 import Schema
from reidprep.store.manifest import Format, StoreFile, read_manifest
from reidprep.store.writer import StoreWriter

FORMAT = Format(Schema("reidprep.benchmark", 1), dict, dict, dict, most_rows=lambda plan: ROWS + SAMPLES)
# As many as `extract-poses` and `build-shards` write.
ROWS, SAMPLES = ExtractOptions().rows_per_part, 1024


def records(count: int) -> list[Record]:
    return [
        Record(f"bounding_box_train/{i:07d}_c1s1_{i:06d}_01.jpg", i // 20, i % 6, "train", 1, i) for i in range(count)
    ]


def listing(count: int, folder: Path) -> dict[str, float]:
    started = time.process_time()
    found = records(count)
    made = time.process_time()
    fingerprint(found)
    return {"list of records, s": made - started, "its fingerprint, s": time.process_time() - made}


def pose_part(number: int) -> StoreFile:
    statistics = {"images": {"train": ROWS, "query": 0, "gallery": 0}, "joints_found": [1987] * len(JOINTS)}
    return StoreFile(f"part-{number:05d}.h5", ROWS, f"{number:064x}", (), statistics)


def shard_part(number: int) -> StoreFile:
    statistics = {
        "split": "train",
        "pids": list(range(number * SAMPLES // 20, (number + 1) * SAMPLES // 20)),
        "channel_sums": [[987654321] * 3] * 5,
        "joints_filled": [123] * len(JOINTS),
        "flags": {"few_joints": 1, "degenerate_boxes": 1, "poor_fit": 1, "truncated": 1},
    }
    return StoreFile(f"train-{number:05d}.h5", SAMPLES, f"{number:064x}", (), statistics)


def manifest(make: Callable[[int], StoreFile], parts: int, folder: Path) -> dict[str, float]:
    """Adding parts, with a sync of the journal each; finishing; reading."""
    times = [time.perf_counter()]
    with StoreWriter(folder / "parts", FORMAT, "", {}) as directory:
        for number in range(parts):
            directory.add(make(number))
            if number == parts // 2:
                times.append(time.perf_counter())
        times.append(time.perf_counter())
        started = time.process_time()
        directory.finish({})
    finished = time.process_time()
    read_manifest(folder / "parts", FORMAT)
    halves = np.diff(times) / parts * 2
    return {
        "ms per part, first half": 1e3 * halves[0],
        "second half": 1e3 * halves[1],
        "finishing, s": finished - started,
        "reading it, s": time.process_time() - finished,
        "size, MB": (folder / "parts" / "manifest.json").stat().st_size / 1e6,
    }


def rewritten(parts: int, folder: Path) -> dict[str, float]:
    """What one more part would take if it meant to write the manifest anew."""
    made = [plain(pose_part(number)) for number in range(parts)]
    started = time.process_time()
    write_file(folder / "manifest.json", json.dumps(made, indent=1).encode())
    return {"s for one part": time.process_time() - started}


def poses(parts: int, folder: Path) -> dict[str, float]:
    """Reading what the plan of a shard directory needs of the poses."""
    rng = np.random.default_rng(0)
    counted = PoseStatistics(images={}, joints_found=(0,) * len(JOINTS))
    dataset = DatasetPlan(name="csv", options={}, splits=(), limit=None, images=ROWS * parts, records_sha256="")
    estimator = EstimatorPlan(name="none", weights_sha256="", score_scale="", device="cpu")
    plan = PosePlan(dataset=dataset, estimator=estimator, confidence=0.3, rows_per_part=ROWS)
    with StoreWriter(folder / "poses", POSES, "", plan) as directory:
        content = Poses(
            paths=np.array([record.path for record in records(ROWS)]),
            pids=np.arange(ROWS),
            camids=np.arange(ROWS),
            splits=np.array(["train"] * ROWS),
            sequences=np.arange(ROWS),
            frames=np.arange(ROWS),
            joints=rng.random((ROWS, len(JOINTS), 3)).astype(np.float32),
            image_sizes=np.full((ROWS, 2), 64, np.int32),
            channel_means=rng.random((ROWS, 3)).astype(np.float32),
            crc32=np.ones(ROWS, np.uint32),
        )
        data = poses_bytes(content, plan)
        for number in range(parts):
            sha256 = write_file(folder / "poses" / f"part-{number:05d}.h5", data)
            directory.add(PoseFile(f"part-{number:05d}.h5", ROWS, sha256, (), counted))
        directory.finish(PoseSummary(images={}, skipped=0, joints_found=(0,) * len(JOINTS)))
    before = peak()
    started = time.process_time()
    found = PoseSet(folder / "poses")
    found.columns("splits", "channel_means")
    columns = time.process_time()
    found.read(np.unique(np.linspace(0, len(found) - 1, 4096).astype(np.int64)))
    return {
        "splits and means, ms per part": 1e3 * (columns - started) / parts,
        "bytes of memory per image": (peak() - before) * 1e6 / len(found),
        "sizes from 4,096 poses, s": time.process_time() - columns,
    }


def peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def measured(step: Callable[..., dict[str, float]], arguments: tuple[object, ...], results: object) -> None:
    before = peak()
    with tempfile.TemporaryDirectory() as folder:
        values = step(*arguments, Path(folder))
    results.put({**values, "memory, MB": peak() - before})  # type: ignore[attr-defined]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=10_000_000)
    parser.add_argument("--pose-parts", type=int, default=500, help="part files that are really written and read")
    arguments = parser.parse_args()
    parts, shards = -(-arguments.images // ROWS), -(-arguments.images // SAMPLES)
    context = multiprocessing.get_context("spawn")
    steps: dict[str, tuple[Callable[..., dict[str, float]], tuple[object, ...]]] = {
        f"{arguments.images:,} records": (listing, (arguments.images,)),
        f"manifest of {parts:,} pose parts": (manifest, (pose_part, parts)),
        f"manifest of {parts:,} pose parts, written anew": (rewritten, (parts,)),
        f"manifest of {shards:,} shards": (manifest, (shard_part, shards)),
        f"{arguments.pose_parts:,} pose parts": (poses, (arguments.pose_parts,)),
    }
    for title, (step, values) in steps.items():
        results = context.Queue()
        process = context.Process(target=measured, args=(step, values, results))
        process.start()
        found = results.get()
        process.join()
        print(f"{title}: " + ", ".join(f"{name} {value:,.3g}" for name, value in found.items()), flush=True)


if __name__ == "__main__":
    main()
