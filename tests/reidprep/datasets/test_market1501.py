"""Market-1501 and DukeMTMC-reID."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from reidprep.datasets.registry import open_dataset
from reidprep.datasets.summary import describe
from reidprep.errors import ReidError
from reidprep.records import Record

Touch = Callable[..., Path]

MARKET = (
    "bounding_box_train/0002_c1s1_000451_03.jpg",
    "bounding_box_train/0002_c2s1_000451_03.jpg",
    "query/0001_c1s1_001051_00.jpg",
    "bounding_box_test/0001_c2s3_071002_01.jpg",
)


def test_market1501_records_in_order(touch: Touch) -> None:
    root = touch(
        *MARKET,
        "bounding_box_test/-1_c1s1_000401_03.jpg",
        "bounding_box_test/0000_c6s3_094992_01.jpg.jpg",
        "bounding_box_train/0010_c10s1_000002_00.PNG",
    )
    dataset = open_dataset(root)
    assert (dataset.name, dataset.root, dataset.options) == ("market1501", root, {"distractors": "no"})
    assert dataset.notes == ()
    assert dataset.records == (
        Record("bounding_box_train/0002_c1s1_000451_03.jpg", 2, 1, "train", 1, 451),
        Record("bounding_box_train/0002_c2s1_000451_03.jpg", 2, 2, "train", 1, 451),
        Record("bounding_box_train/0010_c10s1_000002_00.PNG", 10, 10, "train", 1, 2),
        Record("query/0001_c1s1_001051_00.jpg", 1, 1, "query", 1, 1051),
        Record("bounding_box_test/-1_c1s1_000401_03.jpg", -1, 1, "gallery", 1, 401),
        Record("bounding_box_test/0000_c6s3_094992_01.jpg.jpg", 0, 6, "gallery", 3, 94992),
        Record("bounding_box_test/0001_c2s3_071002_01.jpg", 1, 2, "gallery", 3, 71002),
    )


def test_other_files_are_noted(touch: Touch) -> None:
    root = touch(
        *MARKET,
        "readme.txt",
        "gt_bbox/0001_c1s1_001051_00.jpg",
        "query/Thumbs.db",
        "query/readme.txt",
        "query/sub/0003_c1s1_001051_00.jpg",
        "query/holiday.jpg",
        "query/-2_c1s1_001051_00.jpg",
        f"query/{10**9}_c1s1_001051_00.jpg",
        "query/0003_c1s1_001051_00.jpg.tmp",
    )
    dataset = open_dataset(root)
    assert len(dataset.records) == len(MARKET)
    others, unparsable = dataset.notes
    assert others == (
        "query: ignored 4 entries that are no image file: 0003_c1s1_001051_00.jpg.tmp, Thumbs.db, readme.txt, sub"
    )
    assert unparsable.startswith("query: ignored 3 images whose names do not tell id and camera: -2_c1s1")


@pytest.mark.skipif(sys.platform != "linux", reason="only here may a file name be any bytes")
def test_a_name_that_is_not_utf8_is_noted(touch: Touch) -> None:
    root = touch(*MARKET, "query/" + os.fsdecode(b"0003_c1s1_001051_00\xe9.jpg"))
    (note,) = open_dataset(root).notes
    assert note == "query: ignored 1 entry that is no image file: 0003_c1s1_001051_00\\xe9.jpg"


@pytest.mark.parametrize("folder", ["images", "distractors", "distractors_500k"])
def test_distractors_join_the_gallery_as_impostors(touch: Touch, folder: str) -> None:
    root = touch(
        *MARKET,
        f"{folder}/0731_c3s2_000017_01.jpg",
        f"{folder}/-1_c4_7.jpg",
        f"{folder}/x.jpg",
        f"{folder}/a.txt",
    )
    assert len(open_dataset(root).records) == len(MARKET)
    dataset = open_dataset(root, options={"distractors": "yes"})
    assert dataset.options == {"distractors": "yes"}
    assert [record for record in dataset.records if record.path.startswith(folder)] == [
        Record(f"{folder}/-1_c4_7.jpg", 0, 4, "gallery"),
        Record(f"{folder}/0731_c3s2_000017_01.jpg", 0, 3, "gallery", 2, 17),
        Record(f"{folder}/x.jpg", 0, 0, "gallery"),
    ]
    assert dataset.notes == (f"{folder}: ignored 1 entry that is no image file: a.txt",)


def test_distractors_that_are_not_there(touch: Touch) -> None:
    root = touch(*MARKET)
    with pytest.raises(ReidError, match=r"no folder images or distractors or distractors_500k; extract"):
        open_dataset(root, options={"distractors": "yes"})
    (root / "images").mkdir()
    with pytest.raises(ReidError, match="holds no image file"):
        open_dataset(root, options={"distractors": "yes"})


def test_dukemtmc(touch: Touch) -> None:
    root = touch(
        "bounding_box_train/0001_c2_f0046182.jpg",
        "query/0005_c2_f0046985.jpg",
        "bounding_box_test/0005_c5_f0051781.jpg",
        "bounding_box_test/5112_c8_f0190742.jpg",
    )
    dataset = open_dataset(root)
    assert (dataset.name, dataset.options, dataset.notes) == ("dukemtmc", {}, ())
    assert dataset.records == (
        Record("bounding_box_train/0001_c2_f0046182.jpg", 1, 2, "train", frame=46182),
        Record("query/0005_c2_f0046985.jpg", 5, 2, "query", frame=46985),
        Record("bounding_box_test/0005_c5_f0051781.jpg", 5, 5, "gallery", frame=51781),
        Record("bounding_box_test/5112_c8_f0190742.jpg", 5112, 8, "gallery", frame=190742),
    )


def test_a_folder_that_is_not_there_is_noted(touch: Touch) -> None:
    dataset = open_dataset(touch(*MARKET[:2]))
    assert dataset.notes == (
        "there is no folder query",
        "there is no folder bounding_box_test",
        "the query split is empty: no evaluation possible",
        "the gallery split is empty: no evaluation possible",
    )


def test_real_market1501(market1501: Path) -> None:
    dataset = open_dataset(market1501)
    assert (dataset.name, dataset.notes) == ("market1501", ())
    train, query, gallery = describe(dataset)
    assert (train.images, train.identities, train.cameras, train.junk) == (12936, 751, 6, 0)
    assert (query.images, query.identities, query.cameras, query.junk) == (3368, 750, 6, 0)
    assert (gallery.images, gallery.junk) == (19732, 19732 - 15913)
    assert gallery.identities == 751  # 750 people, and 0 for the impostors
    assert dataset.images.read(dataset.records[-1].path).shape == (128, 64, 3)
