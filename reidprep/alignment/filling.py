"""Estimate all joints of a person from what an estimator measured and a set of typical poses.

The typical poses with their spread say where joints are likely to be, every measured joint is an observation whose
noise and whose chance of being an outlier follow from its score, and the estimate is what both together say. In this
module lengths are in body heights.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from reidprep.alignment.canonical import CanonicalPoses, covariances
from reidprep.alignment.noise import Noise
from reidprep.skeleton import FACE, indices

Floats = NDArray[np.float64]

# Rows at a time: their matrices of less than a megabyte stay in the cache.
_CHUNK = 128

USUAL_HEIGHT = 0.84
"""Body height in image heights: the median of Market-1501."""
_HEIGHTS = (0.25 * USUAL_HEIGHT, 4 * USUAL_HEIGHT)
# Standard deviations of what a re-identification crop leaves open: where across and down the image the middle of the
# body lies, the height as a share of the usual one, and the lean in radians. Where little was found one wrong joint
# would carry the whole body away, so there the body is held more tightly.
_USUAL = (0.05, 0.1, 0.12, 0.1)
_TIGHT = (0.05, 0.05, 0.05, 0.07)
_SCARCE = 8
"""Where fewer joints were found than this, the body is held tightly."""
# People whom the frame cuts stand elsewhere and are larger than those it shows whole.
_CUT = (0.1, 0.3, 0.3, 0.1)
_HOLDS = (_USUAL, _TIGHT, _CUT)
_LET_GO = -0.5
"""Least gain of log likelihood from which a body is taken to be cut off: in doubt it is."""
_WRONG = 0.2
"""Belief from which a found joint may be wrong, so that its body is placed again."""
_BEYOND = 10.0
"""How densely weak measurements of joints beyond the frame lie in it: so many per squared body height."""
_HEIGHT_STEP = (0.6, 1.6)
"""Least and greatest factor by which one pass changes the height."""
_WEAK = 0.3
"""What weak joints count where the body is placed, beside found ones: those of a limb err together."""
# Joints of a body err together, and more often than their scores say where little of the body was found. A head that
# the frame cuts off is the worst of it: its face is measured on the chest, or along the upper edge.
_SEEN = (4.0, 7.0)
"""Where fewer joints than this are likely to be measured closely, weak ones say next to nothing, or less."""
_LEAST_TRUST = 0.02
"""Factor of the share of weak joints that are none, where as good as nothing is measured closely."""
_FACELESS_TRUST = 0.1
"""The same for the joints of a face of which none was found."""
_EDGE = 0.03
_EDGE_TRUST = 0.1
"""The same for all joints above this share of the image's height."""

_FACE = indices(*FACE)

_FEWEST = 4
_LEAST_EXTENT = 0.15
"""Joints within this many image heights are head and shoulders at most: too little to tell the scale."""
_FARTHEST = 2.0
"""A joint farther outside the image, in its longer sides, is no measurement."""
_BASIS = 10
"""Directions that hold nearly all by which typical poses differ."""
_WIDER = 2.0
"""Factor of the spread: joints that are hard to see are in rarer places than those that poses are learnt from."""
_LEAST_VARIANCE = 1e-6
"""Added to the spread of poses, which their normalisation leaves without any in some directions."""
_LEAST_LEFT = 1e-3
"""Least share of a joint's information that is taken to come from the other joints."""


@dataclass(frozen=True)
class Filled:
    """Complete joints of n images.

    Attributes:
        joints: (n, 18, 2) float32 of x, y in source pixels, finite.
        filled: (n, 18) bool, True where there was nothing to keep: no measurement, or one scored below the confidence.
        spread: (n, 18) float32, standard deviation of the estimate in x and in y, source pixels.
        outliers: (n, 18) bool, True where a joint scored at or above the confidence contradicts the others.
        residual: (n,) float32, root mean square distance of the joints scored at or above the confidence from the
            typical pose that fits best, weighted by score, as a fraction of body height; 0 where there are none.
        few: (n,) bool, True where fewer than four such joints were there, or all of them close together: the pose
            is then mostly the typical upright one.
    """

    joints: NDArray[np.float32]
    filled: NDArray[np.bool_]
    spread: NDArray[np.float32]
    outliers: NDArray[np.bool_]
    residual: NDArray[np.float32]
    few: NDArray[np.bool_]


