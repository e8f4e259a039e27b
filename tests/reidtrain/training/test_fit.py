import csv
import itertools
import json
import os
import shutil
import signal
import time
from dataclasses import replace
from functools import partialmethod
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from lightning.pytorch.utilities import rank_zero_only
from torch._dynamo.utils import counters
from torch._inductor.exc import InvalidCxxCompiler

from reidprep.errors import Interrupted, ReidError
from reidprep.shards.reader import ShardSet
from reidtrain.checkpoints import load_checkpoint
from reidtrain.models.factory import build_model
from reidtrain.models.layers import without_weights
from reidtrain.models.self_attention import SelfAttentionConfig
from reidtrain.plots.curves import FIGURE_SUFFIXES, draw_curves
from reidtrain.recipes.loading import load_recipe, recipe_from_dict, recipe_to_dict
from reidtrain.training import checkpoint_files, epoch_end, fit, module, pace, tasks
from reidtrain.training.fit import Machine, load_first_weights
from reidtrain.training.module import StageModule
from reidtrain.training.tasks import identities_task

ONE = [{"epochs": 1, "batch": {"size": 4}, "optimizer": {"lr": 0.001}}]
SELF_ATTENTION = {
    "network": "self-attention",
    "model": {"stage6_dilation": 4},
    # Without momentum a checkpoint is half as large.
    "stages": [{"epochs": 1, "batch": {"size": 4}, "optimizer": {"lr": 0.001, "momentum": 0.0}, "loss": {"sac": 1}}],
}


def weights(run_folder, which="last"):
    return load_checkpoint(run_folder, which).state


def same(first, second):
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def interrupt_in(monkeypatch, epoch, batch=1):
    """Break off in the middle of an epoch over all stages, from 0."""
    step = StageModule.training_step

    def breaking(self, images, batch_idx):
        if self.epoch == epoch and batch_idx == batch:
            raise OSError("power cut")
        return step(self, images, batch_idx)

    monkeypatch.setattr(StageModule, "training_step", breaking)


@pytest.fixture
def copied(finished, tmp_path):
    """A finished run that a test may change."""
    return shutil.copytree(finished, tmp_path / "run")


@pytest.fixture(scope="session")
def finished_other(trained, tiny):
    """A finished run of the other network. Read only."""
    return trained("other", tiny(**SELF_ATTENTION))


def test_a_run_folder_holds_what_traces_a_result(finished, full, tmp_path):
    recipe = full()
    assert load_recipe(finished / "recipe.yaml") == recipe
    about = json.loads((finished / "run.json").read_text())
    assert about["status"] == "finished"
    assert about["versions"]["torch"] == torch.__version__
    assert len(about["source"]["manifest_sha256"]) == 64
    rows = list(csv.DictReader((finished / "metrics.csv").open()))
    assert [(row["epoch"], row["stage"]) for row in rows] == [("1", "softmax"), ("2", "softmax"), ("3", "ranking")]
    assert float(rows[2]["loss"]) == pytest.approx(float(rows[2]["loss/softmax"]) + float(rows[2]["loss/ranking"]))
    assert about["metrics"]["last"]["loss"] == pytest.approx(float(rows[2]["loss"]))
    assert all(0 <= float(row["val/mAP"]) <= 1 for row in rows)
    assert all((finished / f"curves{suffix}").is_file() for suffix in FIGURE_SUFFIXES)
    draw_curves(load_checkpoint(finished).history, tmp_path / "curves.png")
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert list((finished / "tensorboard").glob("events*"))
    assert any("epoch 3/3" in line for line in json.loads((finished.parent / "said.json").read_text()))
    best = max(rows, key=lambda row: float(row["val/mAP"]))
    assert load_checkpoint(finished, "best").epoch == int(best["epoch"])


def test_the_same_seed_gives_the_same_weights_and_another_one_does_not(run, tiny, tmp_path):
    augmentation = {"horizontal_flip": 0.5, "random_erasing": 0.5}
    for out, seed in (("a", 1), ("b", 1), ("c", 2)):
        run(tiny(stages=ONE, seed=seed, augmentation=augmentation), out)
    assert same(weights(tmp_path / "a"), weights(tmp_path / "b"))
    assert not same(weights(tmp_path / "a"), weights(tmp_path / "c"))


