"""Where the files of a directory are made: by this process and its workers, or by those of a Ray cluster.

A command says what is to be done, as a job and its tasks; an executor has them done. The work itself is the job's, and
only the command's own process writes the manifest.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from pathlib import Path
from typing import Protocol, TypeVar

Task = TypeVar("Task")
Task_contra = TypeVar("Task_contra", contravariant=True)
Result = TypeVar("Result")
Result_co = TypeVar("Result_co", covariant=True)


class Job(Protocol[Task_contra, Result_co]):
    """What is done with the tasks of a command. Picklable if it is to go to other processes.

    Attributes:
        out: the directory that the command fills.
        in_threads: whether the workers of one machine are threads, which share what `prepare` gives; else they are
            processes.
    """

    @property
    def out(self) -> Path:
        """The directory that the command fills."""
        ...

    @property
    def in_threads(self) -> bool:
        """Whether the workers of one machine are threads."""
        ...

    def prepare(self) -> Callable[[Task_contra], Result_co]:
        """Get ready, in each process that works.

        Returns:
            Does a task; raises `ReidError` if that cannot be.

        Raises:
            ReidError: images, poses or a model that this process does not find.
        """
        ...


class Executor(Protocol):
    """Has tasks done.

    Attributes:
        device: what the estimators of the workers run on, `cpu` or `cuda`; None for what the command's own runs on.
        whole_files: whether a task should be all the work on a file, as tasks and results go to other machines; else
            files may be shared out.
    """

    @property
    def device(self) -> str | None:
        """What the estimators of the workers run on."""
        ...

    @property
    def whole_files(self) -> bool:
        """Whether a task should be all the work on a file."""
        ...

    def map(self, job: Job[Task, Result], tasks: Iterable[Task]) -> Generator[Result, None, None]:
        """Have every task done; to be closed if not all results are taken.

        Args:
            job: what is done.
            tasks: taken no sooner than there is a worker for them, but by a cluster, which takes all at once.

        Yields:
            The results; in the order of the tasks, or in any order of `whole_files`.

        Raises:
            ReidError: a task cannot be done.
        """
        ...
