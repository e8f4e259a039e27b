"""Workers of this machine: threads and processes, kept busy while results come back in order."""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import multiprocessing.resource_tracker
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent import futures
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar

import cv2
from threadpoolctl import threadpool_limits

from reidprep.errors import ReidError
from reidprep.executors.base import Job, Result, Task


def ordered_map(
    executor: futures.Executor, function: Callable[[Task], Result], items: Iterable[Task], *, ahead: int
) -> Iterator[Result]:
    """Like `executor.map`, with at most `ahead` results computed but not yet taken.

    `executor.map` submits everything at once, which for a large dataset is unbounded memory.
    """
    pending: deque[Future[Result]] = deque()
    try:
        for item in items:
            with _signals_held():
                pending.append(executor.submit(function, item))
            if len(pending) >= ahead:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        for future in pending:
            future.cancel()


@contextmanager
def _signals_held() -> Iterator[None]:
    """Let signals wait for the end of the block, and keep them for good from processes that start in it.

    Those sent to all processes of a job would end work that this one still waits for. A process that dies while it
    starts is even waited for without end.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    multiprocessing.resource_tracker.ensure_running()  # which would let them through
    held = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, held)


@contextmanager
def single_threaded(networks: bool = True) -> Iterator[None]:
    """Keep OpenCV and the linear algebra of NumPy to the calling thread.

    Worker processes share the cores already; and sums do not depend on how many cores a machine has.

    Args:
        networks: keep PyTorch's networks to it, too.
    """
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        with threadpool_limits(1, user_api=None if networks else "blas"):
            yield
    finally:
        cv2.setNumThreads(threads)


@contextmanager
def worker_threads(workers: int) -> Iterator[ThreadPoolExecutor]:
    """A pool of threads that is waited for at the end, whatever signals come meanwhile.

    Python takes a thread for ended once a signal has interrupted the wait for it, and C++ ends the process when Python
    exits under one of its calls.
    """
    with ThreadPoolExecutor(workers) as pool:
        try:
            yield pool
        finally:
            with _signals_held():
                pool.shutdown(cancel_futures=True)


@contextmanager
def worker_processes(workers: int, job: Job[Any, Any] | None = None) -> Iterator[ProcessPoolExecutor]:
    """A pool of single-threaded processes that end with this one, however it ends.

    Args:
        workers: how many.
        job: what `do_task` does there.

    Raises:
        ReidError: a worker was killed from outside, which is usually the system running out of memory.
    """
    # spawn: fork would copy locks that threads of this process may hold.
    context = multiprocessing.get_context("spawn")
    try:
        with ProcessPoolExecutor(workers, mp_context=context, initializer=_start_worker, initargs=(job,)) as pool:
            yield pool
    except BrokenProcessPool:
        raise ReidError(
            "a worker process was killed, perhaps for lack of memory; whole files are kept: "
            "run the same command again, with fewer --workers"
        ) from None


def _start_worker(job: Job[Any, Any] | None) -> None:
    global _job
    _job = job
    threading.Thread(target=_end_with_parent, daemon=True).start()
    limit_threads()


_job: Job[Any, Any] | None = None


@cache
def _prepared() -> Callable[[Any], Any]:
    assert _job is not None
    return _job.prepare()


def do_task(task: Any) -> Any:
    """Do a task, in a worker process, by the job that it was started with."""
    return _prepared()(task)


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
    """Has tasks done on this machine, an `Executor`.

    Attributes:
        workers: threads or processes, as the job has it. One process is this one.
    """

    workers: int = 1
    device: ClassVar[None] = None
    whole_files: ClassVar[bool] = False

    def map(self, job: Job[Task, Result], tasks: Iterable[Task]) -> Generator[Result, None, None]:
        """Have every task done, in their order."""
        if job.in_threads:
            do = job.prepare()
            with worker_threads(self.workers) as threads:
                yield from ordered_map(threads, do, tasks, ahead=4 * self.workers)
        elif self.workers == 1:
            with single_threaded():
                yield from map(job.prepare(), tasks)
        else:
            with worker_processes(self.workers, job) as processes:
                yield from ordered_map(processes, do_task, tasks, ahead=2 * self.workers)
