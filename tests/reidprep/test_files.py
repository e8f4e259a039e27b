import os
import resource
from pathlib import Path

import pytest

from reidprep.errors import ReidError
from reidprep.files import (
    FolderClaim,
    FolderKind,
    check_folder,
    claim_file,
    file_sha256,
    is_temporary,
    read_file,
    whole_file,
    whole_folder,
    write_file,
)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("pipe", "not a regular file"),
        ("/dev/zero", "not a regular file"),
        ("folder", "Is a directory"),
        ("large", "larger than 0 MiB"),
        ("x" * 1000, "File name too long"),
        ("a\0b", "not a usable file name"),
        ("\udc80", "No such file|not a usable file name"),
        ("missing", "No such file"),
    ],
)
def test_only_regular_files_of_a_bounded_size_are_read(tmp_path: Path, name: str, reason: str) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    (tmp_path / "large").write_bytes(bytes(11))
    with pytest.raises(OSError, match=reason):
        read_file(tmp_path / name, most=10)


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


KIND = FolderKind("a thing", "thing", "thing.json", r"[ab]\.txt|folder")


def contents(path: Path) -> dict[str, bytes]:
    """Every file below a folder; of an empty folder its name."""
    return {
        str(entry.relative_to(path)): entry.read_bytes() if entry.is_file() else b""
        for entry in path.rglob("*")
        if entry.is_file() or not any(entry.iterdir())
    }


def put(folder: Path, name: str, text: str = "mine") -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text)


def make(out: Path, *names: str, overwrite: bool = False) -> None:
    with whole_folder(out, KIND, overwrite=overwrite) as folder:
        for name in names:
            put(folder, name, "new")
        put(folder, "thing.json", '{"schema": "thing"}')


def test_notes_beside_what_is_ours_are_kept(tmp_path: Path) -> None:
    make(tmp_path, "a.txt", "folder/x")
    put(tmp_path, "notes.txt")
    make(tmp_path, "b.txt", overwrite=True)
    assert contents(tmp_path) == {"notes.txt": b"mine", "b.txt": b"new", "thing.json": b'{"schema": "thing"}'}


def test_a_file_of_somebody_in_the_way_of_a_new_one_is_kept(tmp_path: Path) -> None:
    make(tmp_path, "a.txt")
    put(tmp_path, "c.txt")
    before = contents(tmp_path)
    with pytest.raises(ReidError, match=r"c\.txt: was not made by an earlier run; move it away"):
        make(tmp_path, "c.txt", overwrite=True)
    assert contents(tmp_path) == before


@pytest.mark.parametrize(
    ("marker", "message"),
    [
        ("", "cannot be read"),
        ("[" * 100_000, "cannot be read"),
        ("[]", "cannot be read"),
        ('{"schema": "other"}', "holds 'other', not 'thing'"),
        ("{}", "holds None, not 'thing'"),
    ],
    ids=["empty", "deep", "list", "other", "no schema"],
)
def test_a_marker_that_is_not_ours_deletes_nothing(tmp_path: Path, marker: str, message: str) -> None:
    for name, text in (("thing.json", marker), ("a.txt", "mine"), ("notes.txt", "mine")):
        put(tmp_path, name, text)
    before = contents(tmp_path)
    for overwrite in (False, True):
        with pytest.raises(ReidError, match=message):
            make(tmp_path, "b.txt", overwrite=overwrite)
    assert contents(tmp_path) == before


def test_the_ruin_of_ours_can_be_overwritten(tmp_path: Path) -> None:
    put(tmp_path, "thing.json", "{")
    put(tmp_path, "a.txt")
    make(tmp_path, "b.txt", overwrite=True)
    assert set(contents(tmp_path)) == {"thing.json", "b.txt"}


def test_what_a_marker_does_not_list_is_not_ours(tmp_path: Path) -> None:
    kind = FolderKind("a thing", "thing", "thing.json", r"[ab]\.txt", listed=True)
    put(tmp_path, "thing.json", '{"schema": "thing", "files": ["a.txt", "b.txt"]}')
    put(tmp_path, "a.txt")
    with FolderClaim(tmp_path, kind, overwrite=True) as claim:
        assert claim.ours == ["a.txt"]
    for files in ('["../a.txt"]', '["c.txt"]', "[1]", "null"):
        put(tmp_path, "thing.json", f'{{"schema": "thing", "files": {files}}}')
        with pytest.raises(ReidError, match="is not the list of files"):
            FolderClaim(tmp_path, kind, overwrite=True)


def test_one_run_at_a_time(tmp_path: Path) -> None:
    with FolderClaim(tmp_path, KIND):
        with pytest.raises(ReidError, match="another run is writing here"):
            make(tmp_path, "a.txt")
        assert contents(tmp_path) == {}
    make(tmp_path, "a.txt")


def test_what_fails_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), whole_folder(tmp_path / "new", KIND) as folder:
        put(folder, "a.txt")
        raise ZeroDivisionError
    assert not (tmp_path / "new").exists()
    with pytest.raises(FileNotFoundError, match="nowhere"), whole_folder(tmp_path / "new", KIND):
        (tmp_path / "nowhere").read_bytes()  # has nothing to do with the output


def test_a_check_says_what_claiming_would_say_and_changes_nothing(tmp_path: Path) -> None:
    check_folder(tmp_path / "nowhere", KIND)
    check_folder(tmp_path, KIND)
    make(tmp_path / "out", "a.txt")
    check_folder(tmp_path / "out", KIND, overwrite=True)
    with pytest.raises(ReidError, match="holds a thing already"):
        check_folder(tmp_path / "out", KIND)
    with pytest.raises(ReidError, match="not empty .*'out'"):
        check_folder(tmp_path, KIND)
    with pytest.raises(ReidError, match="is a file"):
        check_folder(tmp_path / "out" / "a.txt", KIND)
    assert [entry.name for entry in tmp_path.iterdir()] == ["out"]


def test_temporary_files_in_folders_of_ours_are_removed(tmp_path: Path) -> None:
    make(tmp_path, "folder/x")
    put(tmp_path, "folder/.x.12.tmp")
    put(tmp_path, "notes/.x.12.tmp")
    FolderClaim(tmp_path, KIND).close()
    assert set(contents(tmp_path)) == {"thing.json", "folder/x", "notes/.x.12.tmp"}


def test_only_leftovers_of_the_same_file_are_removed(tmp_path: Path) -> None:
    for name in (".a.12.tmp", ".a.json.12.tmp", ".b.12.tmp"):
        put(tmp_path, name)
    claim_file(tmp_path / "a")
    write_file(tmp_path / "a", b"")
    assert set(contents(tmp_path)) == {"a", ".a.json.12.tmp", ".b.12.tmp"}