def fill(
    joints: ArrayLike,
    image_sizes: ArrayLike,
    poses: CanonicalPoses,
    confidence: float,
    noise: Noise,
    *,
    exact: bool = False,
) -> Filled:
    """Estimate every joint from all that was measured and from typical poses.

    Args:
        joints: (n, 18, 3) of x, y in source pixels and score.
        image_sizes: (n, 2) of width, height, both positive.
        poses: the set of typical poses, with their spread.
        confidence: least score of a joint that counts as found.
        noise: what the scores are worth.
        exact: leave joints that count as found where they were measured, bit by bit, outliers as well.

    Raises:
        ValueError: a shape does not fit, or a size is not positive and finite.
    """
    with np.errstate(over="ignore"):  # what overflows becomes infinite, and is no measurement
        measured = np.asarray(joints, dtype=np.float32)
    sizes = np.asarray(image_sizes, dtype=np.float64)
    if measured.ndim != 3 or measured.shape[1:] != (poses.poses.shape[1], 3):
        raise ValueError(f"joints have shape (n, {poses.poses.shape[1]}, 3), not {measured.shape}")
    if sizes.shape != (len(measured), 2) or not ((sizes > 0) & (sizes < np.inf)).all():
        raise ValueError(f"image sizes are positive, finite and of shape ({len(measured)}, 2)")

    usable = _usable(measured, sizes)
    found = usable & (measured[..., 2] >= confidence)
    points = np.where(usable[..., None], measured[..., :2], 0).astype(np.float64)
    scores = np.where(usable, measured[..., 2], 0).astype(np.float64)
    prior = _Prior.of(poses)
    result = Filled(
        joints=np.zeros(points.shape, np.float32),
        filled=~found,
        spread=np.zeros(found.shape, np.float32),
        outliers=np.zeros(found.shape, np.bool_),
        residual=np.zeros(len(found), np.float32),
        few=np.zeros(len(found), np.bool_),
    )
    for start in range(0, len(measured), _CHUNK):
        rows = slice(start, start + _CHUNK)
        chunk = _Measured(points[rows], scores[rows], usable[rows], found[rows], sizes[rows])
        _estimate(chunk, prior, noise, result, rows)
    if exact:
        np.copyto(result.joints, measured[..., :2], where=found[..., None])
        result.spread[found] = 0
    return result


def _usable(measured: NDArray[np.float32], sizes: Floats) -> NDArray[np.bool_]:
    farthest = _FARTHEST * sizes.max(axis=1)[:, None, None]
    points, scores = measured[..., :2].astype(np.float64), measured[..., 2]
    near = ((points >= -farthest) & (points <= sizes[:, None] + farthest)).all(axis=2)  # False for NaN
    usable: NDArray[np.bool_] = near & np.isfinite(scores) & (scores > 0)
    return usable


@dataclass(frozen=True)
class _Prior:
    """What is known of a body before it is seen.

    Arrays of joints have the axis, x or y, before the joint. About a typical pose the two axes are taken to be
    independent, which costs nothing in accuracy and makes two small matrices of one large one.

    Attributes:
        mean: (2, 18) the mean of all typical poses.
        poses: (k, 72) typical poses and their mirror images, and the squares of both.
        log_share: (k,) logarithm of the share that each stands for.
        facing: (k,) whether it faces the camera.
        basis: (2, 18, d) directions in which typical poses differ.
        squares: (d * d + d, k), with c the coefficients of a pose less the mean along `basis`: c c^T and -2 c.
        first: (3, 2, 18, 18) inverse covariances over all poses, for each of `_HOLDS`.
        later: the same about one typical pose.
        directions: (4, 36) how place across, place down, height and lean of a body move its joints.
        variances: (3, 4) of these, for each of `_HOLDS`.
    """

    mean: Floats
    poses: NDArray[np.float32]
    log_share: Floats
    facing: NDArray[np.bool_]
    basis: Floats
    squares: NDArray[np.float32]
    first: Floats
    later: Floats
    directions: Floats
    variances: Floats

    @classmethod
    def of(cls, poses: CanonicalPoses) -> _Prior:
        flat = poses.both.transpose(0, 2, 1).reshape(len(poses.both), -1)
        share = np.exp(poses.log_prior)
        share /= share.sum()
        mean = share @ flat
        deviation = flat - mean
        _, basis = np.linalg.eigh((deviation * share[:, None]).T @ deviation)
        basis = basis[:, -_BASIS:]
        coefficients = deviation @ basis
        outer = coefficients[:, :, None] * coefficients[:, None]
        x, y = mean.reshape(2, -1)
        one, none = np.ones_like(x), np.zeros_like(x)
        directions = np.array([[one, none], [none, one], [x, y], [-y, x]])
        variances = np.square(_HOLDS)
        placed = np.einsum("pd,daj,dak->pajk", variances, directions, directions)
        near = _WIDER * poses.covariance + _LEAST_VARIANCE * np.eye(len(x))
        between = covariances(poses.both - mean.reshape(2, -1).T, share)
        return cls(
            mean=mean.reshape(2, -1),
            poses=np.concatenate([flat, np.square(flat)], axis=1).astype(np.float32),
            log_share=np.log(share),
            facing=poses.facing,
            basis=basis.reshape(2, len(x), -1),
            squares=np.concatenate([outer.reshape(len(flat), -1), -2 * coefficients], axis=1).T.astype(np.float32),
            first=np.linalg.inv(near + between + placed),
            later=np.linalg.inv(near + placed),
            directions=directions.reshape(len(directions), -1),
            variances=variances,
        )


