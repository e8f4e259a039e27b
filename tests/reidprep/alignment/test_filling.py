from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from reidprep.alignment import filling as module
from reidprep.alignment.canonical import CanonicalPoses, load
from reidprep.alignment.filling import Filled, fill
from reidprep.alignment.noise import KINDS, Noise, shipped_noise
from reidprep.skeleton import FACE, INDEX, MIRROR, REGIONS, indices

SIZE = np.array([64.0, 128.0])
DEFAULT = load()
NOISE = shipped_noise()
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
    return fill(joints, np.broadcast_to(sizes, (len(joints), 2)), DEFAULT, 0.3, NOISE)


def upright(spread: float = 0.03) -> CanonicalPoses:
    """One typical pose, its own mirror image, about which neighbouring joints vary together."""
    pose = DEFAULT.both.mean(axis=0, keepdims=True)
    pose = (pose + pose[:, MIRROR] * (-1, 1)) / 2
    distance = np.linalg.norm(pose[0][:, None] - pose[0], axis=2)
    covariance = spread**2 * np.exp(-np.square(distance / 0.3))
    return CanonicalPoses(pose.astype(np.float32), np.ones(1, np.float32), spread=np.stack([covariance, covariance]))


def test_the_estimate_is_the_mean_given_typical_pose_and_measurements() -> None:
    shares = np.full((1, len(KINDS), 2), (1 - 1e-9, 1e-9))
    poses, sure = upright(), Noise(np.array([0.02, 0.2]), np.array([0.5]), shares)
    unit = module.USUAL_HEIGHT * SIZE[1]
    seen = np.setdiff1d(np.arange(18), LEGS[:2])
    y = poses.both[0] + np.random.default_rng(0).normal(0, 0.01, (18, 2))
    joints = np.column_stack([y * unit + SIZE / 2, np.ones(18)])[None]
    joints[0, LEGS[:2], 2] = 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_HEIGHT_STEP", (1, 1))  # the height is as it was placed
        result = fill(joints, SIZE[None], poses, 0.3, sure)

    x_of_mean, y_of_mean = poses.both[0].T
    one, none = np.ones(18), np.zeros(18)
    moves = ((one, none, x_of_mean, -y_of_mean), (none, one, y_of_mean, x_of_mean))
    left = np.zeros(18)
    for axis, directions in enumerate(np.array(moves)):
        mean = poses.both[0][:, axis]
        covariance = module._WIDER * poses.covariance[axis] + module._LEAST_VARIANCE * np.eye(18)
        covariance += directions.T * np.square(module._USUAL) @ directions
        gain = covariance[:, seen] @ np.linalg.inv(covariance[np.ix_(seen, seen)] + 0.02**2 * np.eye(len(seen)))
        expected = mean + gain @ (y[:, axis] - mean)[seen]
        np.testing.assert_allclose(result.joints[0, :, axis], expected * unit + SIZE[axis] / 2, atol=1e-2)
        left += np.diag(covariance - gain @ covariance[seen]) / 2
    np.testing.assert_allclose(result.spread[0], np.sqrt(left) * unit, rtol=1e-3)


@pytest.mark.parametrize(
    "hidden",
    [LEGS, indices(*FACE), indices("r_shoulder", "r_elbow", "r_wrist", "r_hip", "r_knee", "r_ankle")],
)
def test_hidden_joints_of_a_typical_pose_come_back(hidden: NDArray[np.intp]) -> None:
    pose = DEFAULT.poses[7]
    poses = CanonicalPoses(DEFAULT.poses[7:8], np.ones(1, dtype=np.float32), spread=DEFAULT.spread)
    turn = np.array([[np.cos(0.1), np.sin(0.1)], [-np.sin(0.1), np.cos(0.1)]])
    points = pose @ turn * 100 + (30, 66)
    joints = np.concatenate([points, np.ones((18, 1))], axis=1)[None].astype(np.float32)
    result = fill(without(joints, hidden), SIZE[None], poses, 0.3, NOISE)
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


