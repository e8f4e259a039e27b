"""The end of an epoch: when to validate, which checkpoint to write, whether to stop."""

from __future__ import annotations

import time
from pathlib import Path
from signal import SIGTERM
from typing import Any

import lightning.pytorch as pl
import torch
import torch.distributed
from lightning.pytorch.callbacks import Checkpoint

from reidprep.progress import Progress
from reidprep.signals import Signals
from reidtrain.checkpoints import read_checkpoint
from reidtrain.models.weights import CHECKPOINT_KEY
from reidtrain.training.checkpoint_files import WholeFiles
from reidtrain.training.module import StageModule
from reidtrain.training.pace import POSITION, finished, next_stage
from reidtrain.training.records import Records
from reidtrain.training.timing import Timing
from reidtrain.training.validation import is_best, validate, validation_is_missing


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
        # Weights from within an epoch are not those of the epoch before, whose scores would be asked for.
        if pl_module.begun or not validation_is_missing(pl_module.recipe, pl_module.task, self.history):
            return
        self._validate(trainer, pl_module)
        if self.records is None:
            return
        # Lightning has not restored the optimiser yet, and never does if no epoch is left: the file gets the scores.
        content = read_checkpoint(self.last)
        content[CHECKPOINT_KEY]["history"] = [dict(row) for row in self.history]
        self.files.save_checkpoint(content, self.last)
        if is_best(self.history, f"val/{pl_module.task.monitor}"):
            self.files.save_again(self.last, self.best)
        self.records.epoch(self.history)
        self.files.wait()  # decoding workers are forked next

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
        self.history.append(self._row(trainer, module))
        due, stop = self._asked(trainer, module)
        validates = validation_is_missing(module.recipe, module.task, self.history) and self._has_time(trainer, module)
        if validates:
            self._save(trainer, self.last)  # validation may take long, and be cut short
            due = False
        if validates and not stop:
            self._validate(trainer, module)
            stop = self._asked(trainer, module)[1]
            validates = False
        stage_ends = next_stage(module.recipe, self.history) > module.index
        if is_best(self.history, f"val/{module.task.monitor}"):
            self._save(trainer, self.best)
            if trainer.is_global_zero:
                self.files.save_again(self.best, self.last)
        elif not validates and (due or stop or stage_ends):
            self._save(trainer, self.last)
        if self.records is not None:
            self.records.epoch(self.history)
        if stop and (validates or not finished(module.recipe, self.history)):
            self._stop(f"epoch {module.epoch + 1}")

    def _has_time(self, trainer: pl.Trainer, module: StageModule) -> bool:
        """Whether a run of given length has time for a validation: for the last, and for others that leave some."""
        pace = self.timing.pace
        if pace is None or finished(module.recipe, self.history):
            return True
        return float(trainer.strategy.broadcast(pace.position(validated=True))) < pace.epochs

    def _row(self, trainer: pl.Trainer, module: StageModule) -> dict[str, Any]:
        """Figures of the epoch that ends."""
        row: dict[str, Any] = {"epoch": module.epoch + 1, "stage": module.stage.name}
        row |= module.epoch_means() | {"lr": trainer.optimizers[0].param_groups[0]["lr"]} | self.timing.figures()
        return row if self.timing.pace is None else row | {POSITION: module.position}

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

        self.files.wait()  # until its thread holds no lock: decoding workers are forked
        began = time.monotonic()
        scores = validate(trainer, module, self.workers, report)
        self.history[-1] |= {f"val/{name}": value for name, value in scores.items()}
        if self.timing.pace is not None:
            self.timing.pace.last_validation = time.monotonic() - began