@dataclass(frozen=True)
class _Measured:
    """Some rows: points (n, 18, 2) and image sizes (n, 2) in pixels, scores, usable and found joints (n, 18)."""

    points: Floats
    scores: Floats
    usable: NDArray[np.bool_]
    found: NDArray[np.bool_]
    sizes: Floats

    @property
    def centred(self) -> Floats:
        """Points from the middle of the image, (n, 2, 18)."""
        result: Floats = (self.points - self.sizes[:, None] / 2).transpose(0, 2, 1)
        return result

    def take(self, rows: NDArray[np.bool_]) -> _Measured:
        """Some of the rows."""
        return _Measured(*(values[rows] for values in vars(self).values()))


@dataclass(frozen=True)
class _Placed:
    """Where some bodies stand.

    Attributes:
        belief: (n, 18, c) in which way each joint was measured, as far as the other joints tell.
        height: (n,) of the body, pixels.
        hold: (n,) which of `_HOLDS` it is held by.
        few: (n,) see `Filled`.
    """

    belief: Floats
    height: Floats
    hold: NDArray[np.intp]
    few: NDArray[np.bool_]


def _estimate(given: _Measured, prior: _Prior, noise: Noise, result: Filled, rows: slice) -> None:
    """Estimate some rows and write them to the `rows` of `result`.

    With y the measured joints, N the inverse of their noise (diagonal, zero for missing joints), m the typical pose and
    Q the inverse covariance about it, the estimate is m + P N (y - m) with P = (Q + N)^-1. First m is the mean of all
    poses. That says where the body stands; how far off each joint was measured is judged by where the others
    expect it. Then m is the mean of the poses by how likely each makes the measured joints.
    """
    variances = np.square(noise.widths)
    usual = noise(given.scores)
    usual[..., :-1] *= _trust(given, usual[..., 0].sum(axis=1))[..., None]
    usual[..., -1] = 1 - usual[..., :-1].sum(axis=2)
    placed = _place(given, usual, usual, variances, prior)
    # Where a found joint turns out to be wrong, the body is placed again without it.
    wrong: NDArray[np.bool_] = np.any(given.found & (placed.belief[..., -1] > _WRONG), axis=1)
    if wrong.any():
        again = _place(given.take(wrong), usual[wrong], placed.belief[wrong], variances, prior)
        for name, values in vars(again).items():
            getattr(placed, name)[wrong] = values
    height, hold, few = placed.height, placed.hold, placed.few

    y = given.centred / height[:, None, None]
    n = (given.usable / _noise(placed.belief, variances))[:, None]
    p = _posterior(prior.later[hold], n)
    share = _shares(y, n, p, few, prior)
    m, squares = _product(share, prior.poses).reshape(len(y), 2, *prior.mean.shape).swapaxes(0, 1)
    estimate = m + _times(p, n * (y - m))
    between = np.maximum(squares - np.square(m), 0)
    variance = _diagonal(p)
    belief = _judged(given, usual, variances, y, n, estimate, variance, placed, between)

    unit = height[:, None]
    fitted = m + _product(_placed(n * (y - estimate), prior, hold), prior.directions).reshape(m.shape)
    distance = np.square(y - fitted).sum(axis=1)
    weight = given.scores / np.maximum(given.scores.max(axis=1, keepdims=True), np.finfo(np.float64).tiny) * given.found
    result.joints[rows] = (estimate * unit[..., None]).transpose(0, 2, 1) + given.sizes[:, None] / 2
    # Of what the poses differ by, as much is left as the measured joint leaves open.
    variance = variance + np.square(1 - n * variance) * between
    result.spread[rows] = np.sqrt(variance.mean(axis=1)) * unit
    result.outliers[rows] = given.found & (belief[..., -1] > 0.5)
    result.residual[rows] = np.sqrt((weight * distance).sum(axis=1) / np.maximum(weight.sum(axis=1), 1e-12))
    result.few[rows] = few


