"""One stage of training as Lightning runs it, with its learning rate over time."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from torch import Tensor

from reidprep.errors import ReidError
from reidprep.text import counted
from reidtrain.checkpoints import Unfinished
from reidtrain.data.dataset import Batch, BatchLoader
from reidtrain.data.preprocessing import Preprocessor
from reidtrain.data.samplers import IdentityBatchSampler, ShuffledBatchSampler
from reidtrain.losses import class_logits, forward_options, loss_terms
from reidtrain.models.factory import Model, run
from reidtrain.recipes.schema import Recipe, Schedule, Stage
from reidtrain.training.tasks import Task


def lr_factor(schedule: Schedule, epoch: float, epochs: int) -> float:
    """What the learning rate is multiplied by.

    Args:
        schedule: which curve.
        epoch: since the start of the stage; the fraction counts the batches, in the middle of which the rate is read.
        epochs: of the stage.
    """
    factor = 1.0
    if schedule.name == "step":
        factor = schedule.factor ** (int(epoch) // schedule.every)
    elif schedule.name == "cosine":
        factor = (1 + math.cos(math.pi * min(1.0, epoch / epochs))) / 2
    return factor * min(1.0, epoch / schedule.warmup) if schedule.warmup else factor


SMALLEST_LAST_BATCH = 8
"""Images of the last batch of an epoch, below which it is left out: the norm of the channel attention takes its
statistics over images alone, and of two or three images they mean nothing."""

STEPS_BETWEEN_CHECKS = 20
"""Looking at the loss makes a GPU wait, so it is looked at now and then; NaN stays NaN in the sum."""


class StageModule(pl.LightningModule):
    """The network, its input and its loss in one stage.

    Everything random follows from the recipe's seed, the epoch, the process and the batch, so that nothing of it needs
    to be saved: a step that is run again is run the same.

    Attributes:
        by_the_clock: where a run of given length stands, in epochs of the stage's schedule; None: batches are counted.
        sums: of the figures of the epoch's batches.
        batches: how many.
        unfinished: what a checkpoint within an epoch says of it, while one is written.

    Args:
        model: the network.
        preprocessor: with the recipe's augmentation.
        task: what is learnt.
        recipe: the whole recipe.
        index: of the stage.
        epochs_before: of the stages before this one.
        first_epoch: of the stage that is run, from 0.
        begun: how far an earlier sitting came in that epoch.
        workers: processes that decode.
        describe: what a checkpoint says besides the weights; see `reidtrain.checkpoints`.
        listen: to signals, again: by then Lightning has set its own handler, which ends the process without a word.
    """

    def __init__(
        self,
        model: Model,
        preprocessor: Preprocessor,
        task: Task,
        recipe: Recipe,
        index: int,
        epochs_before: int,
        first_epoch: int,
        begun: Unfinished | None,
        workers: int,
        describe: Callable[[int, Unfinished | None], Mapping[str, Any]],
        listen: Callable[[], None],
    ) -> None:
        super().__init__()
        self.model = model
        self.preprocessor = preprocessor
        self.task = task
        self.recipe = recipe
        self.index = index
        self.epochs_before = epochs_before
        self.first_epoch = first_epoch
        self.begun = begun
        self.workers = workers
        self.describe = describe
        self.listen = listen
        self.by_the_clock: float | None = None
        self.generator = torch.Generator()
        self.sums: dict[str, Tensor] = {}
        self.batches = 0
        self.unfinished: Unfinished | None = None

    @property
    def stage(self) -> Stage:
        """The stage that is trained."""
        return self.recipe.stages[self.index]

    @property
    def epoch(self) -> int:
        """The current epoch over all stages, from 0."""
        return self.epochs_before + self.current_epoch

    @property
    def position(self) -> float:
        """Where a run of given length stands on its schedule, in epochs over all stages."""
        assert self.by_the_clock is not None
        return sum(stage.epochs for stage in self.recipe.stages[: self.index]) + self.by_the_clock

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """A new optimiser, as each stage has its own."""
        settings = self.stage.optimizer
        weights, lr = self.model.parameters(), settings.lr
        # One kernel for all weights. On a CPU, where nothing is launched, results stay those of earlier versions.
        # Lightning clips no gradients of fused optimisers under autocast.
        clips = self.recipe.execution.precision == "bf16" and self.recipe.execution.gradient_clip > 0
        how: dict[str, Any] = {
            "weight_decay": settings.weight_decay,
            "fused": self.device.type == "cuda" and not clips,
        }
        if settings.name == "adam":
            return torch.optim.Adam(weights, lr, **how)
        if settings.name == "adamw":
            return torch.optim.AdamW(weights, lr, **how)
        return torch.optim.SGD(weights, lr, settings.momentum, nesterov=settings.nesterov, **how)

    def train_dataloader(self) -> BatchLoader:
        """Batches of this process in the order of the recipe."""
        self.listen()
        batch = self.stage.batch
        if batch.total == 1:
            raise ReidError("a batch of one image has no statistics to normalise by; give at least 2 images")
        processes = {"rank": self.trainer.global_rank, "world_size": self.trainer.world_size}
        shared = {"seed": self.recipe.seed, "stage": self.index, **processes}
        if batch.size is not None:
            images = len(self.task.labels)
            whole, last = divmod(-(-images // self.trainer.world_size), batch.size)
            # Of one image there are no statistics at all, even where there is no other batch.
            too_few = last == 1 or (whole > 0 and last < SMALLEST_LAST_BATCH)
            self.sampler: ShuffledBatchSampler | IdentityBatchSampler = ShuffledBatchSampler(
                images, batch.size, drop_last=too_few, **shared
            )
        else:
            assert batch.identities is not None and batch.images is not None
            self.sampler = IdentityBatchSampler(self.task.labels, batch.identities, batch.images, **shared)
        if self.begun and not ("loss" in self.begun.sums and 0 < self.begun.steps < len(self.sampler)):
            raise ReidError(
                f"the checkpoint is damaged: it has {counted(self.begun.steps, 'step')} of an epoch of "
                f"{len(self.sampler)}, and "
                f"sums of {', '.join(self.begun.sums) or 'nothing'}; start anew by --overwrite"
            )
        # The first epoch's order is asked for before that epoch begins.
        self.sampler.set_epoch(self.first_epoch, self.begun.steps if self.begun else 0)
        return BatchLoader(
            self.task.dataset,
            batch_sampler=self.sampler,
            num_workers=self.workers,
            persistent_workers=self.workers > 0,
            pin_memory=self.device.type == "cuda",
        )

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Batch:
        """Move the uint8 pixels, without waiting for them."""
        return batch.to(device, non_blocking=True)

    def on_train_start(self) -> None:
        """Draw where the pixels are: nothing to copy, nothing to wait for. Go on in an epoch that was begun."""
        self.generator = torch.Generator(self.device)
        if self.begun:
            self.sums = {name: torch.tensor(value, device=self.device) for name, value in self.begun.sums.items()}
            self.batches = self.begun.steps

    def on_train_epoch_start(self) -> None:
        """Start the order and the sums anew; not called for an epoch that was begun."""
        self.sampler.set_epoch(self.current_epoch)
        self.sums, self.batches = {}, 0

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """The loss of a batch."""
        self._set_learning_rate(batch_idx)
        seeds = np.random.SeedSequence([self.recipe.seed, self.epoch, self.global_rank, batch_idx]).generate_state(2)
        self.generator.manual_seed(int(seeds[0]))
        torch.manual_seed(int(seeds[1]))  # the only generator that dropout knows
        inputs = self.preprocessor(batch, self.generator)
        if not self.recipe.execution.channels_last:
            # Channels first in memory as well; loaders give them last.
            inputs = inputs.map_views(lambda _, images: images.contiguous())
        with nullcontext() if len(batch) == self.stage.batch.total else uncompiled(self.recipe):
            output = run(self.model, inputs, **forward_options(self.stage.loss))
        terms = loss_terms(output, batch.labels, self.stage.loss)
        loss = torch.stack([*terms.values()]).sum()
        with torch.no_grad():
            accuracy = (class_logits(output).argmax(1) == batch.labels).float().mean()
        for name, value in {"loss": loss, "accuracy": accuracy, **{f"loss/{key}": terms[key] for key in terms}}.items():
            self.sums[name] = self.sums.get(name, 0) + value.detach()
        self.batches += 1
        if self.batches % STEPS_BETWEEN_CHECKS == 0:
            self.check_finite()
        # Lightning divides by the batches of a step; the last step of an epoch may have fewer.
        accumulate = self.recipe.execution.accumulate
        batches = min(accumulate, len(self.sampler) - batch_idx // accumulate * accumulate)
        return loss if batches == accumulate else loss * (accumulate / batches)

    def check_finite(self) -> None:
        """Stop when the loss is not a number.

        Raises:
            ReidError: it is not, at the latest `STEPS_BETWEEN_CHECKS` steps after it first was.
        """
        if not torch.isfinite(self.sums["loss"]):
            names = [name for name, value in self.sums.items() if not torch.isfinite(value)]
            raise ReidError(
                f"the loss is no longer a finite number ({', '.join(names)}) in epoch {self.epoch + 1}, at most "
                f"{STEPS_BETWEEN_CHECKS} steps before step {self.batches}; the last checkpoint is from an epoch "
                f"before. Lower stages.{self.index}.optimizer.lr, lengthen schedule.warmup, or set "
                "execution.gradient_clip=1 or execution.precision=float32, in a new run"
            )

    def epoch_means(self) -> dict[str, float]:
        """Means over the batches of all processes in this epoch.

        Raises:
            ReidError: the loss is not finite.
        """
        self.check_finite()
        return self._of_all_processes(torch.stack([*self.sums.values()]) / self.batches)

    def so_far(self) -> Unfinished:
        """How far the current epoch has come.

        Raises:
            ReidError: the loss is not finite.
        """
        self.check_finite()
        sums = self._of_all_processes(torch.stack([*self.sums.values()]))
        return Unfinished(
            self.batches, self.trainer.world_size, sums, None if self.by_the_clock is None else self.position
        )

    def _of_all_processes(self, figures: Tensor) -> dict[str, float]:
        means = self.trainer.strategy.reduce(figures, reduce_op="mean")
        return dict(zip(self.sums, means.tolist(), strict=True))

    def learning_rate(self, batch_idx: int) -> float:
        """The learning rate in the middle of a batch of the current epoch, or at the time it begins."""
        epoch = self.by_the_clock
        if epoch is None:
            epoch = self.current_epoch + (batch_idx + 0.5) / max(1, len(self.sampler))
        return self.stage.optimizer.lr * lr_factor(self.stage.schedule, epoch, self.stage.epochs)

    def _set_learning_rate(self, batch_idx: int) -> None:
        # A function of the epoch instead of a scheduler object: nothing to save, and right after any interruption.
        for group in self.trainer.optimizers[0].param_groups:
            group["lr"] = self.learning_rate(batch_idx)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add what the weights mean."""
        checkpoint.update(self.describe(self.index, self.unfinished))


def uncompiled(recipe: Recipe) -> AbstractContextManager[object]:
    """Where a compiled network computes as if it were not: for a batch or a mode that is not worth minutes."""
    return torch.compiler.set_stance("force_eager") if recipe.execution.compile else nullcontext()
