"""How far measured joints lie from the true ones: what an estimator's scores are worth."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from reidprep.skeleton import JOINTS

Floats = NDArray[np.float64]

Calibration = Literal["movenet", "simcc"]
"""What scores were calibrated: MoveNet's, and those of SimCC decoders (RTMPose)."""

KINDS = ("face", "neck", "shoulder", "elbow", "wrist", "hip", "knee", "ankle")
"""Joints that are measured alike."""
_FACE = ("nose", "eye", "ear")
KIND_OF_JOINT = np.array(
    [KINDS.index("face" if (plain := name.split("_")[-1]) in _FACE else plain) for name in JOINTS], dtype=np.intp
)
"""For each joint the position of its kind in `KINDS`."""

_MOVENET_CONFIDENCE = 0.3
_STEPS = 60
_TINY = np.finfo(np.float64).tiny
_PRIOR_JOINTS = 30
"""What a kind has at all scores counts at each score as so many joints more."""


@dataclass(frozen=True)
class Noise:
    """The error of a measured joint: a mixture of normal distributions about the true joint.

    The first lies close to it, the last are outliers: on the wrong limb, on another person, on a bag. How much each
    counts depends on the kind of the joint and on its score; between two scores it is interpolated, beyond the
    last it stays.

    Attributes:
        widths: (c,) ascending standard deviations in x and in y, in body heights.
        scores: (b,) ascending scores.
        shares: (b, kinds, c) share of each distribution at these scores, positive; sums to 1.
        provenance: where the figures come from.
    """

    widths: Floats
    scores: Floats
    shares: Floats
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check the figures.

        Raises:
            ValueError: a wrong shape, widths or scores that do not ascend, shares that are none.
        """
        if self.widths.ndim != 1 or not (np.diff(self.widths, prepend=0) > 0).all() or not len(self.widths):
            raise ValueError("widths: must be positive and ascend")
        if self.scores.ndim != 1 or not (np.diff(self.scores) > 0).all() or not len(self.scores):
            raise ValueError("scores: must ascend")
        if self.shares.shape != (len(self.scores), len(KINDS), len(self.widths)):
            raise ValueError("shares: must have a row for each score, and in it one for each kind of joint")
        if not ((self.shares > 0).all() and np.allclose(self.shares.sum(axis=2), 1, atol=1e-3)):
            raise ValueError("shares: must be positive and sum to 1")

    def __call__(self, scores: Floats) -> Floats:
        """Share of each distribution for joints scored `scores` (n, 18): (n, 18, c)."""
        place = np.interp(scores, self.scores, np.arange(len(self.scores), dtype=np.float64))
        low = np.minimum(place.astype(np.intp), max(0, len(self.scores) - 2))
        high = np.minimum(low + 1, len(self.scores) - 1)
        part = (place - low)[..., None]
        result: Floats = (1 - part) * self.shares[low, KIND_OF_JOINT] + part * self.shares[high, KIND_OF_JOINT]
        return result


@cache
def shipped_noise(calibration: Calibration = "movenet", threshold: float | None = None) -> Noise:
    """The figures that come with the package (docs/canonical-poses.md says how they were found).

    Args:
        calibration: whose scores.
        threshold: for scores that nobody calibrated, the one that is worth what MoveNet's 0.3 is, above 0; those below
            it and those between it and 1 are stretched to MoveNet's. None for the scores of `calibration`.
    """
    content = json.loads(_shipped())["calibrations"][calibration]
    scores = np.array(content["scores"])
    if threshold is not None:
        scores = np.interp(scores, (0, _MOVENET_CONFIDENCE, 1), (0, threshold, max(1, 2 * threshold)))
    return Noise(
        widths=np.array(content["widths"]),
        scores=scores,
        shares=np.stack([content["shares"][kind] for kind in KINDS], axis=1),
        provenance=content["provenance"],
    )


def calibration_of(score_scale: str, confidence: float) -> tuple[Calibration, float | None]:
    """The arguments of `shipped_noise` that suit scores.

    Args:
        score_scale: what the scores mean, in the estimator's words.
        confidence: score from which a joint counts as found; 0, from which every joint does, tells nothing.
    """
    for name in get_args(Calibration):
        if json.loads(_shipped())["calibrations"][name]["score_scale"] == score_scale:
            return name, None
    return "movenet", confidence if confidence > 0 else None


def shipped_sha256() -> str:
    """Hash of the file with the shipped figures, hex."""
    return hashlib.sha256(_shipped()).hexdigest()


def _shipped() -> bytes:
    return files("reidprep.alignment").joinpath("noise.json").read_bytes()


_LEAST_SHARE = 1e-4


def learn_noise(
    errors: Floats,
    scores: Floats,
    kinds: NDArray[np.intp],
    *,
    knots: Floats,
    widths: Floats,
    provenance: Mapping[str, Any],
) -> Noise:
    """Fit the shares of the distributions to joints whose true place is known, by expectation maximisation.

    Args:
        errors: (m, 2) x and y of measured less true joints, in body heights.
        scores: (m,) of the measured joints.
        kinds: (m,) positions in `KINDS`.
        knots: (b,) scores to give the shares at, two or more.
        widths: (c,) see `Noise`.
        provenance: see `Noise`.
    """
    place = np.interp(scores, knots, np.arange(len(knots), dtype=np.float64))
    low = np.minimum(place.astype(np.intp), len(knots) - 2)
    near = np.zeros((len(scores), len(knots)))
    near[np.arange(len(scores)), low] = 1 - (place - low)
    near[np.arange(len(scores)), low + 1] = place - low
    squared = np.square(errors).sum(axis=1)[:, None]
    likelihood = np.exp(-squared / (2 * np.square(widths))) / np.square(widths)
    shares = np.full((len(knots), len(KINDS), len(widths)), 1 / len(widths))
    for kind in range(len(KINDS)):
        rows = kinds == kind
        of_knot = near[rows]
        for _ in range(_STEPS if rows.any() else 0):
            usual = of_knot @ shares[:, kind]
            weighted = likelihood[rows] / np.maximum((usual * likelihood[rows]).sum(axis=1, keepdims=True), _TINY)
            total = shares[:, kind] * (of_knot.T @ weighted)
            total += _PRIOR_JOINTS * total.sum(axis=0) / total.sum()
            total = np.maximum(total / total.sum(axis=1, keepdims=True), _LEAST_SHARE)
            shares[:, kind] = total / total.sum(axis=1, keepdims=True)
    return Noise(widths, knots, shares, provenance)
