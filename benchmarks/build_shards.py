"""Shard building against the bare loop of decoding, warping and encoding, and one worker against two.

    python benchmarks/build_shards.py DATASET [--limit 4000] [--scale source]

The bare loop cuts and encodes the same crops of the same images in as many processes, started beforehand, and throws
the result away: no gap filling, no hashing, no writing, no start-up.
"""

from __future__ import annotations

import argparse
import tempfile
import time
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


def bare_loop(shards: Path, source: Path, work: Work) -> None:
    plan = ShardSet.open(shards).plan
    images = open_images(plan.poses.dataset.name, source, plan.poses.dataset.options)
    shapes = image_shapes(plan)
    for path, boxes in work:
        for crop in cut_crops(images.read(path), boxes, shapes, plan.border):
            encode_jpeg(crop, plan.quality)


def bare_seconds(shards: Path, source: Path, workers: int) -> float:
    everything = ShardSet.open(shards)
    work = list(zip(everything.column("paths").tolist(), everything.column("boxes"), strict=True))
    chunks = [work[start : start + 256] for start in range(0, len(work), 256)]
    with worker_processes(workers) as pool:
        list(pool.map(bare_loop, [shards] * workers, [source] * workers, [work[:8]] * workers))  # start and warm up
        started = time.perf_counter()
        list(pool.map(bare_loop, [shards] * len(chunks), [source] * len(chunks), chunks))
        return time.perf_counter() - started


def build_seconds(poses: Path, out: Path, options: BuildOptions, workers: int) -> float:
    started = time.perf_counter()
    build_shards(poses, out, options, workers=workers)
    return time.perf_counter() - started


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
        bare: dict[int, list[float]] = {1: [], 2: []}
        built: dict[int, list[float]] = {1: [], 2: []}
        for turn in range(arguments.rounds):
            for workers in (1, 2):
                bare[workers].append(bare_seconds(folder / "warm", source, workers))
                out = folder / f"out-{turn}-{workers}"
                built[workers].append(build_seconds(folder / "poses", out, options, workers))
    print(f"{images} images, median of {arguments.rounds} rounds")
    for workers in (1, 2):
        b, e = median(bare[workers]), median(built[workers])
        print(
            f"  {workers} workers: bare {1e3 * b / images:.2f} ms/image, build-shards {1e3 * e / images:.2f} ms/image, "
            f"{b / e:.2f} x the bare loop"
        )
    scaling = {name: median(times[1]) / median(times[2]) for name, times in (("bare", bare), ("build-shards", built))}
    print(f"  one to two workers: build-shards {scaling['build-shards']:.2f} x, bare {scaling['bare']:.2f} x")


if __name__ == "__main__":
    main()
