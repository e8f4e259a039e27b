"""What happens around the steps: times, validation, checkpoints, and what a run tells its reader.

That is a line per epoch, metrics.csv, TensorBoard and the picture of the curves.
"""

from __future__ import annotations

import io
import os
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from secrets import randbits
from signal import SIGTERM
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
import torch.distributed
from lightning.pytorch.callbacks import Callback, Checkpoint
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.plugins.io import TorchCheckpointIO
from lightning_utilities.core.apply_func import apply_to_collection
from numpy.typing import NDArray
from torch.utils.data import Dataset

from reidprep.files import whole_file
from reidprep.progress import Progress
from reidprep.signals import Signals
from reidtrain.checkpoints import read_checkpoint
from reidtrain.data.dataset import Item
from reidtrain.features.extractor import Values, compute, interleaved
from reidtrain.models.weights import CHECKPOINT_KEY
from reidtrain.plots.curves import FIGURE_SUFFIXES, draw_curves
from reidtrain.recipes.schema import Recipe
from reidtrain.training.module import STEPS_BETWEEN_CHECKS, StageModule
from reidtrain.training.pace import POSITION, Pace, finished, next_stage
from reidtrain.training.run_folder import RunFolder
from reidtrain.training.tasks import Task


class WholeFiles(TorchCheckpointIO):
    """Checkpoints that are there whole or not at all, and are read without unpickling anything but plain values.

    A thread writes them beside the steps, one after the other. `wait` for it before processes are forked, which would
    take over its locks.
    """

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self._writing: Future[None] | None = None

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Copy the weights as they are now, and have them written."""
        self.wait()
        copied = apply_to_collection(checkpoint, torch.Tensor, lambda tensor: tensor.detach().to("cpu", copy=True))
        self._writing = self._thread.submit(_write, copied, Path(path))

    def save_again(self, path: Path, again: Path) -> None:
        """Have what was just saved under a second name, too."""
        self.wait()
        self._writing = self._thread.submit(_write_again, path, again)

    def wait(self) -> None:
        """Until the last checkpoint is written.

        Raises:
            ReidError: it cannot be.
        """
        writing, self._writing = self._writing, None
        if writing is not None:
            writing.result()

    def teardown(self) -> None:
        """Wait, and end the thread."""
        try:
            self.wait()
        finally:
            self._thread.shutdown()

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = None) -> dict[str, Any]:
        """Read a checkpoint as all of them are read here: no pickle (`reidtrain.checkpoints`)."""
        return read_checkpoint(Path(path))


def _write(checkpoint: dict[str, Any], path: Path) -> None:
    buffer = io.BytesIO()
    # Not into the file: what a full disk does to PyTorch's writer cannot be told from other errors.
    torch.save(checkpoint, buffer)
    with whole_file(path) as file:
        file.write(buffer.getbuffer())


def _write_again(path: Path, again: Path) -> None:
    link = again.with_name(f".{again.name}.{randbits(64)}.tmp")
    try:
        os.link(path, link)
    except OSError:  # a file system without links
        with whole_file(again) as file:
            file.write(path.read_bytes())
    else:
        link.replace(again)


class Timing(Callback):
    """Measures an epoch: images per second, and the share of time spent waiting for the loader; reports progress.

    Args:
        progress: is told images done and in total; of a run of given length, those of this sitting and as many as are
            expected.
        pace: of a run of given length, which ends its stage when the time is up.
    """

    def __init__(self, progress: Progress, pace: Pace | None) -> None:
        self.progress = progress
        self.pace = pace
        self.started = self.idle_since = self.waited = 0.0
        self.images = self.images_before = 0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock of an epoch that was begun in an earlier sitting."""
        self.on_train_epoch_start(trainer, pl_module)

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock."""
        self.started = self.idle_since = time.perf_counter()
        self.images_before += self.images
        self.waited, self.images = 0.0, 0
        assert isinstance(pl_module, StageModule)
        if self.pace is not None:
            self._read(self.pace, trainer, pl_module)

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: Any, batch: Any, batch_idx: int) -> None:
        """The batch is there."""
        self.waited += time.perf_counter() - self.idle_since

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """The step is queued; from here on it is the loader that is waited for."""
        assert isinstance(pl_module, StageModule)
        self.images += len(batch) * trainer.world_size
        self.idle_since = time.perf_counter()
        if self.pace is None:
            total = pl_module.recipe.epochs * len(pl_module.task.labels)
            share = (pl_module.epoch + (batch_idx + 1) / len(pl_module.sampler)) / pl_module.recipe.epochs
            self.progress(round(share * total), total)
        elif trainer.world_size == 1 or (batch_idx + 1) % STEPS_BETWEEN_CHECKS == 0:
            trainer.should_stop = self._read(self.pace, trainer, pl_module) >= pl_module.stage.epochs

    def _read(self, pace: Pace, trainer: pl.Trainer, module: StageModule) -> float:
        rate = self.images / max(1e-9, time.perf_counter() - self.started)
        # One clock for all processes: they share the learning rate, and end together.
        position = float(trainer.strategy.broadcast(pace.position(rate)))
        stages = module.recipe.stages
        module.by_the_clock = position - sum(stage.epochs for stage in stages[: module.index])
        if share := (position - pace.before) / (pace.epochs - pace.before):
            done = self.images_before + self.images
            self.progress(done, max(done, round(done / share)))
        return module.by_the_clock

    def figures(self) -> dict[str, float]:
        """The figures of the epoch so far."""
        seconds = max(1e-9, time.perf_counter() - self.started)
        return {
            "seconds": round(seconds, 3),
            "images_per_second": round(self.images / seconds, 2),
            "data_wait": round(self.waited / seconds, 4),
        }


class EpochEnd(Checkpoint):
    """Closes an epoch: figures, validation, records, and the best and the last checkpoint; ends a run that is to stop.

    Args:
        timing: of the epoch.
        history: the rows of all epochs, to which one is added.
        records: writes what a reader sees, in the first process.
        out: the run folder; the same in all processes.
        files: writes the checkpoints.
        signals: whether the run is to stop.
        workers: processes that decode for validation.
        progress: is told images done and in total of a validation.
    """

    def __init__(
        self,
        timing: Timing,
        history: list[dict[str, Any]],
        records: Records | None,
        out: Path,
        files: WholeFiles,
        signals: Signals,
        workers: int,
        progress: Progress,
    ) -> None:
        self.timing = timing
        self.history = history
        self.records = records
        self.best, self.last = (out / "checkpoints" / f"{name}.ckpt" for name in ("best", "last"))
        self.files = files
        self.signals = signals
        self.workers = workers
        self.progress = progress
        self.saved = time.monotonic()

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Make up for a validation that an earlier sitting did not come to."""
        assert isinstance(pl_module, StageModule)
        if not validation_is_missing(pl_module.recipe, pl_module.task, self.history):
            return
        self._validate(trainer, pl_module)
        if self.records is not None:
            content = read_checkpoint(self.last)
            content[CHECKPOINT_KEY]["history"] = [dict(row) for row in self.history]
            self.files.save_checkpoint(content, self.last)
            if is_best(self.history, f"val/{pl_module.task.monitor}"):
                self.files.save_again(self.last, self.best)
            self.records.epoch(self.history)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Listen to signals again: Lightning's own handler ends the process without a word."""
        self.signals.listen()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save the middle of an epoch when it is time, or when the run is to stop after this step."""
        module, done = pl_module, batch_idx + 1
        assert isinstance(module, StageModule)
        if done == len(module.sampler) or trainer.should_stop or done % module.recipe.execution.accumulate:
            return  # an epoch's end has more to save, and gradients that wait for others are not saved
        due, stop = self._asked(trainer, module)
        if due or stop:
            module.unfinished = module.so_far()
            self._save(trainer, self.last)
            module.unfinished = None
        if stop:
            self._stop(f"epoch {module.epoch + 1}, step {done} of {len(module.sampler)}")

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Do all of it. The best checkpoint comes first: after a kill between the two the epoch is run again."""
        module = pl_module
        assert isinstance(module, StageModule)
        recipe, pace = module.recipe, self.timing.pace
        row: dict[str, Any] = {"epoch": module.epoch + 1, "stage": module.stage.name}
        row |= module.epoch_means() | {"lr": trainer.optimizers[0].param_groups[0]["lr"]} | self.timing.figures()
        if pace is not None:
            row[POSITION] = module.position
        self.history.append(row)
        due, stop = self._asked(trainer, module)
        saved = False
        if validation_is_missing(recipe, module.task, self.history):
            # Validation may take long, and be cut short.
            self._save(trainer, self.last)
            saved, due = True, False
            if not stop:
                began = time.monotonic()
                self._validate(trainer, module)
                if pace is not None:
                    pace.last_validation = time.monotonic() - began
                saved, stop = False, self._asked(trainer, module)[1]
        is_new_best = is_best(self.history, f"val/{module.task.monitor}")
        if not saved and (is_new_best or due or stop or next_stage(recipe, self.history) > module.index):
            self._save(trainer, self.best if is_new_best else self.last)
            if is_new_best and trainer.is_global_zero:
                self.files.save_again(self.best, self.last)
        if self.records is not None:
            self.records.epoch(self.history)
        if stop and (saved or not finished(recipe, self.history)):
            self._stop(f"epoch {row['epoch']}")

    def _asked(self, trainer: pl.Trainer, module: StageModule) -> tuple[bool, bool]:
        """Whether a checkpoint is due, by the first process's clock, and whether any process is to stop."""
        minutes = module.recipe.checkpoint.minutes
        elapsed = time.monotonic() - self.saved
        within = module.batches < len(module.sampler)
        due = trainer.is_global_zero and elapsed >= 60 * minutes and not (within and minutes == 0)
        asked = torch.tensor([due, self.signals.caught is not None], dtype=torch.int32)
        if trainer.world_size > 1:
            asked = asked.to(module.device)
            torch.distributed.all_reduce(asked, torch.distributed.ReduceOp.MAX)
        return bool(asked[0]), bool(asked[1])

    def _save(self, trainer: pl.Trainer, path: Path) -> None:
        trainer.save_checkpoint(path)
        self.saved = time.monotonic()

    def _stop(self, where: str) -> None:
        self.files.wait()
        if self.signals.caught is None:
            self.signals.caught = SIGTERM  # another process was told
        self.signals.stop(f"{where} is in {self.last}, and the same command goes on from there")

    def _validate(self, trainer: pl.Trainer, module: StageModule) -> None:
        """Add the scores to the last row."""

        def report(done: int, total: int) -> None:
            self.progress(done, total)
            if trainer.world_size == 1:  # others would wait for this process
                self.signals.stop(f"{self.last} is from before this validation, and the same command goes on with it")

        # Its workers are forked.
        self.files.wait()
        scores = _validate(trainer, module, self.workers, report)
        self.history[-1] |= {f"val/{name}": value for name, value in scores.items()}


