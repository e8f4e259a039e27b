from __future__ import annotations

import json
import resource
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
from click.testing import CliRunner, Result
from reid_cli.reidtrain.main import main

torch = pytest.importorskip("torch", reason="the models need PyTorch: pip install 'reidprep[train]'")

from reidprep.shards.reader import ShardSet
from reidtrain.checkpoints import load_checkpoint
from reidtrain.data.dataset import ShardDataset, collate
from reidtrain.features import extract as extract_features
from reidtrain.features import extractor as extraction
from reidtrain.features.extractor import named_features

FEATURES = ("features", "whole", "head", "lower_leg", "fused")
LABELS = ("pids", "camids", "paths")
SMALLEST = ("attention-driven-market1501", "model.branches=[head]")
"""A network for tests of what is the same for all."""
HERE = ("--workers", 0, "--device", "cpu", "--batch-size", 3)


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["extract-features", *map(str, arguments)])


def succeed(*arguments: object) -> dict[str, object]:
    result = invoke(*arguments, *HERE, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def fail(*arguments: object) -> str:
    result = invoke(*arguments, *HERE)
    assert result.exit_code == 1 and result.output.startswith("Error: ") and "Traceback" not in result.output
    return result.output


ALONE: dict[tuple[int, Path, bool], dict[str, dict[str, np.ndarray]]] = {}
"""Features of images by their paths, by the file of the network, to which runs are links, shards and mirroring."""


def expected(run: Path, shards: ShardSet, mirrored: bool = False) -> dict[str, np.ndarray]:
    """Features one image at a time."""
    known = ALONE.setdefault(((run / "checkpoints" / "last.ckpt").stat().st_ino, shards.path, mirrored), {})
    paths = shards.column("paths").tolist()
    if not known.keys() >= set(paths):
        checkpoint = load_checkpoint(run)
        model, preprocess = checkpoint.model(), checkpoint.preprocessor()
        dataset = ShardDataset(shards, model.views)
        for index, path in enumerate(paths):
            batch = preprocess(collate([dataset[index]]))
            views = {view: getattr(batch, view) for view in model.views}
            if mirrored:
                views = {view: torch.flip(images, [-1]) for view, images in views.items()}
            with torch.no_grad():
                known[path] = {
                    "features" if name == "embedding" else name: value[0].numpy()
                    for name, value in named_features(model(**views)).items()
                }
    return {name: np.stack([known[path][name] for path in paths]) for name in known[paths[0]]}


def read(path: Path) -> dict[str, np.ndarray]:
    """All arrays of a file or folder."""
    if path.is_dir():
        return {file.stem: np.load(file, mmap_mode="r") for file in path.glob("*.npy")}
    with np.load(path, allow_pickle=False) as content:
        return {name: content[name] for name in content.files if name != "about"}


def same(ours: dict[str, np.ndarray], theirs: dict[str, np.ndarray]) -> None:
    assert ours.keys() == theirs.keys()
    for name, values in ours.items():
        assert values.dtype == theirs[name].dtype
        np.testing.assert_array_equal(values, theirs[name])


def close(ours: np.ndarray, theirs: np.ndarray) -> None:
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5 * np.abs(theirs).max())


def test_query_and_gallery(make_run, drawn_shards, tmp_path) -> None:
    run, out = make_run("run"), tmp_path / "new" / "features.npz"
    about = succeed(run, drawn_shards, out)
    arrays = read(out)
    assert set(arrays) == {f"{split}_{name}" for split in ("query", "gallery") for name in (*FEATURES, *LABELS)}
    for split in ("query", "gallery"):
        shards = ShardSet.open(drawn_shards, split)
        for name, values in expected(run, shards).items():
            assert arrays[f"{split}_{name}"].dtype == np.float32
            close(arrays[f"{split}_{name}"], values)
        for name in LABELS:
            np.testing.assert_array_equal(arrays[f"{split}_{name}"], shards.column(name))
        assert arrays[f"{split}_paths"].dtype.kind == "U"
    assert about["dimensions"] == {
        "embedding" if name == "features" else name: arrays[f"query_{name}"].shape[1] for name in FEATURES
    }
    assert (about["images"], about["samples"], about["flip"], about["precision"]) == ("test", 14, False, "float32")
    with np.load(out) as content:
        assert {"out": str(out), **json.loads(str(content["about"]))} == about


