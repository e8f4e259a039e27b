import json
import os
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from reidprep.errors import ReidError
from reidprep.files import lock_directory, unlock_directory, write_file
from reidprep.store.hdf5 import Schema
from reidprep.store.manifest import JOURNAL, MANIFEST, Format, Skipped, StoreFile, read_manifest, signed
from reidprep.store.writer import StoreWriter, relative_source

FORMAT = Format(Schema("reidprep.test", 2), dict, dict, dict, command="make-test", most_rows=lambda plan: 10)
ESCAPING = {"name": "../../etc/passwd", "rows": 1, "sha256": "", "skipped": [], "statistics": {}}
PLAIN = ESCAPING | {"name": "a.h5"}
NESTED: dict = {}
for _ in range(40):
    NESTED = {"deeper": NESTED}
PLAN = {"size": [1, 2], "nested": {"beta": 0.5}}


def add(directory: StoreWriter, name: str, data: bytes = b"data") -> None:
    directory.add(StoreFile(name, 1, write_file(directory.path / name, data), (), {}))


def filled(path: Path, names: tuple[str, ...] = ("part-00000.h5", "part-00001.h5")) -> StoreWriter:
    with StoreWriter(path, FORMAT, "../source", PLAN) as directory:
        for name in names:
            add(directory, name)
    return directory


def test_a_finished_directory_reads_back(tmp_path: Path) -> None:
    filled(tmp_path / "out").finish({"rows": 2})
    manifest = read_manifest(tmp_path / "out", FORMAT)
    assert manifest.complete and manifest.rows == 2 and manifest.plan == PLAN and manifest.summary == {"rows": 2}


def test_files_are_listed_by_name_whatever_the_order(tmp_path: Path) -> None:
    one = filled(tmp_path / "one", ("part-00000.h5", "part-00001.h5"))
    two = filled(tmp_path / "two", ("part-00001.h5", "part-00000.h5"))
    assert one.manifest.to_json() == two.manifest.to_json()


def test_resume_keeps_whole_files_and_drops_damaged_ones(tmp_path: Path) -> None:
    filled(tmp_path)
    (tmp_path / "part-00001.h5").write_bytes(b"half")
    (tmp_path / ".part-00002.h5.77.tmp").write_bytes(b"leftover of a kill")
    with StoreWriter(tmp_path, FORMAT, "../source", PLAN) as again:
        pass
    assert again.present == {"part-00000.h5"}
    assert not (tmp_path / ".part-00002.h5.77.tmp").exists()


def test_other_parameters_are_refused_and_named(tmp_path: Path) -> None:
    filled(tmp_path)
    with pytest.raises(ReidError, match=r"nested\.beta 0\.5 -> 0\.25"):
        StoreWriter(tmp_path, FORMAT, "../source", {"size": [1, 2], "nested": {"beta": 0.25}})
    with StoreWriter(tmp_path, FORMAT, "../source", {"size": [3]}, overwrite=True) as replaced:
        pass
    assert replaced.present == set() and not (tmp_path / "part-00000.h5").exists()


def test_a_folder_with_other_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    for overwrite in (False, True):
        with pytest.raises(ReidError, match=r"not empty.*thesis\.tex"):
            StoreWriter(tmp_path, FORMAT, "../source", PLAN, overwrite=overwrite)
    assert (tmp_path / "thesis.tex").read_text() == "years of work"


def test_files_of_others_that_look_temporary_are_kept(tmp_path: Path) -> None:
    (tmp_path / "letter").write_text("")
    (tmp_path / ".letter.12.tmp").write_text("unsaved changes of some editor")
    with pytest.raises(ReidError, match="not empty"):
        StoreWriter(tmp_path, FORMAT, "../source", PLAN)
    assert (tmp_path / ".letter.12.tmp").exists()


