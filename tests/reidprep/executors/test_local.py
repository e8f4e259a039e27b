import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import pytest
from threadpoolctl import threadpool_info

from reidprep.errors import ReidError
from reidprep.executors.local import ordered_map, single_threaded, worker_processes, worker_threads


def test_results_come_in_order_whatever_finishes_first() -> None:
    def slow_first(i: int) -> int:
        time.sleep(0.05 if i == 0 else 0)
        return i * i

    with ThreadPoolExecutor(4) as pool:
        assert list(ordered_map(pool, slow_first, range(20), ahead=4)) == [i * i for i in range(20)]


def test_no_more_than_ahead_are_under_way() -> None:
    taken = 0
    started: list[int] = []
    with ThreadPoolExecutor(2) as pool:
        for _ in ordered_map(pool, lambda i: started.append(i), range(50), ahead=5):
            taken += 1
            assert len(started) <= taken + 5


def test_an_error_comes_out_and_cancels_the_rest() -> None:
    started = threading.Semaphore(0)

    def fail(i: int) -> None:
        started.release()
        raise ReidError(f"item {i}")

    with ThreadPoolExecutor(1) as pool, pytest.raises(ReidError, match="item 0"):
        list(ordered_map(pool, fail, range(1000), ahead=10))


@pytest.mark.skipif(not hasattr(signal, "pthread_sigmask"), reason="signals can be held on POSIX alone")
def test_threads_are_waited_for_whatever_signal_comes() -> None:
    begun, done = threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        time.sleep(0.3)
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.3)
        done.set()

    with pytest.raises(KeyboardInterrupt), worker_threads(1) as pool:
        pool.submit(work)
        begun.wait()
    assert done.is_set()


def die(i: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_killed_worker_is_a_plain_error() -> None:
    with pytest.raises(ReidError, match="fewer --workers"), worker_processes(2) as pool:
        list(ordered_map(pool, die, range(4), ahead=4))


PARENT = """
import time
from reidprep.executors.local import worker_processes
if __name__ == "__main__":
    with worker_processes(2) as pool:
        print(*pool.map(abs, [1]), flush=True)
        print(*pool._processes, flush=True)
        time.sleep(60)
"""


def test_workers_end_when_the_parent_is_killed(tmp_path: Path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    parent = subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    parent.stdout.readline()
    workers = [int(pid) for pid in parent.stdout.readline().split()]
    assert workers
    parent.kill()
    parent.wait()
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and any(Path(f"/proc/{pid}").exists() for pid in workers):
        time.sleep(0.05)
    assert not [pid for pid in workers if Path(f"/proc/{pid}").exists()]


def test_workers_leave_signals_to_the_command() -> None:
    """Even those that come while they start."""
    with worker_processes(1) as pool:
        results = ordered_map(pool, abs, [-1, -2], ahead=1)
        assert next(results) == 1
        for number in (signal.SIGINT, signal.SIGTERM):
            os.kill(next(iter(pool._processes)), number)
        assert next(results) == 2


def thread_counts(_: int) -> tuple[int, set[int]]:
    blas = {library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"}
    return cv2.getNumThreads(), blas


def test_workers_are_single_threaded() -> None:
    assert thread_counts(0)[1]  # there is a library to be limited
    with worker_processes(1) as pool:
        assert list(pool.map(thread_counts, [0])) == [(1, {1})]


def test_single_threaded_puts_back_what_was() -> None:
    before = thread_counts(0)
    with single_threaded():
        assert thread_counts(0) == (1, {1})
    assert thread_counts(0) == before
