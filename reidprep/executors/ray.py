"""Have parts made by the workers of a Ray cluster: a pool of actors, each making one part at a time."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reidprep.errors import ReidError, first_line
from reidprep.executors.base import Advance, Job, Task
from reidprep.executors.ray_cluster import connected
from reidprep.executors.ray_worker import Setup, Worker, shared_file, versions
from reidprep.files import TOOL
from reidprep.store.manifest import AnyFile

# A part that its worker does not survive so many times more is given up.
_RETRIES = 3
# From asking for workers until the first has to be there: a cluster may first have to grow.
_SECONDS_TO_START = 300.0
# How often to look for workers that have come up while others are at work.
_SECONDS_BETWEEN_LOOKS = 1.0


@dataclass(frozen=True)
class RayExecutor:
    """Has parts made by the Ray cluster that this process is connected to; see `reidprep.executors.base.Executor`.

    A worker that is lost is started again, elsewhere if need be, and its part is made anew. Workers write the part
    files themselves, to the folder that the command named, which must be at the same path on all machines.

    Attributes:
        workers: how many, each with one core.
        gpus_per_worker: share of a GPU that each has; more than 1 for several.
    """

    workers: int
    gpus_per_worker: float = 0.0

    @property
    def device(self) -> str:
        """See `Executor.device`."""
        return "cuda" if self.gpus_per_worker else "cpu"

    def make(self, job: Job[Task], tasks: Sequence[Task], advance: Advance) -> Generator[AnyFile, None, None]:
        """See `Executor.make`."""
        if not tasks:
            return
        import ray

        options = {"num_cpus": 1, "num_gpus": self.gpus_per_worker, "max_restarts": -1, "max_task_retries": _RETRIES}
        with shared_file(job.out) as marker:
            setup = ray.put(Setup(job, marker, Path.cwd(), versions()))
            actor = ray.remote(**options)(Worker)
            workers = [actor.remote() for _ in range(min(self.workers, len(tasks)))]
            try:
                for made in _results(workers, setup, tasks):
                    if isinstance(made, ReidError):
                        raise made
                    advance(made.rows + len(made.skipped))
                    yield made
            finally:
                for worker in workers:
                    ray.kill(worker)


def _results(workers: Sequence[Any], setup: Any, tasks: Sequence[Any]) -> Iterator[AnyFile | ReidError]:
    """What becomes of the tasks, in any order; `setup` is the reference to what `Worker.make` takes."""
    import ray
    from ray.util import ActorPool

    starting = {worker.ready.remote(): worker for worker in workers}
    pool = ActorPool([])
    left = deque(tasks)
    deadline = time.monotonic() + _SECONDS_TO_START

    def feed() -> None:
        while pool.has_free():
            if left:
                pool.submit(lambda worker, task: worker.make.remote([setup], task), left.popleft())
            else:  # its place goes to a worker that waits for one, perhaps to make a lost part anew
                ray.kill(pool.pop_idle())

    while left or pool.has_next():
        if starting:
            seconds = 0 if pool.has_next() else _SECONDS_BETWEEN_LOOKS
            started, _ = ray.wait(list(starting), num_returns=len(starting), timeout=seconds)
            for reference in started:
                _checked(reference)
                pool.push(starting.pop(reference))
        feed()
        if pool.has_next():
            try:
                made = pool.get_next_unordered(timeout=_SECONDS_BETWEEN_LOOKS if starting and left else None)
            except TimeoutError:
                continue
            except ray.exceptions.RayTaskError:
                raise  # a fault of this program
            except ray.exceptions.RayError as error:
                raise ReidError(
                    f"a Ray worker was lost {_RETRIES + 1} times while it made the same part, perhaps for lack of "
                    f"memory ({first_line(error)}); whole parts are kept: run the same command again, with fewer "
                    "--num-workers"
                ) from None
            feed()
            yield made
        elif time.monotonic() > deadline:
            raise ReidError(
                f"no Ray worker came up within {_SECONDS_TO_START:.0f} s: the cluster has no core or no GPU free; "
                "see 'ray status', and ask for less by --gpus-per-worker"
            )


def _checked(reference: Any) -> None:
    """Raise if a worker could not start."""
    import ray

    try:
        ray.get(reference)
    except ray.exceptions.RayError as error:
        raise ReidError(
            f"a Ray worker could not start ({first_line(error)}); {TOOL} must be installed on all machines of the "
            "cluster, and RAY_AUTH_MODE be set for the command as it was for 'ray start'"
        ) from None


@contextmanager
def ray_executor(
    address: str | None = None, workers: int | None = None, gpus_per_worker: float = 0.0
) -> Iterator[RayExecutor]:
    """Connect to a Ray cluster, or start one on this machine that ends with the block.

    Args:
        address: HOST:PORT or `auto`, None to start a cluster here.
        workers: how many, None for one on every core, or share of a GPU, that the cluster has.
        gpus_per_worker: share of a GPU that each has.

    Raises:
        ReidError: Ray is not installed, there is no cluster at the address, or it has no room for a worker.
    """
    with connected(address, workers):
        import ray

        there = ray.cluster_resources()
        cores, gpus = there.get("CPU", 0.0), there.get("GPU", 0.0)
        if workers is None:
            workers = int(min(cores, gpus / gpus_per_worker) if gpus_per_worker else cores)
            if workers < 1:
                raise ReidError(
                    f"the Ray cluster has {cores:g} cores and {gpus:g} GPUs, too few for a worker with one core and "
                    f"{gpus_per_worker:g} GPUs; give --num-workers if it is going to grow"
                )
        yield RayExecutor(workers, gpus_per_worker)
