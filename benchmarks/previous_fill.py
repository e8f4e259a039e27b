"""What gaps were filled by before weak joints counted, to compare with: found joints stay, all others are replaced.

Every typical pose is fitted to the found joints by a weighted similarity transform, the fitted poses are averaged by
how well they fit, and what remains is carried over by the covariance of neighbouring poses.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from reidprep.alignment.canonical import CanonicalPoses

Floats = NDArray[np.float64]

_USUAL_HEIGHT, _NEARNESS, _OUTLIER, _NOISE = 0.84, 0.0085, 0.1, 1e-4
_HEIGHT_PULL, _UPRIGHT_PULL, _CENTRE_PULL, _STEEPEST = 0.02, 0.2, 0.2, 0.5
_FEWEST, _LEAST_EXTENT, _CONTRADICTION, _REFITS, _ROWS = 4, 0.15, 0.3, 2, 256


def previous_fill(
    joints: NDArray[np.float32], sizes: NDArray[np.int32], poses: CanonicalPoses, confidence: float
) -> Floats:
    """Complete joints (n, 18, 3) as they were completed before: (n, 18, 2)."""
    kept = np.isfinite(joints).all(axis=2) & (joints[..., 2] > 0) & (joints[..., 2] >= confidence)
    result = np.where(kept[..., None], joints[..., :2], 0).astype(np.float64)
    covariance = _neighbours(poses)
    for start in range(0, len(joints), _ROWS):
        rows = slice(start, start + _ROWS)
        unit = sizes[rows, None, 1:].astype(np.float64)
        points = result[rows] / unit
        low = np.where(kept[rows, :, None], points, np.inf).min(axis=1)
        high = np.where(kept[rows, :, None], points, -np.inf).max(axis=1)
        few = (kept[rows].sum(axis=1) < _FEWEST) | ((high - low).max(axis=1) < _LEAST_EXTENT)
        scores = np.where(kept[rows], joints[rows, :, 2], 0).astype(np.float64)
        centre = sizes[rows] / sizes[rows, 1:] / 2
        estimate, distance = _estimate(points, scores, centre, few, poses, covariance)
        kept[rows] &= ~few[:, None] | (distance <= _CONTRADICTION)
        np.copyto(result[rows], estimate * unit, where=~kept[rows, :, None])
    return result


def _neighbours(poses: CanonicalPoses) -> Floats:
    flat = poses.both.reshape(len(poses.both), -1)
    square = np.square(flat).sum(axis=1)
    distance = square[:, None] + square - 2 * flat @ flat.T
    np.fill_diagonal(distance, np.inf)
    nearest = np.argsort(distance, axis=1, kind="stable")[:, :24]
    difference = (flat[:, None] - flat[nearest]).reshape(-1, flat.shape[1])
    result: Floats = difference.T @ difference / (2 * len(difference))
    return result


def _estimate(
    points: Floats, scores: Floats, centre: Floats, few: NDArray[np.bool_], poses: CanonicalPoses, covariance: Floats
) -> tuple[Floats, Floats]:
    full = scores / np.maximum(scores.max(axis=1, keepdims=True), 1e-12)
    weights = full
    for refit in range(_REFITS + 1):
        fitted, height = _average_fit(points, weights, centre, few, poses)
        offset = (points - fitted) / height[:, None, None]
        distance = np.square(offset).sum(axis=2)
        if refit < _REFITS:
            weights = full / np.square(1 + distance / _OUTLIER**2)
    system = np.repeat(covariance[None], len(points), axis=0)
    diagonal = np.arange(len(covariance))
    system[:, diagonal, diagonal] += np.repeat(_NOISE / np.maximum(weights, 1e-9), 2, axis=1)
    known = np.where(full[..., None] > 0, offset, 0).reshape(len(points), -1, 1)
    carried = (np.linalg.solve(system, known)[..., 0] @ covariance).reshape(fitted.shape)
    return fitted + carried * height[:, None, None], np.sqrt(distance)


def _average_fit(
    points: Floats, weights: Floats, centre: Floats, few: NDArray[np.bool_], poses: CanonicalPoses
) -> tuple[Floats, Floats]:
    pose = poses.both
    turned = np.stack([-pose[..., 1], pose[..., 0]], axis=2)
    flat, flat_turned = pose.reshape(len(pose), -1), turned.reshape(len(pose), -1)
    pull = np.where(few, _CENTRE_PULL, 1e-6)[:, None]
    total = weights.sum(axis=1, keepdims=True) + pull
    mean = ((weights[..., None] * points).sum(axis=1) + pull * centre) / total
    pose_x, pose_y = weights @ pose[..., 0].T / total, weights @ pose[..., 1].T / total
    deviation = (weights[..., None] * (points - mean[:, None])).reshape(len(points), -1)
    along, across = deviation @ flat.T, deviation @ flat_turned.T
    extent = np.maximum(weights @ np.square(pose).sum(axis=2).T - total * (pose_x**2 + pose_y**2), 0)
    a = (along + _HEIGHT_PULL * _USUAL_HEIGHT) / (extent + _HEIGHT_PULL)
    a = a.clip(0.25 * _USUAL_HEIGHT, 4 * _USUAL_HEIGHT)
    b = (across / (extent + _UPRIGHT_PULL)).clip(-_STEEPEST * a, _STEEPEST * a)
    error = (a**2 + b**2) * extent - 2 * (a * along + b * across)
    error += _HEIGHT_PULL * (a - _USUAL_HEIGHT) ** 2 + _UPRIGHT_PULL * b**2
    log_share = poses.log_prior - error / (2 * (_NEARNESS * _USUAL_HEIGHT) ** 2 * total)
    share = np.exp(log_share - log_share.max(axis=1, keepdims=True))
    towards = share @ poses.facing >= share @ ~poses.facing
    share[few] *= poses.facing == towards[few, None]
    share /= share.sum(axis=1, keepdims=True)
    a, b = a * share, b * share
    shift = mean - np.stack([(a * pose_x - b * pose_y).sum(axis=1), (b * pose_x + a * pose_y).sum(axis=1)], axis=1)
    return (a @ flat + b @ flat_turned).reshape(points.shape) + shift[:, None], a.sum(axis=1)