@pytest.mark.parametrize("epoch", [1, 2])
def test_an_interrupted_run_ends_with_the_same_weights(epoch, run, trained, tiny, tmp_path, monkeypatch):
    recipe = tiny(augmentation={"horizontal_flip": 0.5, "random_erasing": 0.3}, validation={"every": 1})
    whole = trained("augmented", recipe)
    with monkeypatch.context() as patch:
        interrupt_in(patch, epoch)
        with pytest.raises(OSError, match="power cut"):
            run(recipe, "broken")
    assert load_checkpoint(tmp_path / "broken").epoch == epoch
    run(recipe, "broken")
    assert same(weights(whole), weights(tmp_path / "broken"))
    rows = [load_checkpoint(folder).history for folder in (whole, tmp_path / "broken")]
    untimed = [[{key: row[key] for key in ("epoch", "loss", "lr", "val/mAP")} for row in history] for history in rows]
    assert untimed[0] == untimed[1]


def untimed(history):
    return [{name: value for name, value in row.items() if name not in TIMES} for row in history]


def best_score(run_folder):
    return max(row["val/mAP"] for row in load_checkpoint(run_folder).history)


def signal_in(monkeypatch, epoch, batch, number):
    step = StageModule.training_step

    def signalled(self, images, batch_idx):
        if (self.epoch, batch_idx) == (epoch, batch):
            os.kill(os.getpid(), number)
        return step(self, images, batch_idx)

    monkeypatch.setattr(StageModule, "training_step", signalled)


TIMES = ("seconds", "images_per_second", "data_wait")
STEPS = {
    "model": {"branches": ["head"], "attention": "none"},
    "stages": [{"epochs": 2, "batch": {"identities": 2, "images": 1}, "optimizer": {"lr": 0.001}}],
    "augmentation": {"horizontal_flip": 0.5, "random_erasing": 0.5},
    "validation": {"every": 1},
}


@pytest.mark.parametrize(
    ("number", "epoch", "batch", "accumulate", "where"),
    [
        (signal.SIGTERM, 0, 0, 1, "epoch 1, step 1 of 4"),
        (signal.SIGINT, 1, 2, 1, "epoch 2, step 3 of 4"),
        (signal.SIGTERM, 1, 0, 2, "epoch 2, step 2 of 4"),  # whose gradients belong together
        (signal.SIGTERM, 0, 3, 1, "epoch 1"),
    ],
)
def test_a_signal_ends_the_step_and_the_rest_gives_the_same_weights(
    number, epoch, batch, accumulate, where, run, trained, tiny, tmp_path, monkeypatch
):
    recipe = tiny(**STEPS, execution={"accumulate": accumulate})
    with monkeypatch.context() as patch, pytest.raises(Interrupted, match=f"{where} is in .*the same command") as stop:
        signal_in(patch, epoch, batch, number)
        run(recipe)
    assert stop.value.signal == number
    assert json.loads((tmp_path / "run" / "run.json").read_text())["status"] == "interrupted"
    run(recipe)

    whole, parts = (load_checkpoint(path) for path in (trained(f"steps-{accumulate}", recipe), tmp_path / "run"))
    assert same(whole.state, parts.state)
    assert untimed(whole.history) == untimed(parts.history)


def test_a_signal_while_decoding_is_prepared_is_heard(run, tiny, monkeypatch):
    def signalled(*arguments, loader=module.BatchLoader, **options):
        os.kill(os.getpid(), signal.SIGTERM)
        return loader(*arguments, **options)

    monkeypatch.setattr(module, "BatchLoader", signalled)
    with pytest.raises(Interrupted, match="epoch 1, step 2 of 4 is in ") as stop:
        run(tiny(**STEPS, execution={"accumulate": 2}))
    assert stop.value.signal == signal.SIGTERM


def test_a_checkpoint_that_is_due_is_written_within_an_epoch_and_gone_on_from(
    run, trained, tiny, tmp_path, monkeypatch
):
    recipe = tiny(**STEPS, checkpoint={"minutes": 1e-9})
    with monkeypatch.context() as patch, pytest.raises(OSError, match="power cut"):
        interrupt_in(patch, 0, 2)
        run(recipe)
    before = load_checkpoint(tmp_path / "run")
    assert (before.epoch, before.unfinished.steps) == (0, 2)
    run(recipe)
    whole = load_checkpoint(trained("steps-1", tiny(**STEPS, execution={"accumulate": 1})))
    assert same(whole.state, load_checkpoint(tmp_path / "run").state)


