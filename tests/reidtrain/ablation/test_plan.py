import json
from pathlib import Path

import pytest

pytest.importorskip("torch")

from reidprep.errors import ReidError
from reidprep.poses.reader import PoseSet
from reidprep.shards.build import BuildOptions, build_shards
from reidtrain.ablation.crops import cut_otherwise
from reidtrain.ablation.plan import Ablation, plan_runs
from reidtrain.papers.rows import BENCHMARKS, Benchmark
from reidtrain.papers.tables import ABLATIONS, MARKET


def planned(table: str, tmp_path: Path, **options):
    return plan_runs(Ablation(ABLATIONS[table], tmp_path, **options))


@pytest.mark.parametrize(
    ("table", "runs", "shards"),
    [
        ("6", 6, {"strips", "pose-beta-5", "pose-beta-3"}),
        ("7", 2, {"pose-beta-5"}),
        ("8", 2, {"pose-beta-5"}),
        ("9", 4, {"pose-beta-5"}),
        ("10", 11, {"pose-beta-5"}),
        ("11", 7, {f"pose-beta-{beta}" for beta in range(7)}),
        ("self-attention-1", 10, {"image"}),
    ],
)
def test_each_network_and_shard_directory_once(drawn_poses, tmp_path, table, runs, shards) -> None:
    plan = planned(table, tmp_path, poses=drawn_poses)
    assert len(plan.runs) == len({run.variant.name for run in plan.runs}) == runs
    assert {run.source.path for run in plan.runs} == {tmp_path / "shards" / name for name in shards}
    assert all(run.name is None for run in plan.runs), "nothing is built yet"
    assert sorted(row.label for run in plan.runs for row in run.rows) == sorted(
        row.label for row in ABLATIONS[table].rows
    )
    assert plan.dataset == MARKET  # whose layout the drawn pedestrians have
    assert "2 persons among 3 in the gallery, market1501 has 750 among 751" in plan.remark


def test_no_remark_on_whole_datasets(drawn_shards, tmp_path, monkeypatch) -> None:
    monkeypatch.setitem(BENCHMARKS, MARKET, Benchmark(2, 2, 3))  # as if the drawn people were all there are
    assert not planned("8", tmp_path, shards=(drawn_shards,), beta=3).remark


def test_shards_that_serve_are_used(drawn_poses, drawn_shards, strips_shards, tmp_path) -> None:
    plan = planned("6", tmp_path, poses=drawn_poses, shards=(drawn_shards, strips_shards))
    found = {row.label: run.source.path for run in plan.runs for row in run.rows}
    assert found["Baseline"] == strips_shards
    assert found["*Intra+inter"] == drawn_shards  # of beta 3/48
    assert found["Aligned"] == tmp_path / "shards" / "pose-beta-5"
    with_beta = planned("6", tmp_path, shards=(strips_shards, drawn_shards), beta=3)
    assert {run.source.path for run in with_beta.runs} == {strips_shards, drawn_shards}
    images = planned("self-attention-1", tmp_path, shards=(strips_shards, drawn_shards))
    assert {run.source.path for run in images.runs} == {drawn_shards}, "strips have no plain image"


def test_tables_share_runs_of_the_same_content(drawn_shards, tmp_path) -> None:
    def names(table: str, **options) -> set[str | None]:
        return {run.name for run in planned(table, tmp_path, shards=(drawn_shards,), beta=3, **options).runs}

    seven = names("7")
    assert None not in seven
    assert len(names("8") & seven) == len(names("9") & seven) == len(names("10") & seven) == 1
    assert not names("7", overrides=("seed=1",)) & seven
    (tmp_path / "weights.pth").write_bytes(b"weights")
    assert not names("7", init=tmp_path / "weights.pth") & seven


def test_other_shards_are_another_run(drawn_poses, drawn_shards, tmp_path) -> None:
    build_shards(drawn_poses, tmp_path / "other", BuildOptions(quality=50))
    first, second = (planned("7", tmp_path, shards=(path,), beta=3) for path in (drawn_shards, tmp_path / "other"))
    assert {run.name for run in first.runs}.isdisjoint(run.name for run in second.runs)


def test_rows_on_crops_that_differ_in_more_than_the_overlap_are_told(
    drawn_poses, drawn_shards, strips_shards, tmp_path
) -> None:
    build_shards(drawn_poses, tmp_path / "beta", BuildOptions(beta=0.1, quality=50))
    assert cut_otherwise([strips_shards, drawn_shards, tmp_path / "beta", drawn_shards]) == ""
    build_shards(drawn_poses, tmp_path / "other", BuildOptions(beta=0.1, confidence=0.5))
    remark = cut_otherwise([strips_shards, drawn_shards, tmp_path / "beta", tmp_path / "other"])
    assert (
        "not for comparison with each other" in remark and "confidence" in remark and "beta" not in remark.split("(")[1]
    )


def test_rows_without_shards_say_what_is_missing(drawn_shards, tmp_path) -> None:
    with pytest.raises(ReidError, match=r"--alignment strips, which .*shards do not hold; give the poses by --poses"):
        planned("6", tmp_path, shards=(drawn_shards,))
    with pytest.raises(ReidError, match="nothing to train on: give --poses, --shards"):
        planned("6", tmp_path)


def test_two_datasets(drawn_poses, strips_shards, tmp_path) -> None:
    manifest = json.loads((strips_shards / "manifest.json").read_text())
    manifest.pop("sha256", None)
    manifest["plan"]["poses"]["dataset"]["records_sha256"] = "0"
    (tmp_path / "others").mkdir()
    (tmp_path / "others" / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ReidError, match="show different datasets"):
        planned("6", tmp_path, poses=drawn_poses, shards=(strips_shards, tmp_path / "others"))


def test_shards_without_some_images_do_not_go_with_others(drawn_poses, strips_shards, tmp_path) -> None:
    excluded = str(PoseSet(drawn_poses).column("paths")[0])
    build_shards(drawn_poses, tmp_path / "fewer", exclude=[excluded])
    with pytest.raises(ReidError, match="different images of one"):
        planned("6", tmp_path, shards=(strips_shards, tmp_path / "fewer"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"overrides": ("model.attention=none",)}, "the rows of the tables decide"),
        ({"overrides": ("stages.0.epoch=3",)}, "did you mean 'epochs'"),
        ({"recipe": "self-attention-market1501"}, "for the self-attention network, the table for the attention-driven"),
        ({"init": Path("no-such-file")}, "no-such-file: the weights cannot be read"),
    ],
)
def test_unusable_options(drawn_poses, tmp_path, options, message) -> None:
    with pytest.raises(ReidError, match=message):
        planned("6", tmp_path, poses=drawn_poses, **options)


def test_networks_of_all_tables_of_the_attention_driven_paper(drawn_poses, tmp_path) -> None:
    plans = [planned(table, tmp_path, poses=drawn_poses) for table in ("6", "7", "8", "9", "10", "11")]
    assert len({run.variant for plan in plans for run in plan.runs}) == 25
