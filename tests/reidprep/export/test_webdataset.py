from __future__ import annotations

import hashlib
import io
import json
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reidprep.alignment.align import Flag
from reidprep.errors import ReidError
from reidprep.export.webdataset import TARS, export_webdataset, sample_keys
from reidprep.shards.build import BuildOptions, build_shards
from reidprep.shards.reader import ShardSet
from reidprep.skeleton import JOINTS, PARTS
from reidprep.store.manifest import read_manifest
from reidprep.verify import verify

from .conftest import contents, run_export

PER_TAR = 3
VIEWS = ["whole", *PARTS, "image"]


def members(file: Path) -> dict[str, bytes]:
    """The members of a tar file in order, read as a stream."""
    with tarfile.open(fileobj=io.BytesIO(file.read_bytes()), mode="r|*") as archive:
        return {entry.name: archive.extractfile(entry).read() for entry in archive}  # type: ignore[union-attr]


def samples(file: Path) -> list[dict[str, bytes]]:
    """Samples as WebDataset makes them: neighbours that agree up to the first dot of the last component."""
    found: list[dict[str, bytes]] = []
    for name, data in members(file).items():
        folder, _, last = name.rpartition("/")
        key, kind = last.split(".", 1)
        if not found or found[-1]["key"] != f"{folder}/{key}":
            found.append({"key": f"{folder}/{key}"})  # type: ignore[dict-item]
        assert kind not in found[-1]
        found[-1][kind] = data
    return found


def tars(out: Path, split: str) -> list[Path]:
    return sorted(out.glob(f"{split}-*.tar"))


