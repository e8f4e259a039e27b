"""Several pages and several servers change one list: no mark is lost, none is undone by who did not make it."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from reidprep.errors import ReidError
from reidprep.files import lock_directory, unlock_directory
from reidprep.inspect import exclusions as module
from reidprep.inspect.exclusions import Exclusions
from reidprep.shards.exclusions import read_exclusions

from .test_security import GOOD

MARK = """
import sys
from pathlib import Path
from reidprep.inspect.exclusions import Exclusions
paths = sys.argv[2:]
exclusions = Exclusions(Path(sys.argv[1]), paths)
for path in paths:
    exclusions.mark(path, True, "blurred")
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "exclude.csv"


def test_servers_that_mark_at_once_keep_all_marks(file: Path) -> None:
    groups = [[f"{server}-{number}.jpg" for number in range(30)] for server in range(3)]
    running = [subprocess.Popen([sys.executable, "-c", MARK, str(file), *paths]) for paths in groups]
    assert [process.wait(timeout=60) for process in running] == [0, 0, 0]
    assert set(read_exclusions(file)) == {path for paths in groups for path in paths}


def test_a_list_that_stays_locked_is_an_error(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_WAIT", 0.05)
    held = lock_directory(file.parent)
    try:
        with pytest.raises(ReidError, match="another run is writing here"):
            Exclusions(file, ["a.jpg"]).mark("a.jpg", True)
    finally:
        unlock_directory(held)


def test_a_page_that_does_not_know_of_a_mark_keeps_its_reason(file: Path) -> None:
    exclusions = Exclusions(file, ["a.jpg"])
    assert exclusions.mark("a.jpg", True, "blurred") == (1, None)
    assert exclusions.mark("a.jpg", True) == (1, "blurred")
    assert read_exclusions(file) == {"a.jpg": "blurred"}
    assert exclusions.mark("a.jpg", True, "") == (1, "blurred")
    assert exclusions.mark("a.jpg", False) == (0, "")


def test_what_got_another_reason_since_is_not_undone(file: Path) -> None:
    exclusions = Exclusions(file, ["a.jpg", "b.jpg"])
    change = exclusions.mark_all(["a.jpg", "b.jpg"], True, "blurred")
    exclusions.mark("b.jpg", True, "two people")
    assert exclusions.take_back(change) == (1, 1)
    assert read_exclusions(file) == {"b.jpg": "two people"}


def test_a_page_of_an_earlier_start_undoes_nothing(
    browse: Callable[..., object], drawn_shards: Path, file: Path
) -> None:
    numbers = []
    for _ in range(2):
        client = browse(drawn_shards, exclude=file)
        asked = {"filter": "split=query", "excluded": True}
        numbers.append(client.post("/exclude", json=asked, headers=GOOD).json()["undo"])
    assert client.post("/exclude", json={"undo": numbers[0]}, headers=GOOD).status_code == 410
