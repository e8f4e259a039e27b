from __future__ import annotations

import os
from pathlib import Path

import pytest

from reidprep.datasets.unlabelled import open_unlabelled
from reidprep.errors import ReidError


def test_images_of_a_folder_at_any_depth_but_for_hidden_ones(tmp_path: Path) -> None:
    for name in ("b.JPG", "a/c.png", "a/.d.png", ".thumbs/e.jpg", "notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    listed = open_unlabelled(tmp_path)
    assert listed.paths == ("a/c.png", "b.JPG")
    assert listed.notes == (f"{tmp_path}: ignored 1 file that is no image file: notes.txt",)
    one = open_unlabelled(tmp_path / "b.JPG")
    assert (one.root, one.paths, len(one)) == (tmp_path, ("b.JPG",), 1)


@pytest.mark.parametrize(
    ("text", "paths"),
    [("path\na.jpg\na.jpg\n", ["a.jpg", "a.jpg"]), ("path,x,y,width,height\nf.png,1,2,3,4\n", ["f.png#xywh=1,2,3,4"])],
)
def test_a_list_needs_no_labels(text: str, paths: list[str], tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text(text)
    assert list(open_unlabelled(tmp_path / "list.csv").paths) == paths


def test_folders_behind_links_are_told(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/a.jpg").write_bytes(b"")
    (tmp_path / "photos/more").symlink_to(tmp_path)
    listed = open_unlabelled(tmp_path / "photos")
    assert listed.paths == ("a.jpg",) and listed.notes[0].endswith("no image file: more/ (a link)")


def test_columns_of_a_list_that_say_nothing_here_are_told(tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text("path,left,top,width,height\na.jpg,1,2,3,4\n")
    listed = open_unlabelled(tmp_path / "list.csv")
    assert listed.notes == (f"{tmp_path / 'list.csv'}: columns not used: 'left', 'top', 'width', 'height'",)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path\n../a.jpg\n", "line 2: '../a.jpg': the path leaves"),
        ("path,x,y,width\na.jpg,1,2,3\n", "missing: height"),
        ("path\n", "lists no image"),
        ("", "is empty; its first line must name the columns path"),
    ],
)
def test_a_list_that_cannot_be_used_is_refused(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text(text)
    with pytest.raises(ReidError, match=message):
        open_unlabelled(tmp_path / "list.csv")


@pytest.mark.skipif(os.name != "posix", reason="file names are bytes on POSIX alone")
def test_names_that_are_no_text_are_refused(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"\xff.jpg")).write_bytes(b"")
    with pytest.raises(ReidError, match=r"\\xff\.jpg: the name is not UTF-8"):
        open_unlabelled(tmp_path)
    with pytest.raises(ReidError, match=r"\\xff\.jpg: the name is not UTF-8"):
        open_unlabelled(tmp_path / os.fsdecode(b"\xff.jpg"))
