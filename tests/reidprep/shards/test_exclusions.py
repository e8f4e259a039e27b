from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reidprep.errors import ReidError
from reidprep.shards.exclusions import excluded_rows, fingerprint, read_exclusions, unknown_paths, write_exclusions

# What a file system takes as a name, line breaks and quotes included.
TEXT = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"), max_size=12)
PATHS = np.array(["a.jpg", "b/c.jpg", "d.jpg"])


@given(st.dictionaries(TEXT.filter(bool), TEXT, max_size=5))
def test_what_is_written_is_read(tmp_path_factory: pytest.TempPathFactory, reasons: dict[str, str]) -> None:
    file = tmp_path_factory.mktemp("list") / "exclude.csv"
    write_exclusions(file, reasons)
    assert read_exclusions(file) == reasons


def test_the_same_list_gives_the_same_bytes(tmp_path: Path) -> None:
    write_exclusions(tmp_path / "1.csv", {"a.jpg": "two people", "b.jpg": ""})
    write_exclusions(tmp_path / "2.csv", {"b.jpg": "", "a.jpg": "two people"})
    assert (tmp_path / "1.csv").read_bytes() == (tmp_path / "2.csv").read_bytes()
    assert (tmp_path / "1.csv").read_bytes() == b"path,reason\r\na.jpg,two people\r\nb.jpg,\r\n"
    assert len(list(tmp_path.iterdir())) == 2  # no temporary file stays


@pytest.mark.parametrize(
    "text",
    [
        "path\na.jpg\n",
        "path,reason\r\na.jpg,\r\n\r\n",
        "\ufeffPath, Reason\na.jpg,\n",
        "reason,path\n,a.jpg",
    ],
    ids=["no reason", "Windows", "spreadsheet", "other order"],
)
def test_lists_made_by_hand(tmp_path: Path, text: str) -> None:
    (tmp_path / "list.csv").write_bytes(text.encode())
    assert read_exclusions(tmp_path / "list.csv") == {"a.jpg": ""}


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "line 1: must name the columns path,reason"),
        (b"a.jpg\n", "line 1: must name the columns"),
        (b"path,path\na,b\n", "line 1: must name the columns"),
        (b"path,resaon\na.jpg,\n", "line 1: must name the columns .*resaon"),
        (b"path,reason\na.jpg,blurred\nb.jpg\n", "line 3: 1 value for 2 columns"),
        (b"path,reason\na.jpg,cut, blurred\n", "line 2: 3 values for 2 columns"),
        (b"path,reason\n,blurred\n", "line 2: gives no path"),
        (b"path\na.jpg\nb.jpg\na.jpg\n", "line 4: 'a.jpg' is listed already on line 2"),
        (b'path\n"a.jpg\n', "line 2: is not valid CSV"),
        (b"path\na.jpg\n\xff.jpg\n", "line 3: is not UTF-8"),
    ],
    ids=["empty", "no header", "twice", "unknown column", "short", "long", "no path", "repeated", "quote", "encoding"],
)
def test_bad_content_is_named_with_its_line(tmp_path: Path, content: bytes, complaint: str) -> None:
    (tmp_path / "list.csv").write_bytes(content)
    with pytest.raises(ReidError, match=rf"list\.csv, {complaint}"):
        read_exclusions(tmp_path / "list.csv")


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ReidError, match=r"list\.csv: cannot be read: No such file"):
        read_exclusions(tmp_path / "list.csv")


def test_a_folder_that_cannot_be_written_to(tmp_path: Path) -> None:
    with pytest.raises(ReidError, match="cannot be written"):
        write_exclusions(tmp_path / "missing" / "exclude.csv", {})


def test_excluded_rows() -> None:
    assert excluded_rows(PATHS, {"b/c.jpg": "blurred", "x.jpg": ""}).tolist() == [False, True, False]
    assert not excluded_rows(PATHS, ()).any()
    assert unknown_paths(PATHS, ["y.jpg", "b/c.jpg", "x.jpg"]) == ["x.jpg", "y.jpg"]


def test_excluding_nothing_or_everything_is_refused() -> None:
    with pytest.raises(ReidError, match=r"none of 2 images .*'x\.jpg'.*'a\.jpg'"):
        excluded_rows(PATHS, ["y.jpg", "x.jpg"])
    with pytest.raises(ReidError, match=r"all images are excluded \(3\)"):
        excluded_rows(PATHS, PATHS.tolist())


def test_fingerprint_does_not_depend_on_the_order() -> None:
    assert fingerprint(PATHS) == fingerprint(PATHS[::-1])
    assert fingerprint(PATHS).images == 3
    assert fingerprint(PATHS) != fingerprint(PATHS[:2])