def test_the_middle_of_an_epoch_that_cannot_be_gone_on_from(run, tiny, tmp_path, monkeypatch):
    recipe, last = tiny(**STEPS), tmp_path / "run" / "checkpoints" / "last.ckpt"
    with monkeypatch.context() as patch, pytest.raises(Interrupted):
        signal_in(patch, 0, 1, signal.SIGTERM)
        run(recipe)
    with pytest.raises(ReidError, match=r"within an epoch of 1 process; go on with as many --devices"):
        run(recipe, machine=Machine("cpu", devices=2, workers=0))
    content = torch.load(last, weights_only=True)
    content["reidtrain"]["unfinished"]["steps"] = 99
    torch.save(content, last)
    with pytest.raises(ReidError, match="99 steps of an epoch of 4, "):
        run(recipe)
    torch.save({name: content[name] for name in ("state_dict", "reidtrain")}, last)
    with pytest.raises(ReidError, match="no loops and no optimizer_states"):
        run(recipe)


def test_an_epoch_has_no_scores_of_weights_from_within_the_next(run, tiny, tmp_path, monkeypatch):
    with monkeypatch.context() as patch, pytest.raises(Interrupted):
        signal_in(patch, 1, 1, signal.SIGTERM)
        run(tiny(**STEPS | {"validation": {"every": 0}}))
    first, second = load_checkpoint(run(tiny(**STEPS)).out).history
    assert "val/mAP" not in first and "val/mAP" in second
    assert load_checkpoint(tmp_path / "run", "best").epoch == 2


def test_the_last_step_of_an_epoch_averages_the_batches_it_has(run, tiny):
    values = STEPS | {"validation": {"every": 0}}
    four, eight = (run(tiny(**values, execution={"accumulate": each}), f"{each}").out for each in (4, 8))
    assert same(weights(four), weights(eight))


