"""Failures of long runs, said plainly."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from reidtrain.data.failures import plain_failures
from reidtrain.recipes import Recipe


@contextmanager
def explained(recipe: Recipe) -> Iterator[None]:
    """Turn what goes wrong in training, and is not the fault of the program, into an error with its remedy.

    Raises:
        ReidError: out of memory, a worker that died, or an error in a worker.
    """
    again = "lower --workers; the run goes on from its last checkpoint when the same command is given again"
    with plain_failures(memory=_memory_advice(recipe), worker=again):
        yield


def _memory_advice(recipe: Recipe) -> str:
    batches = ", ".join(
        f"stages.{index}.batch.{'size' if stage.batch.size else 'identities'}"
        for index, stage in enumerate(recipe.stages)
    )
    advice = [f"lower {batches}"]
    if recipe.execution.accumulate == 1:
        advice.append("keep the images per step by --set execution.accumulate=2")
    if recipe.execution.precision != "bf16":
        advice.append("compute in half the memory by --set execution.precision=bf16")
    advice.append(f"lower validation.batch_size (now {recipe.validation.batch_size}) if it happened there")
    return f"{'; '.join(advice)}; these change the recipe, so give a new --out"
