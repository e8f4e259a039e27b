"""How far filled joints are from measured ones, against two simple alternatives.

Confident joints of people who were not learnt from are hidden in several patterns, estimated again and
compared. Errors are fractions of body height (highest to lowest confident joint).

    python benchmarks/fill_error.py POSES [--count 256] [--split train]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from reidprep.alignment.canonical import mirrored
from reidprep.alignment.filling import USUAL_HEIGHT, fill
from reidprep.alignment.learning import learn, normalised
from reidprep.alignment.noise import Noise, calibration_of, shipped_noise
from reidprep.poses.reader import PoseSet
from reidprep.skeleton import FACE, INDEX, MIRROR, TORSO, indices

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]
Filler = Callable[[NDArray[np.float32], NDArray[np.int32]], Floats]

LEAST_JOINTS = 12
SIDE = ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
LIMBS = ("elbow", "wrist", "knee", "ankle")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("poses", type=Path, help="a folder written by reidprep extract-poses")
    parser.add_argument("--split", default="train")
    parser.add_argument("--count", type=int, default=256, help="number of canonical poses")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()

    poses = PoseSet(arguments.poses)
    rows = poses.column("splits") == arguments.split
    measure(
        poses.column("joints")[rows],
        poses.column("image_sizes")[rows],
        poses.column("pids")[rows],
        poses.plan.confidence,
        shipped_noise(*calibration_of(poses.plan.estimator.score_scale, poses.plan.confidence)),
        arguments.count,
        arguments.seed,
    )


def measure(
    joints: NDArray[np.float32],
    sizes: NDArray[np.int32],
    pids: NDArray[np.int64],
    confidence: float,
    noise: Noise,
    count: int,
    seed: int,
) -> None:
    """Learn on half of the identities, print the errors on the other half."""
    rng = np.random.default_rng(seed)
    identities = rng.permutation(np.unique(pids))
    learnt = np.isin(pids, identities[::2])
    poses = learn(joints[learnt], sizes[learnt], confidence=confidence, noise=noise, count=count, rng=rng)
    mean = mean_pose(joints[learnt], confidence)

    confident = joints[..., 2] >= confidence
    measurable = (
        confident[:, indices(*FACE)].any(axis=1)
        & confident[:, indices("r_ankle", "l_ankle")].any(axis=1)
        & (confident.sum(axis=1) >= LEAST_JOINTS)
    )
    joints, sizes, confident = (a[measurable & ~learnt] for a in (joints, sizes, confident))
    joints = np.where(confident[..., None], joints, 0)
    y = joints[..., 1]
    height = np.where(confident, y, -np.inf).max(axis=1) - np.where(confident, y, np.inf).min(axis=1)

    fillers: dict[str, Filler] = {
        "mean pose": lambda j, s: fit_mean(j, s, mean),
        "mirror joint": lambda j, s: mirror_joints(j, fit_mean(j, s, mean)),
        "canonical": lambda j, s: fill(j, s, poses, confidence, noise).joints.astype(np.float64),
    }
    hidden = {name: mask & confident for name, mask in patterns(len(joints), rng).items()}
    console = Console(width=120)
    people = f"{count} poses, {len(joints)} images of people not learnt from"
    console.print(table_of(f"{people}: mean (median) error", joints, sizes, height, hidden, fillers))
    wrong = with_one_wrong(joints, height, hidden, rng)
    console.print(table_of("The same with one wrong joint", joints, sizes, height, hidden, fillers, wrong))

    start = time.perf_counter()
    fill(joints, sizes, poses, confidence, noise)
    console.print(f"canonical fill: {1e3 * (time.perf_counter() - start) / len(joints):.3f} ms per image")


def table_of(
    title: str,
    joints: NDArray[np.float32],
    sizes: NDArray[np.int32],
    height: Floats,
    patterns: dict[str, Mask],
    fillers: dict[str, Filler],
    given: dict[str, NDArray[np.float32]] | None = None,
) -> Table:
    """Errors of the hidden joints for every pattern and filler; `given` replaces what the fillers see."""
    table = Table(title=title)
    for column in ("hidden", "joints", *fillers, "canonical / better alternative"):
        table.add_column(column, justify="left" if column == "hidden" else "right")
    for name, hidden in patterns.items():
        seen = np.where(hidden[..., None], 0, joints) if given is None else given[name]
        means, cells = [], []
        for filler in fillers.values():
            distance = np.linalg.norm(filler(seen, sizes) - joints[..., :2], axis=2)
            error = (distance / height[:, None])[hidden]
            means.append(error.mean())
            cells.append(f"{error.mean():.4f} ({np.median(error):.4f})")
        table.add_row(name, str(hidden.sum()), *cells, f"{means[-1] / min(means[:-1]):.2f}")
    return table


def with_one_wrong(
    joints: NDArray[np.float32], height: Floats, patterns: dict[str, Mask], rng: np.random.Generator
) -> dict[str, NDArray[np.float32]]:
    """What is seen when one kept joint of everyone is 0.2 to 0.5 body heights off, any way."""
    result = {}
    for name, hidden in patterns.items():
        seen = np.where(hidden[..., None], 0, joints)
        which = np.where(seen[..., 2] > 0, rng.random(seen.shape[:2]), -1).argmax(axis=1)
        angle, length = rng.uniform(0, 2 * np.pi, len(seen)), height * rng.uniform(0.2, 0.5, len(seen))
        offset = np.stack([np.cos(angle), np.sin(angle)], axis=1) * length[:, None]
        seen[np.arange(len(seen)), which, :2] += offset.astype(np.float32)
        result[name] = seen
    return result


def patterns(rows: int, rng: np.random.Generator) -> dict[str, Mask]:
    """Which joints are hidden, (rows, 18) each."""
    side = np.where(rng.random(rows) < 0.5, "r", "l")

    def one_side(names: tuple[str, ...]) -> Mask:
        right, left = (mask_of(*(f"{letter}_{name}" for name in names)) for letter in "rl")
        return np.where(side[:, None] == "r", right, left)

    everywhere = np.ones((rows, 1), dtype=np.bool_)
    return {
        "random 30 %": rng.random((rows, len(MIRROR))) < 0.3,
        "random 50 %": rng.random((rows, len(MIRROR))) < 0.5,
        "one side": one_side(SIDE),
        "limbs of one side": one_side(LIMBS),
        "both legs": everywhere & mask_of("r_knee", "l_knee", "r_ankle", "l_ankle"),
        "all but the torso": everywhere & ~mask_of(*TORSO),
        "arms": everywhere & mask_of("r_elbow", "l_elbow", "r_wrist", "l_wrist"),
        "face": everywhere & mask_of(*FACE),
    }


def mask_of(*names: str) -> Mask:
    return np.isin(np.arange(len(MIRROR)), indices(*names))


def mean_pose(joints: NDArray[np.float32], confidence: float) -> Floats:
    """Mean of the complete poses as seen from the front, and the same from behind: (2, 18, 2).

    One mean over both views would have no width, and be an alternative too easy to beat.
    """
    complete = normalised(joints[(joints[..., 2] >= confidence).all(axis=1), :, :2].astype(np.float64))
    complete = np.concatenate([complete, mirrored(complete)])
    front = complete[:, INDEX["r_shoulder"], 0] < complete[:, INDEX["l_shoulder"], 0]
    facing = np.where(front[:, None, None], complete, complete[:, MIRROR])
    mean = normalised(facing.mean(axis=0, keepdims=True))
    return np.concatenate([mean, mean[:, MIRROR]])


def fit_mean(joints: NDArray[np.float32], sizes: NDArray[np.int32], mean: Floats) -> Floats:
    """Missing joints from the mean pose, the better view, fitted by a weighted similarity transform.

    The pull towards the usual height and upright is that of the canonical fill.
    """
    unit = sizes[:, 1].astype(np.float64)[:, None, None]
    points, weights = joints[..., :2] / unit, joints[..., 2].astype(np.float64)
    candidates, errors = [], []
    for pose in mean:
        total = weights.sum(axis=1)[:, None]
        middle, pose_middle = (weights[..., None] * points).sum(axis=1) / total, weights @ pose / total
        x = points - middle[:, None]
        q = pose - pose_middle[:, None]
        turned = np.stack([-q[..., 1], q[..., 0]], axis=2)
        extent = (weights * np.square(q).sum(axis=2)).sum(axis=1)
        a = ((weights * (x * q).sum(axis=2)).sum(axis=1) + 0.02 * USUAL_HEIGHT) / (extent + 0.02)
        b = (weights * (x * turned).sum(axis=2)).sum(axis=1) / (extent + 0.2)
        fitted = a[:, None, None] * q + b[:, None, None] * turned
        errors.append((weights * np.square(x - fitted).sum(axis=2)).sum(axis=1))
        candidates.append(fitted + middle[:, None])
    best = np.where((errors[0] <= errors[1])[:, None, None], *candidates)
    return np.where(weights[..., None] > 0, points, best) * unit


def mirror_joints(joints: NDArray[np.float32], complete: Floats) -> Floats:
    """Missing joints whose opposite is known from its reflection about the torso's axis, others as given."""
    hips = complete[:, indices("r_hip", "l_hip")].mean(axis=1, keepdims=True)
    axis = complete[:, INDEX["neck"], None] - hips
    axis = axis / np.linalg.norm(axis, axis=2, keepdims=True)
    opposite = complete[:, MIRROR] - hips
    reflected = hips + 2 * (opposite * axis).sum(axis=2, keepdims=True) * axis - opposite
    known = joints[..., 2] > 0
    use = ~known & known[:, MIRROR] & (np.arange(len(MIRROR)) != MIRROR)
    return np.where(use[..., None], reflected, complete)


if __name__ == "__main__":
    main()