def test_found_joints_hardly_move_and_with_exact_not_at_all() -> None:
    joints = people(300)
    joints[np.random.default_rng(1).random((300, 18)) < 0.2, 2] = 0.2
    found = joints[..., 2] >= 0.3
    sizes = np.broadcast_to(SIZE, (300, 2))
    moved = fill(joints, sizes, DEFAULT, 0.3, NOISE)
    exact = fill(joints, sizes, DEFAULT, 0.3, NOISE, exact=True)
    assert np.array_equal(moved.filled, ~found) and np.array_equal(exact.filled, ~found)
    distance = np.linalg.norm(moved.joints - joints[..., :2], axis=2)[found] / SIZE[1]
    assert np.median(distance) < 0.01
    assert exact.joints[found].tobytes() == joints[found][:, :2].tobytes()
    assert (exact.spread[found] == 0).all()
    assert np.array_equal(exact.joints[~found], moved.joints[~found])


def test_a_weak_joint_is_evidence_where_it_is_plausible_and_none_where_it_is_not() -> None:
    joints = people(100)
    wrist = INDEX["l_wrist"]
    truth = joints[:, wrist, :2].copy()
    joints[:, wrist, 2] = 0
    missing = fill_default(joints).joints[:, wrist]
    joints[:, wrist, 2] = 0.25
    weak = fill_default(joints).joints[:, wrist]
    joints[:, wrist, :2] = (5, 5)
    far = fill_default(joints).joints[:, wrist]
    error = [np.linalg.norm(points - truth, axis=1).mean() for points in (weak, missing, far)]
    assert error[0] < 0.6 * error[1]
    assert error[2] < 1.5 * error[1]


def test_spread_says_how_surely_a_joint_is_known() -> None:
    joints = people(50)
    spread = fill_default(joints).spread
    joints[:, INDEX["r_wrist"], 2] = 0.1
    joints[:, INDEX["l_ankle"], 2] = 0
    unsure = fill_default(joints).spread
    assert (unsure[:, INDEX["r_wrist"]] > spread[:, INDEX["r_wrist"]]).all()
    assert (unsure[:, INDEX["l_ankle"]] > 1.5 * spread[:, INDEX["l_ankle"]]).all()


def test_a_face_on_the_chest_is_an_outlier() -> None:
    joints = people(50)
    chest = (2 * joints[:, INDEX["neck"], :2] + joints[:, indices("r_hip", "l_hip"), :2].mean(axis=1)) / 3
    joints[:, INDEX["nose"], :2] = chest
    result = fill_default(joints)
    assert result.outliers[:, INDEX["nose"]].mean() > 0.8
    assert not result.filled[:, INDEX["nose"]].any()
    neck = joints[:, INDEX["neck"], 1]
    assert np.mean(result.joints[:, INDEX["nose"], 1] < neck) > 0.9


def test_weak_joints_of_a_face_of_which_none_was_found_say_little() -> None:
    joints = people(50)
    face = indices(*FACE)
    joints[:, face, 2] = 0.2
    joints[:, face, 1] += 0.25 * SIZE[1]
    head = fill_default(joints).joints[:, face, 1].mean(axis=1)
    assert np.mean(head < joints[:, INDEX["neck"], 1]) > 0.9


def test_score_equal_to_the_confidence_is_found() -> None:
    joints = people(1)
    joints[:, INDEX["nose"], 2] = np.float32(0.3)
    joints[:, INDEX["r_ankle"], 2] = 0.29
    result = fill(joints, SIZE[None], DEFAULT, float(np.float32(0.3)), NOISE)
    assert np.flatnonzero(result.filled[0]).tolist() == [INDEX["r_ankle"]]


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
    assert fill(joints, SIZE[None], DEFAULT, 0.0, NOISE).filled.all()


coordinate = st.one_of(
    st.floats(width=32), st.floats(-50, 300, width=32), st.sampled_from([0.0, 32.0, np.nan, np.inf, -np.inf])
)


@given(
    joints=arrays(np.float32, (3, 18, 3), elements=coordinate, fill=coordinate),
    sizes=arrays(np.float64, (3, 2), elements=st.floats(1, 1e5)),
    confidence=st.sampled_from([0.0, 0.3, 5.0]),
)
def test_whatever_the_joints_the_result_is_finite(
    joints: NDArray[np.float32], sizes: NDArray[np.float64], confidence: float
) -> None:
    result = fill(joints, sizes, DEFAULT, confidence, NOISE)
    assert np.isfinite(result.joints).all() and np.isfinite(result.spread).all()
    assert np.isfinite(result.residual).all()
    result = fill(joints, sizes, DEFAULT, confidence, NOISE, exact=True)
    kept = ~result.filled
    assert np.array_equal(result.joints[kept], joints[kept][:, :2])