def test_what_a_kill_before_the_first_manifest_leaves_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / f".{MANIFEST}.77.tmp").write_text("")
    filled(tmp_path)
    assert {entry.name for entry in tmp_path.iterdir()} == {"part-00000.h5", "part-00001.h5", MANIFEST}


def test_a_file_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    with pytest.raises(ReidError, match="is a file; choose a folder"):
        StoreWriter(tmp_path / "out", FORMAT, "", PLAN)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": 99}, "version 99 .* is not known"),
        ({"schema": "reidprep.shards"}, "holds 'reidprep.shards', expected test"),
        ({"parts": [ESCAPING]}, r"parts\[0\]: name '../../etc/passwd' is no name of a file here"),
        ({"parts": [PLAIN | {"skipped": [{"path": 3}]}]}, r"parts\[0\].skipped\[0\].path: expected str, got int"),
        ({"parts": [PLAIN | {"rows": 11}]}, "a.h5 has 11 rows, more than the plan allows"),
        ({"parts": [PLAIN] * 2}, "parts: a name is listed twice"),
        ({"parts": None}, "parts: expected array, got null"),
        ({"plan": 7}, "plan: expected object, got int"),
        ({"plan": NESTED}, "plan is nested more than 32 levels deep"),
        ({"source": "a\0b"}, r"source 'a\\x00b' is no path"),
    ],
    ids=[
        "version", "schema", "escaping name", "skipped", "rows", "twice", "no parts", "plan", "nested", "source"
    ],
)  # fmt: skip
def test_manifests_that_are_not_understood(tmp_path: Path, change: dict, message: str) -> None:
    filled(tmp_path)
    content = json.loads((tmp_path / MANIFEST).read_text())
    content.pop("sha256", None)
    (tmp_path / MANIFEST).write_text(json.dumps({**content, **change}))
    with pytest.raises(ReidError, match=message):
        read_manifest(tmp_path, FORMAT)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "\udce9"], ids=["empty", "cut", "list", "null", "not UTF-8"])
def test_damaged_manifests(tmp_path: Path, text: str) -> None:
    (tmp_path / MANIFEST).write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(ReidError, match=r"manifest\.json: (cannot be read|expected object)"):
        read_manifest(tmp_path, FORMAT)


@pytest.mark.parametrize("text", ["[" * 100_000, '{"plan": 1e999}', '{"plan": NaN}'], ids=["deep", "huge", "no JSON"])
def test_what_python_would_read_but_is_no_sensible_json(tmp_path: Path, text: str) -> None:
    (tmp_path / MANIFEST).write_text(text)
    with pytest.raises(ReidError, match=r"manifest\.json: cannot be read"):
        read_manifest(tmp_path, FORMAT)


def test_what_a_later_program_adds_is_read_and_compared(tmp_path: Path) -> None:
    filled(tmp_path).finish({})
    content = json.loads((tmp_path / MANIFEST).read_text())
    content.pop("sha256", None)
    content["plan"]["sharpen"] = True
    (tmp_path / MANIFEST).write_bytes(signed(json.dumps({**content, "since": 2})[:-1].encode()))
    assert read_manifest(tmp_path, FORMAT).parameters["sharpen"]
    with pytest.raises(ReidError, match="made with other parameters .--sharpen True -> None"):
        StoreWriter(tmp_path, FORMAT, "../source", PLAN)


def test_a_missing_manifest_says_what_was_expected(tmp_path: Path) -> None:
    with pytest.raises(ReidError, match=r"no manifest.json here; expected a directory of test \(make-test\)"):
        read_manifest(tmp_path, FORMAT)


def test_an_older_version_can_be_overwritten(tmp_path: Path) -> None:
    filled(tmp_path)
    newer = replace(FORMAT, schema=Schema("reidprep.test", 3))
    with pytest.raises(ReidError, match="version 2"):
        StoreWriter(tmp_path, newer, "../source", PLAN)
    with StoreWriter(tmp_path, newer, "../source", PLAN, overwrite=True) as replaced:
        assert replaced.manifest.schema == newer.schema


