"""What goes wrong while batches are loaded and computed, said plainly."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from reidprep.errors import ReidError

_MEMORY = re.compile(r"out of memory|can't allocate memory|DefaultCPUAllocator|bad_alloc", re.IGNORECASE)
_WORKER = re.compile(r"DataLoader worker .*(killed|exited unexpectedly)", re.DOTALL)


@contextmanager
def plain_failures(*, memory: str, worker: str) -> Iterator[None]:
    """Turn what is not the fault of the program into an error with its remedy.

    Args:
        memory: what to do when memory does not suffice.
        worker: what to do when a process that decodes died.

    Raises:
        ReidError: out of memory, a worker that died, or an error in a worker.
    """
    try:
        yield
    except ReidError as error:
        # The loader puts the traceback of its worker before the message.
        raise ReidError(str(error).rpartition("reidprep.errors.ReidError: ")[2].strip()) from None
    except (torch.OutOfMemoryError, RuntimeError, MemoryError) as error:
        if isinstance(error, (torch.OutOfMemoryError, MemoryError)) or _MEMORY.search(str(error)):
            raise ReidError(f"out of memory: {memory}") from error
        if _WORKER.search(str(error)):
            raise ReidError(
                "a process that decodes images died, which is usually the system running out of memory (see dmesg): "
                f"{worker}"
            ) from error
        raise
