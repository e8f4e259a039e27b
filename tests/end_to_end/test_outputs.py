"""Whatever a command finds where it is to write: one behaviour, whoever writes."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from reidprep.datasets.registry import open_dataset
from reidprep.errors import ReidError
from reidprep.estimators.base import PoseEstimator
from reidprep.export.coco import export_coco
from reidprep.export.openpose import export_openpose
from reidprep.export.webdataset import export_webdataset
from reidprep.files import write_file
from reidprep.poses.extract import ExtractOptions, extract_poses
from reidprep.preview.selection import Selection
from reidprep.preview.write import write_preview
from reidprep.shards.build import BuildOptions, build_shards
from reidprep.synth import dataset
from reidprep.synth.dataset import generate

if TYPE_CHECKING:
    from reidtrain.recipes.schema import Recipe


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
    suffix: str = ""


WRITERS = ("poses", "shards", "webdataset", "openpose", "coco", "synth", "preview", "run", "npz", "features", "index")


FEW = ExtractOptions(splits=("train", "query"), limit=2)
SMALL = BuildOptions(whole_size=(48, 24), part_size=(16, 24), samples_per_shard=2)
"""Writing is what counts here, not what is written."""


@pytest.fixture(scope="session")
def few_poses(
    drawn: Path, estimator: PoseEstimator, made_once: Callable[[str, Callable[[Path], object]], Path]
) -> Path:
    """Poses of two images of each of two splits. Read only."""
    return made_once("few", lambda folder: extract_poses(open_dataset(drawn), folder / "p", estimator, FEW)) / "p"


@pytest.fixture(scope="session")
def small_shards(few_poses: Path, made_once: Callable[[str, Callable[[Path], object]], Path]) -> Path:
    """Shards of them with small crops. Read only."""
    return made_once("small-shards", lambda folder: build_shards(few_poses, folder / "shards", SMALL)) / "shards"


prepare = dataset._Job.prepare


@cache
def drawn_once(parameters: dataset.Parameters, pid: int) -> list[tuple[object, ...]]:
    """The files of a person."""
    return prepare(dataset._Job(parameters, Path()))(pid)


@pytest.fixture(params=WRITERS)
def writer(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Writer:
    if request.param in ("run", "npz", "features", "index"):
        pytest.importorskip("torch")
        if request.param == "index":
            pytest.importorskip("faiss", reason="needs faiss: pip install 'reidprep[faiss]'")
        monkeypatch.setattr("time.strftime", lambda *_: "1970-01-01T00:00:00Z")
        return training_writers(request.getfixturevalue("tiny"))[request.param]
    # Drawing takes most of the time, and the same numbers give the same images.
    monkeypatch.setattr(dataset._Job, "prepare", lambda job: partial(drawn_once, job.parameters))
    return dataset_writers(*(request.getfixturevalue(name) for name in ("drawn", "few_poses", "small_shards")))[
        request.param
    ]


def training_writers(tiny: Callable[..., Recipe]) -> dict[str, Writer]:
    from reidtrain.features.files import Features, open_output
    from reidtrain.retrieval.index import build_index
    from reidtrain.training.run_folder import RunFolder

    def run(out: Path, n: int, overwrite: bool) -> None:
        with RunFolder(out, tiny(seed=n), {"path": "shards"}, None, overwrite) as folder:
            if folder.about.get("status") != "finished":
                folder.begin()
                write_file(out / "checkpoints" / "last.ckpt", bytes(n + 1))
                folder.write_metrics([{"epoch": 1, "loss": n}])
                folder.write(status="finished")

    def features(out: Path, n: int, overwrite: bool) -> None:
        with open_output(out, overwrite) as output:
            labels = np.arange(6, dtype=np.int64)
            some = Features({"embedding": np.full((6, 2), n, np.float32)}, labels, labels, labels.astype(np.str_))
            output.write(some, "", 6)
            output.finish({"schema": "reidtrain.features"})

    def index(out: Path, n: int, overwrite: bool) -> None:
        rows = np.random.default_rng(n).normal(size=(50, 4)).astype(np.float32)
        build_index([rows], out, kind="hnsw", overwrite=overwrite)

    return {
        "run": Writer(run, resumes=True),
        "npz": Writer(features, is_file=True, suffix=".npz"),
        "features": Writer(features),
        "index": Writer(index),
    }


def dataset_writers(drawn: Path, few_poses: Path, small_shards: Path) -> dict[str, Writer]:
    split = ("query", "train")
    return {
        "poses": Writer(
            lambda out, n, overwrite: extract_poses(
                open_dataset(drawn), out, Ones(), replace(FEW, rows_per_part=2 + n), overwrite=overwrite
            ),
            resumes=True,
        ),
        "shards": Writer(
            lambda out, n, overwrite: build_shards(
                few_poses, out, replace(SMALL, samples_per_shard=2 + n), overwrite=overwrite
            ),
            resumes=True,
        ),
        "webdataset": Writer(
            lambda out, n, overwrite: export_webdataset(small_shards, out, samples_per_tar=2 + n, overwrite=overwrite),
            resumes=True,
        ),
        "openpose": Writer(
            lambda out, n, overwrite: export_openpose(few_poses, out, splits=split[n : n + 1], overwrite=overwrite)
        ),
        "coco": Writer(
            lambda out, n, overwrite: export_coco(few_poses, out, splits=split[n : n + 1], overwrite=overwrite),
            is_file=True,
        ),
        "synth": Writer(
            lambda out, n, overwrite: generate(
                out, identities=2, cameras=2, images_per_camera=2, seed=n, overwrite=overwrite
            )
        ),
        "preview": Writer(
            lambda out, n, overwrite: write_preview(small_shards, out, Selection(limit=1 + n)), replaces=True
        ),
    }


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
    return sorted({0, min(1, changes - 1), changes // 2, *range(max(0, changes - 4), changes)})


@pytest.mark.parametrize("overwrite", [False, True], ids=["anew", "overwrite"])
def test_whatever_a_kill_leaves_is_replaced_by_the_same_command(
    writer: Writer, overwrite: bool, tmp_path: Path, killed
) -> None:
    (tmp_path / "before").mkdir()
    if overwrite:
        writer.write(tmp_path / "before" / f"out{writer.suffix}", 1, False)

    def prepared(name: str) -> Path:
        return shutil.copytree(tmp_path / "before", tmp_path / name) / f"out{writer.suffix}"

    undisturbed = tmp_path / "undisturbed" / f"out{writer.suffix}"
    writer.write(undisturbed, 0, False)
    counted = prepared("counted")
    changes = killed.changes(lambda: writer.write(counted, 0, overwrite))
    for change in some(changes):
        out = prepared(str(change))
        assert killed.before(change, lambda out=out: writer.write(out, 0, overwrite))
        try:
            writer.write(out, 0, overwrite)
        except ReidError as error:  # killed when all was done
            assert "already; choose another" in str(error) and not overwrite
        assert contents(out) == contents(undisturbed), f"killed before change {change} of {changes}"


def test_what_is_not_ours_is_kept(writer: Writer, tmp_path: Path) -> None:
    file, folder = (tmp_path / f"{what}{writer.suffix}" for what in ("file", "folder"))
    folder.mkdir()
    for mine in (file, folder / "thesis.tex"):
        mine.write_text("years of work")
    before = contents(tmp_path)
    for overwrite in (False, True):
        with pytest.raises(ReidError, match="is a folder; " if writer.is_file else "is a file; "):
            writer.write(folder if writer.is_file else file, 0, overwrite)
        with pytest.raises(ReidError, match="is a file; choose a folder|cannot be used as the output folder"):
            writer.write(file / f"out{writer.suffix}", 0, overwrite)
        if not writer.is_file:
            with pytest.raises(ReidError, match=r"not empty and holds no .*\(found 'thesis\.tex'\); choose"):
                writer.write(folder, 0, overwrite)
    assert contents(tmp_path) == before


def test_what_is_finished_is_replaced_only_on_demand(writer: Writer, tmp_path: Path) -> None:
    out = tmp_path / "new" / f"out{writer.suffix}"
    writer.write(out, 0, False)
    before = contents(out)
    if not writer.replaces:
        with pytest.raises(ReidError, match="--overwrite"):
            writer.write(out, 1, False)
    assert contents(out) == before
    writer.write(out, 1, True)
    assert contents(out) != before


@pytest.mark.skipif(os.name != "posix", reason="other systems have other rights")
@pytest.mark.parametrize("overwrite", [False, True], ids=["again", "overwrite"])
def test_a_read_only_folder_is_a_plain_error_or_needs_no_change(
    writer: Writer, overwrite: bool, tmp_path: Path, ordinary_user: None
) -> None:
    top = tmp_path / "top"
    out = top / f"out{writer.suffix}" if writer.is_file else top
    writer.write(out, 0, False)
    before = contents(out)
    folders = [folder for folder in (top, *top.rglob("*")) if folder.is_dir()]
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
            writer.write(top / "new" / f"out{writer.suffix}", 0, overwrite)
    finally:
        for folder in folders:
            folder.chmod(0o755)
    assert contents(out) == before