def validation_is_missing(recipe: Recipe, task: Task, history: Sequence[Mapping[str, Any]]) -> bool:
    """Whether the last epoch is one that is validated, and has not been."""
    if task.validate is None or not recipe.validation.every or not history:
        return False
    is_due = history[-1]["epoch"] % recipe.validation.every == 0 or finished(recipe, history)
    return is_due and f"val/{task.monitor}" not in history[-1]


def is_best(history: Sequence[Mapping[str, Any]], monitor: str) -> bool:
    """Whether the last row has a higher score than any before."""
    scores = [row[monitor] for row in history if monitor in row]
    return monitor in history[-1] and all(score < scores[-1] for score in scores[:-1])


def _validate(trainer: pl.Trainer, module: StageModule, workers: int, progress: Progress) -> dict[str, float]:
    """Score the model; each process computes its share."""
    assert module.task.validate is not None

    def by_all_processes(
        dataset: Dataset[Item], values: Values, indices: NDArray[np.int64] | None
    ) -> dict[str, NDArray[Any]]:
        chosen = np.arange(len(dataset)) if indices is None else indices  # type: ignore[arg-type]
        share = np.arange(module.global_rank, len(chosen), trainer.world_size)
        computed = compute(
            module.model,
            module.preprocessor,
            dataset,
            values,
            indices=chosen[share],
            batch_size=module.recipe.validation.batch_size,
            workers=workers,
            device=module.device,
            bf16=module.recipe.execution.precision == "bf16",
            progress=progress,
        )
        if trainer.world_size == 1:
            return computed
        shares = [computed] * trainer.world_size
        torch.distributed.all_gather_object(shares, computed)
        return interleaved(shares)

    module.eval()
    scores = module.task.validate(by_all_processes)
    module.train()
    return scores


