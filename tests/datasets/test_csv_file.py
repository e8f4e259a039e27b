from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from reidprep.datasets import open_dataset, open_images
from reidprep.errors import ReidError
from reidprep.records import Record

SaveImage = Callable[[Path], np.ndarray]

HEADER = "path,pid,camid,split\n"


def write(folder: Path, text: str | bytes) -> Path:
    file = folder / "people.csv"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return file


def test_records(tmp_path: Path, save_image: SaveImage) -> None:
    pixels = save_image(tmp_path / "a b" / "größe.png")
    for name in ("x.png", "y,1.png"):
        save_image(tmp_path / name)
    file = write(
        tmp_path,
        b"\xef\xbb\xbf"  # a byte order mark
        + 'Split, pid ,camid,path,frame,sequence\r\ngallery,7,2,"y,1.png",,\r\n\r\n'
        "query,7,1,./x.png,12,3\r\ntrain,-1,0,a b//größe.png,,4\r\n".encode(),
    )
    dataset = open_dataset(file)
    assert (dataset.name, dataset.root, dataset.options, dataset.notes[1:]) == ("csv", file, {}, ())
    assert dataset.records == (
        Record("a b/größe.png", -1, 0, "train", sequence=4),
        Record("x.png", 7, 1, "query", sequence=3, frame=12),
        Record("y,1.png", 7, 2, "gallery"),
    )
    np.testing.assert_array_equal(dataset.images.read("a b/größe.png"), pixels)
    np.testing.assert_array_equal(open_images("csv", file, {}).read("a b/größe.png"), pixels)


def test_bad_rows_are_all_reported(tmp_path: Path) -> None:
    file = write(
        tmp_path,
        HEADER
        + "ok.jpg,1,1,train\n"
        + "a.jpg,one,1,train\n"
        + "b.jpg,-2,1,train\n"
        + "c.jpg,1,,train\n"
        + "d.jpg,1,-1,train\n"
        + "e.jpg,1,1,trian\n"
        + "../f.jpg,1,1,train\n"
        + "/g.jpg,1,1,train\n"
        + "h.jpg,1,1\n"
        + "ok.jpg,2,1,query\n"
        + "i.jpg,1_0,1,train\n"
        + "j.jpg,12345678901,1,train\n",
    )
    with pytest.raises(ReidError) as caught:
        open_dataset(file)
    first, *lines = str(caught.value).split("\n")
    assert first.startswith(f"{file}: rows that cannot be used")
    assert [line.strip() for line in lines] == [
        "line 3: pid 'one' is not a whole number from -1 to 999999999",
        "line 4: pid '-2' is not a whole number from -1 to 999999999",
        "line 5: camid '' is not a whole number from 0 to 999999999",
        "line 6: camid '-1' is not a whole number from 0 to 999999999",
        "line 7: split 'trian' is none of train, query, gallery (did you mean 'train'?)",
        "line 8: '../f.jpg': the path leaves the dataset's folder through '..'",
        "line 9: '/g.jpg': the path is absolute; give it relative to the dataset's folder",
        "line 10: 3 values for 4 columns",
        "line 11: 'ok.jpg' is listed already on line 2",
        "line 12: pid '1_0' is not a whole number from -1 to 999999999",
        "and 1 more",
    ]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "is empty; its first line must name the columns path,pid,camid,split"),
        (
            "path;pid;camid;split\n",
            "separated by commas.*missing: path, pid, camid, split; found: 'path;pid;",
        ),
        ("path,pid,camid\n", "missing: split"),
        ("path,pid,camid,split,pid\n", "names a column twice: pid"),
        (HEADER, "holds no image"),
        (HEADER + "a.jpg,1,1,train\n\n" + '"b"x.jpg,1,1,train\n', "line 4: is not valid CSV"),
        (HEADER.encode() + b"a.jpg,1,1,train\ncaf\xe9.jpg,1,1,train\n", "line 3: is not UTF-8"),
    ],
)
def test_an_unusable_file(tmp_path: Path, text: str | bytes, reason: str) -> None:
    with pytest.raises(ReidError, match=rf"people\.csv.*{reason}"):
        open_dataset(write(tmp_path, text))


def test_missing_images_and_other_columns_are_noted(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").touch()
    file = write(tmp_path, "path,pid,camid,split,colour\na.jpg,1,1,query,red\nsub/b.jpg,1,2,gallery,\n")
    assert open_dataset(file).notes == (
        "columns not used: 'colour'",
        "1 of the listed images are missing: sub/b.jpg",
        "the train split is empty: no training possible",
    )
