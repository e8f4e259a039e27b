from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from reidprep.alignment import filling as module
from reidprep.alignment.canonical import CanonicalPoses, load
from reidprep.alignment.filling import Filled, fill
from reidprep.skeleton import FACE, INDEX, MIRROR, REGIONS, indices

SIZE = np.array([64.0, 128.0])
DEFAULT = load()
LEGS = indices("r_knee", "l_knee", "r_ankle", "l_ankle")


def people(rows: int, seed: int = 0) -> NDArray[np.float32]:
    """Confident joints (rows, 18, 3) of people who are mixtures of default poses, in 64x128 images."""
    rng = np.random.default_rng(seed)
    first = rng.integers(len(DEFAULT.poses), size=rows)
    points = DEFAULT.poses[first] * 105 + SIZE / 2 + rng.normal(0, 1.5, (rows, 18, 2))
    scores = rng.uniform(0.4, 1, (rows, 18, 1))
    joints: NDArray[np.float32] = np.concatenate([points, scores], axis=2).astype(np.float32)
    return joints


def without(joints: NDArray[np.float32], hidden: NDArray[np.intp]) -> NDArray[np.float32]:
    result: NDArray[np.float32] = joints.copy()
    result[:, hidden] = 0
    return result


def fill_default(joints: NDArray[np.float32], sizes: NDArray[np.float64] = SIZE) -> Filled:
    return fill(joints, np.broadcast_to(sizes, (len(joints), 2)), DEFAULT, 0.3)


@pytest.mark.parametrize("few", [False, True])
def test_average_fit_by_least_squares_pose_by_pose(few: bool) -> None:
    rng = np.random.default_rng(3)
    poses = CanonicalPoses(DEFAULT.poses[[0, 5, 9]], np.array([0.5, 0.2, 0.3], dtype=np.float32))
    weights = rng.uniform(0.3, 1, (4, 18)) * (rng.random((4, 18)) < 0.7)
    points = DEFAULT.poses[[0, 5, 5, 100]] * 0.8 + 0.5 + rng.normal(0, 0.02, (4, 18, 2))
    centre = np.tile([0.25, 0.5], (4, 1))
    fitted, heights = module._average_fit(points, weights, centre, np.full(4, few), poses)

    pull = module._CENTRE_PULL if few else module._NO_CENTRE_PULL
    for row in range(4):
        candidates, sizes, scores = [], [], []
        for number, pose in enumerate(poses.both):
            # Unknowns a, b, tx, ty; a row of the system for every squared term.
            terms = [([1, 0, 0, 0], module.USUAL_HEIGHT, module._HEIGHT_PULL)]
            terms.append(([0, 1, 0, 0], 0.0, module._UPRIGHT_PULL))
            terms += [([0, 0, 1, 0], centre[row, 0], pull), ([0, 0, 0, 1], centre[row, 1], pull)]
            for (x, y), (u, v), weight in zip(points[row], pose, weights[row], strict=True):
                terms += [([u, -v, 1, 0], x, weight), ([v, u, 0, 1], y, weight)]
            matrix = np.array([np.multiply(left, np.sqrt(w)) for left, _, w in terms])
            target = np.array([right * np.sqrt(w) for _, right, w in terms])
            (a, b, tx, ty), *_ = np.linalg.lstsq(matrix, target, rcond=None)
            error = np.square(matrix @ [a, b, tx, ty] - target).sum() / (weights[row].sum() + pull)
            sigma = module._NEARNESS * module.USUAL_HEIGHT
            score = poses.frequencies[number % 3] * np.exp(-error / (2 * sigma**2))
            candidates.append(np.array([[a * u - b * v + tx, b * u + a * v + ty] for u, v in pose]))
            sizes.append(a)
            scores.append(score)
        share = np.array(scores)
        if few:
            front = np.array([p[INDEX["r_shoulder"], 0] < p[INDEX["l_shoulder"], 0] for p in poses.both])
            share *= front if share[front].sum() >= share[~front].sum() else ~front
        share /= share.sum()
        np.testing.assert_allclose(fitted[row], np.tensordot(share, candidates, 1), atol=1e-9)
        assert heights[row] == pytest.approx(share @ sizes)


@pytest.mark.parametrize("scale", [8.0, 0.05, -1.0])
def test_height_of_a_fit_is_bounded(scale: float) -> None:
    points = DEFAULT.poses[:4].astype(np.float64) * scale + 0.5
    centre = np.tile([0.25, 0.5], (4, 1))
    _, heights = module._average_fit(points, np.ones((4, 18)), centre, np.zeros(4, dtype=np.bool_), DEFAULT)
    assert (heights >= module._HEIGHT_RANGE[0] - 1e-9).all()
    assert (heights <= module._HEIGHT_RANGE[1] + 1e-9).all()


