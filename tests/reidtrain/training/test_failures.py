import os
import shutil
import signal
import time

import h5py
import pytest

torch = pytest.importorskip("torch")

from reidprep.errors import ReidError
from reidprep.poses.reader import PoseSet
from reidprep.shards.build import build_shards
from reidtrain.checkpoints import load_checkpoint
from reidtrain.failures import explained
from reidtrain.recipes.loading import recipe_to_yaml
from reidtrain.training.fit import Machine
from reidtrain.training.module import StageModule

ONE_EPOCH = [{"epochs": 1, "batch": {"size": 4}, "optimizer": {"lr": 0.001}}]
IMAGES_PER_SAMPLE = 6
COMMAND = "from reid_cli.reidtrain.main import main; main()"


@pytest.fixture
def own_shards(drawn_shards, tmp_path):
    """Shards that a test may ruin."""
    return shutil.copytree(drawn_shards, tmp_path / "shards")


def flip_a_byte_of_an_image(shards, row):
    (path,) = shards.glob("train-*.h5")
    with h5py.File(path, locking=False) as file:  # as the shards have it open
        position = file["images"].id.get_offset() + int(file["offsets"][row * IMAGES_PER_SAMPLE]) + 100
    with path.open("r+b") as file:
        file.seek(position)
        byte = file.read(1)[0]
        file.seek(position)
        file.write(bytes([byte ^ 1]))


@pytest.mark.parametrize("workers", [0, 1])
def test_a_corrupt_sample_in_an_epoch_is_named_and_the_checkpoint_kept(
    workers, run, tiny, own_shards, tmp_path, monkeypatch
):
    recipe = tiny(stages=[{"epochs": 2, "batch": {"size": 4}, "optimizer": {"lr": 0.001}}])
    step = StageModule.training_step

    def ruin(self, batch, batch_idx):
        if self.epoch == 1:
            flip_a_byte_of_an_image(own_shards, 3)
            raise OSError("disk trouble")
        return step(self, batch, batch_idx)

    with monkeypatch.context() as patch, pytest.raises(OSError, match="disk trouble"):
        patch.setattr(StageModule, "training_step", ruin)
        run(recipe, shards=own_shards, machine=Machine("cpu", workers=workers))
    with pytest.raises(ReidError, match=r"^\S*train-00000\.h5: row 3: .*reidprep verify") as failure:
        run(recipe, shards=own_shards, machine=Machine("cpu", workers=workers))
    assert "Traceback" not in str(failure.value)
    assert load_checkpoint(tmp_path / "run").epoch == 1


def test_a_worker_that_dies_is_explained(run, tiny, monkeypatch):
    from reidtrain.data.dataset import ShardDataset

    decode = ShardDataset.batch

    def die(self, rows):
        if torch.utils.data.get_worker_info():
            os.kill(os.getpid(), signal.SIGKILL)
        return decode(self, rows)

    monkeypatch.setattr(ShardDataset, "batch", die)
    with pytest.raises(ReidError, match="process that decodes images died.*--workers"):
        run(tiny(), machine=Machine("cpu", workers=1))


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
        RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory"),
        MemoryError(),
    ],
)
def test_out_of_memory_says_what_to_lower(error, tiny):
    with (
        pytest.raises(ReidError, match=r"stages\.0\.batch\.size, stages\.1\.batch\.identities.*bf16"),
        explained(tiny()),
    ):
        raise error


def test_a_real_allocation_that_fails(tiny):
    with pytest.raises(ReidError, match="out of memory"), explained(tiny()):
        torch.empty(1 << 60, dtype=torch.uint8)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            RuntimeError("unable to allocate shared memory(shm) for file </torch_1>: No space left on device (28)"),
            "shm-size",
        ),
        (
            RuntimeError("killed by signal: Bus error. It is possible that workers are out of shared memory."),
            "shm-size",
        ),
        (OSError(24, "Too many open files"), "ulimit -n"),
        (RuntimeError("received 0 items of ancdata"), "ulimit -n"),
    ],
)
def test_what_processes_share_runs_out(error, said, tiny):
    with pytest.raises(ReidError, match=f"{said}.*--workers"), explained(tiny()):
        raise error


def test_other_errors_are_left_alone(tiny):
    with pytest.raises(RuntimeError, match="size mismatch"), explained(tiny()):
        raise RuntimeError("size mismatch")


def test_one_identity_is_refused(run, tiny, drawn_poses, tmp_path):
    paths = PoseSet(drawn_poses).column("paths").tolist()
    build_shards(drawn_poses, tmp_path / "one", exclude=[path for path in paths if "bounding_box_train/0004" in path])
    with pytest.raises(ReidError, match="of 1 training identity, .* 2 are needed"):
        run(tiny(), shards=tmp_path / "one")


def test_sigkill_at_any_moment_and_again_ends_with_the_same_weights(trained, tiny, drawn_shards, start, tmp_path):
    """The real thing: a process that is killed, once in the first epoch and once after a checkpoint."""
    recipe = tiny(stages=[{"epochs": 3, "batch": {"size": 4}, "optimizer": {"lr": 0.001}}])
    expected = load_checkpoint(trained("undisturbed", recipe)).state
    (tmp_path / "recipe.yaml").write_text(recipe_to_yaml(recipe))
    out = tmp_path / "killed"
    command = ("fit", drawn_shards, "--out", out, "--workers", 0, "--recipe", tmp_path / "recipe.yaml")
    for waited_for in (out / "run.json", out / "checkpoints" / "last.ckpt"):
        fit = start("fit", COMMAND, *command, "--device", "cpu")
        deadline = time.monotonic() + 120
        while not waited_for.exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        fit.process.kill()
        fit.process.join()
    assert load_checkpoint(out).epoch < 3, "killed too late"
    code, _, errors = start("again", COMMAND, *command, "--device", "cpu").end()
    assert code == 0, errors
    state = load_checkpoint(out).state
    assert all(torch.equal(state[name], expected[name]) for name in expected)
