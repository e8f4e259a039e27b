"""Skeletons of other software, told apart by their number of joints, and how the 18 joints are taken from them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from reidprep.skeleton import JOINTS, from_coco17

SKELETONS = {
    17: "COCO",
    18: "OpenPose COCO",
    25: "OpenPose BODY_25",
    26: "Halpe",
    133: "COCO whole-body",
}
"""Number of joints -> name of the skeleton."""

# BODY_25 is COCO-18 with the middle of the hips as joint 8 and six foot joints at the end.
_BODY25_SOURCE = np.array([*range(8), *range(9, 19)], dtype=np.intp)
_HALPE_NECK = 18


def to_18_joints(keypoints: NDArray[np.floating]) -> NDArray[np.float32]:
    """Take the 18 joints of `reidprep.skeleton.JOINTS` from the keypoints of a known skeleton.

    COCO and COCO whole-body (whose first 17 joints are COCO's) have no neck: it is put between the shoulders, with the
    lower of their scores. Feet, hands, face and the middle of the hips are left out.

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
    if count == 26:
        joints[:, JOINTS.index("neck")] = keypoints[:, _HALPE_NECK]
    return joints


def known_skeletons() -> str:
    """The skeletons for an error message: "17 (COCO), ..."."""
    return ", ".join(f"{count} ({name})" for count, name in SKELETONS.items())
