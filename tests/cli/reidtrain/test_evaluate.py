from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from reid_cli.reidtrain.main import main

torch = pytest.importorskip("torch", reason="the models need PyTorch: pip install 'reidprep[train]'")

from reidprep.shards.build import BuildOptions, build_shards
from reidprep.shards.reader import ShardSet
from reidtrain.checkpoints import load_checkpoint
from reidtrain.features.extractor import Extractor, compute, compute_features
from reidtrain.features.files import Features
from reidtrain.metrics.ranking import evaluate_features
from reidtrain.metrics.reranking import Reranking
from reidtrain.metrics.scores import RankingMetrics
from reidtrain.papers.rows import BENCHMARKS, Benchmark
from reidtrain.plots.curves import draw_cmc
from reidtrain.recipes.loading import load_recipe
from reidtrain.training.tasks import identities_task

FEATURES = ["whole", "head", "lower_leg", "fused", "embedding"]
METRICS = ["rank1", "rank5", "rank10", "rank20", "mAP", "mINP"]
HERE = ("--workers", 0, "--device", "cpu")
ALIGNED = ("attention-driven-market1501", "model.branches=[whole,head,upper_body,upper_leg,lower_leg]")
"""A network that the papers have figures of."""
SMALLEST = ("attention-driven-market1501", "model.branches=[head]")
"""A network for tests of what is the same for all."""
TRAINED = ("2", "4")
"""The training identities of the drawn people."""


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["evaluate", *map(str, arguments), *map(str, HERE)])


def succeed(*arguments: object) -> dict:
    result = invoke(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def fail(*arguments: object) -> str:
    result = invoke(*arguments)
    assert result.exit_code == 1 and result.output.startswith("Error: ") and "Traceback" not in result.output
    return result.output


EXTRACTED: dict[tuple[int, Path], list[Features]] = {}
"""Features of query and gallery by the file of the network, to which runs are links, and the shards."""


def extracted(run: Path, shards: Path) -> list[Features]:
    """Features of query and gallery."""
    key = (run / "checkpoints" / "last.ckpt").stat().st_ino, shards
    if key in EXTRACTED:
        return EXTRACTED[key]
    checkpoint = load_checkpoint(run)
    model, preprocess = checkpoint.model(), checkpoint.preprocessor()
    splits = (ShardSet.open(shards, split) for split in ("query", "gallery"))
    return EXTRACTED.setdefault(key, [compute_features(model, preprocess, split, workers=0) for split in splits])


def scored(run: Path, shards: Path, **options: object) -> dict[str, RankingMetrics]:
    """Scores of each feature."""
    query, gallery = extracted(run, shards)
    labels = (query.pids, gallery.pids, query.camids, gallery.camids)
    return {name: evaluate_features(query.arrays[name], gallery.arrays[name], *labels, **options) for name in FEATURES}


def check(rows: list[dict], expected: dict[str, RankingMetrics]) -> None:
    assert [row["feature"] for row in rows] == FEATURES
    for row in rows:
        metrics = expected[row["feature"]]
        values = [*metrics.cmc, metrics.mAP, metrics.mINP]
        assert [row[name] for name in METRICS] == pytest.approx(values, abs=1e-6)


@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        ((), {}),
        (("--metric", "cosine", "--ap", "trapezoid"), {"metric": "cosine", "ap": "trapezoid"}),
        (("--protocol", "cuhk03-classic"), {"protocol": "cuhk03-classic"}),
        (("--protocol", "no-cameras", "--rerank"), {"protocol": "no-cameras"}),
    ],
)
def test_each_feature_is_scored(arguments, options, make_run, drawn_shards) -> None:
    run = make_run("run")
    result = succeed(run, drawn_shards, *arguments)
    check(result["rows"][: len(FEATURES)], scored(run, drawn_shards, **options))
    reranked = "--rerank" in arguments
    assert [row["reranked"] for row in result["rows"]] == [False] * len(FEATURES) + [True] * len(FEATURES) * reranked
    if reranked:
        check(result["rows"][len(FEATURES) :], scored(run, drawn_shards, **options, rerank=Reranking()))
    assert len({row["mAP"] for row in result["rows"]}) > 1, "features that all score the same prove nothing"
    assert (result["queries"], result["queries_without_match"], result["gallery"]) == (4, 0, 8)
    assert {result[name] for name in ("protocol", "metric", "ap")} == {
        options.get("protocol", "market1501"),
        options.get("metric", "euclidean"),
        options.get("ap", "step"),
    }


