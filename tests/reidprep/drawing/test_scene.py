import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from reidprep.drawing.scene import ASPECT, HEIGHT, LABEL_SPACING, WIDTH, compose, spread, view_around
from reidprep.skeleton import INDEX

SOURCE = (0, 0, 64, 128)
BOXES = np.array(
    [[-5, -10, 60, 130], [-5, -10, 60, 30], [-5, 20, 60, 70], [-5, 60, 60, 100], [-5, 90, 60, 130]], np.float32
)


def test_all_boxes_and_the_image_are_in_view(person: dict) -> None:
    scene = compose(**person | {"boxes": person["boxes"] + [-30, -20, 90, 40]}, frame=SOURCE)
    assert (scene.width, scene.height) == (pytest.approx(WIDTH), HEIGHT)
    for x0, y0, x1, y1 in (scene.frame, *(box.rectangle for box in scene.boxes)):
        assert 0 <= x0 < x1 <= WIDTH and 0 <= y0 < y1 <= HEIGHT


def test_joints_lie_where_they_were_measured(person: dict) -> None:
    scene = compose(**person, frame=SOURCE)
    x0, y0, x1, y1 = scene.frame
    scale = (x1 - x0) / 64
    assert (y1 - y0) / 128 == pytest.approx(scale)
    by_name = {joint.name: joint for joint in scene.joints}
    assert len(by_name) == 18
    nose = by_name["nose"]
    assert (nose.x - x0, nose.y - y0) == pytest.approx((32 * scale, 18 * scale), abs=0.5 * scale)
    assert nose.score == pytest.approx(0.9)
    assert {name for name, joint in by_name.items() if joint.state == "filled"} == {"l_wrist", "l_ankle"}
    assert {name for name, joint in by_name.items() if joint.state == "refined"} == {"r_elbow"}
    assert len([joint for joint in by_name.values() if joint.state == "measured"]) == 15


def test_a_joint_says_what_it_is_and_how_surely(person: dict) -> None:
    joint = compose(**person, frame=SOURCE, spreads=2.04).joints[0]
    assert joint.text("filled") == "nose: measured, score 0.90, \N{PLUS-MINUS SIGN} 2.0 px"


def test_limbs_that_touch_an_estimate_are_not_sure(person: dict) -> None:
    scene = compose(**person, frame=SOURCE)
    position = {(joint.x, joint.y): joint.name for joint in scene.joints}
    unsure = {frozenset((position[limb.start], position[limb.end])) for limb in scene.limbs if not limb.sure}
    assert len(scene.limbs) == 17
    assert unsure == {frozenset(("l_elbow", "l_wrist")), frozenset(("l_knee", "l_ankle"))}


@pytest.mark.parametrize("place", [np.nan, np.inf, 1e30], ids=str)
def test_a_wild_joint_is_left_out(person: dict, place: float) -> None:
    person["joints"] = person["joints"].copy()
    person["joints"][INDEX["l_wrist"]] = place
    scene = compose(**person, frame=SOURCE)
    assert "l_wrist" not in {joint.name for joint in scene.joints}
    assert len(scene.joints) == 17 and len(scene.limbs) == 16
    assert scene.frame[3] - scene.frame[1] > HEIGHT / 3


def test_a_crop_lies_on_its_box(person: dict) -> None:
    scene = compose(**person, frame=person["boxes"][0])
    assert scene.frame == pytest.approx(scene.boxes[0].rectangle)


def test_joints_lie_in_a_crop_where_the_box_was_cut() -> None:
    joints = np.full((18, 2), np.nan)
    joints[:3] = (-5, -10), (60, 130), (27.5, 60)
    scene = compose(joints, BOXES[0], view=BOXES[0], height=192, width=96)
    assert (scene.width, scene.height) == (96, 192) and scene.frame == (0, 0, 96, 192)
    np.testing.assert_allclose([(joint.x, joint.y) for joint in scene.joints], [[0, 0], [96, 192], [48, 96]], atol=1e-4)


@given(arrays(np.float32, (18, 2), elements=st.floats(width=32)))
def test_wild_joints_do_not_shrink_the_view(joints: np.ndarray) -> None:
    x0, y0, x1, y1 = view_around(SOURCE, BOXES, joints)
    assert x0 <= -5 and y0 <= -10 and x1 >= 64 and y1 >= 130
    assert y1 - y0 < 140 * 2.5


@pytest.mark.parametrize("frame", [SOURCE, (0, 0, 300, 40), (-5, -10, 60, 130)])
@pytest.mark.parametrize("boxes", [BOXES, np.zeros((0, 4), np.float32)])
def test_a_view_has_one_proportion(boxes: np.ndarray, frame: tuple) -> None:
    x0, y0, x1, y1 = view_around(frame, boxes)
    assert (x1 - x0) / (y1 - y0) == pytest.approx(ASPECT)


def test_only_the_boxes_of_a_body_are_drawn_inside_one_another() -> None:
    joints = np.full((18, 2), np.nan)
    body, others = (compose(joints, SOURCE, boxes=boxes).boxes for boxes in (BOXES, BOXES[[0, 0]]))
    assert [box.layer for box in body][:3] == ["box-whole-body", "box-head", "box-upper-body"]
    assert len({box.rectangle[0] for box in body}) == 3
    assert [box.name for box in others] == ["box 1", "box 2"] and others[0].rectangle == others[1].rectangle


@given(st.lists(st.floats(-500, 900), min_size=1, max_size=5))
def test_spread_keeps_the_order_and_the_distance(wanted: list[float]) -> None:
    placed = spread(np.array(wanted), LABEL_SPACING, HEIGHT)
    in_order = placed[np.argsort(wanted, kind="stable")]
    assert (np.diff(in_order) >= LABEL_SPACING - 1e-6).all()
    assert placed.min() >= LABEL_SPACING / 2 - 1e-6 and placed.max() <= HEIGHT - LABEL_SPACING / 2 + 1e-6


def test_spread_leaves_alone_what_has_room() -> None:
    assert spread(np.array([200.0, 50.0, 100.0]), 17, 424).tolist() == [200, 50, 100]
