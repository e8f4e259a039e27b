from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from reid_cli.reidtrain.main import main

torch = pytest.importorskip("torch", reason="the models need PyTorch: pip install 'reidprep[train]'")

from reidprep.shards.reader import ShardSet

MakeRun = Callable[..., Path]


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(main, list(map(str, arguments)))


@pytest.fixture
def features(drawn_shards: Path, tmp_path: Path) -> Path:
    """A file of features that tell everybody apart."""
    arrays: dict[str, np.ndarray] = {}
    for split in ("query", "gallery"):
        shards = ShardSet.open(drawn_shards, split)
        arrays |= {f"{split}_pids": shards.pids, f"{split}_camids": shards.camids}
        arrays[f"{split}_features"] = np.eye(16)[shards.pids % 16] + 0.01
    np.savez(tmp_path / "features.npz", **arrays)  # type: ignore[arg-type]
    return tmp_path / "features.npz"


def test_a_model_against_a_file_of_features(
    make_run: MakeRun, features: Path, drawn_shards: Path, tmp_path: Path
) -> None:
    run, out = make_run("run"), tmp_path / "out"
    result = invoke(
        *("rank", run, drawn_shards, out, "--against", features),
        *("--limit", 3, "--top", 5, "--per-sheet", 2, "--workers", 0, "--device", "cpu", "--json"),
    )
    assert result.exit_code == 0, result.output
    content = json.loads(result.stdout)
    lists = content.pop("queries")
    assert [(found["query"], found["model"]) for found in lists[::3]] == [(0, str(run)), (0, str(features))]
    assert lists[3]["found"][0]["verdict"] == "right"
    assert content == {
        "page": str(out / "index.html"),
        "sheets": [str(out / "sheet-001.png"), str(out / "sheet-002.png")],
        "shown": 3,
    }
    text = (out / "index.html").read_text(encoding="utf-8")
    assert text.count(f"<b>{run}</b>") == text.count(f"<b>{features}</b>") == 3
    assert text.count("AP 100.0%, first match at rank 1") >= 3


def test_names_are_printed_and_listed(features: Path, drawn_shards: Path, tmp_path: Path) -> None:
    arguments = ("rank", features, drawn_shards, tmp_path / "out", "--top", 3, "--list", tmp_path / "found.csv")
    result = invoke(*arguments)
    assert result.exit_code == 0, result.output
    first, second = result.stdout.splitlines()[:2]
    assert first.startswith("query 0: query/") and ", person 1, camera " in first
    assert second.split()[0] == "1" and "right  bounding_box_test/" in second
    rows = (tmp_path / "found.csv").read_text().splitlines()
    assert rows[0] == "query,query_path,query_pid,query_camera,rank,path,pid,camera,distance,verdict"
    assert len(rows) == 1 + 4 * 3 and ",right" in rows[1]
    assert "Cameras are ignored" not in (tmp_path / "out/index.html").read_text()
    result = invoke(*arguments, "--protocol", "no-cameras")
    assert result.exit_code == 0 and "Cameras are ignored" in (tmp_path / "out/index.html").read_text()


def test_crops_of_another_kind_for_the_other_model(
    features: Path, drawn_shards: Path, strips_shards: Path, tmp_path: Path
) -> None:
    result = invoke(
        *("rank", features, drawn_shards, tmp_path / "out", "--limit", 1),
        *("--against", features, "--against-shards", strips_shards),
    )
    assert result.exit_code == 0, result.output
    text = (tmp_path / "out" / "index.html").read_text(encoding="utf-8")
    assert f"<b>{features} on {drawn_shards}</b>" in text and f"<b>{features} on {strips_shards}</b>" in text


@pytest.mark.parametrize(
    ("options", "status", "message"),
    [
        (["--worst", "--seed", 1], 1, "not both"),
        (["--against-shards", "shards"], 2, "--against-shards needs --against"),
        (["--top", 0], 2, "--top"),
        (["--against", "nowhere.ckpt"], 1, "nowhere.ckpt does not exist"),
        (["--against", "nowhere.npz"], 1, "nowhere.npz: no such file"),
    ],
)
def test_wrong_use_of_rank(
    features: Path, drawn_shards: Path, tmp_path: Path, options: list, status: int, message: str
) -> None:
    result = invoke("rank", features, drawn_shards, tmp_path / "out", *options)
    assert result.exit_code == status and message in result.output
    assert not (tmp_path / "out").exists()