class Records:
    """Written in the first process of a run.

    Args:
        folder: of the run.
        recipe: of the run.
        log: is given a line for the reader after each epoch.
    """

    def __init__(self, folder: RunFolder, recipe: Recipe, log: Callable[[str], None] | None) -> None:
        self.folder = folder
        self.recipe = recipe
        self.log = log
        self.board = TensorBoardLogger(folder.path, name="", version="tensorboard")
        self.seconds_before = float(folder.about["seconds"])

    def epoch(self, history: Sequence[Mapping[str, Any]]) -> None:
        """Record the last row of the history."""
        row = history[-1]
        self.board.log_metrics(
            {name: value for name, value in row.items() if isinstance(value, float)}, step=row["epoch"]
        )
        self.board.save()
        self.folder.write_metrics(history)
        ended = finished(self.recipe, history)
        if any(name.startswith("val/") for name in row) or ended:
            for suffix in FIGURE_SUFFIXES if ended else FIGURE_SUFFIXES[:1]:
                draw_curves(history, self.folder.path / f"curves{suffix}")
        if self.log:
            self.log(describe(row, self.recipe))

    def close(self) -> None:
        """Finish the TensorBoard file."""
        self.board.finalize("success")


def describe(row: Mapping[str, Any], recipe: Recipe) -> str:
    """One line on an epoch."""
    text = f"epoch {row['epoch']}"
    text += f", {row[POSITION] / recipe.epochs:.0%} of the time" if POSITION in row else f"/{recipe.epochs}"
    text += f" ({row['stage']}): loss {row['loss']:.4f}, accuracy {row['accuracy']:.1%}, "
    text += f"lr {row['lr']:.2g}, {row['images_per_second']:.1f} images/s, data wait {row['data_wait']:.1%}"
    scores = [f"{name.removeprefix('val/')} {value:.2%}" for name, value in row.items() if name.startswith("val/")]
    return text + (f"; validation {', '.join(scores)}" if scores else "")
