from __future__ import annotations

import numpy as np
import pytest

from reidprep.alignment.noise import KIND_OF_JOINT, KINDS, Noise, calibration_of, learn_noise, shipped_noise
from reidprep.estimators.movenet import MoveNet
from reidprep.estimators.top_down import HEAT_MAP_SCORES, SIMCC_SCORES
from reidprep.skeleton import INDEX


def test_kinds_are_joints_without_their_side() -> None:
    assert KINDS[KIND_OF_JOINT[INDEX["l_ear"]]] == KINDS[KIND_OF_JOINT[INDEX["nose"]]] == "face"
    assert [KINDS[KIND_OF_JOINT[INDEX[name]]] for name in ("neck", "r_wrist", "l_ankle")] == ["neck", "wrist", "ankle"]


@pytest.mark.parametrize("calibration", ["movenet", "simcc"])
def test_the_higher_the_score_the_surer_the_joint(calibration: str) -> None:
    noise = shipped_noise(calibration)  # type: ignore[arg-type]
    low, high = (np.full((1, 18), score) for score in noise.scores[[1, -1]])
    assert (noise(low)[..., 0] < noise(high)[..., 0]).all()
    assert (noise(low)[..., -1] > noise(high)[..., -1] - 0.01).all()
    np.testing.assert_allclose(noise(low).sum(axis=2), 1, atol=1e-3)


def test_shares_are_interpolated_and_stay_beyond_the_last_score() -> None:
    shares = np.repeat(np.array([[[0.2, 0.8]], [[0.6, 0.4]]]), len(KINDS), axis=1)
    noise = Noise(np.array([0.01, 0.1]), np.array([0.2, 0.4]), shares)
    of_joint = noise(np.repeat([[0.0], [0.25], [0.4], [9.0]], 18, axis=1))[:, 3, 0]
    np.testing.assert_allclose(of_joint, [0.2, 0.3, 0.6, 0.6])


def test_which_figures_suit_scores() -> None:
    assert calibration_of(MoveNet.score_scale, 0.5) == ("movenet", None)
    assert calibration_of(SIMCC_SCORES[0], 0.4) == ("simcc", None)
    assert calibration_of(HEAT_MAP_SCORES[0], 0.15) == ("movenet", 0.15)
    assert calibration_of("unknown", 0) == ("movenet", None)


@pytest.mark.parametrize(("score", "own"), [(0.025, 0.15), (0.05, 0.3), (0.525, 0.65), (1.0, 1.0)])
def test_scores_that_nobody_calibrated_are_stretched_to_those_of_movenet(score: float, own: float) -> None:
    stretched, plain = shipped_noise("movenet", 0.05), shipped_noise("movenet")
    np.testing.assert_allclose(stretched(np.full((1, 18), score)), plain(np.full((1, 18), own)), atol=0.01)


def test_learning_finds_the_shares_that_errors_were_drawn_with() -> None:
    rng = np.random.default_rng(0)
    widths = np.array([0.02, 0.2])
    scores = rng.uniform(0, 1, 40_000)
    far = rng.random(40_000) < 0.9 - 0.8 * scores
    errors = rng.normal(size=(40_000, 2)) * widths[far.astype(int)][:, None]
    kinds = rng.integers(len(KINDS), size=40_000)
    noise = learn_noise(errors, scores, kinds, knots=np.array([0, 0.5, 1.0]), widths=widths, provenance={})
    np.testing.assert_allclose(noise.shares[:, :, 1], np.repeat([[0.9], [0.5], [0.1]], len(KINDS), axis=1), atol=0.08)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"widths": np.array([0.2, 0.1])}, "widths"),
        ({"scores": np.array([0.4, 0.4])}, "scores"),
        ({"shares": np.full((2, 3, 2), 0.5)}, "kind"),
        ({"shares": np.full((2, len(KINDS), 2), 0.7)}, "sum to 1"),
    ],
)
def test_impossible_figures_are_refused(change: dict[str, np.ndarray], told: str) -> None:
    values = {
        "widths": np.array([0.1, 0.2]),
        "scores": np.array([0.1, 0.4]),
        "shares": np.full((2, len(KINDS), 2), 0.5),
    }
    with pytest.raises(ValueError, match=told):
        Noise(**{**values, **change})