def test_a_fit_is_never_lying_down() -> None:
    upright = CanonicalPoses(DEFAULT.poses[:1], np.ones(1, dtype=np.float32))
    lying = DEFAULT.poses[:1, :, ::-1].astype(np.float64) * 0.8 + 0.5
    nobody = np.zeros(1, dtype=np.bool_)
    fitted, _ = module._average_fit(lying, np.ones((1, 18)), np.array([[0.25, 0.5]]), nobody, upright)
    spine = fitted[0, indices("r_hip", "l_hip")].mean(axis=0) - fitted[0, INDEX["neck"]]
    assert abs(spine[0]) < spine[1]


def test_missing_joints_are_the_conditional_mean_given_the_kept_ones() -> None:
    joints = without(people(5), LEGS)
    joints[2, INDEX["r_wrist"], :2] += (25, -25)
    result = fill_default(joints)
    for row in range(5):
        points = joints[row, :, :2] / SIZE[1]
        full = (joints[row, :, 2] / joints[row, :, 2].max()).astype(np.float64)
        weights = full
        for _ in range(module._REFITS + 1):
            centre = np.array([[0.25, 0.5]])
            mean, height = module._average_fit(
                points[None].astype(np.float64), weights[None], centre, np.array([False]), DEFAULT
            )
            last = weights
            distance = np.linalg.norm(points - mean[0], axis=1) / height[0]
            weights = full / (1 + (distance / module._OUTLIER) ** 2) ** 2
        of_kept = np.repeat(full > 0, 2)
        covariance = DEFAULT.local_covariance
        noise = np.diag(module._NOISE / np.repeat(last, 2)[of_kept])
        gain = covariance[~of_kept][:, of_kept] @ np.linalg.inv(covariance[of_kept][:, of_kept] + noise)
        offset = (points - mean[0]).ravel()[of_kept] / height[0]
        expected = (mean[0, np.sort(LEGS)].ravel() + gain @ offset * height[0]) * SIZE[1]
        np.testing.assert_allclose(result.joints[row, np.sort(LEGS)].ravel(), expected, atol=1e-2)
        residual = np.sqrt((full * distance**2).sum() / full.sum())
        assert result.residual[row] == pytest.approx(residual, rel=1e-4)


@pytest.mark.parametrize(
    "hidden",
    [LEGS, indices(*FACE), indices("r_shoulder", "r_elbow", "r_wrist", "r_hip", "r_knee", "r_ankle")],
)
def test_hidden_joints_of_a_typical_pose_come_back(hidden: NDArray[np.intp]) -> None:
    pose = DEFAULT.poses[7]
    poses = CanonicalPoses(DEFAULT.poses[7:8], np.ones(1, dtype=np.float32))
    turn = np.array([[np.cos(0.1), np.sin(0.1)], [-np.sin(0.1), np.cos(0.1)]])
    points = pose @ turn * 100 + (30, 66)
    joints = np.concatenate([points, np.ones((18, 1))], axis=1)[None].astype(np.float32)
    result = fill(without(joints, hidden), SIZE[None], poses, 0.3)
    # The pulls towards upright and the usual height leave a little.
    np.testing.assert_allclose(result.joints[0], points, atol=4)
    assert result.residual[0] < 0.02
    assert np.flatnonzero(result.filled[0]).tolist() == sorted(hidden.tolist())


@pytest.mark.parametrize("hidden", [LEGS, indices(*FACE), indices("r_wrist", "l_wrist")])
def test_filled_is_much_closer_than_the_usual_pose_in_its_place(hidden: NDArray[np.intp]) -> None:
    joints = people(200)
    truth = joints[:, hidden, :2]
    mean = (DEFAULT.frequencies[:, None, None] * DEFAULT.poses).sum(axis=0) * 105 + SIZE / 2
    error = np.linalg.norm(fill_default(without(joints, hidden)).joints[:, hidden] - truth, axis=2).mean()
    assert error < 0.7 * np.linalg.norm(mean[hidden] - truth, axis=2).mean()


def test_kept_joints_are_the_measured_ones_bit_by_bit() -> None:
    joints = people(300)
    joints[np.random.default_rng(1).random((300, 18)) < 0.4, 2] = 0.2
    result = fill_default(joints)
    kept = joints[..., 2] >= 0.3
    assert np.array_equal(result.filled, ~kept)
    assert result.joints[kept].tobytes() == joints[kept][:, :2].tobytes()


