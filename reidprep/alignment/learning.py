"""Learn a set of typical poses from estimated ones."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

from reidprep.alignment.canonical import SPREAD_DECIMALS, CanonicalPoses, covariances, mirrored
from reidprep.alignment.filling import fill
from reidprep.alignment.noise import Noise
from reidprep.errors import ReidError
from reidprep.skeleton import FACE, JOINTS, MIRROR, indices

_ROUNDS = 50
_MOSTLY_COMPLETE = 14
"""Joints of a pose whose gaps may be filled before learning from it."""
_MOST_UNKNOWN = 0.01
"""Variance beyond which a joint that is not known tells no more about how bodies differ, in squared body heights."""


def learn(
    joints: ArrayLike,
    image_sizes: ArrayLike,
    *,
    confidence: float,
    noise: Noise,
    count: int,
    rng: np.random.Generator,
    provenance: Mapping[str, object] | None = None,
) -> CanonicalPoses:
    """Cluster upright confident poses and their mirror images.

    A first set is learnt from the complete poses. Those alone favour people seen from the front or from
    behind: from the side an arm is hidden. So the gaps of mostly complete poses (14 or more confident
    joints, among them the face and an ankle) are filled from the first set, and all whose confident joints do
    not contradict each other are clustered again. The spread is the mean covariance of the poses about the nearest
    of the set, and of what is not known of them.

    Args:
        joints: (n, 18, 3) of x, y in source pixels and score.
        image_sizes: (n, 2) of width, height.
        confidence: least score of a joint that is learnt from.
        noise: what the scores are worth.
        count: number of poses of the set.
        rng: the source of randomness; equal states give equal sets.
        provenance: what to record besides the parameters and counts of this function.

    Raises:
        ReidError: fewer than `count` complete upright poses.
        ValueError: a shape does not fit.
    """
    measured, sizes = np.asarray(joints, dtype=np.float32), np.asarray(image_sizes)
    kept = np.isfinite(measured).all(axis=2) & (measured[..., 2] >= confidence)
    complete = np.asarray(kept.all(axis=1))
    complete[complete] = _upright(measured[complete, :, :2])
    if not 0 < count <= complete.sum():
        raise ReidError(
            f"{complete.sum()} of {len(measured)} poses are upright and have all joints at confidence "
            f"{confidence} or more, too few for {count} canonical poses; lower --confidence or --count, "
            "or use more images"
        )
    first = _cluster(measured[complete, :, :2].astype(np.float64), np.zeros(len(JOINTS)), count, rng)

    fillable = (
        (kept.sum(axis=1) >= _MOSTLY_COMPLETE)
        & kept[:, indices(*FACE)].any(axis=1)
        & kept[:, indices("r_ankle", "l_ankle")].any(axis=1)
    )
    filled = fill(measured[fillable], sizes[fillable], first, confidence, noise)
    good = ~filled.few & ~filled.outliers.any(axis=1) & _upright(filled.joints)
    usable = filled.joints[good].astype(np.float64)
    if len(usable) < count:
        raise ReidError(
            f"{len(usable)} of {len(measured)} poses can be completed, too few for {count} canonical poses; "
            "lower --count, or use more images"
        )
    unknown = np.square(filled.spread[good] / np.ptp(usable[..., 1], axis=1)[:, None])
    second = _cluster(usable, np.minimum(unknown, _MOST_UNKNOWN).mean(axis=0), count, rng)
    counts = {
        "confidence": confidence,
        "count": count,
        "poses_seen": len(measured),
        "poses_complete": int(complete.sum()),
        "poses_used": len(usable),
    }
    return CanonicalPoses(second.poses, second.frequencies, {**(provenance or {}), **counts}, second.spread)


def _upright(points: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Poses higher than wide: others are mistakes, and the unit of the set is the height."""
    width, height = np.ptp(points, axis=1).T
    result: NDArray[np.bool_] = height > width
    return result


def _cluster(
    poses: NDArray[np.float64], unknown: NDArray[np.float64], count: int, rng: np.random.Generator
) -> CanonicalPoses:
    """A set of the poses; `unknown` (18,) is the mean variance of what is not known of them, in body heights."""
    poses = normalised(poses)
    samples = np.concatenate([poses, mirrored(poses)]).reshape(2 * len(poses), -1)
    centres, members = kmeans(samples, count, rng)
    difference = (samples - centres[_nearest(samples, centres)]).reshape(-1, len(JOINTS), 2)
    one_way = covariances(difference) + np.diag(unknown)
    # The same for mirror images, which are other samples but not exactly other clusters.
    other_way = one_way[:, MIRROR][:, :, MIRROR]
    return CanonicalPoses(
        poses=normalised(centres.reshape(count, -1, 2)).astype(np.float32),
        frequencies=(members / members.sum()).astype(np.float32),
        spread=np.round((one_way + other_way) / 2, SPREAD_DECIMALS),
    )


def normalised(poses: NDArray[np.float64]) -> NDArray[np.float64]:
    """Poses (n, 18, 2) in the frame of `CanonicalPoses.poses`."""
    x, y = poses[..., 0], poses[..., 1]
    low, high = y.min(axis=1), y.max(axis=1)
    centre = np.stack([x.mean(axis=1), (low + high) / 2], axis=1)
    result: NDArray[np.float64] = (poses - centre[:, None]) / (high - low)[:, None, None]
    return result


def kmeans(
    samples: NDArray[np.float64], count: int, rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """Lloyd's algorithm from a k-means++ start (Arthur and Vassilvitskii, 2007).

    Args:
        samples: (n, d), n >= `count`.
        count: number of clusters.
        rng: draws the start.

    Returns:
        Centres (count, d) and the number of samples of each (count,), none zero.
    """
    centres = samples[rng.integers(len(samples), size=1)]
    nearest = np.square(samples - centres[0]).sum(axis=1)
    while len(centres) < count:
        spread = nearest.sum()
        chosen = rng.choice(len(samples), p=nearest / spread if spread > 0 else None)
        centres = np.concatenate([centres, samples[chosen][None]])
        nearest = np.minimum(nearest, np.square(samples - samples[chosen]).sum(axis=1))

    previous = None
    for _ in range(_ROUNDS):
        label = _nearest(samples, centres)
        members = np.bincount(label, minlength=count)
        if previous is not None and (label == previous).all():
            break
        previous = label
        totals = np.zeros_like(centres)
        np.add.at(totals, label, samples)
        filled = members > 0
        centres[filled] = totals[filled] / members[filled, None]
    # Equal samples can leave a centre without members; it still stands for one.
    return centres, np.maximum(members, 1)


def _nearest(samples: NDArray[np.float64], centres: NDArray[np.float64]) -> NDArray[np.intp]:
    # The squared length of a sample is the same for all centres and left out.
    result: NDArray[np.intp] = (np.square(centres).sum(axis=1) - 2 * samples @ centres.T).argmin(axis=1)
    return result
