"""Workers of this machine: threads and processes, kept busy while results come back in order."""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import os
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent import futures
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import cv2
from threadpoolctl import threadpool_limits

from reidprep.errors import ReidError
from reidprep.executors.base import Advance, Job, Task
from reidprep.store.manifest import AnyFile

Item = TypeVar("Item")
Result = TypeVar("Result")


def ordered_map(
    executor: futures.Executor, function: Callable[[Item], Result], items: Iterable[Item], *, ahead: int
) -> Iterator[Result]:
    """Like `executor.map`, with at most `ahead` results computed but not yet taken.

    `executor.map` submits everything at once, which for a large dataset is unbounded memory.
    """
    pending: deque[Future[Result]] = deque()
    try:
        for item in items:
            pending.append(executor.submit(function, item))
            if len(pending) >= ahead:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        for future in pending:
            future.cancel()


@contextmanager
def single_threaded() -> Iterator[None]:
    """Keep OpenCV and the linear algebra of NumPy to the calling thread.

    Worker processes share the cores already; and sums do not depend on how many cores a machine has.
    """
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        with threadpool_limits(1):
            yield
    finally:
        cv2.setNumThreads(threads)


@contextmanager
def worker_processes(workers: int) -> Iterator[ProcessPoolExecutor]:
    """A pool of single-threaded processes that end with this one, however it ends.

    Raises:
        ReidError: a worker was killed from outside, which is usually the system running out of memory.
    """
    # spawn: fork would copy locks that threads of this process may hold.
    context = multiprocessing.get_context("spawn")
    try:
        with ProcessPoolExecutor(workers, mp_context=context, initializer=_start_worker) as pool:
            yield pool
    except BrokenProcessPool:
        raise ReidError(
            "a worker process was killed, perhaps for lack of memory; whole parts are kept: "
            "run the same command again, with fewer --workers"
        ) from None


def _start_worker() -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    limit_threads()


def limit_threads() -> None:
    """Make this process a single-threaded one, as `single_threaded` does for a while."""
    cv2.setNumThreads(1)
    threadpool_limits(1)


def _end_with_parent() -> None:
    # A worker waiting for work does not notice that a killed parent will never send any.
    parent = multiprocessing.parent_process()
    if parent is not None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)


@dataclass(frozen=True)
class LocalExecutor:
    """Makes parts on this machine.

    Attributes:
        workers: threads or processes, as the job has it.
    """

    workers: int = 1
    device: None = None

    def make(self, job: Job[Task], tasks: Sequence[Task], advance: Advance) -> Generator[AnyFile, None, None]:
        """See `Executor.make`."""
        yield from job.make_all(tasks, self.workers, advance)