def test_source_is_relative(tmp_path: Path) -> None:
    assert relative_source(tmp_path / "data", tmp_path / "out" / "poses") == "../../data"


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no file names that are not text")
def test_a_source_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ReidError, match="not UTF-8"):
        relative_source(tmp_path / os.fsdecode(b"caf\xe9"), tmp_path / "poses")


def test_a_second_run_is_kept_out_until_the_first_ends(tmp_path: Path) -> None:
    with StoreWriter(tmp_path, FORMAT, "", PLAN), pytest.raises(ReidError, match="another run is writing here"):
        StoreWriter(tmp_path, FORMAT, "", PLAN, overwrite=True)
    StoreWriter(tmp_path, FORMAT, "", PLAN).close()


def test_files_with_skipped_images_are_made_again(tmp_path: Path) -> None:
    with StoreWriter(tmp_path, FORMAT, "", PLAN) as directory:
        add(directory, "part-00000.h5")
        sha256 = write_file(tmp_path / "part-00001.h5", b"data")
        directory.add(StoreFile("part-00001.h5", 1, sha256, (Skipped("x.jpg", "gone"),), {}))
        directory.finish({})
    with StoreWriter(tmp_path, FORMAT, "", PLAN) as again:
        assert again.present == {"part-00000.h5"} and not again.manifest.complete


def test_overwriting_removes_files_that_no_manifest_names(tmp_path: Path) -> None:
    filled(tmp_path)
    (tmp_path / "part-00007.h5").write_bytes(b"renamed just before a kill")
    (tmp_path / "notes.txt").write_text("mine")
    StoreWriter(tmp_path, FORMAT, "", PLAN, overwrite=True).close()
    assert {entry.name for entry in tmp_path.iterdir()} == {MANIFEST, "notes.txt"}


def test_a_ruined_manifest_can_be_overwritten_if_nothing_else_is_there(tmp_path: Path) -> None:
    filled(tmp_path)
    (tmp_path / MANIFEST).write_text("{")
    with pytest.raises(ReidError, match="cannot be read"):
        StoreWriter(tmp_path, FORMAT, "", PLAN)
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ReidError, match=r"other files \(found 'notes\.txt'\)"):
        StoreWriter(tmp_path, FORMAT, "", PLAN, overwrite=True)
    (tmp_path / "notes.txt").unlink()
    with StoreWriter(tmp_path, FORMAT, "", PLAN, overwrite=True) as directory:
        assert directory.present == set()


def test_another_kind_of_directory_is_not_overwritten(tmp_path: Path) -> None:
    filled(tmp_path)
    with pytest.raises(ReidError, match=r"holds 'reidprep\.test', not 'reidprep\.other'"):
        StoreWriter(tmp_path, replace(FORMAT, schema=Schema("reidprep.other", 1)), "", PLAN, overwrite=True)
    assert (tmp_path / "part-00000.h5").exists()


def test_a_moved_source_is_taken_up(tmp_path: Path) -> None:
    with StoreWriter(tmp_path, FORMAT, "../old", PLAN) as directory:
        directory.finish({"rows": 0})
    with StoreWriter(tmp_path, FORMAT, "../new", PLAN) as again:
        assert again.manifest.source == "../new" and again.manifest.complete


@pytest.mark.skipif(not hasattr(os, "register_at_fork"), reason="needs fork")
def test_a_lock_is_not_kept_by_processes_forked_meanwhile(tmp_path):
    handle = lock_directory(tmp_path)
    ready, tell_ready = os.pipe()
    wait, release = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(release)
        os.write(tell_ready, b"1")
        os.read(wait, 1)
        os._exit(0)
    os.read(ready, 1)
    try:
        unlock_directory(handle)
        unlock_directory(lock_directory(tmp_path))
    finally:
        os.close(release)
        os.waitpid(child, 0)
        for end in (ready, tell_ready, wait):
            os.close(end)