def test_what_is_kept_with_the_run(make_run, drawn_shards, monkeypatch) -> None:
    run = make_run("run", *SMALLEST)
    with monkeypatch.context() as patch:
        patch.setattr("reidtrain.plots.curves.draw_cmc", draw_cmc)
        result = succeed(run, drawn_shards)
    folder = run / "evaluation"
    assert result.pop("out") == str(folder)
    kept = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    assert (kept.pop("schema"), kept.pop("version")) == ("reidtrain.evaluation", 1)
    assert kept == result
    starts = {".png": b"\x89PNG", ".pdf": b"%PDF-", ".svg": b"<?xml"}
    assert all((folder / f"cmc{suffix}").read_bytes().startswith(start) for suffix, start in starts.items())
    (run / "run.json").write_text("{}")
    assert succeed(run / "checkpoints" / "last.ckpt", drawn_shards, "--ap", "trapezoid")["out"] == str(folder)
    assert json.loads((folder / "metrics.json").read_text())["ap"] == "trapezoid"


def test_several_datasets_are_scored_each_by_itself(make_run, drawn_shards, drawn_poses, tmp_path) -> None:
    run, other = make_run("run", *SMALLEST), tmp_path / "other"
    build_shards(drawn_poses, other, BuildOptions(whole_size=(96, 48), part_size=(24, 48), beta=0.1))
    alone = succeed(run, other, "--out", tmp_path / "alone")
    results = succeed(run, drawn_shards, other)
    assert [result["dataset"] for result in results] == ["market1501-1", "market1501-2"]
    rows = {result["shards"]: result["rows"] for result in results}
    assert rows.keys() == {str(drawn_shards), str(other)}
    assert rows[str(other)] == alone["rows"] != rows[str(drawn_shards)]
    [differs] = [result["dataset"] for result in results if result["shards"] == str(other)]
    for result in results:
        folder = Path(result["out"])
        assert folder.parent == run / "evaluation" and (folder / "cmc.png").is_file()
        assert json.loads((folder / "metrics.json").read_text())["rows"] == result["rows"]
    text = invoke(run, drawn_shards, other, "--rerank").output
    assert [line.split("  ")[0] for line in text.splitlines() if line.startswith("market")] == [
        "market1501-1",
        "market1501-1, re-ranked",
        "market1501-2",
        "market1501-2, re-ranked",
        *(f"{result['dataset']} is {result['shards']}" for result in results),
        f"{differs}: crops are cut otherwise than those trained on (beta 0.0625 -> 0.1)",
    ]
    assert "is given twice" in fail(run, drawn_shards, drawn_shards)
    assert "--features is a file of one dataset" in invoke(run, drawn_shards, other, "--features", "f.npz").output


def test_a_checkpoint_outside_of_a_run(make_run, drawn_shards, tmp_path) -> None:
    shutil.copy(make_run("run", *SMALLEST) / "checkpoints" / "last.ckpt", tmp_path / "mine.ckpt")
    assert "say where by --out" in fail(tmp_path / "mine.ckpt", drawn_shards)
    succeed(tmp_path / "mine.ckpt", drawn_shards, "--out", tmp_path / "new" / "scores")
    assert (tmp_path / "new" / "scores" / "metrics.json").is_file()


def test_no_reranking_of_drawn_galleries(make_run, drawn_shards, monkeypatch) -> None:
    monkeypatch.setattr(Extractor, "__call__", None)  # it is said before anything is computed
    assert "cuhk03-np" in fail(make_run("run", *SMALLEST), drawn_shards, "--rerank", "--protocol", "cuhk03-classic")


def papers(result: dict) -> dict[str, dict]:
    return {row["feature"]: row["paper"] for row in result["rows"] if row["paper"] and not row["reranked"]}


