"""Where the parts of a directory are made: by this process and its workers, or by those of a Ray cluster.

A command says what is to be made, as a job and its tasks, one a part; an engine has them made. Either way the work
itself is done by the job, and only the command's own process writes the manifest.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import Protocol, TypeVar

from reidprep.store.manifest import AnyFile

Advance = Callable[[int], None]
"""To be called with the number of images that have been dealt with since the last call."""

Task = TypeVar("Task")
Task_contra = TypeVar("Task_contra", contravariant=True)


class Job(Protocol[Task_contra]):
    """Makes the parts of one directory. Picklable if it is to go to other processes.

    Attributes:
        out: the directory the part files are written to.
    """

    @property
    def out(self) -> Path:
        """See the class."""
        ...

    def start(self) -> Callable[[Task_contra], AnyFile]:
        """Get ready to make parts, one at a time, in a process that does nothing else.

        Returns:
            Makes the part of a task; raises `ReidError` if that cannot be.

        Raises:
            ReidError: images, poses or a model that this process does not find.
        """
        ...

    def make_all(self, tasks: Sequence[Task_contra], workers: int, advance: Advance) -> Generator[AnyFile, None, None]:
        """Make parts on this machine, in the order of the tasks, by `workers` threads or processes.

        Raises:
            ReidError: a part cannot be made.
        """
        ...


class Executor(Protocol):
    """Has parts made.

    Attributes:
        device: what the estimators of the workers run on, `cpu` or `cuda`; None for what the command's own runs on.
    """

    @property
    def device(self) -> str | None:
        """See the class."""
        ...

    def make(self, job: Job[Task], tasks: Sequence[Task], advance: Advance) -> Generator[AnyFile, None, None]:
        """Have the part of every task made, in any order. To be closed if not all of them are taken.

        Raises:
            ReidError: a part cannot be made.
        """
        ...
