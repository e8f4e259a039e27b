"""Complete the joints of a person from what an estimator found and a set of typical poses.

Inside this module lengths are in image heights, so results scale with the image.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from reidprep.alignment.canonical import CanonicalPoses

Floats = NDArray[np.float64]

# Rows at a time: (rows, poses) tables of some megabytes stay in the cache.
_CHUNK = 256

# Nearness at which a pose counts: standard deviation of the mean residual, in body heights. The constants
# down to _NOISE were chosen by the error on held-out identities (benchmarks/fill_error.py).
_NEARNESS = 0.0085
# A person in a re-identification crop is upright and fills most of it: pull the fit towards this height (the
# median of Market-1501) and no rotation, as strongly as this much squared extent of joints would.
USUAL_HEIGHT = 0.84
_HEIGHT_PULL = 0.02
_UPRIGHT_PULL = 0.2
_HEIGHT_RANGE = (0.25 * USUAL_HEIGHT, 4 * USUAL_HEIGHT)
_STEEPEST = 0.5
"""Largest tangent of the rotation of a pose."""
# With few joints, one wrong joint would carry the whole body away: the middle of the body is pulled to
# the middle of the image with this weight. Otherwise it is a weight that decides nothing but ties.
_CENTRE_PULL = 0.2
_NO_CENTRE_PULL = 1e-6

# Robustness: a joint this many body heights off its fit has a quarter of its weight in the next fit.
_OUTLIER = 0.1
_REFITS = 2

_NOISE = 1e-4
"""Variance of a measured joint of full weight, in squared body heights."""

_FEWEST = 4
_LEAST_EXTENT = 0.15
"""Joints within this many image heights are head and shoulders at most: too little to tell the scale."""
_CONTRADICTION = 0.3
"""Where few joints are kept, one this many body heights off the placed pose is not believed."""
_FARTHEST = 2.0
"""A joint farther outside the image, in its longer sides, is no measurement."""


@dataclass(frozen=True)
class Filled:
    """Complete joints of n images.

    Attributes:
        joints: (n, 18, 2) float32 of x, y in source pixels, finite; kept joints are the measured
            ones, bit by bit.
        filled: (n, 18) bool, True where the joint was estimated.
        residual: (n,) float32, root mean square distance of the good joints from the fitted pose, weighted
            by score, as a fraction of body height; 0 where there are none.
        few: (n,) bool, True where fewer than four joints were kept, or all of them close together: the pose
            is then mostly the typical upright one.
    """

    joints: NDArray[np.float32]
    filled: NDArray[np.bool_]
    residual: NDArray[np.float32]
    few: NDArray[np.bool_]


def fill(joints: ArrayLike, image_sizes: ArrayLike, poses: CanonicalPoses, confidence: float) -> Filled:
    """Keep what was measured well and estimate the other joints from typical poses.

    Every pose of the set and its mirror image is fitted to the kept joints by a weighted similarity
    transform (weights: the scores, lowered for joints far off the fit). The fitted poses are averaged,
    those that fit well counting most, and what remains between kept joints and that average is carried
    over to the missing joints by the covariance of neighbouring poses.

    A joint is kept when it is finite, near the image, its score is positive and at least `confidence`. With
    few of them, one that contradicts the placed pose is not: boxes around both would hold neither.

    Args:
        joints: (n, 18, 3) of x, y in source pixels and score.
        image_sizes: (n, 2) of width, height, both positive.
        poses: the set of typical poses.
        confidence: least score of a joint that is kept.

    Raises:
        ValueError: a shape does not fit, or a size is not positive and finite.
    """
    with np.errstate(over="ignore"):  # what overflows becomes infinite, and is not kept
        measured = np.asarray(joints, dtype=np.float32)
    sizes = np.asarray(image_sizes, dtype=np.float64)
    if measured.ndim != 3 or measured.shape[1:] != (poses.poses.shape[1], 3):
        raise ValueError(f"joints have shape (n, {poses.poses.shape[1]}, 3), not {measured.shape}")
    if sizes.shape != (len(measured), 2) or not ((sizes > 0) & (sizes < np.inf)).all():
        raise ValueError(f"image sizes are positive, finite and of shape ({len(measured)}, 2)")

    kept = _kept(measured, sizes, confidence)
    result = np.where(kept[..., None], measured[..., :2], np.float32(0))
    scores = np.where(kept, measured[..., 2], np.float32(0))
    residual = np.zeros(len(measured), dtype=np.float32)
    few = np.ones(len(measured), dtype=np.bool_)
    for start in range(0, len(measured), _CHUNK):
        rows = slice(start, start + _CHUNK)
        unit = sizes[rows, None, 1:]
        points = result[rows] / unit
        few[rows] = _too_few(points, kept[rows])
        centre = sizes[rows] / sizes[rows, 1:] / 2
        estimate, residual[rows], distance = _estimate(points, scores[rows], centre, few[rows], poses)
        kept[rows] &= ~few[rows, None] | (distance <= _CONTRADICTION)
        np.copyto(result[rows], estimate * unit, where=~kept[rows, :, None], casting="same_kind")
    return Filled(result, ~kept, residual, few)


def _kept(measured: NDArray[np.float32], sizes: Floats, confidence: float) -> NDArray[np.bool_]:
    farthest = _FARTHEST * sizes.max(axis=1)[:, None, None]
    points, scores = measured[..., :2].astype(np.float64), measured[..., 2]
    near = ((points >= -farthest) & (points <= sizes[:, None] + farthest)).all(axis=2)  # False for NaN
    kept: NDArray[np.bool_] = near & np.isfinite(scores) & (scores > 0) & (scores >= confidence)
    return kept


def _too_few(points: Floats, kept: NDArray[np.bool_]) -> NDArray[np.bool_]:
    low = np.where(kept[..., None], points, np.inf).min(axis=1)
    high = np.where(kept[..., None], points, -np.inf).max(axis=1)
    result: NDArray[np.bool_] = (kept.sum(axis=1) < _FEWEST) | ((high - low).max(axis=1) < _LEAST_EXTENT)
    return result


def _estimate(
    points: Floats, scores: NDArray[np.float32], centre: Floats, few: NDArray[np.bool_], poses: CanonicalPoses
) -> tuple[Floats, Floats, Floats]:
    """What the poses make of the measured joints.

    Returns:
        All joints as the poses explain them (n, 18, 2), the residual of the measured ones (n,), and the distance
        of each measured joint from the fitted pose (n, 18); both in body heights.
    """
    best = scores.max(axis=1, keepdims=True)
    full = np.divide(scores, best, out=np.zeros(scores.shape), where=best > 0)
    weights = full
    for refit in range(_REFITS + 1):
        fitted, height = _average_fit(points, weights, centre, few, poses)
        offset = (points - fitted) / height[:, None, None]
        distance = np.square(offset).sum(axis=2)
        if refit < _REFITS:
            weights = full / np.square(1 + distance / _OUTLIER**2)
    residual = np.sqrt((full * distance).sum(axis=1) / np.maximum(full.sum(axis=1), 1e-12))

    covariance = poses.local_covariance
    noise = _NOISE / np.maximum(weights, 1e-9)  # a missing joint is one with boundless noise
    system = np.repeat(covariance[None], len(points), axis=0)
    diagonal = np.arange(len(covariance))
    system[:, diagonal, diagonal] += np.repeat(noise, 2, axis=1)
    known = np.where(full[..., None] > 0, offset, 0).reshape(len(points), -1, 1)
    carried = (np.linalg.solve(system, known)[..., 0] @ covariance).reshape(fitted.shape)
    return fitted + carried * height[:, None, None], residual, np.sqrt(distance)


def _average_fit(
    points: Floats, weights: Floats, centre: Floats, few: NDArray[np.bool_], poses: CanonicalPoses
) -> tuple[Floats, Floats]:
    """Fit every pose by a similarity transform and average the fitted poses by how well they fit.

    A pose q is moved to a q + b q' + t, where q' is q turned by a right angle: a is its height and b / a the
    tangent of its rotation. The optimum under the quadratic pulls has a closed form, and everything
    over (rows, poses) is a matrix product.

    Returns:
        Average pose (n, 18, 2) and its height (n,).
    """
    pose = poses.both
    turned = np.stack([-pose[..., 1], pose[..., 0]], axis=2)
    flat, flat_turned = pose.reshape(len(pose), -1), turned.reshape(len(pose), -1)

    pull = np.where(few, _CENTRE_PULL, _NO_CENTRE_PULL)[:, None]
    total = weights.sum(axis=1, keepdims=True) + pull
    mean = ((weights[..., None] * points).sum(axis=1) + pull * centre) / total
    pose_x, pose_y = weights @ pose[..., 0].T / total, weights @ pose[..., 1].T / total  # means, (n, poses)
    deviation = weights[..., None] * (points - mean[:, None])
    along = deviation.reshape(len(points), -1) @ flat.T
    across = deviation.reshape(len(points), -1) @ flat_turned.T
    pose_extent = weights @ np.square(pose).sum(axis=2).T - total * (pose_x**2 + pose_y**2)
    pose_extent = np.maximum(pose_extent, 0)

    a = ((along + _HEIGHT_PULL * USUAL_HEIGHT) / (pose_extent + _HEIGHT_PULL)).clip(*_HEIGHT_RANGE)
    b = (across / (pose_extent + _UPRIGHT_PULL)).clip(-_STEEPEST * a, _STEEPEST * a)
    # Less the squared extent of the joints, which is the same for all poses.
    error = (a**2 + b**2) * pose_extent - 2 * (a * along + b * across)
    error += _HEIGHT_PULL * (a - USUAL_HEIGHT) ** 2 + _UPRIGHT_PULL * b**2

    log_share = poses.log_prior - error / (2 * (_NEARNESS * USUAL_HEIGHT) ** 2 * total)
    share = np.exp(log_share - log_share.max(axis=1, keepdims=True))
    # Averaging people seen from the front and from behind gives one without width.
    towards = share @ poses.facing >= share @ ~poses.facing
    share[few] *= poses.facing == towards[few, None]
    share /= share.sum(axis=1, keepdims=True)

    a *= share
    b *= share
    shift = mean - np.stack([(a * pose_x - b * pose_y).sum(axis=1), (b * pose_x + a * pose_y).sum(axis=1)], axis=1)
    fitted = (a @ flat + b @ flat_turned).reshape(points.shape) + shift[:, None]
    return fitted, a.sum(axis=1)
