"""The 18-joint OpenPose (COCO-18) skeleton: names, mirror pairs, limbs and the paper's body regions."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

JOINTS = (
    "nose", "neck",
    "r_shoulder", "r_elbow", "r_wrist",
    "l_shoulder", "l_elbow", "l_wrist",
    "r_hip", "r_knee", "r_ankle",
    "l_hip", "l_knee", "l_ankle",
    "r_eye", "l_eye", "r_ear", "l_ear",
)  # fmt: skip
INDEX = {name: i for i, name in enumerate(JOINTS)}

COCO17_JOINTS = (
    "nose", "l_eye", "r_eye", "l_ear", "r_ear",
    "l_shoulder", "r_shoulder", "l_elbow", "r_elbow", "l_wrist", "r_wrist",
    "l_hip", "r_hip", "l_knee", "r_knee", "l_ankle", "r_ankle",
)  # fmt: skip


def indices(*names: str) -> NDArray[np.intp]:
    """Positions of the named joints along the joint axis."""
    return np.array([INDEX[name] for name in names], dtype=np.intp)


COCO17_NAMES = [name.replace("l_", "left_").replace("r_", "right_") for name in COCO17_JOINTS]
"""As COCO calls them."""


def _mirrored(name: str) -> str:
    side = {"l_": "r_", "r_": "l_"}.get(name[:2])
    return side + name[2:] if side else name


MIRROR = indices(*(_mirrored(name) for name in JOINTS))
"""`pose[..., MIRROR, :]` swaps left and right joints."""

FACE = ("nose", "r_eye", "l_eye", "r_ear", "l_ear")
TORSO = ("neck", "r_shoulder", "l_shoulder", "r_hip", "l_hip")

# Neighbouring regions share their boundary joints (paper 1, section 3.2).
REGIONS = {
    "head": indices(*FACE, "neck"),
    "upper_body": indices(
        "neck", "r_shoulder", "l_shoulder", "r_elbow", "l_elbow", "r_wrist", "l_wrist", "r_hip", "l_hip"
    ),
    "upper_leg": indices("r_hip", "l_hip", "r_knee", "l_knee"),
    "lower_leg": indices("r_knee", "l_knee", "r_ankle", "l_ankle"),
}
PARTS = tuple(REGIONS)
"""The four body parts, top to bottom: the order of part crops and of boxes 1-4."""

LIMBS = tuple(
    (INDEX[a], INDEX[b])
    for a, b in (
        ("neck", "nose"), ("nose", "r_eye"), ("r_eye", "r_ear"), ("nose", "l_eye"), ("l_eye", "l_ear"),
        ("neck", "r_shoulder"), ("r_shoulder", "r_elbow"), ("r_elbow", "r_wrist"),
        ("neck", "l_shoulder"), ("l_shoulder", "l_elbow"), ("l_elbow", "l_wrist"),
        ("neck", "r_hip"), ("r_hip", "r_knee"), ("r_knee", "r_ankle"),
        ("neck", "l_hip"), ("l_hip", "l_knee"), ("l_knee", "l_ankle"),
    )
)  # fmt: skip

_COCO17_SOURCE = np.array([COCO17_JOINTS.index(name) if name != "neck" else -1 for name in JOINTS], dtype=np.intp)


def from_coco17(joints: NDArray[np.floating]) -> NDArray[np.float32]:
    """COCO-17 joints (n, 17, 3) as (x, y, score) -> the 18-joint skeleton (n, 18, 3).

    The neck is the midpoint of the shoulders; its score is the lower of theirs.

    Raises:
        ValueError: the array is not (n, 17, 3).
    """
    joints = np.asarray(joints, dtype=np.float32)
    if joints.ndim != 3 or joints.shape[1:] != (17, 3):
        raise ValueError(f"COCO-17 joints have shape (n, 17, 3), not {joints.shape}")
    result = joints[:, _COCO17_SOURCE]
    shoulders = result[:, indices("r_shoulder", "l_shoulder")]
    result[:, INDEX["neck"], :2] = shoulders[..., :2].mean(axis=1)
    result[:, INDEX["neck"], 2] = shoulders[..., 2].min(axis=1)
    return result
