"""The truth file, and agreement of estimates with it."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reidprep.errors import ReidError
from reidprep.estimators.base import PoseEstimator
from reidprep.images import decode_image
from reidprep.skeleton import INDEX, JOINTS, indices
from reidprep.synth.dataset import generate
from reidprep.synth.truth import Truth, load_truth, pck


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("truth") / "drawn"
    generate(path, identities=6, cameras=3, images_per_camera=3)
    return path


@pytest.fixture(scope="module")
def truth(dataset: Path) -> Truth:
    return load_truth(dataset)


def test_truth_lists_every_image_once(dataset: Path, truth: Truth) -> None:
    files = {p.relative_to(dataset).as_posix() for p in dataset.rglob("*.jpg")}
    assert len(truth.paths) == len(files) == 6 * 3 * 3 + 3 * 2 + 3
    assert set(truth.paths) == files
    assert truth.parameters == {"identities": 6, "cameras": 3, "images_per_camera": 3, "seed": 0}


def test_visible_joints_are_in_the_image(truth: Truth) -> None:
    x, y = truth.joints[truth.visible].T
    assert ((x >= 0) & (x < 64) & (y >= 0) & (y < 128)).all()


def test_neck_is_the_midpoint_of_the_shoulders(truth: Truth) -> None:
    shoulders = truth.joints[:, indices("r_shoulder", "l_shoulder")].mean(axis=1)
    np.testing.assert_allclose(truth.joints[:, INDEX["neck"]], shoulders, atol=2e-3)


def test_sides_swap_and_faces_vanish_in_back_views(truth: Truth) -> None:
    shoulders = truth.joints[:, INDEX["r_shoulder"], 0] - truth.joints[:, INDEX["l_shoulder"], 0]
    away = np.abs((truth.yaws + 180) % 360 - 180)
    front, back = away < 30, away > 150
    assert front.sum() >= 5 and back.sum() >= 5
    assert (shoulders[front] < 0).all() and (shoulders[back] > 0).all()
    assert not truth.visible[back, INDEX["nose"]].any()


def test_images_without_people_have_no_joints(truth: Truth) -> None:
    nobody = np.isnan(truth.yaws)
    assert nobody.sum() == 3 and (truth.pids[nobody] == 0).all()
    assert np.isnan(truth.joints[nobody]).all() and not truth.visible[nobody].any()
    assert np.isfinite(truth.joints[~nobody]).all()


def test_the_estimator_finds_the_people(dataset: Path, truth: Truth, estimator: PoseEstimator) -> None:
    some = truth.select(truth.paths[::3])
    joints = estimator([decode_image((dataset / path).read_bytes()) for path in some.paths])
    result = pck(some, joints)
    assert result.overall >= 0.8
    assert min(result.per_joint.values()) >= 0.6


def test_select_reorders_and_leaves_out(truth: Truth) -> None:
    chosen = truth.select(truth.paths[7:2:-2])
    assert chosen.paths == (truth.paths[7], truth.paths[5], truth.paths[3])
    np.testing.assert_array_equal(chosen.joints, truth.joints[[7, 5, 3]])
    np.testing.assert_array_equal(chosen.yaws, truth.yaws[[7, 5, 3]])
    with pytest.raises(ReidError, match=r"query/none\.jpg"):
        truth.select(["query/none.jpg"])


def toy_truth(joints: np.ndarray, visible: np.ndarray) -> Truth:
    n = len(joints)
    zeros = np.zeros(n, dtype=np.int64)
    yaws = np.zeros(n, dtype=np.float32)
    return Truth(tuple(map(str, range(n))), joints.astype(np.float32), visible, zeros, zeros, yaws, {})


@given(st.integers(0, 2**32 - 1), st.integers(1, 5), st.floats(0.01, 0.5))
def test_pck_equals_the_explicit_loop(seed: int, n: int, fraction: float) -> None:
    rng = np.random.default_rng(seed)
    joints = rng.uniform(0, 100, (n, 18, 2)).astype(np.float32)
    estimate = np.concatenate([joints + rng.normal(0, 15, joints.shape), rng.random((n, 18, 1))], axis=2)
    estimate[rng.random((n, 18)) < 0.1] = np.nan
    visible = rng.random((n, 18)) < 0.6
    hits, counts = dict.fromkeys(JOINTS, 0), dict.fromkeys(JOINTS, 0)
    for i in range(n):
        height = max(y for _, y in joints[i].tolist()) - min(y for _, y in joints[i].tolist())
        for k, name in enumerate(JOINTS):
            if visible[i, k]:
                counts[name] += 1
                hits[name] += math.dist(estimate[i, k, :2], joints[i, k]) <= fraction * height

    result = pck(toy_truth(joints, visible), estimate, fraction)
    assert result.counts == counts
    for name in JOINTS:
        expected = hits[name] / counts[name] if counts[name] else float("nan")
        assert result.per_joint[name] == pytest.approx(expected, nan_ok=True)
    total = sum(counts.values())
    assert result.overall == pytest.approx(sum(hits.values()) / total if total else float("nan"), nan_ok=True)


def test_pck_refuses_joints_of_other_images(truth: Truth) -> None:
    with pytest.raises(ValueError, match="do not fit"):
        pck(truth, np.zeros((1, 18, 3)))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "does not exist"),
        ("{", "not valid JSON"),
        ("[]", "not a reidprep.synth.truth"),
        (json.dumps({"schema": "reidprep.synth.truth", "version": 2}), "version 1"),
    ],
)
def test_load_truth_says_what_is_wrong(tmp_path: Path, content: str | None, says: str) -> None:
    if content is not None:
        (tmp_path / "truth.json").write_text(content)
    with pytest.raises(ReidError, match=says):
        load_truth(tmp_path)
