import json
import os
import subprocess
import sys

import pytest

torch = pytest.importorskip("torch")

from reidtrain.checkpoints import load_checkpoint
from reidtrain.recipes.loading import recipe_to_yaml

BUFFERS = ("running_mean", "running_var", "num_batches_tracked")
SCRIPT = "from reid_cli.reidtrain.main import main\nmain()\n"


def two_processes(tmp_path, drawn_shards, recipe, *launcher):
    (tmp_path / "recipe.yaml").write_text(recipe_to_yaml(recipe))
    (tmp_path / "train.py").write_text(SCRIPT)
    out = tmp_path / "two"
    command = [sys.executable, *launcher, str(tmp_path / "train.py"), "fit", str(drawn_shards), "--out", str(out)]
    command += ["--recipe", str(tmp_path / "recipe.yaml"), "--device", "cpu", "--devices", "2", "--workers", "0"]
    done = subprocess.run(
        [*command, "--json"],
        capture_output=True,
        text=True,
        timeout=300,
        env=os.environ | {"GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return load_checkpoint(out), done.stdout


@pytest.mark.parametrize("launcher", [[], ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]])
def test_two_processes_agree_with_one(launcher, tiny, trained, drawn_shards, tmp_path):
    """One process that averages the gradients of two batches takes the step of two processes with one batch each."""
    values = {
        "model": {"branches": ["whole", "head"], "attention": "none", "dropout": 0.0},
        "stages": [{"epochs": 2, "batch": {"identities": 2, "images": 2}, "optimizer": {"lr": 0.001}}],
        "validation": {"every": 2},
    }
    one = load_checkpoint(trained("accumulated", tiny(**values, execution={"accumulate": 2})))
    two, printed = two_processes(tmp_path, drawn_shards, tiny(**values), *launcher)
    # The statistics of batch norms are those of one process's batches.
    learnt = [name for name in one.state if name.startswith("model.") and not name.endswith(BUFFERS)]
    assert len(learnt) > 100
    for name in learnt:
        torch.testing.assert_close(one.state[name], two.state[name], rtol=1e-3, atol=1e-5, msg=name)
    assert one.history[0]["loss"] == pytest.approx(two.history[0]["loss"], rel=1e-4)
    assert "val/mAP" in two.history[-1]
    assert json.loads(printed)["last"]["epoch"] == 2  # printed once
