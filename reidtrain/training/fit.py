"""Training from start to end: stages one after the other, from the last checkpoint if there is one."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.utilities import rank_zero_only

from reidprep.device import torch_device
from reidprep.errors import Interrupted, ReidError
from reidprep.files import file_sha256
from reidprep.progress import Progress, unseen
from reidprep.signals import Signals
from reidprep.text import counted
from reidtrain.checkpoints import (
    Checkpoint,
    Unfinished,
    checkpoint_content,
    checkpoint_path,
    load_checkpoint,
    make_preprocessor,
)
from reidtrain.failures import explained
from reidtrain.models.attention_driven import AttentionDrivenNet
from reidtrain.models.factory import Model, build_model
from reidtrain.models.self_attention import SelfAttentionNet
from reidtrain.models.weights import load_matching, read_weights, trained_recipe
from reidtrain.recipes.loading import load_recipe, recipe_to_dict, stored_recipe
from reidtrain.recipes.schema import Execution, Recipe
from reidtrain.training.checkpoint_files import WholeFiles
from reidtrain.training.epoch_end import EpochEnd
from reidtrain.training.module import StageModule
from reidtrain.training.pace import Pace, epochs_before, finished, next_stage
from reidtrain.training.records import Records
from reidtrain.training.run_folder import RunFolder
from reidtrain.training.tasks import CAMERAS_IGNORED, Task, identities_task
from reidtrain.training.timing import Timing
from reidtrain.training.validation import validation_is_missing


@dataclass(frozen=True)
class Machine:
    """What a run is computed on.

    Attributes:
        device: one of `reidprep.device.DEVICES`.
        devices: processes on this machine, each with a device of its own.
        nodes: machines; start the command on each by torchrun.
        workers: processes that decode, for each device.
    """

    device: str = "auto"
    devices: int = 1
    nodes: int = 1
    workers: int = 2

    @property
    def alone(self) -> bool:
        """Whether one process trains, whatever the variables of a SLURM job say that it is one task of."""
        return self.devices * self.nodes == 1

    @property
    def is_first(self) -> bool:
        """Whether this is the process, of those that train together, that writes and prints."""
        return self.alone or int(getattr(rank_zero_only, "rank", 0)) == 0


@dataclass(frozen=True)
class RunResult:
    """What came out.

    Attributes:
        out: the run folder.
        last: figures of the last epoch; validation scores are named `val/...`.
        best: figures of the epoch with the best score, None without validation.
        seconds: of training, over all sittings.
    """

    out: Path
    last: Mapping[str, Any]
    best: Mapping[str, Any] | None
    seconds: float


def fit(
    shards: str | Path | Sequence[str | Path],
    out: str | Path,
    recipe: Recipe | str | Path,
    *,
    init: str | Path | None = None,
    machine: Machine | None = None,
    overwrite: bool = False,
    progress: Progress = unseen,
    validating: Progress = unseen,
    log: Callable[[str], None] | None = None,
) -> RunResult:
    """Train a recipe's network on the training identities of a shard directory, or of several together.

    A run that was interrupted goes on from its last checkpoint, and on the CPU ends with the same weights
    as one that was not. Ctrl-C and SIGTERM end it after the step that is computed, which a checkpoint then holds.

    Args:
        shards: the directory; or directories, one of each dataset, whose people are all different.
        out: the run folder.
        recipe: network and training; or what `load_recipe` takes, such as the name of a shipped recipe.
        init: weights to start from: a checkpoint or run of this toolkit, or a state dict.
        machine: what to compute on; one device by default.
        overwrite: start anew where a run is.
        progress: called with images done and in total.
        validating: called with images done and in total of a validation.
        log: called with a line for the reader now and then.

    Raises:
        ReidError: the shards do not serve the network, the folder holds another run, the loss is no longer finite,
            out of memory, a damaged sample, or a full disk.
        Interrupted: a signal.

    Example:
        >>> from reidtrain import fit, load_recipe
        >>> recipe = load_recipe("demo", ["stages.0.epochs=1", "stages.0.batch.identities=2"])
        >>> result = fit("shards", "new-run", recipe)
        >>> result.last["epoch"], (result.out / "checkpoints" / "last.ckpt").is_file()
        (1, True)
    """
    if not isinstance(recipe, Recipe):
        recipe = load_recipe(recipe)
    paths = [Path(shards)] if isinstance(shards, str | Path) else [Path(path) for path in shards]
    task = identities_task(paths, recipe, recipe.model.views)
    init = Path(init) if init else None
    return train(
        task,
        Path(out),
        recipe,
        init=init,
        machine=machine or Machine(),
        overwrite=overwrite,
        progress=progress,
        validating=validating,
        log=log,
    )


def train(
    task: Task,
    out: Path,
    recipe: Recipe,
    *,
    init: Path | None,
    machine: Machine,
    overwrite: bool,
    progress: Progress,
    validating: Progress,
    log: Callable[[str], None] | None,
) -> RunResult:
    """Train a recipe's network on any task; arguments as for `fit`."""
    began = monotonic()
    first = machine.is_first
    device = torch_device(machine.device)
    model = arranged(build_model(recipe.model, task.classes, recipe.seed), recipe.execution)
    start = load_first_weights(model, init) if init else None
    with RunFolder(out, recipe, task.source, start, overwrite) if first else nullcontext() as folder:
        last = out / "checkpoints" / "last.ckpt"
        resumed = _resumed(last) if last.is_file() and not (overwrite and not first) else None
        if resumed and folder is not None:
            recipe_then = recipe_to_dict(resumed.recipe)
            folder.check_same(last, {"recipe": recipe_then, "source": resumed.source, "init": resumed.init})
        history: list[dict[str, Any]] = [dict(row) for row in resumed.history] if resumed else []
        begun = resumed.unfinished if resumed else None
        if begun and begun.processes != machine.devices * machine.nodes:
            raise ReidError(
                f"{last}: is from within an epoch of {counted(begun.processes, 'process', 'processes')}; go on with "
                "as many --devices"
            )
        ended = finished(recipe, history) and not validation_is_missing(recipe, task, history)
        records = None
        if folder is not None and not ended:
            folder.begin()
            records = Records(folder, recipe, log)
        if log and first:
            lines = [*(start["report"] if start else []), _opening(recipe, task, model, len(history), begun)]
            if folder is not None and folder.longer:
                text = "the learning rate is that of the longer run now"
                lines.append(f"{counted(recipe.epochs, 'epoch')} instead of {folder.longer}: {text}")
            for line in lines + ([] if ended else _what_takes_long(recipe.execution, device)):
                log(line)
        preprocessor = make_preprocessor(recipe, task.means, augmented=True)
        if resumed:
            resumed.load_into(model)
        pace = None
        if recipe.training.max_minutes:
            pace = Pace(recipe, history, began, task.validation_images, begun.schedule if begun else None)

        def describe(stage: int, unfinished: Unfinished | None) -> dict[str, Any]:
            return checkpoint_content(recipe, task.class_names, task.source, start, stage, history, unfinished)

        unended = () if ended else range(min(next_stage(recipe, history), len(recipe.stages) - 1), len(recipe.stages))
        timing = Timing(progress if first else unseen, pace)
        with Signals() as signals, _kept(folder, began):
            for index in unended:
                before = epochs_before(recipe, history, index)
                first_epoch = len(history) - before
                module = StageModule(
                    model,
                    preprocessor,
                    task,
                    recipe,
                    index,
                    before,
                    first_epoch,
                    begun,
                    machine.workers,
                    describe,
                    signals.listen,
                )
                epochs = recipe.stages[index].epochs
                if pace is not None:  # the clock ends it, but where all that is left is a validation
                    epochs = first_epoch if first_epoch and finished(recipe, history) else -1
                files = WholeFiles()
                ending = EpochEnd(
                    timing, history, records, out, files, signals, machine.workers, validating if first else unseen
                )
                with explained(recipe), _quiet():
                    trainer = _trainer(recipe, epochs, machine, [timing, ending], files)
                    try:
                        trainer.fit(module, ckpt_path=last if first_epoch or begun else None)
                    finally:
                        files.teardown()
                begun = None
        result = _result(out, history, f"val/{task.monitor}", folder, monotonic() - began)
        if records is not None:
            records.close()
        return result