def test_beside_the_paper(make_run, drawn_shards, monkeypatch) -> None:
    monkeypatch.setitem(BENCHMARKS, "market1501", Benchmark(2, 2, 3))  # as if the drawn people were all there are
    overrides = ("model.attention=decomposed", "stages.0.loss.branch_weight=0.5")
    run = make_run("run", *ALIGNED, *overrides, class_names=TRAINED)
    found = papers(succeed(run, drawn_shards))
    assert list(found) == ["whole", "head", "upper_body", "upper_leg", "lower_leg", "fused", "embedding"]
    assert found["head"] == {
        "source": "attention-driven paper, Table 7, Head, with intra-attention",
        "differences": ["beta 5/48"],
        **{"rank1": 0.5086, "rank5": 0.7331, "rank10": 0.81, "mAP": 0.2676},
    }
    result = invoke(run, drawn_shards, "--rerank")
    assert result.exit_code == 0, result.output
    lines = result.output.splitlines()
    (head,) = (line.split() for line in lines if line.startswith("head  "))
    # Rank-20 and mINP have one column, as the paper does not give them.
    assert (head[1], head[3], head[8]) == ("50.86", "73.31", "26.76") and len(head) == 1 + 2 * 4 + 2
    (reranked,) = (line.split() for line in lines if line.startswith("head, re-ranked"))
    assert reranked[2:8:2] == ["-"] * 3, "no paper re-ranks it"
    assert "head: attention-driven paper, Table 7, Head, with intra-attention (beta 5/48 there)" in lines
    said = lines.index("Otherwise than in the papers, whose figures are beside ours:")
    assert said < lines.index("head: attention-driven paper, Table 7, Head, with intra-attention (beta 5/48 there)")
    assert "random weights" in lines[said + 1] and "trained on" not in result.output
    assert lines[said + 2].startswith(
        "  input.whole_size [48, 24] (paper [384, 192]), input.part_size [24, 24] (paper "
    )


@pytest.mark.parametrize(
    ("class_names", "options"),
    [(("77", "99"), ()), (TRAINED, ("--protocol", "cuhk03-classic-any-camera"))],
    ids=["trained on other people", "scored otherwise"],
)
def test_not_beside_the_paper(class_names, options, make_run, drawn_shards) -> None:
    run = make_run("run", *ALIGNED, class_names=class_names)
    assert not papers(succeed(run, drawn_shards, *options))
    result = invoke(run, drawn_shards, *options)
    assert "ours" not in result.output and "embedding" in result.output


def test_trained_on_fewer_people_than_the_paper(make_run, drawn_shards, monkeypatch) -> None:
    monkeypatch.setitem(BENCHMARKS, "market1501", Benchmark(751, 2, 3))
    result = invoke(make_run("run", *ALIGNED, class_names=TRAINED[:1]), drawn_shards)
    assert "\n  trained on 1 identity, in the papers on 751\n" in result.output


def test_no_figures_of_papers_beside_a_part_of_a_dataset_or_drawn_people(make_run, drawn_shards) -> None:
    run = make_run("run", *ALIGNED, class_names=TRAINED)
    result = succeed(run, drawn_shards)
    assert not papers(result)
    (remark,) = result["remarks"]
    assert "2 persons among 3 in the gallery, market1501 has 750 among 751" in remark
    result = invoke(run, drawn_shards)
    assert remark in result.output.splitlines()[:3] and "ours" not in result.output


def test_features_are_kept_and_taken(make_run, drawn_shards, tmp_path, monkeypatch) -> None:
    run, file = make_run("run"), tmp_path / "kept" / "features.npz"
    first = succeed(run, drawn_shards, "--features", file)
    result = CliRunner().invoke(main, ["score", str(file), "--protocol", "market1501", "--json"])
    assert json.loads(result.stdout)["mAP"] == pytest.approx(first["rows"][-1]["mAP"], abs=1e-6)
    command = ["extract-features", str(run), str(drawn_shards), str(tmp_path / "all.npz"), *map(str, HERE)]
    assert CliRunner().invoke(main, command).exit_code == 0
    with np.load(file) as ours, np.load(tmp_path / "all.npz") as theirs:
        assert ours.files and sorted(ours.files) == sorted(theirs.files)
        for name in ours.files:
            if name.endswith(("pids", "paths")):
                np.testing.assert_array_equal(ours[name], theirs[name])

    monkeypatch.setattr(Extractor, "__call__", None)
    assert succeed(run, drawn_shards, "--features", file) == first
    check(succeed(run, drawn_shards, "--features", tmp_path / "all.npz")["rows"], scored(run, drawn_shards))


