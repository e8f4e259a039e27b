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
from reidtrain.checkpoints import read_checkpoint
from reidtrain.data.dataset import Item
from reidtrain.features.extractor import Values, compute, interleaved
from reidtrain.plots.curves import draw_curves
from reidtrain.recipes.schema import Recipe
from reidtrain.training.module import STEPS_BETWEEN_CHECKS, StageModule
from reidtrain.training.pace import POSITION, Pace, finished, next_stage
from reidtrain.training.run_folder import RunFolder


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
    """Closes an epoch: figures, validation, records, and the best and the last checkpoint.

    Args:
        timing: of the epoch.
        history: the rows of all epochs, to which one is added.
        records: writes what a reader sees, in the first process.
        folder: for checkpoints; the same in all processes.
        files: writes the checkpoints.
        workers: processes that decode for validation.
    """

    def __init__(
        self,
        timing: Timing,
        history: list[dict[str, Any]],
        records: Records | None,
        folder: Path,
        files: WholeFiles,
        workers: int,
    ) -> None:
        self.timing = timing
        self.history = history
        self.records = records
        self.folder = folder
        self.files = files
        self.workers = workers
        self.saved = time.monotonic()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Do all of it. The best checkpoint comes first: after a kill between the two the epoch is run again."""
        module = pl_module
        assert isinstance(module, StageModule)
        recipe, pace = module.recipe, self.timing.pace
        row: dict[str, Any] = {"epoch": module.epoch + 1, "stage": module.stage.name}
        row |= module.epoch_means() | {"lr": trainer.optimizers[0].param_groups[0]["lr"]} | self.timing.figures()
        if pace is not None:
            assert module.by_the_clock is not None
            row[POSITION] = sum(stage.epochs for stage in recipe.stages[: module.index]) + module.by_the_clock
        self.history.append(row)
        every = recipe.validation.every
        if module.task.validate is not None and every and (row["epoch"] % every == 0 or finished(recipe, self.history)):
            began = time.monotonic()
            # Its workers are forked.
            self.files.wait()
            row |= {f"val/{name}": value for name, value in _validate(trainer, module, self.workers).items()}
            if pace is not None:
                pace.last_validation = time.monotonic() - began
        self._save(trainer, module)
        if self.records is not None:
            self.records.epoch(self.history)

    def _save(self, trainer: pl.Trainer, module: StageModule) -> None:
        best, last = self.folder / "best.ckpt", self.folder / "last.ckpt"
        is_new_best = is_best(self.history, f"val/{module.task.monitor}")
        due = time.monotonic() - self.saved >= 60 * module.recipe.checkpoint.minutes
        if trainer.strategy.broadcast(is_new_best or due or next_stage(module.recipe, self.history) > module.index):
            trainer.save_checkpoint(best if is_new_best else last)
            if is_new_best and trainer.is_global_zero:
                self.files.save_again(best, last)
            self.saved = time.monotonic()


def is_best(history: Sequence[Mapping[str, Any]], monitor: str) -> bool:
    """Whether the last row has a higher score than any before."""
    scores = [row[monitor] for row in history if monitor in row]
    return monitor in history[-1] and all(score < scores[-1] for score in scores[:-1])


def _validate(trainer: pl.Trainer, module: StageModule, workers: int) -> dict[str, float]:
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
        if any(name.startswith("val/") for name in row) or finished(self.recipe, history):
            draw_curves(history, self.folder.path / "curves.png")
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
