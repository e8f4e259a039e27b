"""Shard building against the bare loop of decoding, warping and encoding, and one worker against two.

    python benchmarks/build_shards.py DATASET [--limit 4000] [--scale source]

The bare loop cuts and encodes the same crops of the same images in as many processes, started beforehand, and throws
the result away: no gap filling, no hashing, no writing, no start-up. Seconds of cores, user and system, are the fairer
measure on a machine with neighbours; those of the clock say what a second worker gains.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np

from reidprep.datasets.registry import open_dataset, open_images
from reidprep.executors.local import worker_processes
from reidprep.images import encode_jpeg
from reidprep.poses.extract import ExtractOptions, extract_poses
from reidprep.poses.reader import PoseSet
from reidprep.shards.build import BuildOptions, build_shards, cut_crops
from reidprep.shards.format import image_shapes
from reidprep.shards.reader import ShardSet

Work = list[tuple[str, np.ndarray]]


@dataclass
class Seconds:
    """By the clock, and of cores."""

    clock: float
    cores: float


def bare_loop(shards: Path, source: Path, work: Work) -> float:
    started = time.process_time()
    plan = ShardSet.open(shards).plan
    images = open_images(plan.poses.dataset.name, source, plan.poses.dataset.options)
    shapes = image_shapes(plan)
    for path, boxes in work:
        for crop in cut_crops(images.read(path), boxes, shapes, plan.border):
            encode_jpeg(crop, plan.quality)
    return time.process_time() - started


def bare_seconds(shards: Path, source: Path, workers: int) -> Seconds:
    everything = ShardSet.open(shards)
    work = list(zip(everything.column("paths").tolist(), everything.column("boxes"), strict=True))
    chunks = [work[start : start + 256] for start in range(0, len(work), 256)]
    with worker_processes(workers) as pool:
        list(pool.map(bare_loop, [shards] * workers, [source] * workers, [work[:8]] * workers))  # start and warm up
        started = time.perf_counter()
        cores = sum(pool.map(bare_loop, [shards] * len(chunks), [source] * len(chunks), chunks))
        return Seconds(time.perf_counter() - started, cores)


def build_seconds(poses: Path, out: Path, options: BuildOptions, workers: int) -> Seconds:
    started, before = time.perf_counter(), core_seconds()
    build_shards(poses, out, options, workers=workers)
    return Seconds(time.perf_counter() - started, core_seconds() - before)


def core_seconds() -> float:
    """Of this process and of its workers that have ended."""
    return sum(
        usage.ru_utime + usage.ru_stime
        for usage in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, help="a dataset")
    parser.add_argument("--limit", type=int, default=4000, help="images of each split")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--scale", choices=["source", "full"], default="source", help="storage scale")
    arguments = parser.parse_args()
    options = BuildOptions(scale=arguments.scale)

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        from reidprep.estimators.registry import create_estimator

        dataset = open_dataset(arguments.source)
        extract_poses(dataset, folder / "poses", create_estimator(), ExtractOptions(limit=arguments.limit), workers=2)
        source = PoseSet(folder / "poses").source
        build_shards(folder / "poses", folder / "warm", options, workers=2)
        images = len(ShardSet.open(folder / "warm"))
        bare: dict[int, list[Seconds]] = {1: [], 2: []}
        built: dict[int, list[Seconds]] = {1: [], 2: []}
        for turn in range(arguments.rounds):
            for workers in (1, 2):
                bare[workers].append(bare_seconds(folder / "warm", source, workers))
                out = folder / f"out-{turn}-{workers}"
                built[workers].append(build_seconds(folder / "poses", out, options, workers))
    print(f"{images} images, median of {arguments.rounds} rounds")
    for kind in ("clock", "cores"):
        times = {
            (name, workers): median(getattr(seconds, kind) for seconds in taken[workers])
            for name, taken in (("bare", bare), ("build-shards", built))
            for workers in (1, 2)
        }
        for workers in (1, 2):
            b, e = times["bare", workers], times["build-shards", workers]
            print(
                f"  {kind}, {workers} workers: bare {1e3 * b / images:.2f} ms/image, build-shards "
                f"{1e3 * e / images:.2f} ms/image, {b / e:.2f} x the bare loop"
            )
        if kind == "clock":
            gains = {name: times[name, 1] / times[name, 2] for name in ("bare", "build-shards")}
            print(f"  one to two workers: build-shards {gains['build-shards']:.2f} x, bare {gains['bare']:.2f} x")


if __name__ == "__main__":
    main()
