"""What happens around the steps: times, validation, checkpoints, and what a run tells its reader.

That is a line per epoch, metrics.csv, TensorBoard and the picture of the curves.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
import torch.distributed
from lightning.pytorch.callbacks import Callback, Checkpoint
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.plugins.io import TorchCheckpointIO
from numpy.typing import NDArray
from torch.utils.data import Dataset

from reidprep.files import write_file
from reidprep.progress import Progress
from reidtrain.checkpoints import read_checkpoint
from reidtrain.data.dataset import Item
from reidtrain.features.extractor import Values, compute, interleaved
from reidtrain.plots.curves import draw_curves
from reidtrain.training.module import StageModule
from reidtrain.training.run_folder import RunFolder


class WholeFiles(TorchCheckpointIO):
    """Checkpoints that are there whole or not at all, and are read without unpickling anything but plain values."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write, sync and rename."""
        buffer = io.BytesIO()
        torch.save(checkpoint, buffer)
        write_file(Path(path), buffer.getvalue())

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = None) -> dict[str, Any]:
        """Read a checkpoint as all of them are read here: no pickle (`reidtrain.checkpoints`)."""
        return read_checkpoint(Path(path))


class Timing(Callback):
    """Measures an epoch: images per second, and the share of time spent waiting for the loader; reports progress."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress
        self.started = self.idle_since = self.waited = 0.0
        self.images = 0

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock."""
        self.started = self.idle_since = time.perf_counter()
        self.waited, self.images = 0.0, 0

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
        total = pl_module.recipe.epochs * len(pl_module.task.labels)
        share = (pl_module.epoch + (batch_idx + 1) / len(pl_module.sampler)) / pl_module.recipe.epochs
        self.progress(round(share * total), total)

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
        workers: processes that decode for validation.
    """

    def __init__(
        self, timing: Timing, history: list[dict[str, Any]], records: Records | None, folder: Path, workers: int
    ) -> None:
        self.timing = timing
        self.history = history
        self.records = records
        self.folder = folder
        self.workers = workers

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Do all of it. The best checkpoint comes first: after a kill between the two the epoch is run again."""
        module = pl_module
        assert isinstance(module, StageModule)
        row: dict[str, Any] = {"epoch": module.epoch + 1, "stage": module.stage.name}
        row |= module.epoch_means() | {"lr": module.learning_rate(len(module.sampler) - 1)} | self.timing.figures()
        if self._is_due(module):
            row |= {f"val/{name}": value for name, value in _validate(trainer, module, self.workers).items()}
        self.history.append(row)
        if is_best(self.history, f"val/{module.task.monitor}"):
            trainer.save_checkpoint(self.folder / "best.ckpt")
        trainer.save_checkpoint(self.folder / "last.ckpt")
        if self.records is not None:
            self.records.epoch(self.history)

    def _is_due(self, module: StageModule) -> bool:
        every, done = module.recipe.validation.every, module.epoch + 1
        return module.task.validate is not None and (done % every == 0 or done == module.recipe.epochs)


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
        epochs: of all stages.
        log: is given a line for the reader after each epoch.
    """

    def __init__(self, folder: RunFolder, epochs: int, log: Callable[[str], None] | None) -> None:
        self.folder = folder
        self.epochs = epochs
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
        if any(name.startswith("val/") for name in row) or row["epoch"] == self.epochs:
            draw_curves(history, self.folder.path / "curves.png")
        if self.log:
            self.log(describe(row, self.epochs))

    def close(self) -> None:
        """Finish the TensorBoard file."""
        self.board.finalize("success")


def describe(row: Mapping[str, Any], epochs: int) -> str:
    """One line on an epoch."""
    text = f"epoch {row['epoch']}/{epochs} ({row['stage']}): loss {row['loss']:.4f}, accuracy {row['accuracy']:.1%}, "
    text += f"lr {row['lr']:.2g}, {row['images_per_second']:.1f} images/s, data wait {row['data_wait']:.1%}"
    scores = [f"{name.removeprefix('val/')} {value:.2%}" for name, value in row.items() if name.startswith("val/")]
    return text + (f"; validation {', '.join(scores)}" if scores else "")