def _place(given: _Measured, usual: Floats, belief: Floats, variances: Floats, prior: _Prior) -> _Placed:
    """Where bodies stand, if `belief` says in which way the joints were measured, and in which way they were then."""
    image_height = given.sizes[:, 1]
    few = _too_few(given.points / image_height[:, None, None], given.found)
    hold = (few | (given.found.sum(axis=1) < _SCARCE)).astype(np.intp)
    height = USUAL_HEIGHT * image_height
    y = given.centred / height[:, None, None]
    n = (given.usable * np.where(given.found | few[:, None], 1, _WEAK) / _noise(belief, variances))[:, None]
    offset = y - prior.mean
    p = _posterior(prior.first[hold], n)
    cut = ~few & _cut_off(offset, n, p, hold, prior)
    hold[cut] = _HOLDS.index(_CUT)
    p[cut] = _posterior(prior.first[hold[cut]], n[cut])
    estimate = prior.mean + _times(p, n * offset)
    judged = _judged(given, usual, variances, y, n, estimate, _diagonal(p), _Placed(belief, height, hold, few))
    taller = 1 + _placed(n * (y - estimate), prior, hold)[:, 2]
    height = np.clip(height * np.clip(taller, *_HEIGHT_STEP), _HEIGHTS[0] * image_height, _HEIGHTS[1] * image_height)
    return _Placed(judged, height, hold, few)


def _posterior(inverse: Floats, n: Floats) -> Floats:
    """Covariance (n, 2, 18, 18) of joints: `inverse`, which is overwritten, is its inverse before the measurements."""
    joints = np.arange(n.shape[2])
    inverse[..., joints, joints] += n
    result: Floats = np.linalg.inv(inverse).astype(np.float64, copy=False)
    return result


def _times(p: Floats, values: Floats) -> Floats:
    """Each covariance (n, 2, 18, 18) times its vector (n, 2, 18)."""
    result: Floats = np.matmul(p, values[..., None])[..., 0]
    return result


def _diagonal(p: Floats) -> Floats:
    return np.diagonal(p, axis1=2, axis2=3)


def _placed(pull: Floats, prior: _Prior, hold: NDArray[np.intp]) -> Floats:
    """How far a body stands from where it was expected, (n, 4): place across and down, height and lean."""
    result: Floats = _product(pull.reshape(len(pull), -1), prior.directions.T) * prior.variances[hold]
    return result


def _cut_off(offset: Floats, n: Floats, p: Floats, hold: NDArray[np.intp], prior: _Prior) -> NDArray[np.bool_]:
    """Where the measured joints are likelier of a body that the frame cuts: (n,).

    The inverse covariance of the measured joints is W = N - N P N. With U the two directions of an axis in which the
    body is let go, its place and its height, by one standard deviation, the log likelihood grows by half of
    u' (1 + G)^-1 u - log |1 + G|, where u = U' W offset and G = U' W U.
    """
    more = np.sqrt(np.maximum(prior.variances[_HOLDS.index(_CUT)] - prior.variances[hold], 0))
    pull = n * (offset - _times(p, n * offset))
    of_axis = prior.directions.reshape(-1, *prior.mean.shape)
    gain = np.zeros(len(offset))
    for axis in range(2):
        free = more[:, [axis, 2], None] * of_axis[[axis, 2], axis]
        seen = free * n[:, 0, None]
        g = np.matmul(seen, free.transpose(0, 2, 1)) - np.matmul(np.matmul(seen, p[:, axis]), seen.transpose(0, 2, 1))
        u, v = (free * pull[:, axis, None]).sum(axis=2).T
        a, b, c = g[:, 0, 0] + 1, g[:, 0, 1], g[:, 1, 1] + 1
        determinant = a * c - b * b
        gain += (u * u * c - 2 * u * v * b + v * v * a) / determinant - np.log(determinant)
    result: NDArray[np.bool_] = gain / 2 > _LET_GO
    return result