@pytest.mark.parametrize("epoch", [1, 2], ids=["in between", "the last"])
def test_a_validation_that_was_cut_short_is_made_up_for(epoch, run, trained, tiny, tmp_path, monkeypatch):
    recipe, calls, compute = tiny(**STEPS), [], tasks.plain_features

    def signalled(*arguments):
        calls.append(1)
        if len(calls) >= epoch:
            os.kill(os.getpid(), signal.SIGTERM)
        return compute(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(tasks, "plain_features", signalled)
        for _ in range(2):
            with pytest.raises(Interrupted, match="from before this validation"):
                run(recipe)
    before = load_checkpoint(tmp_path / "run")
    assert before.epoch == epoch and "val/mAP" not in before.history[-1]

    writing = []

    def slowly(write):
        def written(*paths):
            writing.append(1)
            time.sleep(0.1)
            write(*paths)
            writing.pop()

        return written

    def workers_start(module, loader=StageModule.train_dataloader):
        assert not writing  # they would take over the locks of the thread that writes
        return loader(module)

    for name in ("_write", "_write_again"):
        monkeypatch.setattr(checkpoint_files, name, slowly(getattr(checkpoint_files, name)))
    monkeypatch.setattr(StageModule, "train_dataloader", workers_start)
    run(recipe)
    assert untimed(load_checkpoint(tmp_path / "run").history) == untimed(
        load_checkpoint(trained("steps-1", tiny(**STEPS, execution={"accumulate": 1}))).history
    )
    assert load_checkpoint(tmp_path / "run", "best").history[-1]["val/mAP"] == best_score(tmp_path / "run")


def test_a_finished_run_is_not_trained_again(copied, run, full, monkeypatch):
    about = json.loads((copied / "run.json").read_text())
    last = about["metrics"]["last"]
    assert about["source"].pop("plan")["poses"]["estimator"]["name"] == "movenet"
    (copied / "run.json").write_text(json.dumps(about))  # as runs of before did not keep the plan
    interrupt_in(monkeypatch, 0, 0)
    assert run(full()).last == last


def test_images_of_one_camera_are_validated_without_cameras(drawn_shards, tiny, monkeypatch):
    monkeypatch.setattr(ShardSet, "camids", property(lambda shards: np.ones(len(shards), np.int64)))
    task = identities_task(drawn_shards, tiny(validation={"every": 1}), ["whole"])
    assert task.source["validation"] == "test, cameras ignored"

    def compute(dataset, values, rows):
        return {"embedding": np.eye(8, dtype=np.float32)[dataset.shards.pids[rows] % 8] + 0.1}

    assert task.validate(compute)["mAP"] == 1


def test_overwrite_starts_anew(copied, run, tiny):
    recipe = tiny(stages=ONE)
    run(recipe, overwrite=True)
    again = load_checkpoint(copied)
    assert again.recipe == load_recipe(copied / "recipe.yaml") == recipe
    assert [row["epoch"] for row in again.history] == [1]


def test_a_killed_checkpoint_write_leaves_the_last_good_one(run, tiny, tmp_path, monkeypatch):
    """The file is complete before it takes the place of the old one; a full disk is an error with a remedy."""

    def half(checkpoint, buffer):
        buffer.write(b"half a checkpoint")
        raise KeyboardInterrupt

    recipe = tiny(stages=[{"epochs": 2, "batch": {"size": 4}, "optimizer": {"lr": 0.001}}])
    save = torch.save
    calls = []

    def second_time(checkpoint, buffer):
        calls.append(1)
        (half if len(calls) > 1 else save)(checkpoint, buffer)

    monkeypatch.setattr(checkpoint_files.torch, "save", second_time)
    with pytest.raises((SystemExit, KeyboardInterrupt)):
        run(recipe)
    monkeypatch.undo()
    assert load_checkpoint(tmp_path / "run").epoch == 1
    assert run(recipe).last["epoch"] == 2


def test_a_run_of_given_length_ends_in_time_and_goes_on_where_it_was(run, tiny, tmp_path, monkeypatch):
    recipe = tiny(training={"max_minutes": 0.03})

    steps = itertools.count()
    for each in (fit, pace):
        monkeypatch.setattr(each, "monotonic", lambda: next(steps) / 10)
    with monkeypatch.context() as patch, pytest.raises(OSError, match="power cut"):
        interrupt_in(patch, epoch=2)
        run(recipe)
    before = load_checkpoint(tmp_path / "run").history
    result = run(recipe)
    history = load_checkpoint(tmp_path / "run").history

    assert result.last == history[-1]
    assert 0 < len(before) < len(history)
    assert history[: len(before)] == list(before)
    positions = [row["schedule"] for row in history]
    assert positions == sorted(positions) and positions[-1] == recipe.epochs
    assert {row["stage"] for row in history} == {"softmax", "ranking"}
    # All that was not done is a validation.
    scored = run(tiny(training={"max_minutes": 0.03}, validation={"every": 1})).last
    assert scored == result.last | {name: value for name, value in scored.items() if name.startswith("val/")}
    assert "val/mAP" in scored


def test_a_validation_that_would_take_the_rest_of_the_time_is_the_last(run, tiny, monkeypatch):
    now, step, compute = [0.0], StageModule.training_step, tasks.plain_features

    def trained(self, images, batch_idx):
        now[0] += 1
        return step(self, images, batch_idx)

    def validated(*arguments):
        now[0] += 10
        return compute(*arguments)

    for each in (fit, pace):
        monkeypatch.setattr(each, "monotonic", lambda: now[0])
    monkeypatch.setattr(epoch_end, "time", SimpleNamespace(monotonic=lambda: now[0]))
    monkeypatch.setattr(StageModule, "training_step", trained)
    monkeypatch.setattr(tasks, "plain_features", validated)
    history = load_checkpoint(run(tiny(**STEPS, training={"max_minutes": 1.0})).out).history

    assert now[0] <= 61
    scored = ["val/mAP" in row for row in history]
    assert scored[0] and scored[-1] and not all(scored)


def test_only_whole_batches_of_training_are_compiled(run, full, monkeypatch):
    """A last batch of three images, and validation, would take minutes each to compile."""
    monkeypatch.setattr(module, "SMALLEST_LAST_BATCH", 3)
    stages = [{"epochs": 1, "batch": {"size": 5}, "optimizer": {"lr": 0.001}}]
    plain = run(full(stages=stages), "plain").out
    compiling = partialmethod(torch.nn.Module.compile, backend="eager")  # traced as ever, but without a C++ compiler
    monkeypatch.setattr(torch.nn.Module, "compile", compiling)
    torch._dynamo.reset()
    counters["stats"].clear()
    said: list[str] = []
    compiled = run(full(stages=stages, execution={"compile": True}), "compiled", log=said.append).out

    assert counters["stats"]["unique_graphs"] == 1
    assert same(weights(compiled), weights(plain))
    assert any("takes minutes" in line for line in said)


def test_a_network_that_cannot_be_compiled_says_what_is_missing(run, full, monkeypatch):
    def without_compiler(*_):
        raise InvalidCxxCompiler

    monkeypatch.setattr(torch.nn.Module, "compile", partialmethod(torch.nn.Module.compile, backend=without_compiler))
    with pytest.raises(ReidError, match=r"C\+\+ compiler.* --set execution.compile=false"):
        run(full(execution={"compile": True}))


def test_checkpoints_are_written_by_time_and_at_the_end(run, tiny, tmp_path, monkeypatch):
    written = []
    save = checkpoint_files.torch.save
    monkeypatch.setattr(checkpoint_files.torch, "save", lambda what, file: (written.append(1), save(what, file)))
    run(tiny(checkpoint={"minutes": 60.0}))

    assert len(written) == 2  # of the two stages, the first of two epochs
    assert load_checkpoint(tmp_path / "run").epoch == 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": 7}, "seed is 7, was 0"),
        ({"model": {"branches": ["whole"]}}, "model.branches is .*whole.*, was .*head"),
        (SELF_ATTENTION, "network is self-attention, was attention-driven"),
        ({"stages": ONE * 3}, "stages.0.name is train, was softmax"),
    ],
)
def test_a_folder_of_another_recipe_is_refused(change, message, copied, run, full):
    with pytest.raises(ReidError, match=message):
        run(full(**change))