@pytest.fixture(scope="module")
def exported(drawn_shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All of the drawn shards. Read only."""
    out = tmp_path_factory.mktemp("webdataset") / "out"
    export_webdataset(drawn_shards, out, samples_per_tar=PER_TAR)
    return out


@pytest.mark.parametrize("split", ["train", "query", "gallery"])
def test_bytes_and_labels_are_those_of_the_shards(drawn_shards: Path, exported: Path, split: str) -> None:
    shards = ShardSet.open(drawn_shards, split)
    found = [sample for file in tars(exported, split) for sample in samples(file)]
    assert len(found) == len(shards)
    for index, sample in enumerate(found):
        expected = shards[index]
        for view, data in zip(VIEWS, shards.encoded(index), strict=True):
            assert sample[f"{view}.jpg"] == data.tobytes()
        labels = json.loads(sample["json"])
        assert set(sample) == {"key", "json", *(f"{view}.jpg" for view in VIEWS)}
        assert sample["key"] == expected.path.removesuffix(".jpg")
        for name in ("path", "pid", "camid", "sequence", "frame"):
            assert labels[name] == getattr(expected, name)
        assert labels["split"] == split
        assert labels["label"] == (shards.train_labels[expected.pid] if split == "train" else -1)
        for name in ("joints", "joints_filled", "residual"):
            np.testing.assert_array_equal(np.array(labels[name], np.float32), np.float32(getattr(expected, name)))
        np.testing.assert_array_equal(labels["filled"], expected.filled)
        assert list(labels["boxes"]) == ["whole", *PARTS]
        np.testing.assert_array_equal(np.array(list(labels["boxes"].values()), np.float32), expected.boxes)
        assert sum(Flag[name] for name in labels["flags"]) == expected.flags


def test_webdataset_reads_it(drawn_shards: Path, exported: Path) -> None:
    webdataset = pytest.importorskip("webdataset")
    shards = ShardSet.open(drawn_shards, "gallery")
    urls = [str(file) for file in tars(exported, "gallery")]
    found = list(webdataset.WebDataset(urls, shardshuffle=False).decode("rgb8"))
    assert len(found) == len(shards) == len({sample["__key__"] for sample in found})
    for index, sample in enumerate(found):
        assert sample["json"]["path"] == shards[index].path
        assert sample["whole.jpg"].shape == shards[index].whole.shape
        # Another JPEG decoder.
        assert np.abs(sample["whole.jpg"].astype(int) - shards[index].whole).mean() < 1


def test_the_manifest_tells_what_is_there(drawn_shards: Path, exported: Path) -> None:
    manifest = read_manifest(exported, TARS)
    shards = ShardSet.open(drawn_shards).manifest
    assert manifest.complete and (exported / manifest.source).resolve() == drawn_shards.resolve()
    assert {part.name for part in manifest.files} == {file.name for file in exported.glob("*.tar")}
    for part in manifest.files:
        data = (exported / part.name).read_bytes()
        assert part.sha256 == hashlib.sha256(data).hexdigest()
        assert part.rows == len(samples(exported / part.name)) <= PER_TAR
    assert manifest.rows == shards.rows and manifest.plan.members == (*(f"{view}.jpg" for view in VIEWS), "json")
    assert manifest.summary.images == shards.summary.images
    assert manifest.summary.train_labels == shards.summary.train_labels
    assert manifest.summary.joints == JOINTS
    assert manifest.plan.shards.stored_sizes == shards.plan.stored_sizes


def test_verify_checks_the_tar_files(exported: Path, tmp_path: Path) -> None:
    assert verify(exported) == []
    path = Path(shutil.copytree(exported, tmp_path / "out"))
    (path / "query-00000.tar").unlink()
    data = (path / "train-00000.tar").read_bytes()
    (path / "train-00000.tar").write_bytes(data[:1000] + bytes([data[1000] ^ 1]) + data[1001:])
    assert {(fault.file, fault.reason) for fault in verify(path)} == {
        ("query-00000.tar", "missing or unreadable"),
        ("train-00000.tar", "SHA-256 differs from the manifest"),
    }


def test_headers_tell_nothing_of_the_machine(exported: Path) -> None:
    with tarfile.open(tars(exported, "train")[0]) as archive:
        for entry in archive:
            assert (entry.mtime, entry.uid, entry.gid, entry.uname, entry.gname) == (0, 0, 0, "", "")
            assert entry.isreg() and entry.mode == 0o644


@pytest.mark.parametrize("encoding", ["raw", "jpeg"])
def test_without_the_plain_image(drawn_poses: Path, tmp_path: Path, encoding: str) -> None:
    options = BuildOptions(whole_size=(32, 16), part_size=(16, 24), scale="full", encoding=encoding)  # type: ignore[arg-type]
    build_shards(drawn_poses, tmp_path / "shards", options)
    export_webdataset(tmp_path / "shards", tmp_path / "out", splits=("query",))
    shards = ShardSet.open(tmp_path / "shards", "query")
    suffix = "npy" if encoding == "raw" else "jpg"
    (file,) = (tmp_path / "out").glob("*.tar")
    for index, sample in enumerate(samples(file)):
        assert set(sample) == {"key", "json", *(f"{view}.{suffix}" for view in VIEWS[:-1])}
        if encoding == "raw":
            crops = [np.load(io.BytesIO(sample[f"{view}.npy"])) for view in VIEWS[:-1]]
            np.testing.assert_array_equal(crops[0], shards[index].whole)
            np.testing.assert_array_equal(crops[1:], shards[index].parts)


NAMES = st.text(st.sampled_from("ab._~#é/1"), min_size=1, max_size=6).filter(
    lambda text: all(part not in ("", ".", "..") for part in text.split("/"))
)


@given(st.lists(NAMES, unique=True), st.lists(NAMES, unique=True))
def test_keys_are_unique_and_have_no_dot(train: list[str], query: list[str]) -> None:
    query = [path for path in query if path not in train]
    keys = sample_keys({"train": train, "query": query})
    every = [*keys["train"], *keys["query"]]
    assert [len(keys["train"]), len(keys["query"])] == [len(train), len(query)]
    assert not any("." in key.rpartition("/")[2] or key.startswith("__") for key in every)
    assert len(set(every)) == len(every)


@pytest.mark.parametrize(
    ("paths", "keys"),
    [
        (["a.jpg.jpg", "b.c/d.png"], ["a_jpg", "b.c/d"]),
        (["f/1.jpg#xywh=1,2,3,4", "f/1.jpg"], ["f/1#xywh=1,2,3,4", "f/1"]),
        (["__meta__/a.jpg"], ["-__meta__/a"]),
        (["a.jpg", "a.png", "b.jpg"], ["a~0", "a~1", "b~2"]),
    ],
)
def test_keys(paths: list[str], keys: list[str]) -> None:
    found = sample_keys({"train": paths[:2], "query": paths[2:]})
    assert found["train"] + found["query"] == keys


def test_a_long_name_that_is_not_ascii_survives(
    renamed: Callable[[list[str]], Path], tmp_path: Path, drawn: Path
) -> None:
    path = "ordner/" + "größe " * 20 + ".jpg"
    source = tmp_path / "source"
    shutil.copytree(drawn, source)
    first = min((source / "bounding_box_train").iterdir())
    (source / "ordner").mkdir()
    shutil.copy(first, source / path)
    build_shards(renamed([path]), tmp_path / "shards", source=source)
    export_webdataset(tmp_path / "shards", tmp_path / "out")
    (sample,) = samples(tmp_path / "out" / "train-00000.tar")
    assert sample["key"] == path.removesuffix(".jpg") and json.loads(sample["json"])["path"] == path


def test_another_run_gives_the_same_bytes_and_an_interrupted_one_goes_on(
    drawn_shards: Path, exported: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    status, _ = run_export(export_webdataset, drawn_shards, out, killed_at=2 * PER_TAR + 2, samples_per_tar=PER_TAR)
    assert status == -9
    whole = sorted(out.glob("*.tar"))
    assert [file.name for file in whole] == ["train-00000.tar", "train-00001.tar"]
    times = [file.stat().st_mtime_ns for file in whole]
    steps: list[int] = []
    export_webdataset(drawn_shards, out, samples_per_tar=PER_TAR, progress=lambda done, total: steps.append(done))
    assert steps[0] == 2 * PER_TAR and steps[-1] == len(ShardSet.open(drawn_shards))
    assert [file.stat().st_mtime_ns for file in whole] == times
    found, expected = contents(out), contents(exported)
    assert found.keys() == expected.keys()
    for name in found.keys() - {"manifest.json"}:
        assert found[name] == expected[name]


def test_a_full_disk_is_a_plain_error_and_a_rerun_goes_on(drawn_shards: Path, exported: Path, tmp_path: Path) -> None:
    largest = max(file.stat().st_size for file in exported.glob("*.tar"))
    status, errors = run_export(
        export_webdataset, drawn_shards, tmp_path / "out", limit=largest - 1, samples_per_tar=PER_TAR
    )
    assert status == 1 and ".tar: cannot be written" in errors and "Traceback" not in errors
    assert not list((tmp_path / "out").glob(".*.tmp"))
    export_webdataset(drawn_shards, tmp_path / "out", samples_per_tar=PER_TAR)
    assert {name for name in contents(tmp_path / "out")} == {name for name in contents(exported)}


@pytest.mark.parametrize("damage", ["missing", "label", "image"])
def test_damaged_shards_are_refused(drawn_shards: Path, tmp_path: Path, damage: str) -> None:
    path = Path(shutil.copytree(drawn_shards, tmp_path / "shards"))
    file = path / "gallery-00000.h5"
    data = file.read_bytes()
    if damage == "missing":
        file.unlink()
    else:
        shards = ShardSet.open(path, "gallery")
        marker = shards.encoded(1)[0].tobytes() if damage == "image" else shards.pids[:3].tobytes()
        start = data.index(marker) + len(marker) - 8
        file.write_bytes(data[:start] + bytes([data[start] ^ 1]) + data[start + 1 :])
    with pytest.raises(ReidError, match=r"gallery-00000\.h5: (the file is missing|is damaged or was changed)"):
        export_webdataset(path, tmp_path / "out")
    assert not list((tmp_path / "out").glob("*.tar"))


def test_other_parameters_are_refused_and_overwritten_on_demand(drawn_shards: Path, tmp_path: Path) -> None:
    export_webdataset(drawn_shards, tmp_path / "out", splits=("query",), samples_per_tar=1)
    before = contents(tmp_path / "out")
    with pytest.raises(ReidError, match=r"--samples-per-tar 1 -> 5"):
        export_webdataset(drawn_shards, tmp_path / "out", splits=("query",), samples_per_tar=5)
    assert contents(tmp_path / "out") == before
    export_webdataset(drawn_shards, tmp_path / "out", splits=("query",), samples_per_tar=5, overwrite=True)
    assert [file.name for file in tars(tmp_path / "out", "*")] == ["query-00000.tar"]


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_folder_with_other_files_is_refused(drawn_shards: Path, tmp_path: Path, overwrite: bool) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(ReidError, match=r"not empty.*thesis\.tex"):
        export_webdataset(drawn_shards, tmp_path, overwrite=overwrite)
    assert contents(tmp_path) == {"thesis.tex": b"years of work"}


def test_the_shards_themselves_are_not_overwritten(drawn_shards: Path, tmp_path: Path) -> None:
    path = Path(shutil.copytree(drawn_shards, tmp_path / "shards"))
    before = contents(path)
    with pytest.raises(ReidError, match=r"holds 'reidprep\.shards', not 'reidprep\.webdataset'"):
        export_webdataset(path, path, overwrite=True)
    assert contents(path) == before
