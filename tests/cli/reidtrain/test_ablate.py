import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

pytest.importorskip("lightning")

from reid_cli.common import Group
from reid_cli.reidtrain.ablate import ablate

QUICK = (
    *("--set", "input.whole_size=[48, 24]", "--set", "input.part_size=[16, 24]", "--set", "validation.every=0"),
    *("--set", "stages.0.optimizer.momentum=0"),
    *("--set", "stages.0.epochs=1", "--set", "stages.0.batch.size=4", "--device", "cpu", "--workers", "0"),
)


def invoke(*arguments: object) -> Result:
    main = Group("reidtrain", commands={"ablate": ablate})
    return CliRunner().invoke(main, ["ablate", *(str(argument) for argument in arguments)])


def test_dry_run_lists_each_run_once(drawn_poses, drawn_shards, tmp_path) -> None:
    arguments = ("6", "--poses", drawn_poses, "--shards", drawn_shards, "--out", tmp_path / "out", "--dry-run")
    result = invoke(*arguments)
    assert result.exit_code == 0, result.output
    assert result.output.count("to do, 100 epochs") == 6
    assert f"shards {tmp_path / 'out' / 'shards' / 'strips'} (to build); rows Baseline" in result.output
    values = json.loads(invoke(*arguments, "--json").stdout)
    assert (values["dataset"], values["recipe"]) == ("market1501", "attention-driven-market1501")
    assert [run["shards_state"] for run in values["runs"]] == ["to build"] * 5 + ["there"]
    assert not (tmp_path / "out").exists()


def test_table_and_json(drawn_shards, tmp_path) -> None:
    arguments = ("8", "--shards", drawn_shards, "--beta", 3, "--out", tmp_path, *QUICK)
    result = invoke(*arguments)
    assert result.exit_code == 0, result.output
    assert "Table 8 of the attention-driven paper" in result.stdout and "93.26" in result.stdout
    assert "recipe attention-driven-market1501, input.whole_size=[48, 24]" in result.stdout
    assert "random first weights" in result.stdout and "run 2 of 2" in result.stderr
    assert "beta 3/48 where the rows name none" in result.stdout
    assert "not for comparison with ours: the queries show 2 persons among 3 in the gallery" in result.stdout
    values = json.loads(invoke(*arguments, "--dataset", "dukemtmc", "--json").stdout)
    assert values["dataset"] == "dukemtmc" and values["failures"] == {}
    assert values["remarks"] == ["The paper's figures are of dukemtmc, ours of market1501."]
    for row in values["rows"]:
        assert row["paper"] == {} and 0 < row["ours"]["mAP"] <= 1 and Path(row["run"]).is_dir()
        assert f"{100 * row['ours']['mAP']:.2f}" in result.stdout


def test_a_failed_run_is_an_exit_status(drawn_shards, tmp_path) -> None:
    result = invoke(
        *("9", "--shards", drawn_shards, "--beta", 3, "--out", tmp_path, *QUICK),
        *("--set", "validation.identities=5"),
    )
    assert result.exit_code == 1
    assert "Inter-attention" in result.stdout and result.stderr.count("training identities, 2") >= 3


def test_errors_are_plain(tmp_path) -> None:
    result = invoke("6", "--out", tmp_path)
    assert result.exit_code == 1 and result.output.startswith("Error: nothing to train on")
    assert invoke("5", "--out", tmp_path).exit_code == 2