def test_score_equal_to_the_confidence_is_kept_and_weak_positions_do_not_matter() -> None:
    joints = people(2)
    joints[:, INDEX["nose"], 2] = np.float32(0.3)
    joints[:, INDEX["r_ankle"], 2] = 0.29
    joints[1] = joints[0]
    joints[1, INDEX["r_ankle"], :2] = (5, 5)
    result = fill(joints, np.tile(SIZE, (2, 1)), DEFAULT, float(np.float32(0.3)))
    assert not result.filled[:, INDEX["nose"]].any()
    assert np.array_equal(result.joints[0], result.joints[1])


@pytest.mark.parametrize(
    "value",
    [(np.nan, 1, 1), (1, np.inf, 1), (1, 1, np.nan), (1, 1, np.inf), (0, 0, 0), (1e30, 5, 1), (-500, 5, 1)],
)
def test_an_impossible_joint_is_a_missing_one(value: tuple[float, float, float]) -> None:
    joints = people(1)
    hidden = without(joints, indices("l_knee"))
    joints[0, INDEX["l_knee"]] = value
    assert np.array_equal(fill_default(joints).joints, fill_default(hidden).joints)
    assert fill_default(joints).filled[0, INDEX["l_knee"]]


def test_nothing_counts_as_measured_without_a_score() -> None:
    joints = people(1)
    joints[..., 2] = 0
    assert fill(joints, SIZE[None], DEFAULT, 0.0).filled.all()


coordinate = st.one_of(
    st.floats(width=32), st.floats(-50, 300, width=32), st.sampled_from([0.0, 32.0, np.nan, np.inf, -np.inf])
)


@settings(deadline=None)
@given(
    joints=arrays(np.float32, (3, 18, 3), elements=coordinate, fill=coordinate),
    sizes=arrays(np.float64, (3, 2), elements=st.floats(1, 1e5)),
    confidence=st.sampled_from([0.0, 0.3, 5.0]),
)
def test_whatever_the_joints_the_result_is_finite(
    joints: NDArray[np.float32], sizes: NDArray[np.float64], confidence: float
) -> None:
    result = fill(joints, sizes, DEFAULT, confidence)
    assert np.isfinite(result.joints).all()
    assert np.isfinite(result.residual).all()
    kept = ~result.filled
    assert np.array_equal(result.joints[kept], joints[kept][:, :2])


def hidden_people(seed: int) -> NDArray[np.float32]:
    joints = people(8, seed)
    rng = np.random.default_rng(seed)
    joints[rng.random((8, 18)) < 0.4] = 0
    return joints


@settings(deadline=None)
@given(seed=st.integers(0, 1000), scale=st.floats(0.3, 20))
def test_filling_scales_with_the_image(seed: int, scale: float) -> None:
    joints = hidden_people(seed)
    larger = joints * np.array([scale, scale, 1], dtype=np.float32)
    one, other = fill_default(joints), fill_default(larger, SIZE * scale)
    np.testing.assert_allclose(other.joints, one.joints * scale, atol=0.01 * scale)
    np.testing.assert_allclose(other.residual, one.residual, atol=1e-4)


@settings(deadline=None)
@given(seed=st.integers(0, 1000), shift=st.tuples(st.floats(-20, 20), st.floats(-20, 20)))
def test_filling_moves_with_the_person(seed: int, shift: tuple[float, float]) -> None:
    joints = hidden_people(seed)
    moved = joints + np.array([*shift, 0], dtype=np.float32) * (joints[..., 2:] > 0)
    one, other = fill_default(joints), fill_default(moved)
    rows = ~one.few
    expected = one.joints + np.array(shift, dtype=np.float32)
    np.testing.assert_allclose(other.joints[rows], expected[rows], atol=0.01)


@settings(deadline=None)
@given(seed=st.integers(0, 1000))
def test_filling_a_mirrored_image_mirrors_the_result(seed: int) -> None:
    joints = hidden_people(seed)
    mirrored = joints[:, MIRROR].copy()
    mirrored[..., 0] = np.where(mirrored[..., 2] > 0, SIZE[0] - mirrored[..., 0], 0)
    one, other = fill_default(joints), fill_default(mirrored)
    expected = one.joints[:, MIRROR].copy()
    expected[..., 0] = SIZE[0] - expected[..., 0]
    np.testing.assert_allclose(other.joints, expected, atol=0.01)
    np.testing.assert_allclose(other.residual, one.residual, atol=1e-5)