def _judged(
    given: _Measured,
    usual: Floats,
    variances: Floats,
    y: Floats,
    n: Floats,
    estimate: Floats,
    variance: Floats,
    placed: _Placed,
    between: Floats | float = 0,
) -> Floats:
    """In which way each joint was measured, (n, 18, c), by where the other joints expect it and how surely.

    Of a body that the frame cuts, weak measurements of joints expected beyond it are outliers: estimators look within.
    """
    left = np.maximum(1 - n * variance, _LEAST_LEFT)
    offset = (y - estimate) / left
    variance = variance / left + between
    wide = variance[..., None] + variances
    likelihood = np.log(usual) - 0.5 * (np.square(offset)[..., None] / wide + np.log(wide)).sum(axis=1)
    cut = placed.hold == _HOLDS.index(_CUT)
    if cut.any():
        edge = (given.sizes[cut] / (2 * placed.height[cut, None]))[..., None]
        expected, deviation = (y - offset)[cut], np.sqrt(variance[cut])
        inside = (_normal((edge - expected) / deviation) - _normal((-edge - expected) / deviation)).prod(axis=1)
        beyond = np.where(given.found[cut], 0, 2 * np.pi * _BEYOND * (1 - inside))
        likelihood[cut, :, -1] = np.logaddexp(likelihood[cut, :, -1], np.log(np.maximum(beyond, 1e-300)))
    belief = np.exp(likelihood - likelihood.max(axis=2, keepdims=True))
    result: Floats = belief / belief.sum(axis=2, keepdims=True)
    return result


def _normal(deviations: Floats) -> Floats:
    """About the share of a normal distribution below so many standard deviations: the logistic one is off by 0.01."""
    result: Floats = 1 / (1 + np.exp(np.clip(-1.702 * deviations, -50, 50)))
    return result


def _trust(given: _Measured, close: Floats) -> Floats:
    """What the shares of joints that are no outliers are to be multiplied by, (n, 18).

    Args:
        given: the joints.
        close: (n,) how many of the joints are likely to be measured closely.
    """
    low, high = _SEEN
    trust = np.where(given.found, 1, np.clip((close - low) / (high - low), _LEAST_TRUST, 1)[:, None])
    trust[:, _FACE] *= np.where(given.found[:, _FACE].any(axis=1), 1, _FACELESS_TRUST)[:, None]
    at_edge = given.points[..., 1] < _EDGE * given.sizes[:, 1, None]
    result: Floats = trust * np.where(at_edge, _EDGE_TRUST, 1)
    return result


def _noise(belief: Floats, variances: Floats) -> Floats:
    """Variance (n, 18) of joints that were measured in one of several ways, each as likely as `belief` (n, 18, c) says.

    Outliers count by their odds, so a likely one is as good as unmeasured. The mean of the inverse variances, which is
    the textbook's answer for independent errors, trusts weak joints too much: those of a limb err together.
    """
    near = np.maximum(1 - belief[..., -1], _LEAST_LEFT)
    result: Floats = (belief * variances).sum(axis=2) / near
    return result


def _too_few(points: Floats, found: NDArray[np.bool_]) -> NDArray[np.bool_]:
    low = np.where(found[..., None], points, np.inf).min(axis=1)
    high = np.where(found[..., None], points, -np.inf).max(axis=1)
    result: NDArray[np.bool_] = (found.sum(axis=1) < _FEWEST) | ((high - low).max(axis=1) < _LEAST_EXTENT)
    return result


def _shares(y: Floats, n: Floats, p: Floats, few: NDArray[np.bool_], prior: _Prior) -> Floats:
    """How likely each typical pose is the one measured, (n, k), summing to 1.

    The covariance of the measured joints about a pose has the inverse W = N - N P N, the same for all poses, and the
    determinant is the same too. Poses differ along few directions, so W is needed along these only.
    """
    seen = n[..., None] * prior.basis
    w = np.matmul(prior.basis.transpose(0, 2, 1), seen) - np.matmul(seen.transpose(0, 1, 3, 2), np.matmul(p, seen))
    w = w[:, 0] + w[:, 1]
    pull = n * (y - prior.mean)
    pull -= n * _times(p, pull)
    toward = _product(pull.reshape(len(pull), -1), prior.basis.reshape(-1, prior.basis.shape[2]))
    # c^T W c - 2 c . toward, for the coefficients c of each pose.
    distance = _product(np.concatenate([w.reshape(len(w), -1), toward], axis=1), prior.squares)
    share = prior.log_share - 0.5 * distance
    share = np.exp(share - share.max(axis=1, keepdims=True))
    # Averaging people seen from the front and from behind gives one without width.
    ahead = _product(share, prior.facing[:, None].astype(np.float32))
    towards = 2 * ahead >= share.sum(axis=1, keepdims=True)
    share *= (prior.facing == towards) | ~few[:, None]
    result: Floats = share / share.sum(axis=1, keepdims=True)
    return result


def _product(rows: Floats, matrix: NDArray[np.floating]) -> Floats:
    """Every row times the matrix, each by itself: the same to the last bit whatever other rows there are.

    It is done in the precision of the matrix: half of it is enough where hundreds of poses are compared.
    """
    result: Floats = np.matmul(rows[:, None].astype(matrix.dtype), matrix)[:, 0].astype(np.float64)
    return result