def _resumed(last: Path) -> Checkpoint:
    try:
        return load_checkpoint(last)
    except ReidError as error:
        best = "copy best.ckpt over it to go on from there, or " if last.with_name("best.ckpt").is_file() else ""
        raise ReidError(f"{error}. In this run: {best}start anew by --overwrite") from None


@contextmanager
def _kept(folder: RunFolder | None, began: float) -> Iterator[None]:
    """Keep what a run is when it is stopped."""
    try:
        yield
    except Interrupted as stopped:
        if folder is None:  # of several processes the first says it
            raise SystemExit(128 + stopped.signal) from None
        seconds = float(folder.about["seconds"]) + monotonic() - began
        folder.write(status="interrupted", seconds=round(seconds, 1))
        raise
    except SystemExit:  # what Lightning makes of a Ctrl-C that does not wait
        raise KeyboardInterrupt from None


def arranged(model: Model, execution: Execution) -> Model:
    """The model with its weights in the memory layout, and its forward pass compiled, as a recipe wants it.

    What is compiled serves training batches of one size; `reidtrain.training.module.uncompiled` is for others.
    """
    if execution.channels_last:
        model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if execution.compile:
        if isinstance(model, AttentionDrivenNet):
            # Parts one after the other are 6.6 times as many calls to compile, and were no faster then.
            model.part_computation = "grouped"
        model.compile(dynamic=False)
    return model


