from __future__ import annotations

import os
import pickle
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reidprep import images as images_module
from reidprep.datasets.images import FolderImages, missing_files, missing_note, scan
from reidprep.errors import ImageError, ReidError
from reidprep.records import why_unsafe
from reidprep.text import quoted

SaveImage = Callable[[Path], np.ndarray]


def test_reads_pixels_also_after_pickling(tmp_path: Path, save_image: SaveImage) -> None:
    pixels = save_image(tmp_path / "a folder" / "größe.png")
    images = pickle.loads(pickle.dumps(FolderImages(tmp_path)))
    np.testing.assert_array_equal(images.read("a folder/größe.png"), pixels)


def test_follows_a_symbolic_link(tmp_path: Path, save_image: SaveImage) -> None:
    pixels = save_image(tmp_path / "elsewhere" / "a.png")
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "link.png").symlink_to(tmp_path / "elsewhere" / "a.png")
    np.testing.assert_array_equal(FolderImages(tmp_path / "root").read("link.png"), pixels)


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("gone.png", "file not found"),
        ("gone/a.png", "file not found"),
        ("sub", "is a directory"),
        ("empty.png", "the file is empty"),
        ("loop.png", "cannot be read"),
        ("x" * 300 + ".png", "cannot be read"),
        ("\ud83d.png", "not a usable file name"),
        ("../secret.png", r"through '\.\.'"),
        ("/etc/passwd", "absolute"),
        ("C:/a.png", "absolute"),
        ("sub\\a.png", "backslash"),
        ("a\0.png", "NUL"),
        ("", "empty"),
        ("./", "empty"),
    ],
)
def test_says_why_an_image_cannot_be_read(tmp_path: Path, path: str, reason: str) -> None:
    (tmp_path / "root" / "sub").mkdir(parents=True)
    (tmp_path / "secret.png").touch()
    (tmp_path / "root" / "empty.png").touch()
    (tmp_path / "root" / "loop.png").symlink_to("loop.png")
    with pytest.raises(ImageError, match=reason):
        FolderImages(tmp_path / "root").read(path)


@pytest.mark.skipif(sys.platform == "win32", reason="named pipes are POSIX")
def test_does_not_wait_for_a_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(ImageError, match="not a regular file"):
        FolderImages(tmp_path).read("pipe.png")


def test_refuses_a_huge_file_before_reading(tmp_path: Path) -> None:
    with (tmp_path / "huge.png").open("wb") as file:
        file.truncate(images_module.MAX_BYTES + 1)
    with pytest.raises(ImageError, match="larger than 256 MiB"):
        FolderImages(tmp_path).read("huge.png")


@given(st.lists(st.sampled_from(["a", "..", ".", "", "b.jpg", "...", "a..b"]), min_size=1).map("/".join))
def test_a_safe_path_stays_inside(path: str) -> None:
    inside = os.path.normpath(os.path.join("/root", path)).startswith("/root/")  # noqa: PTH118
    if why_unsafe(path) is None:
        assert inside
    elif ".." not in path.split("/") and not path.startswith("/"):
        assert not inside


def test_scan_tells_images_from_the_rest(tmp_path: Path) -> None:
    for name in ("b.JPG", "a.jpg", "._a.jpg", "Thumbs.db", "readme.txt"):
        (tmp_path / name).touch()
    (tmp_path / "folder.jpg").mkdir()
    entries = scan(tmp_path)
    assert entries.images == ("a.jpg", "b.JPG")
    assert entries.others == ("._a.jpg", "Thumbs.db", "folder.jpg/", "readme.txt")


@pytest.mark.skipif(sys.platform != "linux", reason="only here may a file name be any bytes")
def test_scan_sets_aside_names_that_are_not_utf8(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"\xff\xfe.jpg")).touch()
    entries = scan(tmp_path)
    assert entries.images == ()
    assert entries.others == ("\\xff\\xfe.jpg",)


def test_scan_names_a_folder_that_cannot_be_listed(tmp_path: Path) -> None:
    with pytest.raises(ReidError, match="gone: cannot be listed"):
        scan(tmp_path / "gone")


def test_missing_files(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "1.jpg").touch()
    (tmp_path / "2.jpg").touch()
    assert missing_files(tmp_path, ["a/1.jpg", "2.jpg", "a/2.jpg", "b/1.jpg"]) == ["a/2.jpg", "b/1.jpg"]


@pytest.mark.parametrize(
    ("count", "expected"), [(0, ""), (1, "0"), (2, "0, 1"), (3, "0, 1 and 1 more"), (9, "0, 1 and 7 more")]
)
def test_quoted(count: int, expected: str) -> None:
    assert quoted(range(count), limit=2) == expected


@pytest.mark.parametrize(
    ("listed", "there"),
    [("a/1.jpg ", "a/1.jpg"), ("a/1.JPG", "a/1.jpg"), ("A /1.jpg", "a/1.jpg"), (" a/1.jpg", "a/1.jpg")],
)
def test_names_that_differ_by_blanks_or_case_are_told(tmp_path: Path, listed: str, there: str) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "1.jpg").touch()
    assert missing_files(tmp_path, ["a/1.jpg", listed, "a/2.jpg"]) == [listed, "a/2.jpg"]
    note = missing_note(tmp_path, ["a/2.jpg", listed])
    assert note.startswith("2 listed images are missing: ") and f"there is {there!r}: blanks" in note


def test_a_path_of_thousands_of_characters_is_missing(tmp_path: Path) -> None:
    path = "x" * 5000 + ".jpg"
    assert missing_files(tmp_path, [path]) == [path]
    assert len(missing_note(tmp_path, [path])) < 400
