import resource
from pathlib import Path

import pytest

from reidprep.errors import ReidError
from reidprep.files import file_sha256, is_temporary, whole_file, write_file


def test_write_file_replaces_and_returns_the_hash(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    assert write_file(path, b"new") == file_sha256(path)
    assert path.read_bytes() == b"new"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.bin"]


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))  # the kernel refuses to write on, as on a full disk
    try:
        with pytest.raises(ReidError, match=r"a\.bin: cannot be written"):
            write_file(path, bytes(5000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.bin"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, ReidError])
def test_a_file_that_is_not_finished_leaves_the_old_one(tmp_path: Path, error: type[BaseException]) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    with pytest.raises(error), whole_file(path) as file:
        file.write(b"new")
        raise error
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.bin"]


def test_file_sha256_of_a_missing_file_is_none(tmp_path: Path) -> None:
    assert file_sha256(tmp_path / "nothing") is None


@pytest.mark.parametrize(
    ("name", "expected"), [(".a.h5.12.tmp", True), ("a.h5", False), (".hidden", False), (".notes.tmp", False)]
)
def test_temporary_names(name: str, expected: bool) -> None:
    assert is_temporary(name) is expected
