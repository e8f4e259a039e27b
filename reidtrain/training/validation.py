"""Scores between epochs: when they are due, which are the best, and how several processes share the work."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
import torch.distributed
from numpy.typing import NDArray
from torch.utils.data import Dataset

from reidprep.progress import Progress
from reidtrain.data.dataset import Item
from reidtrain.features.extractor import Values, compute, interleaved
from reidtrain.recipes.schema import Recipe
from reidtrain.training.module import StageModule, uncompiled
from reidtrain.training.pace import finished
from reidtrain.training.tasks import Task


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


def validate(trainer: pl.Trainer, module: StageModule, workers: int, progress: Progress) -> dict[str, float]:
    """Score the model; each process computes its share.

    Args:
        trainer: of the run.
        module: whose task can be validated.
        workers: processes that decode, forked here.
        progress: is told images done and in total.

    Returns:
        The scores by name.
    """
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

    if trainer.world_size > 1:
        # Each process has its own last batch in the statistics of its norms; those of the first are saved.
        for buffer in module.model.buffers():
            torch.distributed.broadcast(buffer, 0)
    module.eval()
    with uncompiled(module.recipe):
        scores = module.task.validate(by_all_processes)
    module.train()
    return scores
