"""Learn what an estimator's scores are worth, and write it to the figures that come with the package.

The images are those of degraded_images.py, made of every second identity; that one tells how good the result is on the
others. The figures that are shipped are what these wrote, the second one with RTMPose-t:

    python benchmarks/calibrate_noise.py MARKET
    python benchmarks/calibrate_noise.py MARKET --mmpose-config CONFIG.py --mmpose-checkpoint WEIGHTS.pth
"""

from __future__ import annotations

import argparse
import json
from importlib.resources import files
from pathlib import Path

import numpy as np
from degraded_images import degraded, of_identities
from numpy.typing import NDArray

from reidprep.alignment.noise import KIND_OF_JOINT, KINDS, learn_noise
from reidprep.datasets.registry import open_dataset
from reidprep.estimators.registry import create_estimator
from reidprep.files import write_file

WIDTHS = (0.02, 0.06, 0.25)
SCORES = {
    "movenet": (0.03, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.55, 0.75),
    "simcc": (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0, 1.2),
}
OUTLIERS = 0.4
"""Joints that are missed on real images are wild less often than those of degraded ones."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--mmpose-config")
    parser.add_argument("--mmpose-checkpoint")
    parser.add_argument("--images", type=int, default=700)
    parser.add_argument("--copies", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--outliers", type=float, default=OUTLIERS, help="what the share of outliers is multiplied by")
    parser.add_argument("--keep", type=Path, help="folder for what the estimators say, not asked again")
    parser.add_argument("--out", type=Path, default=Path(str(files("reidprep.alignment").joinpath("noise.json"))))
    arguments = parser.parse_args()

    if arguments.mmpose_config:
        name, described = "simcc", f"{Path(arguments.mmpose_checkpoint).stem} through MMPose"
        estimator = create_estimator(
            "mmpose",
            device="cpu",
            mmpose_config=arguments.mmpose_config,
            mmpose_checkpoint=arguments.mmpose_checkpoint,
        )
    else:
        name, described = "movenet", "MoveNet SinglePose Thunder"
        estimator = create_estimator("movenet", device="cpu")
    dataset = open_dataset(arguments.dataset)
    records = of_identities(dataset, "query", arguments.images, calibration=True)
    rng = np.random.default_rng(arguments.seed)
    data = degraded(dataset, records, arguments.copies, estimator, rng, arguments.keep)
    noise = learn_noise(
        ((data.joints[..., :2] - data.truth) / data.heights[:, None, None])[data.known],
        data.joints[..., 2][data.known].astype(np.float64),
        np.broadcast_to(KIND_OF_JOINT, data.known.shape)[data.known],
        knots=np.array(SCORES[name]),
        widths=np.array(WIDTHS),
        provenance={},
    )
    shares = fewer_outliers(noise.shares, arguments.outliers)
    content = json.loads(arguments.out.read_bytes())
    content["calibrations"][name] = {
        "score_scale": estimator.score_scale,
        "provenance": {
            "estimator": described,
            "weights_sha256": estimator.weights_sha256,
            "images": f"{len(data.heights)} degraded ones of every second identity of Market-1501's query images",
            "joints": int(data.known.sum()),
            "outliers_times": arguments.outliers,
        },
        "widths": WIDTHS,
        "scores": SCORES[name],
        "shares": {kind: np.round(shares[:, place], 4).clip(1e-4).tolist() for place, kind in enumerate(KINDS)},
    }
    write_file(arguments.out, (text(content) + "\n").encode())
    print(f"{arguments.out}: {name}, from {data.known.sum()} joints of {len(data.heights)} images")


def fewer_outliers(shares: NDArray[np.float64], factor: float) -> NDArray[np.float64]:
    """Shares (..., c) with the last one multiplied, and the others as they are to each other."""
    last = factor * shares[..., -1:]
    near = shares[..., :-1] * (1 - last) / shares[..., :-1].sum(axis=-1, keepdims=True)
    return np.concatenate([near, last], axis=-1)


def text(value: object, depth: int = 0) -> str:
    """JSON with a line for each key and each list."""
    if not isinstance(value, dict):
        return json.dumps(value)
    pad = "  " * (depth + 1)
    lines = ",\n".join(f"{pad}{json.dumps(key)}: {text(of, depth + 1)}" for key, of in value.items())
    return f"{{\n{lines}\n{pad[2:]}}}"


if __name__ == "__main__":
    main()