def load_first_weights(model: Model, init: Path) -> dict[str, Any]:
    """Load weights, and say where they came from, which layers they did not serve, and what shapes do not tell.

    Args:
        model: filled in place.
        init: a checkpoint or run of this toolkit, or a state dict.

    Returns:
        `path`, `sha256` and `report`, lines for the reader.

    Raises:
        ReidError: no weights, or none that fit.
    """
    path = checkpoint_path(init)
    report = load_matching(model, read_weights(path, model=model))
    lines = report.describe()
    if isinstance(model, SelfAttentionNet) and any(name.startswith("layer5.") for name in report.loaded):
        theirs = stored_recipe(trained_recipe(path)).get("model")
        ours = model.config.stage6_dilation
        dilation = theirs.get("stage6_dilation", ours) if isinstance(theirs, Mapping) else ours
        if dilation != ours:
            lines.append(
                f"stage 6 was trained with a dilation of {dilation} and is used with {ours}: "
                f"--set model.stage6_dilation={dilation} keeps it as it was"
            )
    return {"path": str(init), "sha256": file_sha256(path), "report": lines}


def _trainer(
    recipe: Recipe, epochs: int, machine: Machine, callbacks: list[pl.Callback], files: WholeFiles
) -> pl.Trainer:
    execution = recipe.execution
    try:
        return pl.Trainer(
            accelerator=torch_device(machine.device),
            devices=machine.devices,
            num_nodes=machine.nodes,
            strategy="auto" if machine.alone else "ddp",
            precision="bf16-mixed" if execution.precision == "bf16" else "32-true",
            max_epochs=epochs,
            accumulate_grad_batches=execution.accumulate,
            gradient_clip_val=execution.gradient_clip or None,
            deterministic=execution.deterministic,
            # Batches are of one shape: cuDNN may look for its fastest algorithms once.
            benchmark=not execution.deterministic,
            # Ours: the samplers know of processes, and each epoch is recorded by Records.
            use_distributed_sampler=False,
            logger=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            callbacks=callbacks,
            plugins=[files, *([LightningEnvironment()] if machine.alone else [])],
        )
    except (MisconfigurationException, ValueError, RuntimeError) as error:
        raise ReidError(f"--device {machine.device} --devices {machine.devices} cannot be had here: {error}") from None


def _result(
    out: Path, history: list[dict[str, Any]], monitor: str, folder: RunFolder | None, seconds: float
) -> RunResult:
    scored = [row for row in history if monitor in row]
    best = max(scored, key=lambda row: float(row[monitor])) if scored else None
    if folder is not None:
        if folder.about["status"] != "finished":
            total = round(float(folder.about["seconds"]) + seconds, 1)
            folder.write(status="finished", seconds=total, metrics={"last": history[-1], "best": best})
        seconds = float(folder.about["seconds"])
    return RunResult(out, history[-1], best, seconds)


def imitates_bf16() -> bool:
    """Whether bfloat16 on this CPU is slower than float32: oneDNN has no convolution in it for CPUs without AVX-512."""
    return bool(torch._C._has_mkldnn) and not torch.ops.mkldnn._is_mkldnn_bf16_supported()


def _opening(recipe: Recipe, task: Task, model: Model, done: int, begun: Unfinished | None) -> str:
    parameters = sum(parameter.numel() for parameter in model.parameters())
    images, classes = counted(len(task.labels), "image"), counted(task.classes, "class", "classes")
    minutes = recipe.training.max_minutes
    length = f"{minutes:g} minutes" if minutes else counted(recipe.epochs, "epoch")
    text = f"{recipe.network} network, {parameters / 1e6:.2f} M parameters, {images} of {classes}, {length}"
    if sets := task.source.get("sets"):
        counts = (f"{name} ({each['path']}) {counted(each['images'], 'image')}" for name, each in sets.items())
        text += f"; of {', '.join(counts)}"
    if str(task.source.get("validation")).endswith(CAMERAS_IGNORED):
        text += "; all images to validate on are of one camera: validated by the protocol no-cameras"
    if begun:
        return text + f"; going on after step {begun.steps} of epoch {done + 1}"
    return text + (f"; going on after epoch {done}" if done else "")


def _what_takes_long(execution: Execution, device: str) -> list[str]:
    lines = []
    if device == "cpu" and execution.precision == "bf16" and imitates_bf16():
        lines.append(
            "this CPU cannot compute in bfloat16, which PyTorch then imitates at a fraction of the speed of "
            "float32: --set execution.precision=float32, in a new run"
        )
    if execution.compile:
        lines.append("the network is compiled in the first step of a stage, which takes minutes")
    return lines


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep Lightning's advice to itself; what matters to the user is said by us."""
    logger = logging.getLogger("lightning.pytorch")
    level = logger.level
    logger.setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="lightning")
        try:
            yield
        finally:
            logger.setLevel(level)
