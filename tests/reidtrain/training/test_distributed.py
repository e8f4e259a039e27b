import json
import socket

import pytest

torch = pytest.importorskip("torch")

from reidtrain.checkpoints import load_checkpoint
from reidtrain.recipes.loading import recipe_to_yaml

BUFFERS = ("running_mean", "running_var", "num_batches_tracked")
COMMAND = """
from lightning.pytorch.utilities import rank_zero_only

# As a process has it that is started with these variables.
rank_zero_only.rank = int(os.environ.get("RANK", os.environ.get("LOCAL_RANK", 0)))
import torch
from reid_cli.reidtrain.main import main
from reidtrain.training import validation

computed = validation.compute


def compute(model, *others, **options):
    out = sys.argv[sys.argv.index("--out") + 1]
    torch.save(dict(model.named_buffers()), f"{out}-validated-{torch.distributed.get_rank()}")
    return computed(model, *others, **options)


validation.compute = compute
main()
"""


def two_processes(out, drawn_shards, recipe, ranks, start):
    """Train by the command, started once for each environment of `ranks`; what it printed."""
    (out.parent / "recipe.yaml").write_text(recipe_to_yaml(recipe))
    command = ("fit", drawn_shards, "--out", out, "--json", "--recipe", out.parent / "recipe.yaml")
    command += ("--device", "cpu", "--devices", 2, "--workers", 0)
    common = {"GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1"}
    started = [start(f"{i}", COMMAND, *command, environment=common | rank) for i, rank in enumerate(ranks)]
    ended = [program.end() for program in started]
    assert not any(code for code, _, _ in ended), ended
    return "".join(printed for _, printed, _ in ended)


def as_torchrun_starts_them():
    """What `torchrun --nproc-per-node 2` puts into the environments of its processes."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    every = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
    every |= {"TORCHELASTIC_RUN_ID": "test", "GROUP_RANK": "0", "GROUP_WORLD_SIZE": "1"}
    return [every | {"RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(2)]


@pytest.mark.parametrize("ranks", [[{}], as_torchrun_starts_them()], ids=["started by the command", "by torchrun"])
def test_two_processes_agree_with_one(ranks, tiny, trained, drawn_shards, start, tmp_path):
    """One process that averages the gradients of two batches takes the step of two processes with one batch each."""
    values = {
        "model": {"branches": ["whole", "head"], "attention": "none", "dropout": 0.0},
        "stages": [{"epochs": 2, "batch": {"identities": 2, "images": 2}, "optimizer": {"lr": 0.001}}],
        "validation": {"every": 2},
    }
    one = load_checkpoint(trained("accumulated", tiny(**values, execution={"accumulate": 2})))
    printed = two_processes(tmp_path / "two", drawn_shards, tiny(**values), ranks, start)
    two = load_checkpoint(tmp_path / "two")
    # The statistics of batch norms are those of one process's batches.
    learnt = [name for name in one.state if name.startswith("model.") and not name.endswith(BUFFERS)]
    assert len(learnt) > 100
    for name in learnt:
        torch.testing.assert_close(one.state[name], two.state[name], rtol=1e-3, atol=1e-5, msg=name)
    assert one.history[0]["loss"] == pytest.approx(two.history[0]["loss"], rel=1e-4)
    assert "val/mAP" in two.history[-1]
    for rank in range(2):  # each scores its share with the statistics that are saved
        for name, value in torch.load(tmp_path / f"two-validated-{rank}").items():
            assert torch.equal(value, two.state[f"model.{name}"]), name
    assert json.loads(printed)["last"]["epoch"] == 2  # printed once
