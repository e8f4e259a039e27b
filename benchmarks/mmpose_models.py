"""MMPose models: extract-poses against the bare batched forward pass, and against a loop over `inference_topdown`.

    python benchmarks/mmpose_models.py Market-1501 --config model.py --checkpoint model.pth [--images 1024]

The bare pass feeds a ready-made batch to the network as MMPose builds it, and does nothing with the result: from as
many threads as there are workers with one of torch's threads each, and from one thread with all of torch's; the faster
counts. The loop reads each image with OpenCV and calls `mmpose.apis.inference_topdown`, with one of torch's threads and
with all; again the faster counts.
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
from typing import Any

import cv2
from threadpoolctl import ThreadpoolController

from reidprep.datasets.base import Dataset
from reidprep.datasets.registry import open_dataset
from reidprep.estimators.mmpose import MMPose
from reidprep.poses.extract import extract_poses


def mmpose_model(config: str, checkpoint: str, device: str) -> Any:
    """The model as MMPose's own front end builds it, without flip test."""
    from mmpose.apis import init_model

    from reidprep.estimators.openmmlab import load_checkpoint

    model = init_model(config, None, device=device)
    model.load_state_dict(load_checkpoint(checkpoint)[0], strict=False)
    model.test_cfg["flip_test"] = False
    return model


def bare_pass(model: Any, batch: Any, batches: int, workers: int, threads: int) -> None:
    import torch

    controller = ThreadpoolController()

    def forward(_: int) -> None:
        with torch.inference_mode(), controller.limit(limits=threads, user_api="openmp"):
            model(batch, None, mode="tensor")

    with ThreadPoolExecutor(workers) as executor:
        list(executor.map(forward, range(batches)))


def loop(model: Any, dataset: Dataset, threads: int) -> None:
    from mmpose.apis import inference_topdown

    with ThreadpoolController().limit(limits=threads, user_api="openmp"):
        for record in dataset.records:
            inference_topdown(model, cv2.imread(str(dataset.root / record.path)), None)


def end_to_end(dataset: Dataset, estimator: MMPose, workers: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        extract_poses(dataset, Path(folder) / "poses", estimator, workers=workers)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path)
    parser.add_argument("--config", required=True)
    parser.add_argument("--checkpoint", required=True)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--images", type=int, default=1024)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    workers, images = arguments.workers, arguments.images

    estimator = MMPose(config=arguments.config, checkpoint=arguments.checkpoint, device=arguments.device)
    import torch

    model = mmpose_model(arguments.config, arguments.checkpoint, estimator.device)
    full = open_dataset(arguments.source)
    chosen = full.records[:: max(1, len(full.records) // images)][:images]
    dataset = Dataset(full.name, full.root, full.options, chosen, full.images, ())
    few = Dataset(full.name, full.root, full.options, chosen[::8], full.images, ())
    width, height = model.cfg.codec.input_size
    batch = torch.randn(estimator.batch_size, 3, height, width, device=estimator.device)
    batches = images // estimator.batch_size

    cores = torch.get_num_threads()
    passes: dict[str, tuple[int, Callable[[], object]]] = {
        f"bare forward, {workers} x 1 thread": (images, lambda: bare_pass(model, batch, batches, workers, 1)),
        f"bare forward, 1 x {cores} threads": (images, lambda: bare_pass(model, batch, batches, 1, cores)),
        "extract-poses": (len(chosen), lambda: end_to_end(dataset, estimator, workers)),
        "inference_topdown, 1 thread": (len(few.records), lambda: loop(model, few, 1)),
        f"inference_topdown, {cores} threads": (len(few.records), lambda: loop(model, few, cores)),
    }
    per_image: dict[str, list[float]] = {name: [] for name in passes}
    for turn in range(arguments.rounds + 1):  # the first warms up
        for name, (count, run) in passes.items():
            started = time.perf_counter()
            run()
            if turn:
                per_image[name].append((time.perf_counter() - started) / count)

    print(f"{len(chosen)} images, {workers} workers, batches of {estimator.batch_size}, {estimator.device}")
    print(f"median of {arguments.rounds} rounds")
    for name, values in per_image.items():
        print(f"  {name:<34} {1e3 * median(values):6.2f} ms/image")
    ours = median(per_image["extract-poses"])
    for what in ("bare forward", "inference_topdown"):
        best = min(median(values) for name, values in per_image.items() if name.startswith(what))
        print(f"extract-poses runs at {best / ours:.2f} x the speed of {what}")


if __name__ == "__main__":
    main()
