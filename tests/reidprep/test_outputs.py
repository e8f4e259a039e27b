"""Whatever a command finds where it is to write: one behaviour, whoever writes."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from reidprep.datasets.registry import open_dataset
from reidprep.errors import ReidError
from reidprep.export.coco import export_coco
from reidprep.export.openpose import export_openpose
from reidprep.export.webdataset import export_webdataset
from reidprep.files import FolderClaim, FolderKind, check_folder, whole_folder, write_file
from reidprep.poses.extract import ExtractOptions, extract_poses
from reidprep.preview.selection import Selection
from reidprep.preview.write import write_preview
from reidprep.shards.build import BuildOptions, build_shards
from reidprep.synth.dataset import generate

KIND = FolderKind("a thing", "thing", "thing.json", r"[ab]\.txt|folder")


class Ones:
    """An estimator that takes no time."""

    name = "ones"
    weights_sha256 = "0" * 64
    score_scale = "ones"
    confidence = 0.5
    device = "cpu"
    batch_size = 4
    options: Mapping[str, object] = {}

    def __call__(self, images, paths) -> np.ndarray:
        return np.ones((len(images), 18, 3), np.float32)


@dataclass(frozen=True)
class Writer:
    """What a command does: writes to a path the content of a number, over an earlier one if asked to, or always."""

    write: Callable[[Path, int, bool], object]
    resumes: bool = False
    replaces: bool = False
    is_file: bool = False


@pytest.fixture(params=["poses", "shards", "webdataset", "openpose", "coco", "synth", "preview"])
def writer(request: pytest.FixtureRequest, drawn: Path, drawn_poses: Path, drawn_shards: Path) -> Writer:
    split = ("query", "gallery")
    return {
        "poses": Writer(
            lambda out, n, overwrite: extract_poses(
                open_dataset(drawn), out, Ones(), ExtractOptions(rows_per_part=8 + n), overwrite=overwrite
            ),
            resumes=True,
        ),
        "shards": Writer(
            lambda out, n, overwrite: build_shards(
                drawn_poses, out, BuildOptions(samples_per_shard=8 + n), overwrite=overwrite
            ),
            resumes=True,
        ),
        "webdataset": Writer(
            lambda out, n, overwrite: export_webdataset(drawn_shards, out, samples_per_tar=8 + n, overwrite=overwrite),
            resumes=True,
        ),
        "openpose": Writer(
            lambda out, n, overwrite: export_openpose(drawn_poses, out, splits=split[n : n + 1], overwrite=overwrite)
        ),
        "coco": Writer(
            lambda out, n, overwrite: export_coco(drawn_poses, out, splits=split[n : n + 1], overwrite=overwrite),
            is_file=True,
        ),
        "synth": Writer(
            lambda out, n, overwrite: generate(
                out, identities=2, cameras=2, images_per_camera=2, seed=n, overwrite=overwrite
            )
        ),
        "preview": Writer(
            lambda out, n, overwrite: write_preview(drawn_shards, out, Selection(limit=1 + n)), replaces=True
        ),
    }[request.param]


def contents(path: Path) -> dict[str, bytes]:
    """Every file below a folder, of a file itself; of an empty folder its name."""
    if path.is_file():
        return {"": path.read_bytes(), **{e.name: b"" for e in path.parent.iterdir() if e.name.endswith(".tmp")}}
    return {
        str(entry.relative_to(path)): entry.read_bytes() if entry.is_file() else b""
        for entry in path.rglob("*")
        if entry.is_file() or not any(entry.iterdir())
    }


def some(changes: int) -> list[int]:
    """The first and the last of a number of steps, and some between."""
    return sorted({*range(min(3, changes)), *range(3, changes, 1 + changes // 3), *range(max(0, changes - 7), changes)})


@pytest.mark.parametrize("overwrite", [False, True], ids=["anew", "overwrite"])
def test_whatever_a_kill_leaves_is_replaced_by_the_same_command(
    writer: Writer, overwrite: bool, tmp_path: Path, killed
) -> None:
    writer.write(tmp_path / "undisturbed" / "out", 0, False)
    expected = contents(tmp_path / "undisturbed" / "out")

    def prepared(name: str) -> Path:
        out = tmp_path / name / "out"
        if overwrite:
            writer.write(out, 1, False)
        return out

    counted = prepared("counted")
    changes = killed.changes(lambda: writer.write(counted, 0, overwrite))
    for change in some(changes):
        out = prepared(str(change))
        assert killed.before(change, lambda out=out: writer.write(out, 0, overwrite))
        try:
            writer.write(out, 0, overwrite)
        except ReidError as error:  # killed when all was done
            assert "already; choose another" in str(error) and not overwrite
        assert contents(out) == expected, f"killed before change {change} of {changes}"


def test_what_is_not_ours_is_kept(writer: Writer, tmp_path: Path) -> None:
    for name in ("file", "folder/thesis.tex"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("years of work")
    wrong = "folder" if writer.is_file else "file"
    for overwrite in (False, True):
        with pytest.raises(ReidError, match=f"{wrong}: is a {wrong}; "):
            writer.write(tmp_path / wrong, 0, overwrite)
        with pytest.raises(ReidError, match="file: is a file; choose a folder|cannot be used as the output folder"):
            writer.write(tmp_path / "file" / "out", 0, overwrite)
        if not writer.is_file:
            with pytest.raises(ReidError, match=r"not empty and holds no .*\(found 'thesis\.tex'\); choose"):
                writer.write(tmp_path / "folder", 0, overwrite)
    assert contents(tmp_path) == {"file": b"years of work", "folder/thesis.tex": b"years of work"}


def test_what_is_finished_is_replaced_only_on_demand(writer: Writer, tmp_path: Path) -> None:
    out = tmp_path / "new" / "out"
    writer.write(out, 0, False)
    before = contents(out)
    if not writer.replaces:
        with pytest.raises(ReidError, match="--overwrite"):
            writer.write(out, 1, False)
    if not writer.is_file:
        (out / "notes.txt").write_text("mine")
        if writer.resumes:  # a folder that goes by a marker may hold more
            before["notes.txt"] = b"mine"
        else:
            (out / "notes.txt").unlink()
    assert contents(out) == before
    writer.write(out, 1, True)
    assert contents(out) != before


@pytest.mark.skipif(os.name != "posix", reason="other systems have other rights")
@pytest.mark.parametrize("overwrite", [False, True], ids=["again", "overwrite"])
def test_a_read_only_folder_is_a_plain_error_or_needs_no_change(
    writer: Writer, overwrite: bool, tmp_path: Path, ordinary_user: None
) -> None:
    out = tmp_path / "out" / "file" if writer.is_file else tmp_path / "out"
    writer.write(out, 0, False)
    before = contents(out)
    folders = [folder for folder in (tmp_path / "out", *(tmp_path / "out").rglob("*")) if folder.is_dir()]
    for folder in folders:
        folder.chmod(0o555)
    try:
        if writer.resumes and not overwrite:
            writer.write(out, 0, False)
        else:
            replaces = overwrite or writer.replaces
            with pytest.raises(ReidError, match="cannot be written" if replaces else "already; choose another"):
                writer.write(out, 1, overwrite)
        with pytest.raises(ReidError, match="cannot be"):
            writer.write(tmp_path / "out" / "new" / "out", 0, overwrite)
    finally:
        for folder in folders:
            folder.chmod(0o755)
    assert contents(out) == before


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
    from reidprep.files import claim_file

    for name in (".a.12.tmp", ".a.json.12.tmp", ".b.12.tmp"):
        put(tmp_path, name)
    claim_file(tmp_path / "a")
    write_file(tmp_path / "a", b"")
    assert set(contents(tmp_path)) == {"a", ".a.json.12.tmp", ".b.12.tmp"}
