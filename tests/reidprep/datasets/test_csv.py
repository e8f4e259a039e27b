from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from reidprep.datasets.registry import open_dataset, open_images
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
        "line 11: 'ok.jpg' is listed already on line 2 as train; an image has one split, so of a person's test images "
        "some are queries, the others gallery",
        "line 12: pid '1_0' is not a whole number from -1 to 999999999",
        "and 1 more",
        "(people and cameras that have names, not numbers: --dataset-option ids=text)",
    ]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "is empty; its first line must name the columns path,pid,camid,split"),
        (
            "path|pid|camid|split\n",
            "separated by commas, semicolons or tabs.*missing: path, pid, camid, split; found: 'path|pid|".replace(
                "|", r"\|"
            ),
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
        "1 listed image is missing: sub/b.jpg",
        "the train split is empty: no training possible",
    )


BOXED = "path,pid,camid,split,x,y,width,height\n"


def test_boxes_in_frames(tmp_path: Path, save_image: SaveImage) -> None:
    pixels = save_image(tmp_path / "f" / "1.png")  # 8 wide, 16 high
    file = write(
        tmp_path,
        "path,x,y,width,height,pid,camid,split,frame\n"
        "f/1.png,2,3,4,5,7,1,query,1\n"
        "f/1.png,-1.5,-2,4.0,20,8,1,gallery,1\n"  # leaves the frame on three sides
        "f//1.png, 5.5 ,10.49,2.,3.52,9,2,gallery,1\n"
        "f/1.png,,,,,-1,2,gallery,1\n",
    )
    dataset = open_dataset(file)
    assert [(record.path, record.pid, record.frame) for record in dataset.records] == [
        ("f/1.png#xywh=2,3,4,5", 7, 1),
        ("f/1.png", -1, 1),
        ("f/1.png#xywh=0,0,3,18", 8, 1),
        ("f/1.png#xywh=6,10,2,4", 9, 1),
    ]
    assert not [note for note in dataset.notes if "missing" in note or "not used" in note]
    for images in (dataset.images, open_images("csv", file)):
        crops = [images.read(record.path) for record in dataset.records]
        for crop, expected in zip(
            crops, [pixels[3:8, 2:6], pixels, pixels[0:16, 0:3], pixels[10:14, 6:8]], strict=True
        ):
            np.testing.assert_array_equal(crop, expected)


def test_rows_with_unusable_boxes_are_all_reported(tmp_path: Path) -> None:
    rows = [
        ("ok.jpg", "0,0,5,5"),
        ("a.jpg", "1,2,3,"),
        ("b.jpg", "1,2,0,4"),
        ("c.jpg", "1,2,3,-4"),
        ("d.jpg", "-9,2,9,4"),
        ("e.jpg", "1,-9,9,3.4"),
        ("f.jpg", "1,2,1e3,4"),
        ("g.jpg", "nan,2,3,4"),
        ("h.jpg", "1.1,2,0.3,4"),
        ("ok.jpg", "0.2,0,5,5"),
        ("i.jpg#xywh=1,2,3,4", ",,,"),
    ]
    text = BOXED + "".join(f'"{path}",1,1,train,{box}\n' for path, box in rows)
    with pytest.raises(ReidError) as caught:
        open_dataset(write(tmp_path, text))
    assert [line.strip() for line in str(caught.value).split("\n")[1:]] == [
        "line 3: height '' is not a number of pixels",
        "line 4: the box is empty: width 0, height 4",
        "line 5: the box is empty: width 3, height -4",
        "line 6: the box lies outside the frame: it ends at x 0, y 6",
        "line 7: the box lies outside the frame: it ends at x 10, y -5.6",
        "line 8: width '1e3' is not a number of pixels",
        "line 9: x 'nan' is not a number of pixels",
        "line 10: the box 1.1,2,0.3,4 covers no whole pixel",
        "line 11: 'ok.jpg#xywh=0,0,5,5' is listed already on line 2",
        "line 12: 'i.jpg#xywh=1,2,3,4': the file name ends like a box; rename the file",
    ]


def test_boxes_need_all_four_columns(tmp_path: Path) -> None:
    with pytest.raises(ReidError, match=r"people\.csv: boxes are given by the columns x,y,.*; missing: height;"):
        open_dataset(write(tmp_path, "path,pid,camid,split,x,y,width\na.jpg,1,1,train,1,2,3\n"))


def test_a_width_and_a_height_alone_are_no_box(tmp_path: Path, save_image: SaveImage) -> None:
    save_image(tmp_path / "a.png")
    dataset = open_dataset(write(tmp_path, "path,pid,camid,split,width,height\na.png,1,1,train,8,16\n"))
    assert dataset.records[0].path == "a.png" and "columns not used: 'width', 'height'" in dataset.notes


def test_missing_frames_are_counted_once(tmp_path: Path) -> None:
    rows = "".join(f"gone.jpg,1,1,train,{x},0,5,5\n" for x in range(3))
    assert "1 listed image is missing: gone.jpg" in open_dataset(write(tmp_path, BOXED + rows)).notes


def test_without_box_columns_a_file_name_is_just_a_name(tmp_path: Path, save_image: SaveImage) -> None:
    name = "a.png#xywh=1,2,3,4"
    save_image(tmp_path / "a.png").tobytes()
    pixels = save_image(tmp_path / "b.png")
    (tmp_path / "b.png").rename(tmp_path / name)
    file = write(tmp_path, HEADER + f'"{name}",1,1,train\n')
    assert open_dataset(file).records == (Record(name, 1, 1, "train"),)
    np.testing.assert_array_equal(open_images("csv", file).read(name), pixels)


def test_a_list_beside_its_shadow_of_macos(tmp_path: Path) -> None:
    (tmp_path / "people.csv").write_text("path,pid,camid,split\na.jpg,1,1,train\n")
    (tmp_path / "._people.csv").write_bytes(b"\0\x05\x16\x07\xff")
    assert open_dataset(tmp_path).root == tmp_path / "people.csv"
