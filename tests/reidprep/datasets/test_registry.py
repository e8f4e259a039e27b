from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from reidprep.datasets.base import Option, check_options
from reidprep.datasets.registry import READERS, open_dataset, open_images
from reidprep.errors import ReidError

Touch = Callable[..., Path]
SaveImage = Callable[[Path], np.ndarray]

MARKET = (
    "bounding_box_train/0002_c1s1_000451_03.jpg",
    "query/0001_c1s1_001051_00.jpg",
    "bounding_box_test/0001_c2s3_071002_01.jpg",
)
DUKE = "bounding_box_train/0001_c2_f0046182.jpg"


@pytest.mark.parametrize("name", [None, "market1501"])
def test_one_folder_further_down(touch: Touch, name: str | None) -> None:
    root = touch(*(f"Market-1501-v15.09.15/{path}" for path in MARKET), "other/readme.txt")
    dataset = open_dataset(root, name)
    assert dataset.root == root / "Market-1501-v15.09.15"
    assert [record.path for record in dataset.records] == list(MARKET)


def test_several_datasets(touch: Touch) -> None:
    root = touch(f"one/{MARKET[0]}", f"two/{DUKE}", f"three/{DUKE}")
    with pytest.raises(ReidError, match="holds several datasets") as caught:
        open_dataset(root)
    assert str(caught.value).split("\n")[1:] == [
        f"  market1501: {root / 'one'}",
        f"  dukemtmc: {root / 'three'}",
        f"  dukemtmc: {root / 'two'}",
    ]
    assert open_dataset(root, "market1501").root == root / "one"


@pytest.mark.parametrize("stray", ["0001_c1_301.png", "0001_c2_f0046182.jpg"], ids=["cuhk03", "dukemtmc"])
def test_a_stray_name_of_another_dataset_is_ignored(touch: Touch, stray: str) -> None:
    names = [f"bounding_box_train/{pid:04d}_c1s1_000451_03.jpg" for pid in range(2, 20)]
    dataset = open_dataset(touch(*MARKET, *names, f"bounding_box_train/{stray}"))
    assert (dataset.name, len(dataset.records)) == ("market1501", len(MARKET) - 1 + len(names))
    assert any(stray in note for note in dataset.notes)


def test_two_datasets_mixed_in_one_folder(touch: Touch) -> None:
    with pytest.raises(ReidError, match="holds several datasets"):
        open_dataset(touch(*MARKET, DUKE))


def test_an_empty_folder_is_told_every_layout(tmp_path: Path) -> None:
    with pytest.raises(ReidError, match="it is an empty folder") as caught:
        open_dataset(tmp_path)
    for name, reader in READERS.items():
        assert f"{name}: {reader.looked_for}" in str(caught.value)


def test_a_wrong_folder_is_told_what_was_seen_and_sought(touch: Touch) -> None:
    root = touch("holiday/beach.jpg", "notes.txt", "bounding_box_train/beach.jpg")
    with pytest.raises(ReidError) as caught:
        open_dataset(root, "market1501")
    message = str(caught.value)
    assert "it holds bounding_box_train/, holiday/, notes.txt." in message
    assert "0002_c1s1_000451_03.jpg" in message
    assert "dukemtmc" not in message


def test_a_dataset_of_another_kind_than_named(touch: Touch) -> None:
    with pytest.raises(ReidError, match="no dataset found"):
        open_dataset(touch(*MARKET), "dukemtmc")


@pytest.mark.parametrize("name", ["people.txt", "people.mat.gz"])
def test_a_file_of_another_kind(touch: Touch, name: str) -> None:
    with pytest.raises(ReidError, match="no dataset found, it is a file"):
        open_dataset(touch(name) / name)


def test_a_source_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ReidError, match="gone: there is no such file or folder"):
        open_dataset(tmp_path / "gone")
    with pytest.raises(ReidError, match="gone: there is no such file or folder"):
        open_images("market1501", tmp_path / "gone")


def test_an_unknown_reader(tmp_path: Path) -> None:
    with pytest.raises(ReidError, match=r"no dataset reader 'market1502' \(did you mean 'market1501'\?\)"):
        open_dataset(tmp_path, "market1502")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"distractor": "yes"}, r"no option 'distractor' \(did you mean 'distractors'\?\); its options are"),
        ({"train": "0.5"}, "says itself who trains .* leave out --split-by-identity and --seed"),
        ({"distractors": "ye"}, r"distractors=ye is not possible \(did you mean 'yes'\?\).*one of no, yes"),
    ],
)
def test_wrong_options(touch: Touch, options: dict[str, str], message: str) -> None:
    root = touch(*MARKET)
    with pytest.raises(ReidError, match=message):
        open_dataset(root, options=options)
    with pytest.raises(ReidError, match=message):
        open_images("market1501", root, options)


def test_options_where_there_are_none() -> None:
    with pytest.raises(ReidError, match="csv has no option 'x'; it has no options"):
        check_options("csv", {}, {"x": "1"})


def test_defaults_are_filled_in() -> None:
    known = {"a": Option(("1", "2"), "1"), "b": Option(("1", "2"), "2"), "c": Option(("1",))}
    assert check_options("x", known, {"a": "2"}) == {"a": "2", "b": "2"}


def test_images_without_listing_and_across_processes(tmp_path: Path, save_image: SaveImage) -> None:
    pixels = save_image(tmp_path / "bounding_box_train" / "0002_c1s1_000451_03.png")
    dataset = open_dataset(tmp_path)
    for images in (
        dataset.images,
        open_images(dataset.name, dataset.root, dataset.options),
        pickle.loads(pickle.dumps(dataset.images)),
    ):
        np.testing.assert_array_equal(images.read(dataset.records[0].path), pixels)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may enter every folder")
def test_a_folder_that_may_not_be_entered_does_not_matter(touch: Touch) -> None:
    root = touch(*(f"here/{path}" for path in MARKET), "locked/x")
    (root / "locked").chmod(0)
    try:
        assert open_dataset(root).root == root / "here"
    finally:
        (root / "locked").chmod(0o700)
