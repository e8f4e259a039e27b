import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner
from reid_cli.reidprep.main import main

from reidprep.shards.reader import ShardSet


def test_the_demo_ends_with_a_page_and_sound_shards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reidprep.demo.DRAWN_IDENTITIES", 2)  # drawing takes most of the time
    result = CliRunner().invoke(main, ["demo", str(tmp_path / "demo"), "--limit", "4", "--workers", "1", "--json"])
    assert result.exit_code == 0, result.output
    summary = json.loads(result.stdout)
    assert summary["faults"] == [] and summary["skipped"] == 0
    assert summary["pck"] > 0.7
    assert list(summary["seconds"]) == ["synth", "extract-poses", "build-shards", "verify", "preview"]
    assert "<h1>drawn people: aligned crops</h1>" in Path(summary["page"]).read_text(encoding="utf-8")
    assert len(ShardSet.open(tmp_path / "demo" / "shards")) == summary["images"] == 11


def test_the_demo_on_a_dataset_of_ones_own(drawn: Path, tmp_path: Path) -> None:
    result = CliRunner().invoke(
        main, ["demo", str(tmp_path / "demo"), "--data", str(drawn), "--limit", "2", "--workers", "1"]
    )
    assert result.exit_code == 0, result.output
    assert "look at" in result.output and "joints found" in result.output
    assert not (tmp_path / "demo" / "dataset").exists()


def test_what_is_left_out_of_a_dataset_of_ones_own_is_told(drawn: Path, tmp_path: Path) -> None:
    people = shutil.copytree(drawn, tmp_path / "people")
    [damaged, *_] = sorted((people / "query").glob("*.jpg"))
    damaged.write_bytes(b"no image")
    (people / "query" / "a.gif").write_bytes(b"GIF89a")
    result = CliRunner().invoke(main, ["demo", str(tmp_path / "demo"), "--data", str(people), "--workers", "1"])
    assert result.exit_code == 3, result.output
    assert f"1 image was skipped:\n  query/{damaged.name}: not an image" in result.stderr
    assert "note: query: ignored 1 entry that is no image file: a.gif" in result.stderr


def test_an_interrupted_demo_goes_on_and_what_is_not_its_own_stays(drawn: Path, tmp_path: Path) -> None:
    out = tmp_path / "demo"
    command = ["demo", str(out), "--data", str(drawn), "--limit", "2", "--workers", "1", "--json"]
    first = json.loads(CliRunner().invoke(main, command).stdout)
    poses = (out / "poses" / "part-00000.h5").stat().st_mtime_ns
    shutil.rmtree(out / "preview")
    (out / "shards" / "train-00000.h5").unlink()
    (out / "run").mkdir()  # as `make demo` leaves it
    (out / "run" / "run.json").write_text("{}")
    again = CliRunner().invoke(main, command)
    assert again.exit_code == 0, again.output
    assert json.loads(again.stdout)["images"] == first["images"] and Path(first["page"]).is_file()
    assert (out / "poses" / "part-00000.h5").stat().st_mtime_ns == poses
    (out / "thesis.tex").write_text("years of work")
    refused = CliRunner().invoke(main, command)
    assert refused.exit_code == 1 and "holds no demo (found 'thesis.tex')" in refused.output
