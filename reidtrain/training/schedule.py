"""Learning rate over a stage."""

from __future__ import annotations

import math

from reidtrain.recipes import Schedule


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
