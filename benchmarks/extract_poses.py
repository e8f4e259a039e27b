"""Pose extraction end to end against the estimator's bare forward pass, and batched against the published graph.

    python benchmarks/extract_poses.py Market-1501 [--images 3000] [--published movenet-thunder.onnx]

The bare pass feeds ready-made batches to the network from as many threads, and does nothing with the result.
All of it runs in one process, in turns, so that every figure sees the same machine.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median

import numpy as np
import onnxruntime

from reidprep.datasets.base import Dataset
from reidprep.datasets.registry import open_dataset
from reidprep.estimators.movenet import MoveNet, letterbox
from reidprep.poses.extract import extract_poses


def seconds(function: Callable[[], object]) -> float:
    started = time.perf_counter()
    function()
    return time.perf_counter() - started


def bare_pass(estimator: MoveNet, images: int, workers: int, squares: np.ndarray) -> None:
    batches = images // estimator.batch_size
    with ThreadPoolExecutor(workers) as executor:
        list(executor.map(lambda _: estimator.forward(squares) and None, range(batches)))


def published_pass(path: Path, images: int, workers: int, squares: np.ndarray) -> Callable[[], None]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = workers
    graph = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    one = squares[:1].astype(np.int32)

    def run() -> None:
        for _ in range(images):
            graph.run(None, {"input:0": one})

    return run


def end_to_end(dataset: Dataset, estimator: MoveNet, workers: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        extract_poses(dataset, Path(folder) / "poses", estimator, workers=workers)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path)
    parser.add_argument("--images", type=int, default=3000)
    parser.add_argument("--published", type=Path, help="the graph the weights were cut from")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()

    full = open_dataset(arguments.source)
    chosen = full.records[:: max(1, len(full.records) // arguments.images)][: arguments.images]
    dataset = Dataset(full.name, full.root, full.options, chosen, full.images, ())
    estimator = MoveNet(device="cpu")
    squares = np.stack([letterbox(full.images.read(record.path)) for record in chosen[: estimator.batch_size]])
    workers = arguments.workers

    passes: dict[str, tuple[int, Callable[[], object]]] = {
        "bare batched forward": (len(chosen), lambda: bare_pass(estimator, len(chosen), workers, squares)),
        "extract-poses": (len(chosen), lambda: end_to_end(dataset, estimator, workers)),
    }
    if arguments.published:
        images = len(chosen) // 3
        passes["published one-image graph"] = (
            images,
            published_pass(arguments.published, images, workers, squares),
        )
    for _, run in passes.values():
        run()  # warm up: file cache, memory pools
    per_image: dict[str, list[float]] = {name: [] for name in passes}
    for _ in range(arguments.rounds):
        for name, (images, run) in passes.items():
            per_image[name].append(seconds(run) / images)

    bare = median(per_image["bare batched forward"])
    print(f"{len(chosen)} images, {workers} workers, batches of {estimator.batch_size}")
    print(f"median of {arguments.rounds} rounds")
    for name, values in per_image.items():
        print(f"  {name:<26} {1e3 * median(values):6.2f} ms/image   {bare / median(values):5.2f} x the bare pass")


if __name__ == "__main__":
    main()
