from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from reidprep.alignment.canonical import CanonicalPoses, load, to_json
from reidprep.errors import ReidError
from reidprep.skeleton import INDEX, LIMBS


def test_default_set_has_upright_people_of_height_one() -> None:
    poses = load()
    assert len(poses.poses) == 256
    assert poses.provenance["dataset"] == "market1501"
    assert poses.frequencies.sum() == pytest.approx(1, abs=1e-3)
    y = poses.poses[..., 1]
    np.testing.assert_allclose(y.max(axis=1), 0.5, atol=1e-3)
    np.testing.assert_allclose(y.min(axis=1), -0.5, atol=1e-3)
    np.testing.assert_allclose(poses.poses[..., 0].mean(axis=1), 0, atol=1e-3)
    assert (y[:, INDEX["neck"]] < y[:, INDEX["r_hip"]]).all()
    assert (y[:, INDEX["l_hip"]] < y[:, INDEX["l_ankle"]]).all()
    bones = np.array([np.linalg.norm(poses.poses[:, a] - poses.poses[:, b], axis=1) for a, b in LIMBS])
    assert bones.max() < 0.6


def test_default_set_has_both_views() -> None:
    share = load().facing.mean()
    assert 0.2 < share < 0.8


def test_written_bytes_survive_a_round_trip(tmp_path: Path) -> None:
    content = to_json(load())
    path = tmp_path / "a set.json"
    path.write_bytes(content)
    again = load(path)
    assert to_json(again) == content
    assert np.array_equal(again.poses, load().poses)


def test_a_set_of_before_spreads_were_learnt_takes_that_of_neighbouring_poses(tmp_path: Path) -> None:
    content = json.loads(to_json(load()))
    del content["spread"]
    path = tmp_path / "poses.json"
    path.write_text(json.dumps({**content, "version": 1}))
    old = load(path)
    assert old.spread is None
    np.testing.assert_array_equal(old.covariance, load().local_covariance)
    assert json.loads(to_json(old))["version"] == 1


def test_local_covariance_by_loops() -> None:
    rng = np.random.default_rng(0)
    poses = CanonicalPoses(rng.normal(size=(20, 18, 2)).astype(np.float32), np.full(20, 0.05, dtype=np.float32))
    flat = poses.both.reshape(40, 36)
    total = np.zeros((36, 36))
    for i in range(40):
        others = sorted((j for j in range(40) if j != i), key=lambda j: float(np.sum((flat[i] - flat[j]) ** 2)))
        for j in others[:24]:
            total += np.outer(flat[i] - flat[j], flat[i] - flat[j]) / 2
    expected = [total[axis::2, axis::2] / (40 * 24) for axis in (0, 1)]
    np.testing.assert_allclose(poses.local_covariance, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("schema", "something else", "schema"),
        ("version", 3, "version 3"),
        ("joints", ["nose"], "18 joints"),
        ("provenance", None, "provenance"),
        ("poses", [[[0.0, 0.0]] * 17], "shape"),
        ("poses", [], "shape"),
        ("poses", "text", "could not convert"),
        ("poses", [[[0.0, 1.0], [0.0]]], "inhomogeneous"),
        ("frequencies", [1.0], "shape"),
        ("frequencies", [0.0] * 256, "positive"),
        ("frequencies", {"a": 1}, "float"),
        ("spread", None, "two lists"),
        ("spread", [[1.0]], "two lists"),
        ("spread", [[-1.0] * 171] * 2, "negative eigenvalue"),
    ],
)
def test_other_files_are_refused_by_name(tmp_path: Path, key: str, value: object, told: str) -> None:
    content = json.loads(to_json(load()))
    content[key] = value
    path = tmp_path / "poses.json"
    path.write_text(json.dumps(content))
    with pytest.raises(ReidError, match=told) as error:
        load(path)
    assert str(path) in str(error.value)


@pytest.mark.parametrize("value", ["NaN", "Infinity", "1e30"])
def test_impossible_coordinates_are_refused(tmp_path: Path, value: str) -> None:
    content = json.loads(to_json(load()))
    content["poses"][3][5][0] = "HERE"
    path = tmp_path / "poses.json"
    path.write_text(json.dumps(content).replace('"HERE"', value))
    with pytest.raises(ReidError, match="not finite"):
        load(path)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b"[" * 100_000])
def test_what_is_no_json_object_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "poses.json"
    path.write_bytes(content)
    with pytest.raises(ReidError, match=r"poses\.json"):
        load(path)


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ReidError, match=r"nowhere\.json.*fit-canonical"):
        load(tmp_path / "nowhere.json")
