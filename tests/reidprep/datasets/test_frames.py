from __future__ import annotations

import pickle
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from reidprep.datasets import images as folder_module
from reidprep.datasets.images import Box, FrameImages, split_box, with_box, without_suffix
from reidprep.errors import ImageError

SIZE = 60 * 40 * 3
BOXES = st.builds(Box, st.integers(0, 10**9 - 1), st.integers(0, 10**9 - 1), *[st.integers(1, 10**9 - 1)] * 2)


@pytest.fixture
def frames(tmp_path: Path) -> np.ndarray:
    """Four frames 60 wide and 40 high, 0.png to 3.png."""
    pixels = np.random.default_rng(0).integers(0, 256, (4, 40, 60, 3), dtype=np.uint8)
    for number, frame in enumerate(pixels):
        Image.fromarray(frame).save(tmp_path / f"{number}.png")
    return pixels


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows by one with every image decoded."""
    sizes: list[int] = []
    decode = folder_module.decode_image
    monkeypatch.setattr(folder_module, "decode_image", lambda data: (sizes.append(len(data)), decode(data))[1])
    return sizes


@given(st.text(min_size=1), BOXES)
def test_a_path_with_a_box_comes_apart_again(frame: str, box: Box) -> None:
    assert split_box(with_box(frame, box)) == (frame, box)


@pytest.mark.parametrize(
    "path",
    [
        "a.jpg", "a#b.jpg", "a.jpg#xywh=1,2,3", "a.jpg#xywh=1,2,3,4,5", "a.jpg#xywh=-1,2,3,4", "a.jpg#xywh=1,2,0,4",
        "a.jpg#xywh=1,2,3,0", "a.jpg#xywh=1.5,2,3,4", "a.jpg#xywh=1,2,3,4.jpg", "#xywh=1,2,3,4",
        "a.jpg#xywh=\N{ARABIC-INDIC DIGIT ONE},2,3,4",
    ],
)  # fmt: skip
def test_other_paths_name_no_box(path: str) -> None:
    assert split_box(path) == (path, None)


@pytest.mark.parametrize(
    ("path", "stem"),
    [
        ("a/b.jpg", "a/b"),
        ("a.b/c", "a.b/c"),
        ("b.jpg.jpg", "b.jpg"),
        ("a/b.jpg#xywh=1,2,3,4", "a/b#xywh=1,2,3,4"),
        ("a/b.jpg#xywh=1", "a/b"),
    ],
)
def test_without_suffix(path: str, stem: str) -> None:
    assert without_suffix(path) == stem


@pytest.mark.parametrize(
    "box", [(0, 0, 60, 40), (5, 7, 20, 30), (59, 39, 1, 1), (50, 30, 20, 5), (10, 35, 5, 999999999), (0, 0, 100, 100)]
)
def test_a_box_is_cut_out_and_clipped_to_the_frame(tmp_path: Path, frames: np.ndarray, box: tuple[int, ...]) -> None:
    crop = FrameImages(tmp_path).read(with_box("2.png", Box(*box)))
    expected = [
        [frames[2, y, x] for x in range(box[0], min(60, box[0] + box[2]))]
        for y in range(box[1], min(40, box[1] + box[3]))
    ]
    np.testing.assert_array_equal(crop, expected)
    assert crop.flags.c_contiguous and crop.base is None


def test_a_path_without_a_box_is_the_whole_image(tmp_path: Path, frames: np.ndarray) -> None:
    np.testing.assert_array_equal(FrameImages(tmp_path).read("1.png"), frames[1])


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("0.png#xywh=60,0,5,5", "the box lies outside the frame, which is 60x40"),
        ("0.png#xywh=0,40,5,5", "the box lies outside the frame, which is 60x40"),
        ("gone.png#xywh=0,0,5,5", "file not found"),
        ("../secret.png#xywh=0,0,5,5", "through '..'"),
        ("half.png#xywh=0,0,5,5", "cannot be decoded"),
    ],
)
def test_says_why_a_box_cannot_be_read(tmp_path: Path, frames: np.ndarray, path: str, reason: str) -> None:
    (tmp_path / "half.png").write_bytes((tmp_path / "0.png").read_bytes()[:500])
    images = FrameImages(tmp_path)
    for _ in range(2):
        with pytest.raises(ImageError, match=re.escape(reason)):
            images.read(path)


def test_the_boxes_of_a_frame_are_cut_from_one_decoding(tmp_path: Path, frames: np.ndarray, decoded: list[int]) -> None:
    images = FrameImages(tmp_path)
    for number in range(4):
        for x in range(10):
            np.testing.assert_array_equal(images.read(f"{number}.png#xywh={x},3,8,9"), frames[number, 3:12, x : x + 8])
    assert len(decoded) == 4


@pytest.mark.parametrize(("kept", "again"), [(2, [0, 1]), (3, [0]), (0, [0, 1, 2])])
def test_what_is_kept_is_bounded_and_the_newest_is_always_kept(
    tmp_path: Path, frames: np.ndarray, decoded: list[int], kept: int, again: list[int]
) -> None:
    images = FrameImages(tmp_path, cache_bytes=kept * SIZE)
    for number in range(4):
        images.read(f"{number}.png#xywh=0,0,5,5")
    assert len(decoded) == 4
    for number in reversed(range(4)):  # newest first, so that reading it drops nothing that is asked for later
        before = len(decoded)
        images.read(f"{number}.png#xywh=0,0,5,5")
        assert (len(decoded) > before) == (number in again)


def test_a_frame_read_again_counts_as_new(tmp_path: Path, frames: np.ndarray, decoded: list[int]) -> None:
    images = FrameImages(tmp_path, cache_bytes=2 * SIZE)
    for number in (0, 1, 0, 2, 0):
        images.read(f"{number}.png#xywh=0,0,5,5")
    assert len(decoded) == 3


def test_a_frame_that_could_not_be_read_is_tried_again(
    tmp_path: Path, save_image: Callable[[Path], np.ndarray]
) -> None:
    images = FrameImages(tmp_path)
    with pytest.raises(ImageError, match="file not found"):
        images.read("late.png#xywh=1,1,3,3")
    pixels = save_image(tmp_path / "late.png")
    np.testing.assert_array_equal(images.read("late.png#xywh=1,1,3,3"), pixels[1:4, 1:4])


def test_a_pickled_copy_reads_the_same_and_holds_no_frame(tmp_path: Path, frames: np.ndarray) -> None:
    images = FrameImages(tmp_path)
    images.read("3.png#xywh=1,2,3,4")
    data = pickle.dumps(images)
    assert len(data) < SIZE
    np.testing.assert_array_equal(pickle.loads(data).read("3.png#xywh=1,2,3,4"), frames[3, 2:6, 1:4])


def test_threads_share_frames(tmp_path: Path, frames: np.ndarray, decoded: list[int]) -> None:
    images = FrameImages(tmp_path)
    asked = [(number, x) for number in range(4) for x in range(40)]
    with ThreadPoolExecutor(8) as executor:
        crops = list(executor.map(lambda ask: images.read(f"{ask[0]}.png#xywh={ask[1]},0,20,40"), asked))
    for (number, x), crop in zip(asked, crops, strict=True):
        np.testing.assert_array_equal(crop, frames[number, :, x : x + 20])
    assert len(decoded) == 4
