from pathlib import Path

import pytest

from reidprep.drawing.folder import MARKER, check, claim
from reidprep.errors import ReidError


def contents(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_an_earlier_preview_is_replaced_and_nothing_else(tmp_path: Path) -> None:
    out = tmp_path / "new" / "folder"
    claim(out, ["index.html", "sheet-001.png", "sheet-002.png"])
    for name in ("index.html", "sheet-001.png", "notes.txt"):
        (out / name).write_text("x")
    claim(out, ["index.html"])
    assert contents(out) == {MARKER, "notes.txt"}


def test_what_an_interrupted_preview_left_is_replaced(tmp_path: Path) -> None:
    (tmp_path / f".{MARKER}.123.tmp").write_text("{")
    claim(tmp_path, ["index.html"])
    (tmp_path / ".index.html.123.tmp").write_text("x")
    claim(tmp_path, ["index.html"])
    assert contents(tmp_path) == {MARKER}


def test_another_folder_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("my page")
    with pytest.raises(ReidError, match=r"not empty .*index\.html"):
        claim(tmp_path, ["index.html"])
    assert (tmp_path / "index.html").read_text() == "my page"


def test_a_file_put_beside_the_preview_is_not_overwritten(tmp_path: Path) -> None:
    claim(tmp_path, ["index.html"])
    (tmp_path / "sheet-001.png").write_text("mine")
    with pytest.raises(ReidError, match=r"sheet-001\.png: was not made by the earlier preview"):
        claim(tmp_path, ["index.html", "sheet-001.png"])
    assert (tmp_path / "sheet-001.png").read_text() == "mine"


@pytest.mark.parametrize(
    "marker",
    [
        "",
        "[]",
        '{"schema": "other", "files": []}',
        '{"schema": "reidprep.preview"}',
        '{"schema": "reidprep.preview", "files": ["../precious.txt"]}',
        '{"schema": "reidprep.preview", "files": ["precious.txt"]}',
    ],
)
def test_a_marker_that_is_not_ours_deletes_nothing(tmp_path: Path, marker: str) -> None:
    out = tmp_path / "out"
    out.mkdir()
    for precious in (tmp_path / "precious.txt", out / "precious.txt"):
        precious.write_text("x")
    (out / MARKER).write_text(marker)
    with pytest.raises(ReidError, match="not the list of an earlier preview"):
        claim(out, ["index.html"])
    assert (tmp_path / "precious.txt").exists() and (out / "precious.txt").exists()


def test_a_check_says_what_claiming_would_say_and_changes_nothing(tmp_path: Path) -> None:
    check(tmp_path / "nowhere")
    check(tmp_path)
    claim(tmp_path / "out", ["index.html"])
    (tmp_path / "out" / "index.html").write_text("x")
    check(tmp_path / "out")
    with pytest.raises(ReidError, match="not empty .*'out'"):
        check(tmp_path)
    with pytest.raises(ReidError, match="cannot be used as the output folder"):
        check(tmp_path / "out" / "index.html")
    assert contents(tmp_path) == {"out"} and contents(tmp_path / "out") == {MARKER, "index.html"}


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("x")
    with pytest.raises(ReidError, match="cannot be used as the output folder"):
        claim(tmp_path / "out", ["index.html"])
