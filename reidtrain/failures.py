"""What goes wrong while batches are loaded and computed, and in long runs, said plainly."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from textwrap import shorten

import torch

from reidprep.errors import ReidError
from reidtrain.recipes.schema import Recipe


@contextmanager
def explained(recipe: Recipe) -> Iterator[None]:
    """Turn what goes wrong in training, and is not the fault of the program, into an error with its remedy.

    Raises:
        ReidError: out of memory, a worker that died, an error in a worker, or a network that cannot be compiled.
    """
    again = "lower --workers; the run goes on from its last checkpoint when the same command is given again"
    try:
        with plain_failures(memory=_memory_advice(recipe), worker=again):
            yield
    except RuntimeError as error:
        if not recipe.execution.compile:
            raise
        # Takes as long as PyTorch itself, and commands that train nothing import this module, too.
        from torch._dynamo.exc import TorchDynamoException

        if not isinstance(error, TorchDynamoException):
            raise
        why = shorten(str(error).strip().partition("\n\n")[0], 300)
        raise ReidError(
            f"the network cannot be compiled here ({why}): install what is missing, or --set execution.compile=false"
        ) from error


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


_MEMORY = re.compile(r"out of memory|can't allocate memory|DefaultCPUAllocator|bad_alloc", re.IGNORECASE)
_SHARED = re.compile(r"shared memory|\bshm\b")
_FILES = re.compile(r"Too many open files|items of ancdata")
_WORKER = re.compile(r"DataLoader worker .*(killed|exited unexpectedly)", re.DOTALL)


@contextmanager
def plain_failures(*, memory: str, worker: str) -> Iterator[None]:
    """Turn what is not the fault of the program into an error with its remedy.

    Args:
        memory: what to do when memory does not suffice.
        worker: what to do when a process that decodes died.

    Raises:
        ReidError: out of memory, shared memory or open files; a worker that died, or an error in a worker.
    """
    try:
        yield
    except ReidError as error:
        # The loader puts the traceback of its worker before the message.
        raise ReidError(str(error).rpartition("reidprep.errors.ReidError: ")[2].strip()) from None
    except (RuntimeError, MemoryError, OSError) as error:
        if isinstance(error, (torch.OutOfMemoryError, MemoryError)) or _MEMORY.search(str(error)):
            raise ReidError(f"out of memory: {memory}") from error
        if _SHARED.search(str(error)):
            raise ReidError(
                "/dev/shm, by which processes hand batches over, is full: give it more, in Docker by --shm-size, or "
                f"{worker}"
            ) from error
        if _FILES.search(str(error)):
            raise ReidError(
                f"too many files are open in this process: allow more ('ulimit -n'), or {worker}"
            ) from error
        if _WORKER.search(str(error)):
            raise ReidError(
                "a process that decodes images died, which is usually the system running out of memory (see dmesg): "
                f"{worker}"
            ) from error
        raise
