"""Where a run stands on the schedule of its recipe, by epochs or by the clock."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from time import monotonic
from typing import Any

from reidtrain.recipes.schema import Recipe

POSITION = "schedule"
"""Figure of an epoch in a run of given length: epochs of the schedule done at its end, over all stages."""


def finished(recipe: Recipe, history: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a run has come to its end."""
    return _ended(recipe, history, len(recipe.stages) - 1)


def epochs_before(recipe: Recipe, history: Sequence[Mapping[str, Any]], stage: int) -> int:
    """Epochs that the stages before one took."""
    if recipe.training.max_minutes is None:
        return sum(each.epochs for each in recipe.stages[:stage])
    names = {each.name for each in recipe.stages[:stage]}
    return sum(row["stage"] in names for row in history)


def next_stage(recipe: Recipe, history: Sequence[Mapping[str, Any]]) -> int:
    """The stage that goes on or begins after the epochs so far; the number of stages once all have ended."""
    return sum(_ended(recipe, history, stage) for stage in range(len(recipe.stages)))


def _ended(recipe: Recipe, history: Sequence[Mapping[str, Any]], stage: int) -> bool:
    done = len(history)
    if recipe.training.max_minutes is not None:
        done = history[-1][POSITION] if history else 0
    return bool(done >= sum(each.epochs for each in recipe.stages[: stage + 1]))


class Pace:
    """How far a run of given length has come, by the clock.

    The schedule begins when the first step of a sitting is done, which may compile the network or search for
    algorithms. It has what is left of `training.max_minutes` then, less what the end is expected to take: a validation,
    as long as the last one took or, before there was one, as training on as many images.

    Args:
        recipe: with `training.max_minutes`.
        history: rows of the epochs of earlier sittings.
        began: `time.monotonic()` of when this sitting began.
        validation_images: 0 if there is no validation.
        before: where it stood at the end of an earlier sitting; None: at the end of an epoch.

    Attributes:
        rate: images per second of training, once it is known.
        last_validation: its seconds.
    """

    def __init__(
        self,
        recipe: Recipe,
        history: Sequence[Mapping[str, Any]],
        began: float,
        validation_images: int,
        before: float | None = None,
    ) -> None:
        assert recipe.training.max_minutes is not None
        self.seconds = 60 * recipe.training.max_minutes
        self.epochs = recipe.epochs
        self.before = before if before is not None else float(history[-1][POSITION]) if history else 0.0
        self.began = began
        self.validation_images = validation_images
        self.rate: float | None = None
        self.last_validation: float | None = None
        self._under_way: float | None = None

    def step_done(self) -> None:
        """Begin the schedule, if this was the first step."""
        if self._under_way is None:
            self._under_way = monotonic()

    def position(self, validated: bool = False) -> float:
        """Epochs of the schedule done over all stages.

        Args:
            validated: after a validation that would begin now.
        """
        if self._under_way is None:
            return self.before
        end = self.last_validation
        if end is None:
            end = self.validation_images / self.rate if self.rate else 0.0
        # However long the start and the end take, a tenth of the time is for training.
        seconds = max(self.seconds - (self._under_way - self.began) - end, self.seconds / 10)
        passed = monotonic() - self._under_way + (end if validated else 0.0)
        return min(self.epochs, self.before + passed / seconds * self.epochs)
