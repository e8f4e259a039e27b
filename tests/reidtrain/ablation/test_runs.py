import json
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("lightning")

from reidprep.files import lock_directory, unlock_directory
from reidtrain.ablation.plan import Ablation, plan_runs
from reidtrain.ablation.runs import Result, run_folder, run_table, state
from reidtrain.papers.tables import ABLATIONS
from reidtrain.training.fit import Machine

HERE = Machine(device="cpu", workers=0)
# Without momentum checkpoints are half as large.
QUICK = (
    *("input.whole_size=[48, 24]", "input.part_size=[16, 24]", "validation.every=0"),
    *("stages.0.epochs=1", "stages.0.batch.size=4", "stages.0.optimizer.lr=0.001", "stages.0.optimizer.momentum=0"),
)


class Steps:
    """Counts what is done, by the labels of the progress display."""

    def __init__(self) -> None:
        self.labels: list[str] = []

    @contextmanager
    def __call__(self, label: str, unit: str = "images"):
        self.labels.append(label)
        yield lambda done, total: None


def run(ablation: Ablation) -> tuple[Result, list[str]]:
    steps = Steps()
    return run_table(ablation, plan_runs(ablation), machine=HERE, progress=steps), steps.labels


def rows(table: str, *labels: str):
    """A table with some of its rows."""
    whole = ABLATIONS[table]
    return replace(whole, rows=tuple(row for row in whole.rows if row.label in labels))


@pytest.fixture(scope="module")
def seven(drawn_shards: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Ablation, Result]:
    """Table 7, measured."""
    out = tmp_path_factory.mktemp("ablation")
    ablation = Ablation(ABLATIONS["7"], out, (drawn_shards,), overrides=(*QUICK, "validation.every=1"), beta=3)
    result, labels = run(ablation)
    assert labels == ["train", "features", "score"] * 2
    return ablation, result


def test_every_row_is_measured(seven) -> None:
    ablation, result = seven
    assert not result.failures
    assert [measured.row.label for measured in result.rows] == [row.label for row in ABLATIONS["7"].rows]
    for measured in result.rows:
        assert tuple(measured.scores) == ablation.table.metrics
        assert 0 < measured.scores["mAP"] <= measured.scores["rank10"] <= 1
    assert len({measured.run for measured in result.rows}) == 2


def test_scores_are_those_of_the_last_validation(seven) -> None:
    """Which training computes on its own."""
    _, result = seven
    for folder in {Path(measured.run) for measured in result.rows}:
        last = json.loads((folder / "run.json").read_text())["metrics"]["last"]
        kept = json.loads((folder / "scores.json").read_text())
        assert set(kept["features"]) == {"embedding", "whole", "head", "upper_body", "upper_leg", "lower_leg", "fused"}
        for metric in ("rank1", "mAP", "mINP"):
            assert kept["features"]["embedding"][metric] == pytest.approx(last[f"val/{metric}"], abs=1e-6)


def test_what_is_done_is_not_done_again(seven) -> None:
    ablation, result = seven
    again, labels = run(ablation)
    assert (again, labels) == (result, [])
    other = replace(ablation, table=ABLATIONS["9"])
    states = {run.rows[0].label: state(other, run) for run in plan_runs(other).runs}
    learnt = {"FC fusion": "to do", "FC fusion of the parts": "to do", "Inter-attention": "done"}
    assert states == {"Concatenation": "to do", **learnt}


def test_a_run_that_was_not_scored_is_scored(seven) -> None:
    ablation, result = seven
    first = plan_runs(ablation).runs[0]
    folder = run_folder(ablation, first)
    assert state(ablation, first) == "done"
    (folder / "scores.json").unlink()
    assert state(ablation, first) == "begun"
    before = (folder / "checkpoints" / "last.ckpt").read_bytes()
    again, labels = run(ablation)
    assert again == result and labels == ["train", "features", "score"]
    assert (folder / "checkpoints" / "last.ckpt").read_bytes() == before, "no epoch was left to train"


def test_damaged_scores_are_named(seven, tmp_path) -> None:
    ablation, _ = seven
    folder = run_folder(ablation, plan_runs(ablation).runs[0])
    kept = (folder / "scores.json").read_text()
    try:
        (folder / "scores.json").write_text(kept[:40])
        result, _ = run(ablation)
    finally:
        (folder / "scores.json").write_text(kept)
    (failure,) = result.failures.values()
    assert "scores.json: cannot be read" in failure and "delete it" in failure


def test_missing_shards_are_built_and_a_failed_run_does_not_stop_the_others(drawn_poses, tmp_path) -> None:
    table = rows("6", "Baseline", "Aligned")
    ablation = Ablation(table, tmp_path, poses=drawn_poses, overrides=QUICK)
    built = tmp_path / "shards" / "pose-beta-5"
    built.mkdir(parents=True)
    (built / "notes.txt").write_text("not shards")
    result, labels = run(ablation)
    assert labels == ["shards strips", "train", "features", "score", "shards pose-beta-5"]
    assert list(result.failures) == ["aligned-beta-5"] and "notes.txt" in result.failures["aligned-beta-5"]
    assert [measured.scores is None for measured in result.rows] == [False, True]

    (built / "notes.txt").unlink()
    again, labels = run(ablation)
    assert labels == ["shards strips", "shards pose-beta-5", "train", "features", "score"]
    assert not again.failures and again.rows[0] == result.rows[0]
    plan = json.loads((built / "manifest.json").read_text())["plan"]
    assert (plan["alignment"], plan["beta"]) == ("pose", 5 / 48)


def test_a_run_that_another_process_is_busy_with_is_left_to_it(drawn_shards, tmp_path) -> None:
    table = rows("9", "Concatenation", "FC fusion")
    ablation = Ablation(table, tmp_path, (drawn_shards,), overrides=QUICK, beta=3)
    busy = run_folder(ablation, plan_runs(ablation).runs[0])
    busy.mkdir(parents=True)
    lock = lock_directory(busy)
    if lock is None:
        pytest.skip("no file locks here")
    try:
        result, _ = run(ablation)
    finally:
        unlock_directory(lock)
    (failure,) = result.failures.values()
    assert "another run is writing here" in failure
    assert [measured.scores is None for measured in result.rows] == [True, False]


def test_quadruplet_alone(drawn_shards, tmp_path) -> None:
    """Setting 2: the second stage, from the start."""
    overrides = (
        *("input.image_size=[32, 16]", "validation.every=0", "stages.1.epochs=1", "stages.1.optimizer.momentum=0"),
        "stages.1.batch={identities: 2, images: 2}",
    )
    result, _ = run(Ablation(rows("self-attention-1", "2"), tmp_path, (drawn_shards,), overrides=overrides))
    (measured,) = result.rows
    assert 0 < measured.scores["mAP"] <= 1
    last = json.loads((Path(measured.run) / "run.json").read_text())["metrics"]["last"]
    assert (last["stage"], last["epoch"], last["loss/softmax"]) == ("quadruplet", 1, 0)
    assert last["loss/ranking"] > 0
