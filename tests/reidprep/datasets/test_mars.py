from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reidprep.datasets.registry import open_dataset
from reidprep.datasets.summary import lost_tracklets
from reidprep.errors import ReidError

Touch = Callable[..., Path]

TRAIN = ["0001C1T0001F001.jpg", "0001C1T0001F002.jpg", "0001C2T0001F001.jpg"]
TEST = [
    "00-1C1T0001F001.jpg",
    "0000C2T0001F001.jpg",
    "0002C1T0001F001.jpg",
    "0002C1T0001F002.jpg",
    "0002C3T0002F001.jpg",
]
TRACKS: dict[str, Any] = {
    "track_train_info": [[1, 2, 1, 1], [3, 3, 1, 2]],
    "track_test_info": [[1, 1, -1, 1], [2, 2, 0, 2], [3, 4, 2, 1], [5, 5, 2, 3]],
    "query_IDX": [[3]],
}
FILES = {"track_train_info": "tracks_train_info", "track_test_info": "tracks_test_info", "query_IDX": "query_IDX"}


@pytest.fixture
def mars(touch: Touch) -> Path:
    root = touch(
        *(f"bbox_train/{name[:4]}/{name}" for name in TRAIN), *(f"bbox_test/{name[:4]}/{name}" for name in TEST)
    )
    (root / "info").mkdir()
    for name, lines in (("train_name.txt", TRAIN), ("test_name.txt", TEST)):
        (root / "info" / name).write_text("\n".join(lines) + "\n")
    for variable, rows in TRACKS.items():
        write_text(root, variable, rows)
    return root


def write_text(root: Path, variable: str, rows: Any) -> None:
    text = "".join(" ".join(map(str, row)) + "\n" for row in rows)
    (root / "info" / f"{FILES[variable]}.txt").write_text(text)


@pytest.mark.parametrize("kind", ["mat", "txt"])
def test_tracklets_and_queries(mars: Path, kind: str) -> None:
    if kind == "mat":
        scipy_io = pytest.importorskip("scipy.io")
        for variable, rows in TRACKS.items():
            (mars / "info" / f"{FILES[variable]}.txt").unlink()
            scipy_io.savemat(mars / "info" / f"{FILES[variable]}.mat", {variable: np.array(rows, np.int32)})
    dataset = open_dataset(mars)
    assert (dataset.name, dataset.options) == ("mars", {"tracklets": "yes"})
    told = [
        (record.path, record.pid, record.camid, record.split, record.sequence, record.frame)
        for record in dataset.records
    ]
    assert told == [
        ("bbox_train/0001/0001C1T0001F001.jpg", 1, 1, "train", 1, 1),
        ("bbox_train/0001/0001C1T0001F002.jpg", 1, 1, "train", 1, 2),
        ("bbox_train/0001/0001C2T0001F001.jpg", 1, 2, "train", 2, 1),
        ("bbox_test/0002/0002C1T0001F001.jpg", 2, 1, "query", 3, 1),
        ("bbox_test/0002/0002C1T0001F002.jpg", 2, 1, "query", 3, 2),
        ("bbox_test/00-1/00-1C1T0001F001.jpg", -1, 1, "gallery", 1, 1),
        ("bbox_test/0000/0000C2T0001F001.jpg", 0, 2, "gallery", 2, 1),
        ("bbox_test/0002/0002C3T0002F001.jpg", 2, 3, "gallery", 4, 1),
    ]


@pytest.mark.parametrize(
    ("variable", "rows", "reason"),
    [
        (
            "track_test_info",
            [[1, 9, -1, 1]] * 4,
            r"tracks_test_info.txt, tracklet 1: images 1 to 9, but test_name.txt names 1 to 5",
        ),
        ("track_test_info", [[1, 1, 5, 1]] * 3, "is of person 5 at camera 1, but holds 00-1C1T0001F001.jpg"),
        ("track_test_info", [[1, 1, 5]], "expected rows of first image, last image, person, camera"),
        ("track_test_info", [["a", 1, 5, 1]], "expected whole numbers in rows"),
        ("track_test_info", [[1, 1, 5, 1], [2]], "expected whole numbers in rows"),
        ("query_IDX", [[5]], "holds 5, but there are 4 test tracklets"),
    ],
)
def test_lists_that_do_not_fit_the_images(mars: Path, variable: str, rows: Any, reason: str) -> None:
    write_text(mars, variable, rows)
    with pytest.raises(ReidError, match=reason):
        open_dataset(mars)


def test_lists_that_are_not_there(mars: Path) -> None:
    (mars / "info" / "query_IDX.txt").unlink()
    with pytest.raises(ReidError, match=r"there is no query_IDX\.mat, which comes with the authors' MARS-evaluation"):
        open_dataset(mars)
    (mars / "info").rename(mars / "information")
    with pytest.raises(ReidError, match="there is no folder info"):
        open_dataset(mars)


def test_tracklets_that_lost_all_images_are_told(mars: Path) -> None:
    dataset = open_dataset(mars)
    assert lost_tracklets(dataset, ["bbox_test/0002/0002C1T0001F001.jpg"]) == []
    assert lost_tracklets(dataset, [f"bbox_test/0002/{name}" for name in TEST[2:]]) == [
        "2 tracklets have no image left: person 2 camera 1 number 3, person 2 camera 3 number 4"
    ]
