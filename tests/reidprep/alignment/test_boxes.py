from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from reidprep.alignment.boxes import DEFAULT_BETA, body_boxes, strip_boxes
from reidprep.skeleton import INDEX, JOINTS

SIZE = (64.0, 128.0)
STANDING = {
    "nose": (32, 15), "neck": (32, 26), "r_shoulder": (24, 27), "r_elbow": (20, 42), "r_wrist": (19, 56),
    "l_shoulder": (40, 26), "l_elbow": (44, 42), "l_wrist": (46, 56), "r_hip": (27, 62), "r_knee": (27, 87),
    "r_ankle": (25, 112), "l_hip": (37, 62), "l_knee": (38, 86), "l_ankle": (41, 110),
    "r_eye": (30, 13), "l_eye": (34, 13), "r_ear": (28, 14), "l_ear": (36, 14),
}  # fmt: skip


def standing() -> NDArray[np.float64]:
    return np.array([STANDING[name] for name in JOINTS], dtype=np.float64)


def boxes_by_hand(joints: NDArray[np.float64], beta: float) -> list[list[float]]:
    """Eq. 1-2 for one person, term by term."""

    def ys(*names: str) -> list[float]:
        return [float(joints[INDEX[name]][1]) for name in names]

    head = ys("nose", "r_eye", "l_eye", "r_ear", "l_ear", "neck")
    upper = ys("neck", "r_shoulder", "l_shoulder", "r_elbow", "l_elbow", "r_wrist", "l_wrist", "r_hip", "l_hip")
    thigh = ys("r_hip", "l_hip", "r_knee", "l_knee")
    shin = ys("r_knee", "l_knee", "r_ankle", "l_ankle")
    xs = [float(x) for x, _ in joints]

    top = 2 * min(head) - max(head)
    bottom = 4 / 3 * max(shin) - 1 / 3 * min(shin)
    height = bottom - top
    centre = sum(xs) / 18
    left, right = min(centre - height / 4, min(xs)), max(centre + height / 4, max(xs))
    b = beta * height
    spans = [
        (top, bottom),
        (top, max(head) + b),
        (min(upper) - b, max(upper) + b),
        (min(thigh) - b, max(thigh) + b),
        (min(shin) - b, bottom),
    ]
    return [[left, y0, right, y1] for y0, y1 in spans]


@pytest.mark.parametrize("beta", [DEFAULT_BETA, 0.1, 0.0])
def test_boxes_follow_the_equations(beta: float) -> None:
    rng = np.random.default_rng(0)
    people = standing() + rng.normal(0, 4, (50, 18, 2))
    boxes, degenerate = body_boxes(people, np.tile(SIZE, (50, 1)), beta=beta)
    assert not degenerate.any()
    assert boxes.dtype == np.float32
    np.testing.assert_allclose(boxes, [boxes_by_hand(person, beta) for person in people], rtol=1e-5)


def test_known_person() -> None:
    boxes, _ = body_boxes(standing()[None], [SIZE], beta=0)
    # Head 13 to 26, so the top is at 0; knees from 86, ankles to 112, so the bottom is 26/3 lower.
    height = 112 + 26 / 3
    centre = standing()[:, 0].mean()
    assert boxes[0, 0] == pytest.approx([centre - height / 4, 0, centre + height / 4, height])
    assert boxes[0, 1:, [1, 3]].T.ravel() == pytest.approx([0, 26, 26, 62, 62, 87, 86, height])


@pytest.mark.parametrize("beta", [0.0, 1e-12])
def test_a_part_without_height_is_degenerate(beta: float) -> None:
    joints = standing()
    joints[[INDEX[name] for name in ("r_hip", "l_hip", "r_knee", "l_knee")], 1] = 80
    assert body_boxes(joints[None], [SIZE], beta=beta)[1].all()
    assert not body_boxes(joints[None], [SIZE])[1].any()


def test_wide_people_are_not_cut() -> None:
    joints = standing()
    joints[INDEX["r_wrist"], 0], joints[INDEX["l_wrist"], 0] = -20, 90
    boxes, _ = body_boxes(joints[None], [SIZE])
    assert (boxes[0, :, 0] == -20).all()
    assert (boxes[0, :, 2] == 90).all()


