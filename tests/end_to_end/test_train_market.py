"""scripts/train_market.sh, from archives and poses to scores in a given time."""

import json
import os
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="training needs PyTorch: pip install 'reidprep[train]'")

from reidtrain.recipes.loading import recipe_to_yaml

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_archives_and_poses_become_scores_in_time_also_after_a_kill(drawn, drawn_poses, tiny, tmp_path):
    data = tmp_path / "two archives"
    data.mkdir()
    for name, splits in (("train", ["bounding_box_train"]), ("test", ["query", "bounding_box_test"])):
        with tarfile.open(data / f"{name}.tar.gz", "w:gz") as archive:
            for folder in splits:
                archive.add(drawn / folder, f"Market/{folder}")
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(recipe_to_yaml(tiny()))
    out = tmp_path / "out"

    options = ["--minutes", "1.5", "--reserve", "50", "--device", "cpu", "--workers", "1", "--skip-benchmarks"]
    folders = ["--data", data, "--poses", drawn_poses, "--out", out, "--recipe", recipe]

    def start() -> subprocess.Popen[str]:
        return subprocess.Popen(
            [ROOT / "scripts" / "train_market.sh", *folders, *options],
            cwd=tmp_path,
            env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    killed = start()
    while not (out / "run" / "metrics.csv").is_file():
        assert killed.poll() is None
        time.sleep(0.2)
    os.killpg(killed.pid, signal.SIGTERM)
    assert "the same command goes on from there" in killed.communicate()[0]

    began = time.monotonic()
    again = start()
    said = again.communicate()[0]
    assert again.returncode == 0 and "going on after" in said, said
    assert time.monotonic() - began < 90

    run = json.loads((out / "run" / "run.json").read_text())
    assert run["status"] == "finished" and run["metrics"]["last"]["schedule"] == 3
    assert (out / "run" / "curves.png").is_file() and (out / "run" / "checkpoints" / "last.ckpt").is_file()
    for way in ("evaluation", "evaluation-flip"):
        rows = json.loads((out / way / "metrics.json").read_text())["rows"]
        assert {row["reranked"] for row in rows if row["feature"] == "embedding"} == {False, True}
    assert "evaluated with --flip" in (out / "times.txt").read_text()
