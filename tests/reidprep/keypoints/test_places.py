"""Joints in other coordinates than pixels of the image."""

from collections.abc import Callable

import numpy as np
import pytest

from reidprep.datasets.images import Box
from reidprep.errors import ReidError
from reidprep.keypoints.places import check_frame, check_places, to_size
from reidprep.skeleton import COCO17_JOINTS, INDEX, JOINTS, REGIONS

from .conftest import standing

SIZE = (64, 128)


def people(count: int = 20) -> np.ndarray:
    """(count, 18, 3) of people who stand about in the middle of images of `SIZE`."""
    rng = np.random.default_rng(0)
    return np.stack([standing(x) for x in rng.uniform(26, 38, count)])


def check(change: Callable[[np.ndarray], np.ndarray], count: int = 20, size: tuple[int, int] = SIZE) -> None:
    joints = people(count)
    joints[..., :2] = change(joints[..., :2])
    check_places(joints, np.tile(np.array(size, np.int32), (count, 1)), 0.3)


def test_people_in_the_middle_of_their_images_are_all_right() -> None:
    check(lambda places: places)
    check(lambda places: np.add(places, (12, 0)))  # cut off at the side
    check_places(np.zeros((20, 18, 3), np.float32), np.tile(np.array(SIZE, np.int32), (20, 1)), 0.3)


@pytest.mark.parametrize(
    ("change", "size", "message"),
    [
        (lambda places: places * 3, SIZE, "% of the joints lie outside of their images"),
        (lambda places: places * 1.5, SIZE, "of images of another size"),
        (lambda places: places * 0.5, SIZE, "of images of another size"),
        (lambda places: places / SIZE * 100, SIZE, "or percentages"),
        (lambda places: places / SIZE * 100, (256, 512), "or percentages"),
        (lambda places: places[..., ::-1], SIZE, "or are x and y swapped"),
        (lambda places: (places / SIZE * 128)[..., ::-1], (128, 128), "people lie in most images: are x and y swapped"),
        (lambda places: (0, 128) + places * (1, -1), SIZE, "people stand on their heads in most images"),
    ],
)
def test_other_coordinates_are_refused(
    change: Callable[[np.ndarray], np.ndarray], size: tuple[int, int], message: str
) -> None:
    with pytest.raises(ReidError, match=f"{message}.*; joints are pixels of the images as they are"):
        check(change, size=size)


def test_a_single_image_is_judged_by_what_lies_outside_alone() -> None:
    check(lambda places: places * 0.5, count=1)
    with pytest.raises(ReidError, match="of the joints lie outside"):
        check(lambda places: places * 3, count=1)


def test_joints_are_scaled_to_the_size_of_the_image() -> None:
    joints = people(2)
    joints[0, 3] = 0
    larger = joints.copy()
    larger[..., :2] *= (191 / 64, 384 / 128)  # 191: the tool that enlarged the images rounded down
    np.testing.assert_allclose(to_size(larger, (191, 384), SIZE, "k.json"), joints, rtol=1e-5)


@pytest.mark.parametrize("size", [(128, 64), (64, 64), (192, 256)])
def test_images_of_another_shape_are_refused(size: tuple[int, int]) -> None:
    with pytest.raises(ReidError, match=rf"k.json: is for an image of {size[0]}x{size[1]}, and the image is 64x128"):
        to_size(people(1), size, SIZE, "k.json")


def test_joints_in_another_order_are_not_a_face() -> None:
    joints, sizes = people(), np.tile(np.array(SIZE, np.int32), (20, 1))
    neck_last = joints[:, [*(JOINTS.index(name) for name in COCO17_JOINTS), INDEX["neck"]]]
    with pytest.raises(ReidError, match="eyes and ears are far from the nose: are the joints in another order"):
        check_places(neck_last, sizes, 0.3)
    check_places(neck_last[:7], sizes[:7], 0.3)  # too few to tell
    from_behind = joints.copy()
    from_behind[:, list(REGIONS["head"]), 2] = 0
    check_places(from_behind, sizes, 0.3)


def test_a_frame_that_a_box_leaves_or_ends_before_is_another() -> None:
    box = Box(300, 40, 64, 128)
    check_frame((400, 200), box, (64, 128), "k.json")
    check_frame((340, 200), box, (40, 128), "k.json")  # cut at the right edge
    for size, crop in (((200, 100), (64, 128)), ((363, 200), (64, 128)), ((400, 200), (40, 128))):
        with pytest.raises(ReidError, match=rf"k.json: is for a frame of {size[0]}x{size[1]}, .* {300 + crop[0]},168"):
            check_frame(size, box, crop, "k.json")
