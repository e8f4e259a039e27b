from typing import Any

import numpy as np
import pytest

from reidprep.drawing.palette import FILLED
from reidprep.drawing.pose import draw_pose
from reidprep.errors import ReidError

IMAGE = np.full((128, 64, 3), 90, dtype=np.uint8)


def pink(picture: np.ndarray) -> int:
    return int((np.abs(picture.astype(int) - FILLED).sum(axis=-1) < 60).sum())


def test_any_array_is_drawn_and_left_as_it_was(person: dict) -> None:
    joints, boxes, filled = person["joints"], person["boxes"], person["filled"]
    bare = draw_pose(IMAGE, joints)
    assert bare.shape == (424, 212, 3) and bare.dtype == np.uint8 and (IMAGE == 90).all()
    assert not pink(bare) and pink(draw_pose(IMAGE, joints, filled=filled)) > 50
    np.testing.assert_array_equal(draw_pose(IMAGE, joints.tolist(), boxes.tolist()), draw_pose(IMAGE, joints, boxes))
    wide = draw_pose(np.zeros((20, 400, 3), np.uint8)[:, ::-1], joints, size=100)
    assert wide.shape[1] == 100


@pytest.mark.parametrize("count", [0, 1, 5, 12])
def test_any_number_of_boxes(person: dict, count: int) -> None:
    boxes = np.array([[i, i, i + 20, i + 30] for i in range(count)], dtype=np.float64).reshape(-1, 4)
    drawn, plain = draw_pose(IMAGE, person["joints"], boxes), draw_pose(IMAGE, person["joints"])
    assert np.array_equal(drawn, plain) == (count == 0)


def test_joints_that_were_not_found_are_left_out(person: dict) -> None:
    """Not finite, or with a score of 0: not drawn in the corner of the image."""
    joints = np.column_stack([person["joints"], np.ones(18)])
    gone, zero = joints.copy(), joints.copy()
    gone[4:8, :2] = np.nan
    zero[4:8] = 0
    np.testing.assert_array_equal(draw_pose(IMAGE, zero), draw_pose(IMAGE, gone))
    assert (draw_pose(IMAGE, joints) != draw_pose(IMAGE, gone)).any()
    assert pink(draw_pose(IMAGE, np.where(np.arange(3) == 2, 0, joints), filled=np.ones(18, bool))) > 100


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"image": IMAGE[..., 0]}, r"image is uint8 of shape \(128, 64\)"),
        ({"image": IMAGE / 255}, "image is float64"),
        ({"image": IMAGE[:0]}, r"shape \(0, 64, 3\)"),
        ({"image": [IMAGE, IMAGE[1:]]}, "the image: is no array"),
        ({"joints": np.zeros((17, 3))}, r"joints have shape \(17, 3\)"),
        ({"joints": np.zeros((1, 18, 3))}, r"joints have shape \(1, 18, 3\)"),
        ({"joints": [[1, 2], [3]]}, "joints: is no array"),
        ({"joints": np.full((18, 2), "1")}, "give real numbers"),
        ({"boxes": [1, 2, 3, 4]}, r"boxes have shape \(4,\)"),
        ({"boxes": [[0, 0, 10, 10], [5, 5, 5, 9]]}, r"box 1 is \[5.0, 5.0, 5.0, 9.0\]"),
        ({"boxes": [[0, 0, np.nan, 10]]}, "box 0"),
        ({"boxes": [[0, 0, 1e300, 10]]}, "far from this image"),
        ({"filled": np.zeros(18)}, "filled is float64"),
        ({"filled": np.zeros(17, bool)}, r"shape \(17,\)"),
        ({"size": 0}, "16 to 4096"),
        ({"size": 10**9}, "16 to 4096"),
    ],
)
def test_what_is_wrong_is_named(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ReidError, match=message):
        draw_pose(**{"image": IMAGE, "joints": np.zeros((18, 2))} | wrong)
