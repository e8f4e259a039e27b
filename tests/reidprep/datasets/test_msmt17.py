from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from reidprep.datasets.registry import open_dataset
from reidprep.errors import ReidError
from reidprep.records import Record

Touch = Callable[..., Path]

LISTS = {
    "list_train.txt": "0000/0000_000_01_0303morning_0015_0.jpg 0\n0000/0000_001_14_0303noon_0015_1.jpg 0\n",
    "list_val.txt": "0000/0000_002_02_0303morning_0015_0.jpg 0\n",
    "list_query.txt": "0000/0000_000_07_0303morning_0001_0.jpg 0\n",
    "list_gallery.txt": "0000/0000_001_08_0303morning_0002_0.jpg 0\r\n\n",
}
FOLDERS = {"list_train.txt": 0, "list_val.txt": 0, "list_query.txt": 1, "list_gallery.txt": 1}


@pytest.fixture(params=[("train", "test"), ("mask_train_v2", "mask_test_v2")], ids=["V1", "V2"])
def folders(request: pytest.FixtureRequest) -> tuple[str, str]:
    pair: tuple[str, str] = request.param
    return pair


@pytest.fixture
def root(touch: Touch, tmp_path: Path, folders: tuple[str, str]) -> Path:
    for name, text in LISTS.items():
        (tmp_path / name).write_text(text, newline="")
        touch(*(f"{folders[FOLDERS[name]]}/{line.split()[0]}" for line in text.split("\n") if line.strip()))
    return tmp_path


def test_records(root: Path, folders: tuple[str, str]) -> None:
    dataset = open_dataset(root)
    train, test = folders
    assert (dataset.name, dataset.options) == ("msmt17", {"val": "train"})
    assert dataset.notes == ()  # train and test people are numbered apart: 0 in both is no leak
    assert dataset.records == (
        Record(f"{train}/0000/0000_000_01_0303morning_0015_0.jpg", 0, 1, "train"),
        Record(f"{train}/0000/0000_001_14_0303noon_0015_1.jpg", 0, 14, "train"),
        Record(f"{train}/0000/0000_002_02_0303morning_0015_0.jpg", 0, 2, "train"),
        Record(f"{test}/0000/0000_000_07_0303morning_0001_0.jpg", 0, 7, "query"),
        Record(f"{test}/0000/0000_001_08_0303morning_0002_0.jpg", 0, 8, "gallery"),
    )


def test_validation_list_left_out(root: Path) -> None:
    dataset = open_dataset(root, options={"val": "skip"})
    assert dataset.options == {"val": "skip"}
    assert [record.split for record in dataset.records] == ["train", "train", "query", "gallery"]


def test_missing_images_and_lists_are_noted(root: Path, folders: tuple[str, str]) -> None:
    (root / "list_val.txt").unlink()
    gone = f"{folders[0]}/0000/0000_001_14_0303noon_0015_1.jpg"
    (root / gone).unlink()
    dataset = open_dataset(root)
    assert len(dataset.records) == 4
    assert dataset.notes == ("there is no list_val.txt", f"1 listed image is missing: {gone}")


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("0000/0000_000_01_0303morning_0015_0.jpg", "expected an image path and a person id"),
        ("0000/0000_000_01_0303morning_0015_0.jpg -1", "expected an image path and a person id"),
        ("0000/0000_000_x_0303morning_0015_0.jpg 0", "no camera in '0000_000_x_0303morning_0015_0.jpg'"),
        ("../0000_000_01_0303morning_0015_0.jpg 0", "leaves the dataset's folder"),
    ],
)
def test_a_bad_line_is_named(root: Path, line: str, reason: str) -> None:
    (root / "list_query.txt").write_text(LISTS["list_query.txt"] + "\n" + line + "\n")
    with pytest.raises(ReidError, match=rf"list_query\.txt, line 3: .*{reason}"):
        open_dataset(root)


def test_an_image_listed_twice(root: Path) -> None:
    (root / "list_val.txt").write_text(LISTS["list_train.txt"])
    with pytest.raises(ReidError, match=r"images listed twice: .*0000_000_01"):
        open_dataset(root)


def test_a_list_that_is_not_text(root: Path) -> None:
    (root / "list_train.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ReidError, match=r"list_train\.txt: is not UTF-8"):
        open_dataset(root)