def changed(change: str) -> NDArray[np.float64]:
    joints = standing()
    if change == "nan":
        joints[INDEX["r_wrist"], 0] = np.nan
    elif change == "infinite":
        joints[INDEX["nose"], 1] = -np.inf
    elif change == "one point":
        joints[:] = (32, 64)
    elif change == "zeros":
        joints[:] = 0
    elif change == "upside down":
        joints[:, 1] = 128 - joints[:, 1]
    elif change == "tiny":
        joints = joints * 0.2
    elif change == "huge":
        joints = (joints - (32, 64)) * 6 + (32, 64)
    elif change == "wrist far below":
        joints[INDEX["r_wrist"], 1] = 3.4028236e38
    elif change == "outside":
        joints[:, 0] += 100
    return joints


@pytest.mark.parametrize(
    "change", ["nan", "infinite", "one point", "zeros", "upside down", "tiny", "huge", "outside", "wrist far below"]
)
def test_degenerate_rows_get_strips_and_leave_others_alone(change: str) -> None:
    sizes = np.tile(SIZE, (2, 1))
    boxes, degenerate = body_boxes(np.stack([changed(change), standing()]), sizes)
    assert degenerate.tolist() == [True, False]
    assert np.array_equal(boxes[0], strip_boxes(sizes)[0])
    np.testing.assert_allclose(boxes[1], boxes_by_hand(standing(), DEFAULT_BETA), rtol=1e-5)


@pytest.mark.parametrize("scale", [0.5, 2.2])
def test_children_and_people_cut_at_the_hips_are_not_degenerate(scale: float) -> None:
    joints = standing() * scale
    joints[:, 0] += 32 - joints[:, 0].mean()
    assert not body_boxes(joints[None], [SIZE])[1].any()


anything = st.one_of(
    st.floats(width=64),
    st.floats(-1e3, 1e3),
    st.sampled_from([0.0, 64.0, np.nan, np.inf, -np.inf, 1e38, -1e300, 1e-40]),
)


@given(
    joints=arrays(np.float64, (3, 18, 2), elements=anything, fill=anything),
    sizes=arrays(np.float64, (3, 2), elements=st.floats(1, 1e5)),
    beta=st.sampled_from([DEFAULT_BETA, 0.0, 1e-9, 0.1, 1.0]),
)
def test_whatever_the_joints_boxes_can_be_cropped(
    joints: NDArray[np.float64], sizes: NDArray[np.float64], beta: float
) -> None:
    boxes, degenerate = body_boxes(joints, sizes, beta=beta)
    assert np.isfinite(boxes).all()
    assert (boxes[..., 2:] > boxes[..., :2]).all()
    assert np.array_equal(boxes[degenerate], strip_boxes(sizes)[degenerate])


@given(shift=st.floats(-5, 5), scale=st.floats(0.25, 30))
def test_boxes_move_and_scale_with_the_person(shift: float, scale: float) -> None:
    boxes, _ = body_boxes(standing()[None], [SIZE])
    moved, _ = body_boxes((standing() * scale + shift)[None], np.array([SIZE]) * scale)
    np.testing.assert_allclose(moved, boxes * scale + shift, rtol=1e-4, atol=1e-3)


def test_strips_tile_the_image() -> None:
    assert strip_boxes([(60, 120)]).tolist() == [
        [[0, 0, 60, 120], [0, 0, 60, 30], [0, 30, 60, 60], [0, 60, 60, 90], [0, 90, 60, 120]]
    ]


def test_no_rows() -> None:
    boxes, degenerate = body_boxes(np.zeros((0, 18, 2)), np.zeros((0, 2)))
    assert boxes.shape == (0, 5, 4)
    assert degenerate.shape == (0,)


@pytest.mark.parametrize(
    ("joints", "sizes", "beta"),
    [
        (np.zeros((1, 17, 2)), [SIZE], 0.1),
        (np.zeros((2, 18, 2)), [SIZE], 0.1),
        (np.zeros((1, 18, 2)), [(0, 128)], 0.1),
        (np.zeros((1, 18, 2)), [(64, np.nan)], 0.1),
        (np.zeros((1, 18, 2)), SIZE, 0.1),
        (np.zeros((1, 18, 2)), [SIZE], -0.1),
        (np.zeros((1, 18, 2)), [SIZE], np.nan),
    ],
)
def test_wrong_arguments_are_refused(joints: NDArray[np.float64], sizes: object, beta: float) -> None:
    with pytest.raises(ValueError):
        body_boxes(joints, sizes, beta=beta)  # type: ignore[arg-type]
