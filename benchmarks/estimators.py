"""The estimators side by side: images per second, how far their joints agree, and how many they leave unfound.

    python scripts/mmpose_to_onnx.py model.py model.pth model.onnx
    python benchmarks/estimators.py Market-1501 --config model.py --checkpoint model.pth --onnx model.onnx

All run `extract-poses` on the same images with the same workers, in turns, in one process. Two estimators agree on a
joint if it is no farther apart than a share of the image's height; joints that both find are compared.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from itertools import combinations
from pathlib import Path
from statistics import median

import numpy as np
from numpy.typing import NDArray

from reidprep.datasets.base import Dataset
from reidprep.datasets.registry import open_dataset
from reidprep.estimators.registry import create_estimator
from reidprep.poses.extract import extract_poses
from reidprep.poses.reader import PoseSet


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path)
    parser.add_argument("--config", required=True)
    parser.add_argument("--checkpoint", required=True)
    parser.add_argument("--onnx", type=Path, required=True)
    parser.add_argument("--images", type=int, default=1024)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()

    estimators = {
        "movenet": create_estimator("movenet", device="cpu"),
        "mmpose": create_estimator(
            "mmpose", device="cpu", mmpose_config=arguments.config, mmpose_checkpoint=arguments.checkpoint
        ),
        "onnx": create_estimator("onnx", device="cpu", onnx=arguments.onnx),
    }
    full = open_dataset(arguments.source)
    chosen = full.records[:: max(1, len(full.records) // arguments.images)][: arguments.images]
    dataset = Dataset(full.name, full.root, full.options, chosen, full.images, ())

    per_image: dict[str, list[float]] = {name: [] for name in estimators}
    joints: dict[str, NDArray[np.float32]] = {}
    heights = np.zeros(0)
    for turn in range(arguments.rounds + 1):  # the first warms up
        for name, estimator in estimators.items():
            with tempfile.TemporaryDirectory() as folder:
                started = time.perf_counter()
                extract_poses(dataset, Path(folder) / "poses", estimator, workers=arguments.workers)
                if turn:
                    per_image[name].append((time.perf_counter() - started) / len(chosen))
                joints[name], sizes = PoseSet(Path(folder) / "poses").columns("joints", "image_sizes")
                heights = sizes[:, 1]

    found = {name: joints[name][..., 2] >= estimator.confidence for name, estimator in estimators.items()}
    print(f"{len(chosen)} images, {arguments.workers} workers, median of {arguments.rounds} rounds")
    for name, estimator in estimators.items():
        seconds = median(per_image[name])
        print(
            f"  {name:<8} {1 / seconds:6.0f} images/s   {1 - found[name].mean():6.1%} of joints "
            f"under {estimator.confidence:g} ({estimator.score_scale})"
        )
    for one, other in combinations(estimators, 2):
        apart = np.linalg.norm(joints[one][..., :2] - joints[other][..., :2], axis=2)
        both = found[one] & found[other]
        near = " ".join(f"{np.mean((apart / heights[:, None])[both] <= share):6.1%} @{share}" for share in (0.05, 0.1))
        print(f"  {one} and {other}: {near} of {both.mean():.1%} of the joints; median {np.median(apart[both]):.2f} px")


if __name__ == "__main__":
    main()