def test_others_read_the_file(make_run, drawn_shards, tmp_path) -> None:
    run, out = make_run("run", *SMALLEST), tmp_path / "features.npz"
    succeed(run, drawn_shards, out)
    result = CliRunner().invoke(main, ["score", str(out), "--protocol", "market1501", "--json"])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["queries"] == 4
    command = ["rank", str(out), str(drawn_shards), str(tmp_path / "lists"), "--queries", "1", "--top", "3"]
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize(
    ("split", "network", "features"),
    [
        ("all", "attention-driven", FEATURES),
        ("train", "attention-driven", FEATURES),
        ("gallery", "attention-driven", FEATURES),
        ("query", "self-attention", FEATURES[:1]),
    ],
)
def test_one_split(split, network, features, make_run, drawn_shards, tmp_path) -> None:
    run, out = make_run("run", f"{network}-market1501"), tmp_path / "features.npz"
    succeed(run, drawn_shards, out, "--split", split)
    arrays = read(out)
    shards = ShardSet.open(drawn_shards, None if split == "all" else split)
    assert set(arrays) == {*features, *LABELS}
    close(arrays["features"], expected(run, shards)["features"])
    np.testing.assert_array_equal(arrays["paths"], shards.column("paths"))


def test_a_folder_holds_the_same_and_is_written_in_blocks(make_run, drawn_shards, tmp_path, monkeypatch) -> None:
    run = make_run("run", *SMALLEST)
    about = succeed(run, drawn_shards, tmp_path / "features.npz")
    monkeypatch.setattr(extract_features, "ROWS_AT_ONCE", 6)  # two batches
    monkeypatch.setattr(extract_features.Extractor, "__call__", _counted := counted(extract_features.Extractor))
    again = succeed(run, drawn_shards, tmp_path / "folder")
    assert _counted.calls == 1 + 2, "blocks of 4 queries and of 10 gallery images"
    assert about | {"out": again["out"]} == again
    same(read(tmp_path / "folder"), read(tmp_path / "features.npz"))
    kept = json.loads((tmp_path / "folder" / "features.json").read_text())
    assert kept | {"out": again["out"]} == again


def counted(kind: type):
    original = kind.__call__

    def call(*arguments: object):
        call.calls += 1
        return original(*arguments)

    call.calls = 0
    return call


def test_features_of_branches_are_of_length_one(make_run, drawn_shards, tmp_path) -> None:
    """As in the embedding: a fused feature that grows with its parts' weights is not ranked by them."""
    out = tmp_path / "features.npz"
    succeed(make_run("run"), drawn_shards, out, "--split", "query")
    for name, values in read(out).items():
        if name in FEATURES:
            np.testing.assert_allclose(np.linalg.norm(values, axis=1), 2**0.5 if name == "features" else 1, rtol=1e-5)


def test_flip_averages_with_the_mirror_image(make_run, drawn_shards, tmp_path) -> None:
    run, out = make_run("run"), tmp_path / "features.npz"
    assert succeed(run, drawn_shards, out, "--split", "query", "--flip")["flip"] is True
    shards = ShardSet.open(drawn_shards, "query")
    plain, mirrored = expected(run, shards), expected(run, shards, mirrored=True)
    for name, values in plain.items():
        assert not np.allclose(values, mirrored[name], rtol=1e-3)
        mean = (values + mirrored[name]) / 2
        # The whole body and the fused part have length 1 each, in the embedding as well.
        halves = np.split(mean, [256], axis=1) if name == "features" else [mean]
        close(
            read(out)[name], np.concatenate([half / np.linalg.norm(half, axis=1, keepdims=True) for half in halves], 1)
        )


def test_precision_of_the_recipe_unless_asked_otherwise(make_run, drawn_shards, tmp_path) -> None:
    run = make_run("run", *SMALLEST, "execution.precision=bf16")
    outs = {name: tmp_path / f"{name}.npz" for name in ("recipe", "float32")}
    query = (run, drawn_shards, "--split", "query")
    assert succeed(*query, outs["recipe"])["precision"] == "bf16"
    assert succeed(*query, outs["float32"], "--precision", "float32")["precision"] == "float32"
    low, high = (read(out)["features"] for out in outs.values())
    assert 0 < np.abs(low - high).max() < 0.05 * np.abs(high).max()


def test_which_checkpoint(make_run, drawn_shards, tmp_path) -> None:
    run = make_run("run", *SMALLEST)
    make_run("run", *SMALLEST, "seed=1", which="best")
    for which in ("last", "best"):
        succeed(run, drawn_shards, tmp_path / f"{which}.npz", "--which", which, "--split", "query")
        file = run / "checkpoints" / f"{which}.ckpt"
        about = succeed(file, drawn_shards, tmp_path / f"{which}-file.npz", "--split", "query")
        assert about["checkpoint"] == str(file)
        same(read(tmp_path / f"{which}.npz"), read(tmp_path / f"{which}-file.npz"))
    assert not np.array_equal(read(tmp_path / "last.npz")["features"], read(tmp_path / "best.npz")["features"])


