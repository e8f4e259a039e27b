import numpy as np
import pytest

from reidprep.skeleton import COCO17_JOINTS, JOINTS, SKELETONS, to_18_joints

# As the tools document them: OpenPose's doc/02_output.md, Halpe-FullBody's README, COCO-WholeBody's README.
BODY_25 = (
    "nose", "neck", "r_shoulder", "r_elbow", "r_wrist", "l_shoulder", "l_elbow", "l_wrist", "mid_hip",
    "r_hip", "r_knee", "r_ankle", "l_hip", "l_knee", "l_ankle", "r_eye", "l_eye", "r_ear", "l_ear",
    "l_big_toe", "l_small_toe", "l_heel", "r_big_toe", "r_small_toe", "r_heel",
)  # fmt: skip
HALPE = (*COCO17_JOINTS, "head", "neck", "hip", *(f"foot_{i}" for i in range(6)))
NAMES = {
    17: COCO17_JOINTS,
    18: JOINTS,
    25: BODY_25,
    26: HALPE,
    136: (*HALPE, *(f"other_{i}" for i in range(110))),
    133: (*COCO17_JOINTS, *(f"other_{i}" for i in range(116))),
}


@pytest.mark.parametrize("count", list(SKELETONS))
def test_joints_are_found_by_name(count: int) -> None:
    names = NAMES[count]
    assert len(names) == count
    keypoints = np.random.default_rng(count).uniform(0, 100, (3, count, 3)).astype(np.float32)
    got = to_18_joints(keypoints)
    for place, joint in enumerate(JOINTS):
        if joint in names:
            np.testing.assert_array_equal(got[:, place], keypoints[:, names.index(joint)])
        else:
            left, right = keypoints[:, names.index("l_shoulder")], keypoints[:, names.index("r_shoulder")]
            np.testing.assert_allclose(got[:, place, :2], (left + right)[:, :2] / 2, rtol=1e-6)
            np.testing.assert_array_equal(got[:, place, 2], np.minimum(left, right)[:, 2])


@pytest.mark.parametrize("shape", [(2, 16, 3), (2, 17, 2), (17, 3), (2, 0, 3)])
def test_other_shapes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="keypoints have shape"):
        to_18_joints(np.zeros(shape))
