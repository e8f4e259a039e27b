import json
import os
import socket
import subprocess
import sys

import pytest

torch = pytest.importorskip("torch")

from reidtrain.checkpoints import load_checkpoint
from reidtrain.recipes.loading import recipe_to_yaml

BUFFERS = ("running_mean", "running_var", "num_batches_tracked")
SCRIPT = "from reid_cli.reidtrain.main import main\nmain()\n"


def two_processes(out, drawn_shards, recipe, ranks):
    """Train by the command, started once for each environment of `ranks`; what it printed."""
    (out.parent / "recipe.yaml").write_text(recipe_to_yaml(recipe))
    (out.parent / "train.py").write_text(SCRIPT)
    command = [sys.executable, str(out.parent / "train.py"), "fit", str(drawn_shards), "--out", str(out), "--json"]
    command += ["--recipe", str(out.parent / "recipe.yaml"), "--device", "cpu", "--devices", "2", "--workers", "0"]
    common = os.environ | {"GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1"}
    started = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=common | rank)
        for rank in ranks
    ]
    outputs = [process.communicate(timeout=300) for process in started]
    assert not any(process.returncode for process in started), outputs
    return "".join(printed for printed, _ in outputs)


def as_torchrun_starts_them():
    """What `torchrun --nproc-per-node 2` puts into the environments of its processes."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    every = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
    every |= {"TORCHELASTIC_RUN_ID": "test", "GROUP_RANK": "0", "GROUP_WORLD_SIZE": "1"}
    return [every | {"RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(2)]


@pytest.mark.parametrize("ranks", [[{}], as_torchrun_starts_them()], ids=["started by the command", "by torchrun"])
def test_two_processes_agree_with_one(ranks, tiny, trained, drawn_shards, tmp_path):
    """One process that averages the gradients of two batches takes the step of two processes with one batch each."""
    values = {
        "model": {"branches": ["whole", "head"], "attention": "none", "dropout": 0.0},
        "stages": [{"epochs": 2, "batch": {"identities": 2, "images": 2}, "optimizer": {"lr": 0.001}}],
        "validation": {"every": 2},
    }
    one = load_checkpoint(trained("accumulated", tiny(**values, execution={"accumulate": 2})))
    printed = two_processes(tmp_path / "two", drawn_shards, tiny(**values), ranks)
    two = load_checkpoint(tmp_path / "two")
    # The statistics of batch norms are those of one process's batches.
    learnt = [name for name in one.state if name.startswith("model.") and not name.endswith(BUFFERS)]
    assert len(learnt) > 100
    for name in learnt:
        torch.testing.assert_close(one.state[name], two.state[name], rtol=1e-3, atol=1e-5, msg=name)
    assert one.history[0]["loss"] == pytest.approx(two.history[0]["loss"], rel=1e-4)
    assert "val/mAP" in two.history[-1]
    assert json.loads(printed)["last"]["epoch"] == 2  # printed once