def hidden_people(seed: int) -> NDArray[np.float32]:
    joints = people(8, seed)
    rng = np.random.default_rng(seed)
    joints[rng.random((8, 18)) < 0.4] = 0
    return joints


@given(seed=st.integers(0, 1000), scale=st.floats(0.3, 20))
def test_filling_scales_with_the_image(seed: int, scale: float) -> None:
    joints = hidden_people(seed)
    larger = joints * np.array([scale, scale, 1], dtype=np.float32)
    one, other = fill_default(joints), fill_default(larger, SIZE * scale)
    np.testing.assert_allclose(other.joints, one.joints * scale, atol=0.01 * scale)
    np.testing.assert_allclose(other.residual, one.residual, atol=1e-4)


@given(seed=st.integers(0, 1000), shift=st.tuples(st.floats(-20, 20), st.floats(0, 20)))
def test_filling_moves_with_the_person(seed: int, shift: tuple[float, float]) -> None:
    joints = hidden_people(seed)
    moved = joints + np.array([*shift, 0], dtype=np.float32) * (joints[..., 2:] > 0)
    one, other = fill_default(joints), fill_default(moved)
    expected = one.joints + np.array(shift, dtype=np.float32)
    distance = np.linalg.norm(other.joints - expected, axis=2)
    # Nearly: the body is expected about the middle of the image.
    assert np.median(distance[~one.filled]) <= 0.02 + 0.05 * np.linalg.norm(shift)


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
        for name in Filled.__dataclass_fields__:
            assert getattr(alone, name)[0].tobytes() == getattr(together, name)[row].tobytes()


@pytest.mark.parametrize("wrong", ["r_shoulder", "l_wrist", "nose", "r_hip"])
def test_one_wrong_joint_hardly_moves_the_others(wrong: str) -> None:
    joints = without(people(100), LEGS)
    right = fill_default(joints)
    joints[:, INDEX[wrong], :2] += (35, -20)
    result = fill_default(joints)
    change = np.linalg.norm(result.joints[:, LEGS] - right.joints[:, LEGS], axis=2)
    assert np.median(change) < 0.02 * SIZE[1]
    assert np.median(np.linalg.norm(result.joints - right.joints, axis=2)[:, INDEX[wrong]]) < 0.1 * SIZE[1]
    assert (result.residual > right.residual).all()


def test_without_any_joint_an_upright_person_stands_in_the_middle() -> None:
    sizes = np.array([[64, 128], [300, 200], [100, 1000]])
    result = fill(np.full((3, 18, 3), np.nan), sizes, DEFAULT, 0.3, NOISE)
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
    result = fill(np.zeros((0, 18, 3)), np.zeros((0, 2)), DEFAULT, 0.3, NOISE)
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
        fill(np.zeros(shape), sizes, DEFAULT, 0.3, NOISE)


def test_a_lone_joint_that_contradicts_the_upright_pose_is_not_believed() -> None:
    joints = np.zeros((2, 18, 3), np.float32)
    joints[0, INDEX["nose"]] = (32, 120, 0.6)  # a nose at the feet of a 64x128 image
    joints[1, INDEX["nose"]] = (32, 20, 0.6)
    result = fill(joints, np.array([[64, 128]] * 2), load(), 0.3, NOISE)
    assert result.few.all()
    assert result.filled.sum(axis=1).tolist() == [17, 17]
    assert result.outliers.sum(axis=1).tolist() == [1, 0] and result.residual[0] > 0.3
    np.testing.assert_allclose(result.joints[1, INDEX["nose"]], (32, 20), atol=3)
    head = result.joints[0, list(REGIONS["head"])]
    assert np.ptp(head[:, 1]) < 0.2 * 128


def test_the_body_of_people_whom_the_frame_cuts_goes_on_beyond_it() -> None:
    joints = people(50)
    joints[..., :2] = (joints[..., :2] - SIZE / 2) / 0.7 + SIZE / 2
    joints[..., 1] -= joints[..., 1].min(axis=1, keepdims=True) - 8
    ankles = indices("r_ankle", "l_ankle")
    expected = joints[:, ankles, 1].copy()
    # What is beyond the lower edge is measured there, weakly.
    joints[joints[..., 1] > SIZE[1], 2] = 0.2
    joints[..., 1] = np.minimum(joints[..., 1], SIZE[1] - 3)
    result = fill_default(joints).joints[:, ankles, 1]
    assert np.median(expected) > SIZE[1] + 25
    assert abs(np.median(result - expected)) < 6
