from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from reidprep.alignment.canonical import load, mirrored, to_json
from reidprep.alignment.learning import kmeans, learn, normalised
from reidprep.alignment.noise import shipped_noise
from reidprep.errors import ReidError
from reidprep.skeleton import INDEX, MIRROR

NOISE = shipped_noise()


def people(count: int, seed: int = 0) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Confident people in 64x128 images: default poses, moved, scaled and shaken."""
    rng = np.random.default_rng(seed)
    chosen = load().poses[rng.integers(len(load().poses), size=count)]
    points = chosen * rng.uniform(90, 110, (count, 1, 1)) + (32, 64) + rng.normal(0, 1, (count, 18, 2))
    joints = np.concatenate([points, np.ones((count, 18, 1))], axis=2).astype(np.float32)
    return joints, np.tile(np.array([64, 128], dtype=np.int32), (count, 1))


def test_learns_normalised_poses_and_says_from_what() -> None:
    joints, sizes = people(200)
    joints[:50, INDEX["r_wrist"], 2] = 0.1
    joints[50:60, :9, 2] = 0.1
    poses = learn(
        joints, sizes, confidence=0.3, noise=NOISE, count=12, rng=np.random.default_rng(0), provenance={"dataset": "x"}
    )
    assert poses.poses.shape == (12, 18, 2)
    np.testing.assert_allclose(np.ptp(poses.poses[..., 1], axis=1), 1, rtol=1e-5)
    assert poses.frequencies.sum() == pytest.approx(1)
    assert poses.provenance == {
        "dataset": "x",
        "confidence": 0.3,
        "count": 12,
        "poses_seen": 200,
        "poses_complete": 140,
        "poses_used": 190,
    }


def test_equal_generators_give_equal_files_and_others_do_not() -> None:
    joints, sizes = people(100)
    first, second, other = (
        to_json(learn(joints, sizes, confidence=0.3, noise=NOISE, count=8, rng=np.random.default_rng(seed)))
        for seed in (1, 1, 2)
    )
    assert first == second
    assert first != other


def test_every_pose_seen_often_is_close_to_one_of_the_set_or_its_mirror_image() -> None:
    joints, sizes = people(300)
    poses = learn(joints, sizes, confidence=0.3, noise=NOISE, count=100, rng=np.random.default_rng(0))
    seen = mirrored(normalised(joints[..., :2].astype(np.float64)))
    distance = np.linalg.norm(seen[:, None] - poses.both, axis=3).mean(axis=2).min(axis=1)
    assert np.median(distance) < 0.05


def test_the_set_looks_both_ways_when_all_people_look_one_way() -> None:
    joints, sizes = people(400)
    joints = joints[joints[:, INDEX["nose"], 0] > joints[:, INDEX["neck"], 0] + 5]
    poses = learn(joints, sizes[: len(joints)], confidence=0.3, noise=NOISE, count=20, rng=np.random.default_rng(0))
    right = poses.poses[:, INDEX["nose"], 0] > poses.poses[:, INDEX["neck"], 0]
    assert 5 <= right.sum() <= 15


def test_damaged_poses_are_left_out() -> None:
    joints, sizes = people(40)
    joints[0, 3, 0] = np.nan
    joints[1, :, 1] = np.inf
    joints[2] = 0
    joints[3, :, 1] = 5
    joints[4, :, :2] = joints[4, :, 1::-1]
    poses = learn(joints, sizes, confidence=0.3, noise=NOISE, count=5, rng=np.random.default_rng(0))
    assert poses.provenance["poses_complete"] == 35
    assert poses.provenance["poses_used"] == 36


@pytest.mark.parametrize(("rows", "count"), [(0, 1), (10, 11), (10, 0)])
def test_too_few_poses_are_refused(rows: int, count: int) -> None:
    joints, sizes = people(rows)
    with pytest.raises(ReidError, match="--confidence"):
        learn(joints, sizes, confidence=0.3, noise=NOISE, count=count, rng=np.random.default_rng(0))


def test_kmeans_finds_separate_groups() -> None:
    rng = np.random.default_rng(0)
    truth = np.array([[0.0, 0], [10, 0], [0, 10]])
    samples = np.concatenate(
        [centre + rng.normal(0, 0.1, (n, 2)) for centre, n in zip(truth, (5, 20, 50), strict=True)]
    )
    centres, members = kmeans(samples, 3, rng)
    order = np.argsort(members)
    assert members[order].tolist() == [5, 20, 50]
    np.testing.assert_allclose(centres[order], truth, atol=0.2)


def test_kmeans_ends_where_each_centre_is_the_mean_of_its_samples() -> None:
    rng = np.random.default_rng(0)
    samples = rng.normal(size=(300, 4))
    centres, members = kmeans(samples, 7, rng)
    label = np.array([np.argmin([np.sum((s - c) ** 2) for c in centres]) for s in samples])
    assert np.bincount(label).tolist() == members.tolist()
    np.testing.assert_allclose(centres, [samples[label == i].mean(axis=0) for i in range(7)])


def test_kmeans_of_equal_samples() -> None:
    centres, members = kmeans(np.ones((6, 3)), 4, np.random.default_rng(0))
    assert (centres == 1).all()
    assert (members >= 1).all()


def test_the_spread_is_that_of_people_about_their_typical_pose_and_its_own_mirror_image() -> None:
    joints, sizes = people(400)
    joints[..., :2] += np.random.default_rng(2).normal(0, (4, 1), (400, 18, 2))
    spread = learn(joints, sizes, confidence=0.3, noise=NOISE, count=10, rng=np.random.default_rng(0)).spread
    assert spread is not None
    x, y = np.diagonal(spread, axis1=1, axis2=2)
    assert x.mean() > y.mean()
    assert 0.02 < np.sqrt(x).mean() < 0.15
    np.testing.assert_allclose(spread[:, MIRROR][:, :, MIRROR], spread, atol=1e-6)
    np.testing.assert_array_equal(spread, spread.transpose(0, 2, 1))