def epochs_of_the_last_stage(recipe, epochs):
    *stages, last = recipe.stages
    return replace(recipe, stages=(*stages, replace(last, epochs=epochs)))


def test_a_finished_run_goes_on_for_more_epochs_of_its_last_stage(copied, run, full):
    before, lines = load_checkpoint(copied), []
    longer = epochs_of_the_last_stage(full(), full().stages[-1].epochs + 1)
    assert run(longer, log=lines.append).last["epoch"] == longer.epochs
    assert f"{longer.epochs} epochs instead of {before.epoch}: " in "\n".join(lines)
    after = load_checkpoint(copied)
    assert after.history[: before.epoch] == before.history and after.recipe == longer
    assert json.loads((copied / "run.json").read_text())["status"] == "finished"
    with pytest.raises(ReidError, match="epochs is"):
        run(full())


def test_another_validation_is_not_another_run(copied, run, full, monkeypatch):
    interrupt_in(monkeypatch, 0, 0)  # nothing is left to train
    run(full(validation={"every": 0}))


def test_a_start_that_failed_before_a_checkpoint_leaves_no_claim(run, tiny, tmp_path):
    with pytest.raises(ReidError, match="identities"):
        run(tiny(stages=[{"epochs": 1, "batch": {"identities": 50, "images": 2}}]))
    run(tiny(stages=ONE))
    assert load_checkpoint(tmp_path / "run").epoch == 1


@pytest.mark.parametrize(
    ("held_out", "remedy"), [([], "validation.identities=50"), ([2, 4], "hold more identities out")]
)
def test_a_validation_without_any_match_is_refused_before_the_first_step(
    held_out, remedy, run, tiny, tmp_path, monkeypatch
):
    monkeypatch.setattr(ShardSet, "camids", property(lambda shards: shards.pids))  # one for each person
    monkeypatch.setattr(tasks, "choose_of_each", lambda *_: [([2], held_out)])
    with pytest.raises(ReidError, match=f"same camera only.*{remedy}.*--set validation.every=0"):
        run(tiny(validation={"every": 1}))
    assert not (tmp_path / "run").exists()


def test_a_folder_of_other_shards_is_refused(copied, run, full, strips_shards):
    with pytest.raises(ReidError, match="data: "):
        run(full(), shards=strips_shards)


def test_a_checkpoint_of_another_run_is_refused_and_a_damaged_one_replaced_by_the_best(
    copied, run, full, finished_other
):
    last, best = (copied / "checkpoints" / f"{name}.ckpt" for name in ("last", "best"))
    shutil.copy(finished_other / "checkpoints" / "last.ckpt", last)
    with pytest.raises(ReidError, match=r"last\.ckpt: holds a run that differs: --set network is attention-driven"):
        run(full())
    last.write_bytes(b"half a checkpoint")
    with pytest.raises(ReidError, match=r"last\.ckpt cannot be read.*copy best\.ckpt over it.*--overwrite"):
        run(full())
    shutil.copy(best, last)
    assert run(full()).last["epoch"] == 3