def killed(path: Path, *names: str) -> None:
    """Fill a directory and leave it as a kill would: without the manifest that lists the files."""
    directory = StoreWriter(path, FORMAT, "../source", PLAN)
    for name in names:
        add(directory, name)
    listed = {file.name: file.read_bytes() for file in path.iterdir()}
    directory.close()
    for name, data in listed.items():
        (path / name).write_bytes(data)


def test_a_kill_loses_no_file_that_was_added(tmp_path: Path) -> None:
    killed(tmp_path, "part-00001.h5", "part-00000.h5")
    assert json.loads((tmp_path / MANIFEST).read_text())["parts"] == []
    assert [file.name for file in read_manifest(tmp_path, FORMAT).files] == ["part-00000.h5", "part-00001.h5"]
    with StoreWriter(tmp_path, FORMAT, "../source", PLAN) as again:
        assert again.present == {"part-00000.h5", "part-00001.h5"}
        assert not (tmp_path / JOURNAL).exists()
        add(again, "part-00002.h5")
        again.finish({"rows": 3})
    undisturbed = StoreWriter(tmp_path / "undisturbed", FORMAT, "../source", PLAN)
    for number in range(3):
        add(undisturbed, f"part-0000{number}.h5")
    undisturbed.finish({"rows": 3})
    undisturbed.close()
    assert (tmp_path / MANIFEST).read_bytes() == (tmp_path / "undisturbed" / MANIFEST).read_bytes()


@pytest.mark.parametrize("cut", [1, 30], ids=["no newline", "half a line"])
def test_a_journal_that_was_cut_off_counts_up_to_there(tmp_path: Path, cut: int) -> None:
    killed(tmp_path, "part-00000.h5", "part-00001.h5")
    journal = tmp_path / JOURNAL
    journal.write_bytes(journal.read_bytes()[:-cut])
    assert [file.name for file in read_manifest(tmp_path, FORMAT).files] == ["part-00000.h5"]


def test_an_error_in_the_middle_leaves_a_manifest_and_no_journal(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), StoreWriter(tmp_path, FORMAT, "../source", PLAN) as directory:
        add(directory, "part-00000.h5")
        assert (tmp_path / JOURNAL).exists()
        raise ZeroDivisionError
    assert [file["name"] for file in json.loads((tmp_path / MANIFEST).read_text())["parts"]] == ["part-00000.h5"]
    assert not (tmp_path / JOURNAL).exists()


def test_the_journal_of_other_parameters_is_discarded(tmp_path: Path) -> None:
    killed(tmp_path, "part-00000.h5")
    with StoreWriter(tmp_path, FORMAT, "../source", {"size": [3]}, overwrite=True) as replaced:
        assert replaced.present == set()
    assert {entry.name for entry in tmp_path.iterdir()} == {MANIFEST}


def test_what_killed_workers_left_goes_when_all_is_done(tmp_path: Path) -> None:
    with StoreWriter(tmp_path, FORMAT, "", PLAN) as directory:
        add(directory, "part-00000.h5")
        (tmp_path / ".part-00000.h5.77.tmp").write_bytes(b"half")
        directory.finish({})
    assert {entry.name for entry in tmp_path.iterdir()} == {"part-00000.h5", MANIFEST}


def test_more_files_than_five_digits_hold_are_in_order(tmp_path: Path) -> None:
    names = [f"{kind}-{number:05d}.h5" for kind in ("query", "train") for number in (7, 99999, 100000, 100001)]
    with StoreWriter(tmp_path, FORMAT, "../source", PLAN) as directory:
        for name in reversed(names):
            add(directory, name)
        directory.finish({})
    assert [file.name for file in read_manifest(tmp_path, FORMAT).files] == names
    with StoreWriter(tmp_path, FORMAT, "../source", PLAN) as again:
        assert again.present == set(names)