@pytest.mark.parametrize("name", ["features.npz", "folder"])
def test_what_is_there_is_replaced_only_on_request(name, make_run, drawn_shards, tmp_path, monkeypatch) -> None:
    run, out = make_run("run", *SMALLEST), tmp_path / name
    succeed(run, drawn_shards, out)
    before = {key: np.array(values) for key, values in read(out).items()}
    assert "--overwrite" in fail(run, drawn_shards, out, "--split", "query")

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(extract_features.Extractor, "__call__", interrupt)
        assert invoke(run, drawn_shards, out, "--split", "query", "--overwrite", *HERE).exit_code != 0
    same(read(out), before)
    succeed(run, drawn_shards, out, "--split", "query", "--overwrite")
    assert set(read(out)) == {name.removeprefix("query_") for name in before if name.startswith("query_")}
    np.testing.assert_array_equal(read(out)["features"], before["query_features"])


def test_an_interrupted_folder_is_begun_anew(make_run, drawn_shards, tmp_path) -> None:
    out = tmp_path / "folder"
    out.mkdir()
    (out / ".features.npy.123.tmp").write_bytes(b"left by a kill")
    succeed(make_run("run"), drawn_shards, out, "--split", "query")
    assert {file.name for file in out.iterdir()} == {"features.json", *(f"{name}.npy" for name in FEATURES + LABELS)}


def test_a_full_disk_leaves_nothing(make_run, drawn_shards, tmp_path) -> None:
    run = make_run("run", *SMALLEST)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    for name in ("features.npz", "folder"):
        resource.setrlimit(resource.RLIMIT_FSIZE, (3000, hard))
        try:
            message = fail(run, drawn_shards, tmp_path / name)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert "cannot be written" in message and "make room" in message
    assert not (tmp_path / "features.npz").exists() and not (tmp_path / "folder").exists()
    assert not list(tmp_path.glob(".*.tmp"))


@pytest.mark.parametrize(
    ("out", "message"),
    [
        ("thesis", "holds no features and no features.json (found 'thesis.tex'); choose an empty folder"),
        ("file", "is a file"),
        ("folder.npz", "is a folder"),
        ("file/features.npz", "is a file; choose a folder"),
    ],
)
def test_something_else_in_the_way(out, message, make_run, drawn_shards, tmp_path) -> None:
    for folder in ("thesis", "folder.npz"):
        (tmp_path / folder).mkdir()
    (tmp_path / "thesis" / "thesis.tex").write_text("x")
    (tmp_path / "file").write_text("x")
    assert message in fail(make_run("run", *SMALLEST), drawn_shards, tmp_path / out, "--overwrite")
    assert (tmp_path / "thesis" / "thesis.tex").exists() and (tmp_path / "file").read_text() == "x"


def test_shards_that_do_not_serve_the_network(make_run, strips_shards, plain_shards, drawn_shards, tmp_path) -> None:
    assert "alignment strips" in fail(make_run("run", *SMALLEST), strips_shards, tmp_path / "out.npz")
    run = make_run("other", "self-attention-market1501")
    assert "--with-image" in fail(run, plain_shards, tmp_path / "out.npz")
    without_query(drawn_shards, tmp_path / "trained")
    assert "no sample in the query split" in fail(run, tmp_path / "trained", tmp_path / "out.npz")
    assert not (tmp_path / "out.npz").exists()


def without_query(shards: Path, copy: Path) -> None:
    shutil.copytree(shards, copy)
    manifest = json.loads((copy / "manifest.json").read_text(encoding="utf-8"))
    manifest.pop("sha256", None)
    manifest["parts"] = [part for part in manifest["parts"] if not part["name"].startswith("query")]
    (copy / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")


@pytest.mark.parametrize("workers", [0, 1])
def test_a_damaged_sample_is_named(workers, make_run, drawn_shards, tmp_path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(drawn_shards, copy)
    with h5py.File(copy / "query-00000.h5", "r+") as file:
        file["crc32"][2] = 0
    result = invoke(make_run("run", *SMALLEST), copy, tmp_path / "out.npz", *HERE, "--workers", workers)
    assert result.exit_code == 1 and "Traceback" not in result.output
    assert f"Error: {copy / 'query-00000.h5'}: row 2: " in result.output


def test_what_to_do_without_memory(make_run, drawn_shards, tmp_path, monkeypatch) -> None:
    def exhaust(*_: object, **__: object) -> None:
        raise RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory")

    monkeypatch.setattr(extraction, "compute_features", exhaust)
    assert "out of memory: lower --batch-size (now 3)" in fail(
        make_run("run", *SMALLEST), drawn_shards, tmp_path / "out.npz"
    )


def test_no_checkpoint(make_run, drawn_shards, tmp_path) -> None:
    assert "no checkpoints/best.ckpt here" in fail(
        make_run("run", *SMALLEST), drawn_shards, tmp_path / "out.npz", "--which", "best"
    )
    assert "does not exist" in fail(tmp_path / "none.ckpt", drawn_shards, tmp_path / "out.npz")
