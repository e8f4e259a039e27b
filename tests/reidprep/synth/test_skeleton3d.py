"""The walker's geometry, in three dimensions and projected."""

from __future__ import annotations

import numpy as np
import pytest

from reidprep.skeleton import INDEX, indices
from reidprep.synth.skeleton3d import FOREARM, SHIN, THIGH, UPPER_ARM, Build, joint_array, sample_pose, solve
from reidprep.synth.view import View

BUILD = Build(height=1.7, girth=1.0, shoulders=0.11, hips=0.055)


def walker(seed: int, **options: float):  # type: ignore[no-untyped-def]
    return solve(BUILD, sample_pose(np.random.default_rng(seed), **options))


@pytest.mark.parametrize("seed", range(10))
def test_limbs_keep_their_lengths(seed: int) -> None:
    points = walker(seed)
    for side in "rl":
        for start, end, share in (
            ("hip", "knee", THIGH),
            ("knee", "ankle", SHIN),
            ("shoulder", "elbow", UPPER_ARM),
            ("elbow", "wrist", FOREARM),
        ):
            length = np.linalg.norm(points[f"{side}_{end}"] - points[f"{side}_{start}"])
            assert length == pytest.approx(share * BUILD.height)


@pytest.mark.parametrize("seed", range(10))
def test_neck_is_the_midpoint_of_the_shoulders(seed: int) -> None:
    points = walker(seed)
    np.testing.assert_allclose(points["neck"], (points["r_shoulder"] + points["l_shoulder"]) / 2)


@pytest.mark.parametrize("seed", range(10))
def test_stands_on_the_ground_upright(seed: int) -> None:
    points = walker(seed)
    assert min(points[f"{side}_{end}"][2] for side in "rl" for end in ("ankle", "toe")) < 0.05 * BUILD.height
    assert all(point[2] > 0 for point in points.values())
    assert 0.9 * BUILD.height < points["head"][2] + 0.07 * BUILD.height < 1.02 * BUILD.height


@pytest.mark.parametrize("seed", range(10))
def test_knees_bend_backwards_and_elbows_forwards(seed: int) -> None:
    points = walker(seed)
    for side in "rl":
        thigh, shin = (points[f"{side}_{b}"] - points[f"{side}_{a}"] for a, b in (("hip", "knee"), ("knee", "ankle")))
        upper, fore = (
            points[f"{side}_{b}"] - points[f"{side}_{a}"] for a, b in (("shoulder", "elbow"), ("elbow", "wrist"))
        )
        # The turn about the left-right axis is positive when a limb bends backwards.
        assert np.cross(thigh, shin)[0] < 0 < np.cross(upper, fore)[0]


def test_arms_swing_against_the_legs() -> None:
    for seed in range(20):
        points = walker(seed, standing=0.0, gesturing=0.0)
        legs = points["r_knee"][1] - points["l_knee"][1]
        arms = points["r_elbow"][1] - points["l_elbow"][1]
        assert legs * arms <= 1e-6 or abs(legs) < 0.15


def project(yaw: float, pitch: float = 0.2):  # type: ignore[no-untyped-def]
    return View(np.radians(yaw), pitch, 60.0, 32.0, 120.0).project(joint_array(walker(0)))


@pytest.mark.parametrize(("yaw", "sign"), [(0, -1), (180, 1)])
def test_right_side_is_left_in_front_views_and_right_in_back_views(yaw: float, sign: int) -> None:
    joints = project(yaw)
    for part in ("shoulder", "hip", "ear"):
        assert np.sign(joints[INDEX[f"r_{part}"], 0] - joints[INDEX[f"l_{part}"], 0]) == sign


@pytest.mark.parametrize(("yaw", "sign"), [(90, 1), (270, -1)])
def test_side_views_look_where_they_walk(yaw: float, sign: int) -> None:
    joints = project(yaw)
    assert np.sign(joints[INDEX["nose"], 0] - joints[indices("r_ear", "l_ear"), 0].mean()) == sign


@pytest.mark.parametrize(("yaw", "near"), [(90, "r"), (270, "l")])
def test_side_views_show_the_side_that_is_near(yaw: float, near: str) -> None:
    view, points = View(np.radians(yaw), 0.0, 60.0, 32.0, 120.0), walker(0)
    far = {"r": "l", "l": "r"}[near]
    assert view.nearness(points[f"{near}_shoulder"]) > view.nearness(points[f"{far}_shoulder"])


def test_turning_round_mirrors_the_picture_without_pitch() -> None:
    front, back = project(0, pitch=0.0), project(180, pitch=0.0)
    np.testing.assert_allclose(front[:, 0] - 32, 32 - back[:, 0], atol=1e-9)
    np.testing.assert_allclose(front[:, 1], back[:, 1])


def test_extent_of_a_turned_ellipsoid_is_that_of_its_points() -> None:
    view = View(0.7, 0.3, 50.0, 0.0, 0.0)
    normal = np.random.default_rng(0).normal(size=(200_000, 3))
    surface = normal / np.linalg.norm(normal, axis=1, keepdims=True) * [0.3, 0.1, 0.2]
    expected = np.abs(view.project(surface)).max(axis=0)
    np.testing.assert_allclose(view.extent(0.3, 0.1, 0.2), expected, rtol=1e-3)