def test_former_names_of_options_still_work_and_say_the_new(features: Path, drawn_shards: Path, tmp_path: Path) -> None:
    result = invoke("rank", features, drawn_shards, tmp_path / "out", "--queries", 1, "--seed", 3)
    assert result.exit_code == 0 and "1 query on 1 sheet" in result.stdout, result.output
    assert result.stderr.startswith("--queries is called --limit now\n--seed is called --random now\n")
    assert "at random (seed 3)" in (tmp_path / "out/index.html").read_text()


def test_a_model_is_not_compared_with_itself(features: Path, drawn_shards: Path, tmp_path: Path) -> None:
    result = invoke("rank", features, drawn_shards, tmp_path / "out", "--against", features)
    assert result.exit_code == 1 and "compared with itself" in result.output


@pytest.mark.parametrize("change", ["query_pids", "gallery_camids"])
def test_features_of_other_images(features: Path, drawn_shards: Path, tmp_path: Path, change: str) -> None:
    with np.load(features) as content:
        arrays = dict(content)
    arrays[change] = arrays[change][::-1] + 1
    np.savez(features, **arrays)
    result = invoke("rank", features, drawn_shards, tmp_path / "out")
    assert result.exit_code == 1 and f"{change} are not those of the" in result.output


def test_shards_of_other_images(features: Path, drawn_shards: Path, crowd_shards: Path, tmp_path: Path) -> None:
    result = invoke(
        *("rank", features, drawn_shards, tmp_path / "out", "--against", features, "--against-shards", crowd_shards),
    )
    assert result.exit_code == 1 and "give shards of one dataset" in result.output


def test_a_folder_in_use_is_refused_before_anything_is_computed(drawn_shards: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("x")
    result = invoke("rank", tmp_path / "no-such-run", drawn_shards, tmp_path)
    assert result.exit_code == 1 and "choose an empty folder" in result.output


def test_attention_of_two_models(make_run: MakeRun, drawn_shards: Path, tmp_path: Path) -> None:
    one, other = (
        make_run(
            name, "attention-driven-market1501", "model.branches=[whole]", "model.attention=decomposed", f"seed={seed}"
        )
        for seed, name in enumerate(("one", "other"))
    )
    result = invoke(
        *("attention", one, drawn_shards, tmp_path / "out", "--against", other / "checkpoints" / "last.ckpt"),
        *("--limit", 2, "--split", "train", "--random", 0, "--device", "cpu"),
    )
    assert result.exit_code == 0, result.output
    assert result.stdout == f"2 samples on 1 sheet; open {tmp_path / 'out' / 'index.html'}\n"
    text = (tmp_path / "out" / "index.html").read_text(encoding="utf-8")
    assert all(text.count(f"<b>block {number}</b>") == 4 for number in (2, 3, 4)) and str(other) in text


def test_attention_on_crops_of_another_kind(make_run: MakeRun, strips_shards: Path, tmp_path: Path) -> None:
    result = invoke("attention", make_run("run"), strips_shards, tmp_path / "out")
    assert result.exit_code == 1 and "alignment strips" in result.output and not (tmp_path / "out").exists()


def test_a_network_without_attention(make_run: MakeRun, drawn_shards: Path, tmp_path: Path) -> None:
    run = make_run("run", "attention-driven-market1501", "model.attention=none")
    result = invoke("attention", run, drawn_shards, tmp_path / "out")
    assert result.exit_code == 1 and "no attention to show" in result.output


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there(make_run: MakeRun, drawn_shards: Path, tmp_path: Path) -> None:
    result = invoke("attention", make_run("run"), drawn_shards, tmp_path / "out", "--device", "cuda")
    assert result.exit_code == 1 and "PyTorch finds no GPU" in result.output
