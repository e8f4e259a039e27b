import numpy as np
import pytest

from reidprep.datasets.images import Box
from reidprep.keypoints.matching import best_person, person_in_box


def person(x0: float, y0: float, x1: float, y1: float, score: float = 0.5) -> np.ndarray:
    """Joints spread over a rectangle; two are missing."""
    joints = np.zeros((18, 3), np.float32)
    joints[:16] = np.column_stack([np.linspace(x0, x1, 16), np.linspace(y0, y1, 16), np.full(16, score)])
    return joints


def overlap_oracle(box: tuple[float, ...], width: int, height: int) -> float:
    """By counting: shares of a fine grid."""
    x, y = np.meshgrid(np.arange(-width, 2 * width, 0.25) + 0.125, np.arange(-height, 2 * height, 0.25) + 0.125)
    inside = (x > box[0]) & (x < box[2]) & (y > box[1]) & (y < box[3])
    centre = (np.abs(x - width / 2) < width * 0.375) & (np.abs(y - height / 2) < height * 0.375)
    return float((inside & centre).sum() / (inside | centre).sum())


def test_the_best_overlap_with_the_centre_counts() -> None:
    rng = np.random.default_rng(0)
    for _ in range(40):
        # Whole multiples of the grid: the counts are exact.
        corners = rng.integers(-20, 60, (4, 2))
        boxes = [(*low, *(low + size)) for low, size in zip(corners, rng.integers(1, 50, (4, 2)), strict=True)]
        expected = int(np.argmax([overlap_oracle(box, 32, 64) for box in boxes]))
        assert best_person(np.array([person(*box) for box in boxes]), 32, 64) == expected


def test_ties_by_scores_then_order() -> None:
    same = (10, 10, 50, 100)
    assert best_person(np.array([person(*same, 0.3), person(*same, 0.9), person(*same, 0.9)]), 64, 128) == 1
    away = [person(900, 900, 950, 990, 0.2), person(800, 900, 950, 990, 0.4)]
    assert best_person(np.array(away), 64, 128) == 1


def test_nobody_and_a_single_person() -> None:
    assert best_person(np.zeros((0, 18, 3), np.float32), 64, 128) is None
    assert best_person(np.zeros((2, 18, 3), np.float32), 64, 128) is None
    assert best_person(np.zeros((1, 18, 3), np.float32), 64, 128) == 0
    assert best_person(person(900, 900, 950, 990)[None], 64, 128) == 0
    # A person without a joint is no rival.
    assert best_person(np.array([np.zeros((18, 3)), person(60, 0, 64, 4)], np.float32), 64, 128) == 1


def test_the_person_of_a_box_in_a_frame() -> None:
    people = np.array([person(100, 50, 140, 150), person(300, 60, 340, 160), person(120, 50, 160, 150)])
    for number, person_box in enumerate(people):
        x, y = person_box[:16, :2].min(axis=0) - 5
        found = person_in_box(people, Box(int(x), int(y), 50, 110))
        np.testing.assert_allclose(found[:16, :2], people[number][:16, :2] - [int(x), int(y)])
        np.testing.assert_array_equal(found[16:], 0)
        np.testing.assert_array_equal(found[:, 2], people[number][:, 2])
    assert person_in_box(people, Box(500, 0, 60, 60)) is None
    assert person_in_box(people[:0], Box(0, 0, 60, 60)) is None
    # Alone in the frame, but not in the box.
    assert person_in_box(people[:1], Box(200, 0, 60, 60)) is None


@pytest.mark.parametrize("x", [0, 9])
def test_a_single_joint_is_enough(x: int) -> None:
    people = np.zeros((2, 18, 3), np.float32)
    people[1, 5] = (9, 9, 1)
    found = person_in_box(people, Box(x, 0, 30, 30))
    assert found[5].tolist() == [9 - x, 9, 1]
