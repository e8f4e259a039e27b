"""The walker in three dimensions: proportions, gait and the joints that follow from them.

Points are in metres: x to the person's left, y forward, z up, with the ground at z = 0 below the pelvis.
Lengths are shares of body height after the usual anthropometric tables (Winter, Biomechanics and Motor
Control of Human Movement, figure 4.1).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reidprep.skeleton import JOINTS

Points = dict[str, NDArray[np.float64]]
SIDES = {"r": -1.0, "l": 1.0}

HIP_HEIGHT = 0.515
SHOULDER_HEIGHT = 0.815
HEAD_CENTRE = 0.930
THIGH = 0.245
SHIN = 0.235
UPPER_ARM = 0.172
FOREARM = 0.148
HAND = 0.055
FOOT = 0.115


@dataclass(frozen=True, slots=True)
class Build:
    """A person's proportions.

    Attributes:
        height: metres.
        girth: thickness of trunk and limbs, 1 is average.
        shoulders: distance from spine to shoulder joint as a share of height.
        hips: distance from spine to hip joint as a share of height.
    """

    height: float
    girth: float
    shoulders: float
    hips: float


@dataclass(frozen=True, slots=True)
class Limbs:
    """Angles of one side of the body, radians; positive swings forward, bends are 0 when straight."""

    hip: float
    knee: float
    shoulder: float
    elbow: float
    abduction: float


@dataclass(frozen=True, slots=True)
class Pose:
    """A moment of walking or standing, before it is turned towards a camera.

    Attributes:
        right: angles of the right arm and leg.
        left: angles of the left arm and leg.
        twist: pelvis rotation about the vertical, radians; the shoulders counter-rotate.
        lean: forward tilt of the trunk, radians.
        head_turn: rotation of the head to the person's left, radians.
        head_nod: downward tilt of the head, radians.
    """

    right: Limbs
    left: Limbs
    twist: float
    lean: float
    head_turn: float
    head_nod: float


def sample_pose(rng: np.random.Generator, *, standing: float = 0.2, gesturing: float = 0.2) -> Pose:
    """Draw a pose.

    Args:
        rng: source of randomness.
        standing: share of people who stand rather than walk.
        gesturing: share of people who hold something up in one hand.
    """
    stride = rng.uniform(0.03, 0.1) if rng.random() < standing else rng.uniform(0.3, 0.48)
    phase = rng.uniform(0, 2 * np.pi)
    swing = stride * rng.uniform(0.5, 1.0)
    bend = rng.uniform(0.1, 0.5)
    abduction = rng.uniform(0.1, 0.22)
    raised = rng.choice(["r", "l"]) if rng.random() < gesturing else ""
    raised_shoulder, raised_elbow = rng.uniform(0.2, 0.6), rng.uniform(1.4, 2.0)
    sides = {}
    for side, angle in (("r", phase), ("l", phase + np.pi)):
        hip, knee = _gait(angle, stride)
        shoulder, elbow = -swing * np.cos(angle), bend + 0.4 * swing * max(0.0, -np.cos(angle))
        if side == raised:
            shoulder, elbow = raised_shoulder, raised_elbow
        sides[side] = Limbs(hip, knee, float(shoulder), float(elbow), abduction)
    return Pose(
        sides["r"],
        sides["l"],
        twist=0.3 * stride * float(np.cos(phase)),
        lean=rng.uniform(0.0, 0.1),
        head_turn=rng.normal(0, 0.2),
        head_nod=rng.uniform(-0.05, 0.25),
    )


def _gait(phase: float, stride: float) -> tuple[float, float]:
    """Hip and knee angle at a phase of the gait cycle: heel strike at 0, toe-off near 1.2 pi."""
    size = stride / 0.45

    def bump(centre: float, width: float) -> float:
        away = (phase - centre + np.pi) % (2 * np.pi) - np.pi
        return float(np.exp(-((away / width) ** 2)))

    hip = stride * np.cos(phase) + 0.1 * size
    knee = 0.08 + size * (0.2 * bump(0.3 * np.pi, 0.5) + 1.0 * bump(1.42 * np.pi, 0.75))
    return float(hip), float(knee)


def solve(build: Build, pose: Pose) -> Points:
    """Forward kinematics.

    Returns:
        the 18 joints by name, and `head` (centre of the skull), `chest`, `pelvis`, and per side `hand` and
        `toe`, each (3,).
    """
    height = build.height
    points: Points = {"pelvis": np.array([0.0, 0.0, HIP_HEIGHT * height])}
    trunk = _tilt(pose.lean)
    spine = (SHOULDER_HEIGHT - HIP_HEIGHT) * height
    points["neck"] = points["pelvis"] + trunk @ [0, 0, spine]
    points["chest"] = points["pelvis"] + trunk @ [0, 0, 0.7 * spine]
    _head(points, build, pose)
    for side, sign in SIDES.items():
        limbs = pose.right if side == "r" else pose.left
        shoulder = points["neck"] + _turn(-pose.twist) @ [sign * build.shoulders * height, 0, 0]
        hip = points["pelvis"] + _turn(pose.twist) @ [sign * build.hips * height, 0, 0]
        # An upper arm hangs from the shoulder beside the trunk; the forearm comes in again.
        elbow = shoulder + UPPER_ARM * height * _hanging(limbs.shoulder, sign * limbs.abduction)
        forearm = _hanging(limbs.shoulder + limbs.elbow, -sign * 0.5 * limbs.abduction)
        knee = hip + THIGH * height * _hanging(limbs.hip, 0.0)
        ankle = knee + SHIN * height * _hanging(limbs.hip - limbs.knee, -sign * 0.02)
        pitch = 0.7 * (limbs.hip - limbs.knee)
        foot = _turn(-sign * 0.15) @ [0, np.cos(pitch), np.sin(pitch)]
        points |= {
            f"{side}_shoulder": shoulder,
            f"{side}_elbow": elbow,
            f"{side}_wrist": elbow + FOREARM * height * forearm,
            f"{side}_hand": elbow + (FOREARM + HAND) * height * forearm,
            f"{side}_hip": hip,
            f"{side}_knee": knee,
            f"{side}_ankle": ankle,
            f"{side}_toe": ankle + height * (FOOT * foot - [0, 0, 0.02]),
        }
    lowest = min(
        min(points[f"{side}_ankle"][2] - 0.045 * height, points[f"{side}_toe"][2] - 0.012 * height) for side in SIDES
    )
    return {name: point - [0, 0, lowest] for name, point in points.items()}


def _head(points: Points, build: Build, pose: Pose) -> None:
    height = build.height
    above = (HEAD_CENTRE - SHOULDER_HEIGHT) * height
    points["head"] = points["neck"] + _tilt(pose.lean + 0.15) @ [0, 0, above]
    turn = head_rotation(pose)
    for name, x, y, z in (
        ("nose", 0.0, 0.062, -0.012),
        ("r_eye", -0.019, 0.050, 0.006),
        ("l_eye", 0.019, 0.050, 0.006),
        ("r_ear", -0.045, -0.002, -0.004),
        ("l_ear", 0.045, -0.002, -0.004),
    ):
        points[name] = points["head"] + height * (turn @ [x, y, z])


def head_rotation(pose: Pose) -> NDArray[np.float64]:
    """(3, 3): from the head's own axes to the body's."""
    return _turn(pose.head_turn) @ _tilt(pose.head_nod)


def joint_array(points: Points) -> NDArray[np.float64]:
    """(18, 3) in skeleton order."""
    return np.stack([points[name] for name in JOINTS])


def _turn(angle: float) -> NDArray[np.float64]:
    """Rotation about the vertical; positive turns to the person's left."""
    c, s = np.cos(angle), np.sin(angle)
    # Left is x and forward is y, so a turn to the left carries +y onto +x.
    return np.array([[c, s, 0], [-s, c, 0], [0, 0, 1.0]])


def _tilt(angle: float) -> NDArray[np.float64]:
    """Rotation about the left-right axis; positive tips the top forward."""
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[1.0, 0, 0], [0, c, s], [0, -s, c]])


def _hanging(forward: float, outward: float) -> NDArray[np.float64]:
    """Unit vector that points down, swung forward by one angle and towards +x by another."""
    down = np.cos(outward)
    return np.array([np.sin(outward), down * np.sin(forward), -down * np.cos(forward)])
