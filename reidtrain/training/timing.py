"""The clock of an epoch: its rate, its waiting, its progress, and the end of a run of given length."""

from __future__ import annotations

import time
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Callback

from reidprep.progress import Progress
from reidtrain.training.module import STEPS_BETWEEN_CHECKS, StageModule
from reidtrain.training.pace import Pace


def reads_clock(done: int, steps: int, processes: int) -> bool:
    """Whether the time is looked at after a step: several processes, which must agree on it, do so now and then.

    Args:
        done: steps of the epoch.
        steps: of a whole epoch, at whose end they all do.
        processes: that train together.
    """
    return processes == 1 or done % STEPS_BETWEEN_CHECKS == 0 or done == steps


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
        self.steps = self.steady_images = 0
        self.steady_seconds = 0.0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock of a stage, and of an epoch that was begun in an earlier sitting."""
        self.steps = self.steady_images = 0
        self.steady_seconds = 0.0
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
        images = len(batch) * trainer.world_size
        self.images += images
        ended, done = time.perf_counter(), batch_idx + 1
        if self.steps:  # a stage's first step may prepare all others, and tells nothing of them
            self.steady_images += images
            self.steady_seconds += ended - self.idle_since
        self.steps += 1
        self.idle_since = ended
        if self.pace is None:
            total = pl_module.recipe.epochs * len(pl_module.task.labels)
            share = (pl_module.epoch + done / len(pl_module.sampler)) / pl_module.recipe.epochs
            self.progress(round(share * total), total)
            return
        self.pace.step_done()
        if self.steady_images:
            self.pace.rate = self.steady_images / max(1e-9, self.steady_seconds)
        if reads_clock(done, len(pl_module.sampler), trainer.world_size):
            trainer.should_stop = self._read(self.pace, trainer, pl_module) >= pl_module.stage.epochs

    def _read(self, pace: Pace, trainer: pl.Trainer, module: StageModule) -> float:
        # One clock for all processes: they share the learning rate, and end together.
        position = float(trainer.strategy.broadcast(pace.position()))
        stages = module.recipe.stages
        module.by_the_clock = position - sum(stage.epochs for stage in stages[: module.index])
        if position > pace.before:
            done = self.images_before + self.images
            self.progress(done, max(done, round(done * (pace.epochs - pace.before) / (position - pace.before))))
        return module.by_the_clock

    def figures(self) -> dict[str, float]:
        """The figures of the epoch so far."""
        seconds = max(1e-9, time.perf_counter() - self.started)
        return {
            "seconds": round(seconds, 3),
            "images_per_second": round(self.images / seconds, 2),
            "data_wait": round(self.waited / seconds, 4),
        }
