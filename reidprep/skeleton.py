"""The 18-joint OpenPose (COCO-18) skeleton: names, mirror pairs, limbs and the paper's body regions.

Skeletons of other software are told apart by their number of joints, and the 18 joints taken from them.
"""

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
"""The names that COCO files have for them."""


def _mirrored(name: str) -> str:
    side = {"l_": "r_", "r_": "l_"}.get(name[:2])
    return side + name[2:] if side else name


MIRROR = indices(*(_mirrored(name) for name in JOINTS))
"""`pose[..., MIRROR, :]` swaps left and right joints."""
COCO17_MIRROR = np.array([COCO17_JOINTS.index(_mirrored(name)) for name in COCO17_JOINTS], dtype=np.intp)
"""The same for poses of COCO's 17 joints."""

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


SKELETONS = {
    17: "COCO",
    18: "OpenPose COCO",
    25: "OpenPose BODY_25",
    26: "Halpe",
    133: "COCO whole-body",
    136: "Halpe full-body",
}
"""Number of joints -> name of the skeleton."""

# BODY_25 is COCO-18 with the middle of the hips as joint 8 and six foot joints at the end.
_BODY25_SOURCE = np.array([*range(8), *range(9, 19)], dtype=np.intp)
_HALPE_NECK = 18


def to_18_joints(keypoints: NDArray[np.floating]) -> NDArray[np.float32]:
    """Take the 18 joints of `reidprep.skeleton.JOINTS` from the keypoints of a known skeleton.

    COCO and COCO whole-body (whose first 17 joints are COCO's) have no neck: it is put between the shoulders, with the
    lower of their scores. The first 26 joints of Halpe's full body are those of Halpe. Feet, hands, face and the middle
    of the hips are left out.

    Args:
        keypoints: (n, k, 3) of x, y, score; k is one of `SKELETONS`.

    Returns:
        (n, 18, 3).

    Raises:
        ValueError: another shape.
    """
    keypoints = np.asarray(keypoints, dtype=np.float32)
    if keypoints.ndim != 3 or keypoints.shape[1] not in SKELETONS or keypoints.shape[2] != 3:
        raise ValueError(f"keypoints have shape (n, {' or '.join(map(str, SKELETONS))}, 3), not {keypoints.shape}")
    count = keypoints.shape[1]
    if count == len(JOINTS):
        return keypoints
    if count == 25:
        return keypoints[:, _BODY25_SOURCE]
    joints = from_coco17(keypoints[:, :17])
    if count in (26, 136):
        joints[:, JOINTS.index("neck")] = keypoints[:, _HALPE_NECK]
    return joints


def known_skeletons() -> str:
    """The skeletons for an error message: "17 (COCO), ..."."""
    return ", ".join(f"{count} ({name})" for count, name in SKELETONS.items())