def test_rows_do_not_depend_on_each_other() -> None:
    joints = people(600)
    joints[np.random.default_rng(1).random((600, 18)) < 0.4] = 0
    together = fill_default(joints)
    for row in (0, 255, 256, 599):
        alone = fill_default(joints[row : row + 1])
        np.testing.assert_allclose(alone.joints[0], together.joints[row], atol=1e-3)


@pytest.mark.parametrize("wrong", ["r_shoulder", "l_wrist", "nose", "r_hip"])
def test_one_wrong_joint_hardly_moves_the_others(wrong: str) -> None:
    joints = without(people(100), LEGS)
    right = fill_default(joints)
    joints[:, INDEX[wrong], :2] += (35, -20)
    result = fill_default(joints)
    change = np.linalg.norm(result.joints[:, LEGS] - right.joints[:, LEGS], axis=2)
    assert np.median(change) < 0.02 * SIZE[1]
    assert (result.joints[:, INDEX[wrong]] == joints[:, INDEX[wrong], :2]).all()
    assert (result.residual > right.residual).all()


def test_without_any_joint_an_upright_person_stands_in_the_middle() -> None:
    sizes = np.array([[64, 128], [300, 200], [100, 1000]])
    result = fill(np.full((3, 18, 3), np.nan), sizes, DEFAULT, 0.3)
    assert result.few.all()
    assert result.filled.all()
    assert (result.residual == 0).all()
    y = result.joints[..., 1] / sizes[:, 1:]
    assert (y[:, INDEX["nose"]] < y[:, INDEX["neck"]]).all()
    assert (y[:, INDEX["neck"]] < y[:, INDEX["r_hip"]] - 0.2).all()
    assert (y[:, INDEX["l_hip"]] < y[:, INDEX["l_ankle"]] - 0.2).all()
    np.testing.assert_allclose(np.ptp(y, axis=1), 0.84, atol=0.05)
    left, right = result.joints[:, INDEX["l_shoulder"]], result.joints[:, INDEX["r_shoulder"]]
    assert (np.linalg.norm(left - right, axis=1) > 0.15 * sizes[:, 1]).all()
    np.testing.assert_allclose(result.joints[..., 0].mean(axis=1), sizes[:, 0] / 2, rtol=0.01)


def test_few_joints_are_flagged_and_keep_a_body_of_believable_size() -> None:
    joints = people(4)
    joints[0, 3:] = 0
    joints[1, np.setdiff1d(np.arange(18), indices(*FACE))] = 0
    joints[2, 4:] = 0
    joints[2, indices("r_shoulder", "neck", "nose", "r_elbow"), :2] = (30, 60)
    result = fill_default(joints)
    assert result.few.tolist() == [True, True, True, False]
    height = np.ptp(result.joints[..., 1], axis=1) / SIZE[1]
    assert ((height > 0.3) & (height < 1.2)).all()


def test_no_rows() -> None:
    result = fill(np.zeros((0, 18, 3)), np.zeros((0, 2)), DEFAULT, 0.3)
    assert result.joints.shape == (0, 18, 2)


@pytest.mark.parametrize(
    ("shape", "sizes"),
    [
        ((1, 17, 3), [[64, 128]]),
        ((1, 18, 2), [[64, 128]]),
        ((2, 18, 3), [[64, 128]]),
        ((1, 18, 3), [[0, 128]]),
    ],
)
def test_wrong_arguments_are_refused(shape: tuple[int, ...], sizes: list[list[int]]) -> None:
    with pytest.raises(ValueError):
        fill(np.zeros(shape), sizes, DEFAULT, 0.3)


def test_a_lone_joint_that_contradicts_the_upright_pose_is_not_believed() -> None:
    joints = np.zeros((2, 18, 3), np.float32)
    joints[0, INDEX["nose"]] = (32, 120, 0.6)  # a nose at the feet of a 64x128 image
    joints[1, INDEX["nose"]] = (32, 20, 0.6)
    result = fill(joints, np.array([[64, 128]] * 2), load(), 0.3)
    assert result.few.all()
    assert result.filled[0].all() and result.residual[0] > 0.3
    assert result.filled[1].sum() == 17 and tuple(result.joints[1, INDEX["nose"]]) == (32, 20)
    head = result.joints[0, list(REGIONS["head"])]
    assert np.ptp(head[:, 1]) < 0.2 * 128