def test_a_folder_that_is_no_run_is_refused_and_kept(run, tiny, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.tex").write_text("years of work")
    for overwrite in (False, True):
        with pytest.raises(ReidError, match="thesis.tex"):
            run(tiny(), overwrite=overwrite)
    assert (tmp_path / "run" / "thesis.tex").read_text() == "years of work"


def test_starting_from_a_checkpoint_names_the_layers_that_did_not_fit(finished, run, tiny, tmp_path):
    lines = []
    one = [{"epochs": 1, "batch": {"size": 4}, "optimizer": {"lr": 1e-9}}]
    run(tiny(stages=one, model={"branches": ["lower_leg"]}), init=finished, log=lines.append)
    assert any("parts." in line for line in lines), lines
    first, second = weights(finished), weights(tmp_path / "run")
    assert torch.allclose(first["model.conv1.weight"], second["model.conv1.weight"], atol=1e-6)
    about = json.loads((tmp_path / "run" / "run.json").read_text())
    assert Path(about["init"]["path"]) == finished
    with pytest.raises(ReidError, match="--init"):
        run(tiny(stages=one, model={"branches": ["lower_leg"]}))


@pytest.mark.filterwarnings("ignore:.*to a meta parameter")
@pytest.mark.parametrize(("dilation", "said"), [(1, True), (4, False)])
def test_another_dilation_of_stage_6_than_the_weights_had_is_said(dilation, said, tmp_path):
    with without_weights():
        model = build_model(SelfAttentionConfig(stage6_dilation=dilation), classes=3)
    recipe = {"network": "self-attention", "model": {"stage6_dilation": 4}}
    content = {"reidtrain": {"recipe": recipe}, "state_dict": {"model.layer5.0.bn1.weight": torch.ones(256)}}
    torch.save(content, tmp_path / "last.ckpt")
    lines = load_first_weights(model, tmp_path / "last.ckpt")["report"]
    assert any("model.stage6_dilation=4" in line for line in lines) == said


def test_both_networks_train(finished_other):
    last = json.loads((finished_other / "run.json").read_text())["metrics"]["last"]
    assert {"loss/softmax", "loss/sac"} <= last.keys()


@pytest.mark.parametrize("execution", [{"channels_last": False}, {"gradient_clip": 1.0}])
def test_switches_of_execution(execution, run, tiny):
    result = run(tiny(stages=ONE, execution=execution))
    assert 0 < result.last["loss"] < 100


def test_gradients_are_clipped_in_bfloat16_where_optimisers_are_fused(run, tiny, monkeypatch):
    configure = StageModule.configure_optimizers

    def as_on_a_gpu(module):
        with monkeypatch.context() as patch:
            patch.setattr(StageModule, "device", torch.device("cuda"))
            return configure(module)

    monkeypatch.setattr(StageModule, "configure_optimizers", as_on_a_gpu)
    result = run(tiny(stages=ONE, execution={"precision": "bf16", "gradient_clip": 1.0}))
    assert 0 < result.last["loss"] < 100


@pytest.mark.parametrize(
    ("precision", "imitated", "said"), [("bf16", True, True), ("bf16", False, False), ("float32", True, False)]
)
def test_a_cpu_without_bfloat16_is_said(precision, imitated, said, run, tiny, monkeypatch):
    monkeypatch.setattr("reidtrain.training.fit.imitates_bf16", lambda: imitated)
    lines = []
    result = run(tiny(stages=ONE, execution={"precision": precision}), log=lines.append)
    assert 0 < result.last["loss"] < 100
    assert any("--set execution.precision=float32" in line for line in lines) == said


def test_memory_layout_changes_nothing_but_rounding(run, tiny, tmp_path):
    # Short steps: batch norms over four tiny images make long ones magnify rounding.
    stage = [{"epochs": 1, "batch": {"size": 4}, "optimizer": {"lr": 1e-6}}]
    losses = [
        run(tiny(stages=stage, execution={"channels_last": layout}), str(layout)).last["loss"]
        for layout in (True, False)
    ]
    assert losses[0] == pytest.approx(losses[1], rel=2e-4)


def test_identities_are_held_out_by_seed(run, tiny, tmp_path):
    recipe = tiny(stages=[{"epochs": 1, "batch": {"size": 4}}], validation={"every": 1, "identities": 0})
    assert len(load_checkpoint(run(recipe).out).class_names) == 2
    with pytest.raises(ReidError, match=r"held out.*validation\.identities"):
        run(replace(recipe, validation=replace(recipe.validation, identities=1)), "other")


def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_the_last_checkpoint(run, tiny, tmp_path):
    stages = [
        {"epochs": 1, "batch": {"size": 4}, "optimizer": {"lr": 0.001}},
        {"epochs": 2, "batch": {"size": 4}, "optimizer": {"lr": 1e30}},
    ]
    with pytest.raises(ReidError, match=r"no longer a finite number.*stages\.1\.optimizer\.lr"):
        run(tiny(stages=stages))
    kept = weights(tmp_path / "run")
    assert load_checkpoint(tmp_path / "run").epoch == 1
    assert all(torch.isfinite(value).all() for value in kept.values())


def test_shards_without_the_crops_a_network_needs(run, tiny, plain_shards):
    with pytest.raises(ReidError, match="--with-image"):
        run(tiny(**SELF_ATTENTION), shards=plain_shards)


@pytest.mark.parametrize(
    ("batch", "message"),
    [({"identities": 18, "images": 4}, "18 identities cannot be made of 2"), ({"size": 1}, "give at least 2 images")],
)
def test_batches_that_cannot_be_made_are_refused(batch, message, run, tiny):
    with pytest.raises(ReidError, match=message):
        run(tiny(stages=[{"epochs": 1, "batch": batch}]))


def test_one_process_trains_alone_whichever_task_of_a_cluster_job_it_is(run, tiny, tmp_path, monkeypatch):
    for name, value in {"JOB_ID": 7, "JOB_NAME": "train", "NTASKS": 2, "PROCID": 1, "LOCALID": 1, "NODEID": 0}.items():
        monkeypatch.setenv(f"SLURM_{name}", str(value))
    monkeypatch.setattr(rank_zero_only, "rank", 1)  # as Lightning has it on being imported in such a job
    run(tiny(stages=ONE))
    assert load_checkpoint(tmp_path / "run").epoch == 1
    assert json.loads((tmp_path / "run" / "run.json").read_text())["status"] == "finished"


def test_a_gpu_that_is_not_there_is_an_error(run, tiny, tmp_path):
    if torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    with pytest.raises(ReidError, match="--device cuda"):
        run(tiny(), machine=Machine(device="cuda", workers=0))
    assert not (tmp_path / "run").exists()


def test_recipes_in_checkpoints_are_complete(finished, full):
    assert load_checkpoint(finished).recipe == recipe_from_dict(recipe_to_dict(full()))


def test_a_run_from_before_a_switch_goes_on_with_what_it_was_trained_with(finished_other, run, tiny, tmp_path):
    """Stage 6 had the dilation of stage 5 before `stage6_dilation`; its default now is another."""
    copy = shutil.copytree(finished_other, tmp_path / "run")
    about = json.loads((copy / "run.json").read_text())
    del about["recipe"]["model"]["stage6_dilation"], about["recipe"]["model"]["depth"]
    (copy / "run.json").write_text(json.dumps(about))
    with pytest.raises(ReidError, match="model.stage6_dilation is 1, was 4"):
        run(tiny(**SELF_ATTENTION | {"model": {}}))
    assert run(tiny(**SELF_ATTENTION)).last["epoch"] == 1


@pytest.mark.parametrize(("size", "steps"), [(4, 2), (3, 2), (6, 1), (7, 1)])
def test_a_last_batch_of_few_images_is_left_out_after_whole_ones(size, steps, run, tiny, monkeypatch):
    """The channel attention's norm takes its statistics over the images of a batch alone."""
    sizes = []
    step = StageModule.training_step

    def counting(self, images, batch_idx):
        sizes.append(len(images.labels))
        return step(self, images, batch_idx)

    monkeypatch.setattr(StageModule, "training_step", counting)
    run(tiny(stages=[{**ONE[0], "batch": {"size": size}}]))
    assert len(sizes) == steps