def test_features_of_something_else(make_run, drawn_shards, tmp_path) -> None:
    run, file = make_run("run", *SMALLEST), tmp_path / "features.npz"
    succeed(run, drawn_shards, "--features", file)
    other = make_run("other", *SMALLEST, "seed=1")
    assert "features of another model" in fail(other, drawn_shards, "--features", file)
    assert "flip False, wanted True" in fail(run, drawn_shards, "--features", file, "--flip")
    assert "must end in .npz" in fail(run, drawn_shards, "--features", tmp_path / "features")
    shutil.copytree(drawn_shards, tmp_path / "copy")
    manifest = tmp_path / "copy" / "manifest.json"
    text = manifest.read_text(encoding="utf-8").rpartition(',\n "sha256"')[0] + "\n}"  # as of before there was a hash
    manifest.write_text(text, encoding="utf-8")
    assert "manifest_sha256" in fail(run, tmp_path / "copy", "--features", file)
    np.savez(file, query_features=np.zeros((2, 2)))
    assert "lacks about" in fail(run, drawn_shards, "--features", file)
    np.savez(file, about=np.array("{}"))
    assert "reidtrain.features version 1" in fail(run, drawn_shards, "--features", file)


def test_held_out_identities_as_in_training(make_run, crowd_shards, tmp_path) -> None:
    held_out = ("attention-driven-market1501", "validation.every=1", "validation.identities=2")
    task = identities_task(crowd_shards, load_recipe(held_out[0], held_out[1:]), ["whole", "parts"])
    run = make_run("run", *held_out, class_names=task.class_names)
    result = succeed(run, crowd_shards, "--held-out", "--out", tmp_path)
    assert (result["images"], result["queries"], result["gallery"]) == ("held-out", 4, 8)

    checkpoint = load_checkpoint(run)
    network = checkpoint.model(), checkpoint.preprocessor()
    last = task.validate(lambda dataset, values, rows: compute(*network, dataset, values, indices=rows, workers=0))
    embedding = result["rows"][-1]
    assert {name: embedding[name] for name in last} == pytest.approx(last, abs=1e-6)
    assert {"rank1", "mAP", "mINP"} <= last.keys()
    assert min(row["mAP"] for row in result["rows"]) < 1 and not papers(result)


def test_identities_that_are_not_held_out(crowd_shards, make_run, drawn_shards) -> None:
    assert "validation.identities is 0" in fail(make_run("run", *SMALLEST), drawn_shards, "--held-out")
    other = make_run("other", *SMALLEST, "validation.identities=1")
    message = fail(other, crowd_shards, "--held-out")
    assert "other training identities than the network was trained on" in message


def test_a_folder_that_cannot_be_written_to_is_an_error_before_the_work(make_run, tmp_path) -> None:
    (tmp_path / "file").write_bytes(b"")
    result = invoke(make_run("run", *SMALLEST), "no-shards", "--out", tmp_path / "file")
    assert result.exit_code == 1 and "file: is a file; choose a folder" in result.output, result.output


def test_no_query_split(make_run, drawn_shards, tmp_path) -> None:
    shutil.copytree(drawn_shards, tmp_path / "copy")
    manifest = tmp_path / "copy" / "manifest.json"
    content = json.loads(manifest.read_text(encoding="utf-8"))
    content.pop("sha256")
    content["parts"] = [part for part in content["parts"] if not part["name"].startswith("query")]
    manifest.write_text(json.dumps(content), encoding="utf-8")
    assert "there are no query images" in (message := fail(make_run("run", *SMALLEST), tmp_path / "copy"))
    assert "--held-out" in message
