"""Learn canonical poses from a pose directory."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from reidprep.alignment.canonical import CanonicalPoses, to_json
from reidprep.alignment.learning import learn
from reidprep.alignment.noise import calibration_of, shipped_noise
from reidprep.errors import ReidError
from reidprep.files import claim_file, write_file
from reidprep.poses.reader import PoseSet
from reidprep.records import Split


def fit_canonical(
    poses_path: Path,
    out: Path,
    *,
    split: Split = "train",
    count: int,
    confidence: float | None = None,
    seed: int = 0,
    overwrite: bool = False,
) -> CanonicalPoses:
    """Learn a set of typical poses from the poses of one split and write it.

    Args:
        poses_path: a complete pose directory.
        out: the JSON file to write.
        split: whose poses to learn from.
        count: how many typical poses.
        confidence: score from which a joint counts as found, None for what the poses say.
        seed: of the clustering.
        overwrite: replace the file if it exists.

    Raises:
        ReidError: no poses in the split, too few complete ones, or `out` exists or cannot be written.
    """
    claim_file(out, overwrite=overwrite)
    poses = PoseSet(poses_path)
    rows = np.flatnonzero(poses.column("splits") == split)
    if not len(rows):
        raise ReidError(f"{poses_path}: no poses in the split {split!r}")
    chosen = poses.read(rows)
    confidence = poses.plan.confidence if confidence is None else confidence
    result = learn(
        chosen.joints,
        chosen.image_sizes,
        confidence=confidence,
        noise=shipped_noise(*calibration_of(poses.plan.estimator.score_scale, confidence)),
        count=count,
        rng=np.random.default_rng(seed),
        provenance={
            "dataset": poses.plan.dataset.name,
            "split": split,
            "seed": seed,
            "estimator": poses.plan.estimator.name,
            "weights_sha256": poses.plan.estimator.weights_sha256,
        },
    )
    write_file(out, to_json(result))
    return result
