from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reidprep.drawing.scene import HEIGHT, LABEL_SPACING, VIEW_WIDTH, compose, spread
from reidprep.shards.format import Sample
from reidprep.skeleton import INDEX

SOURCE = np.zeros((128, 64, 3), dtype=np.uint8)


def test_all_boxes_and_the_image_are_in_view(sample: Sample) -> None:
    boxes = sample.boxes + np.array([-30, -20, 90, 40], dtype=np.float32)
    scene = compose(replace(sample, boxes=boxes), SOURCE)
    for x0, y0, x1, y1 in (scene.frame, *(box.rectangle for box in scene.boxes)):
        assert 0 <= x0 < x1 <= VIEW_WIDTH and 0 <= y0 < y1 <= HEIGHT


def test_joints_lie_where_they_were_measured(sample: Sample) -> None:
    scene = compose(sample, SOURCE)
    x0, y0, x1, y1 = scene.frame
    assert (x1 - x0) / 64 == pytest.approx(scene.scale) and (y1 - y0) / 128 == pytest.approx(scene.scale)
    by_name = {joint.name: joint for joint in scene.joints}
    assert len(by_name) == 18
    nose = by_name["nose"]
    assert (nose.x - x0, nose.y - y0) == pytest.approx((32 * scene.scale, 18 * scene.scale))
    assert nose.score == pytest.approx(0.9)
    assert {name for name, joint in by_name.items() if joint.filled} == {"l_wrist", "l_ankle"}


def test_limbs_that_touch_an_estimate_are_not_sure(sample: Sample) -> None:
    scene = compose(sample, SOURCE)
    position = {(joint.x, joint.y): joint.name for joint in scene.joints}
    unsure = {frozenset((position[limb.start], position[limb.end])) for limb in scene.limbs if not limb.sure}
    assert len(scene.limbs) == 17
    assert unsure == {frozenset(("l_elbow", "l_wrist")), frozenset(("l_knee", "l_ankle"))}


@pytest.mark.parametrize("place", [np.nan, np.inf, 1e30], ids=str)
def test_a_wild_joint_is_left_out(sample: Sample, place: float) -> None:
    joints = sample.joints_filled.copy()
    joints[INDEX["l_wrist"]] = place
    scene = compose(replace(sample, joints_filled=joints), SOURCE)
    assert "l_wrist" not in {joint.name for joint in scene.joints}
    assert len(scene.joints) == 17 and len(scene.limbs) == 16
    assert scene.frame[3] - scene.frame[1] > HEIGHT / 3


def test_without_the_source_the_crop_lies_on_its_box(sample: Sample) -> None:
    scene = compose(sample, None)
    assert scene.picture is sample.whole
    assert scene.frame == pytest.approx(scene.boxes[0].rectangle)


@given(st.lists(st.floats(-500, 900), min_size=1, max_size=5))
def test_spread_keeps_the_order_and_the_distance(wanted: list[float]) -> None:
    placed = spread(np.array(wanted), LABEL_SPACING, HEIGHT)
    in_order = placed[np.argsort(wanted, kind="stable")]
    assert (np.diff(in_order) >= LABEL_SPACING - 1e-6).all()
    assert placed.min() >= LABEL_SPACING / 2 - 1e-6 and placed.max() <= HEIGHT - LABEL_SPACING / 2 + 1e-6


def test_spread_leaves_alone_what_has_room() -> None:
    assert spread(np.array([200.0, 50.0, 100.0]), 17, 424).tolist() == [200, 50, 100]
