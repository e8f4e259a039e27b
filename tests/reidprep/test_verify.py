import errno
import json
import os
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest

from reidprep.errors import ReidError
from reidprep.poses.format import POSES
from reidprep.shards.build import build_shards
from reidprep.shards.format import SHARDS
from reidprep.store.manifest import MANIFEST, read_manifest
from reidprep.verify import Fault, verify


@pytest.fixture
def shards(drawn_shards: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(drawn_shards, tmp_path / "shards"))


@pytest.fixture
def poses(drawn_poses: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(drawn_poses, tmp_path / "poses"))


def test_nothing_to_complain_about(shards: Path, poses: Path) -> None:
    seen: list[tuple[int, int]] = []
    assert verify(shards, workers=2, progress=lambda *call: seen.append(call)) == []
    assert seen[-1][0] == seen[-1][1] > 0
    assert verify(poses) == []


def test_a_flipped_bit_is_traced_to_its_row(shards: Path) -> None:
    name = "train-00000.h5"
    with h5py.File(shards / name) as file:
        start = file["images"].id.get_offset() + int(file["offsets"][6 * 5])  # six images a sample: row 5
    data = bytearray((shards / name).read_bytes())
    data[start + 500] ^= 4
    (shards / name).write_bytes(bytes(data))
    faults = verify(shards)
    assert faults[0] == Fault(name, None, "SHA-256 differs from the manifest")
    assert [(fault.file, fault.row) for fault in faults[1:]] == [(name, 5)]
    assert "checksum" in faults[1].reason and str(faults[1]).startswith(f"{name}: row 5: ")


def test_an_image_that_does_not_decode_is_found_even_with_a_right_checksum(shards: Path) -> None:
    import zlib

    name = "train-00000.h5"
    with h5py.File(shards / name, "r+") as file:
        offsets = file["offsets"][:].astype(int)
        file["images"][offsets[6] : offsets[7]] = 0
        file["crc32"][1] = zlib.crc32(file["images"][offsets[6] : offsets[12]])
    faults = verify(shards)
    assert [(fault.row, fault.reason) for fault in faults if fault.row is not None] == [
        (1, "the bytes are not a JPEG image")
    ]


@pytest.mark.parametrize("damage", ["missing", "empty", "truncated", "other"])
def test_damaged_files_are_named(shards: Path, damage: str) -> None:
    file = shards / "query-00000.h5"
    if damage == "missing":
        file.unlink()
    elif damage == "empty":
        file.write_bytes(b"")
    elif damage == "truncated":
        file.write_bytes(file.read_bytes()[:-3000])
    else:
        shutil.copy(shards / "train-00000.h5", file)
    faults = verify(shards)
    assert faults and {fault.file for fault in faults} == {"query-00000.h5"}


def test_columns_with_impossible_values(shards: Path) -> None:
    with h5py.File(shards / "train-00000.h5", "r+") as file:
        file["boxes"][2, 1] = (5, 5, 5, 9)
        file["joints_filled"][3, 0, 0] = float("nan")
    rows = {(fault.row, fault.reason) for fault in verify(shards) if fault.row is not None}
    assert rows == {(2, "a box is empty"), (3, "joints_filled holds values that are not finite")}


@pytest.mark.parametrize("kind", ["poses", "shards"])
def test_any_byte_of_a_manifest_that_changes_is_found(
    kind: str, drawn_poses: Path, drawn_shards: Path, tmp_path: Path
) -> None:
    directory = Path(shutil.copytree({"poses": drawn_poses, "shards": drawn_shards}[kind], tmp_path / "d"))
    whole = (directory / MANIFEST).read_bytes()
    rng = np.random.default_rng(0)
    for place in (*rng.integers(len(whole), size=60), *range(len(whole) - 90, len(whole))):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << int(rng.integers(8))
        (directory / MANIFEST).write_bytes(damaged)
        with pytest.raises(ReidError):
            read_manifest(directory, POSES, SHARDS)


@pytest.mark.parametrize("kind", ["poses", "shards"])
def test_images_that_were_changed_are_found_where_the_images_are(
    kind: str, drawn: Path, drawn_poses: Path, drawn_shards: Path, tmp_path: Path
) -> None:
    directory = {"poses": drawn_poses, "shards": drawn_shards}[kind]
    source = Path(shutil.copytree(drawn, tmp_path / "images"))
    assert verify(directory, source=source) == []
    one, other, *_ = sorted((source / "query").iterdir())
    shutil.copy(other, one)
    [fault] = verify(directory, source=source)
    assert "was changed since" in fault.reason


def test_a_file_that_cannot_be_opened_for_others_that_are_is_no_damage(
    shards: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> int:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(ReidError, match="too many files are open in this process; allow more"):
        verify(shards)


def test_strangers_and_unfinished_work(shards: Path) -> None:
    (shards / "copy of train-00000.h5").write_bytes(b"")
    content = json.loads((shards / MANIFEST).read_text())
    content.pop("sha256", None)
    content["complete"] = False
    (shards / MANIFEST).write_text(json.dumps(content))
    reasons = [fault.reason for fault in verify(shards)]
    assert reasons == ["not complete; run the command again to finish", "is not in the manifest"]


def test_a_shard_without_rows_is_no_fault(drawn: Path, drawn_poses: Path, tmp_path: Path) -> None:
    source = Path(shutil.copytree(drawn, tmp_path / "images"))
    for image in (source / "query").iterdir():
        image.unlink()
    manifest = build_shards(drawn_poses, tmp_path / "out", source=source)
    assert [part.rows for part in manifest.files if part.name.startswith("query")] == [0]
    assert verify(tmp_path / "out") == []


def test_a_pose_file_with_a_wrong_column(poses: Path) -> None:
    name = next(poses.glob("part-*.h5")).name
    with h5py.File(poses / name, "r+") as file:
        rows = len(file["pids"])
        del file["joints"]
        file["joints"] = [[0.0, 1.0]] * rows
    assert any("column joints" in fault.reason for fault in verify(poses))


def test_a_manifest_from_another_version_is_an_error(shards: Path) -> None:
    content = json.loads((shards / MANIFEST).read_text())
    content.pop("sha256", None)
    content["version"] = 7
    (shards / MANIFEST).write_text(json.dumps(content))
    with pytest.raises(ReidError, match="version 7 .* is not known"):
        verify(shards)
