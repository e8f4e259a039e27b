"""Have tasks done by the workers of a Ray cluster: a pool of actors, each doing one at a time."""

from __future__ import annotations

import logging
import os
import platform
import re
import socket
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from secrets import randbits, token_hex
from typing import Any, ClassVar

from reidprep.errors import ReidError, first_line
from reidprep.executors.base import Job, Result, Task
from reidprep.executors.local import limit_threads
from reidprep.files import TOOL, write_file

AUTO = "auto"
"""The address of the cluster that this machine belongs to."""

# A task that its worker does not survive so many times more is given up.
_RETRIES = 3
# From asking for workers until the first has to be there: a cluster may first have to grow.
_SECONDS_TO_START = 300.0
# How often to look for workers that have come up while others are at work.
_SECONDS_BETWEEN_LOOKS = 1.0


@dataclass(frozen=True)
class RayExecutor:
    """Has tasks done by the Ray cluster that this process is connected to, an `Executor`.

    A worker that is lost is started again, elsewhere if need be, and does its task anew. Workers may write to the
    directory that the command fills, so it must be at the same path on all machines.

    Attributes:
        workers: how many, each with one core.
        gpus_per_worker: share of a GPU that each has; more than 1 for several.
    """

    workers: int
    gpus_per_worker: float = 0.0
    whole_files: ClassVar[bool] = True

    @property
    def device(self) -> str:
        """What the estimators of the workers run on."""
        return "cuda" if self.gpus_per_worker else "cpu"

    def map(self, job: Job[Task, Result], tasks: Iterable[Task]) -> Generator[Result, None, None]:
        """Have every task done, in any order."""
        tasks = list(tasks)
        if not tasks:
            return
        import ray

        options = {"num_cpus": 1, "num_gpus": self.gpus_per_worker, "max_restarts": -1, "max_task_retries": _RETRIES}
        with shared_file(job.out) as marker:
            setup = ray.put(Setup(job, marker, Path.cwd(), versions()))
            actor = ray.remote(**options)(Worker)
            workers = [actor.remote() for _ in range(min(self.workers, len(tasks)))]
            try:
                for result in _results(workers, setup, tasks):
                    if isinstance(result, ReidError):
                        raise result
                    yield result
            finally:
                for worker in workers:
                    ray.kill(worker)


def _results(workers: Sequence[Any], setup: Any, tasks: Sequence[Any]) -> Iterator[Any]:
    """What `Worker.do` returns for the tasks, in any order; `setup` is the reference to what it takes."""
    import ray
    from ray.util import ActorPool

    starting = {worker.ready.remote(): worker for worker in workers}
    pool = ActorPool([])
    left = deque(tasks)
    deadline = time.monotonic() + _SECONDS_TO_START

    def feed() -> None:
        while pool.has_free():
            if left:
                pool.submit(lambda worker, task: worker.do.remote([setup], task), left.popleft())
            else:  # its place goes to a worker that waits for one, perhaps to do a lost task anew
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
                result = pool.get_next_unordered(timeout=_SECONDS_BETWEEN_LOOKS if starting and left else None)
            except TimeoutError:
                continue
            except ray.exceptions.RayTaskError:
                raise  # a fault of this program
            except ray.exceptions.RayError as error:
                raise ReidError(
                    f"a Ray worker was lost {_RETRIES + 1} times while it made the same file, perhaps for lack of "
                    f"memory ({first_line(error)}); whole files are kept: run the same command again, with fewer "
                    "--num-workers"
                ) from None
            feed()
            yield result
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


# The least that Ray allows is 75 MiB; what goes through it are lists of images, a part at a time.
_OBJECT_STORE_BYTES = 100 * 2**20


@contextmanager
def connected(address: str | None, workers: int | None) -> Iterator[None]:
    """Have Ray connected to a cluster; one that Ray is connected to already is used as it is.

    Args:
        address: HOST:PORT of a cluster, or `AUTO`; None to start one here, which ends with the block.
        workers: one-core workers that a cluster started here has room for, None for as many as there are cores.

    Raises:
        ReidError: Ray is not installed, or there is no cluster at the address.
    """
    if address == AUTO:
        address = os.environ.get("RAY_ADDRESS", AUTO)
    if address is not None:
        _check_address(address)
    for name, value in _environment(address).items():
        os.environ.setdefault(name, value)
    try:
        import ray
    except ModuleNotFoundError as error:
        if error.name != "ray":
            raise
        raise ReidError("--engine ray needs Ray, which is not installed: pip install 'reidprep[ray]'") from None
    if ray.is_initialized():
        yield
        return
    if address is None:
        _init("a Ray cluster could not be started here", address="local", **_of_its_own(workers))
    else:
        _init(f"--ray-address {address}: {_NO_CLUSTER}; set RAY_AUTH_MODE as for 'ray start'", address=address)
    try:
        yield
    finally:
        ray.shutdown()


def _environment(address: str | None) -> dict[str, str]:
    """What Ray reads when it is imported."""
    common = {"RAY_USAGE_STATS_ENABLED": "0"}
    if address is None:
        # A cluster of this machine alone listens on the loopback interface only.
        return {**common, "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
    # Ray's own time-outs, for the connection only, add up to a quarter of an hour; with these an address without a
    # cluster is an error after eight seconds, whether nothing listens there, something else, or what never answers.
    common |= {
        "RAY_NUM_REDIS_GET_RETRIES": "1",
        "RAY_gcs_rpc_server_connect_timeout_s": "2",
        "RAY_py_gcs_connect_timeout_s": "3",
    }
    host, _, _ = address.rpartition(":")
    # 'ray start' makes this token and asks for it. By default Ray shows it to no cluster whose address was given, as
    # that might be anybody's; on this machine it is not.
    if _is_here(host) and (Path.home() / ".ray" / "auth_token").exists():
        return {**common, "RAY_AUTH_MODE": "token"}
    return common


def _is_here(host: str) -> bool:
    """Whether a host is this machine."""
    try:
        for family, kind, protocol, _, address in socket.getaddrinfo(host.strip("[]"), 0, type=socket.SOCK_DGRAM):
            with socket.socket(family, kind, protocol) as probe:
                probe.bind(address)
                return True
    except OSError:
        pass
    return False


_NO_CLUSTER = (
    "no Ray cluster was reached; start one by 'ray start --head', run the command on a machine of it with the address "
    "that this prints, or leave the option out to start one for this run"
)


def _of_its_own(workers: int | None) -> dict[str, Any]:
    return {
        "num_cpus": workers or os.cpu_count() or 1,
        "include_dashboard": False,
        "object_store_memory": _OBJECT_STORE_BYTES,
    }


def _init(failure: str, **options: Any) -> None:
    import ray

    try:
        ray.init(log_to_driver=False, logging_level=logging.ERROR, **options)
    except Exception as error:  # ConnectionError, RuntimeError, ValueError, and bare Exceptions among them
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise ReidError(f"{failure} ({reason})") from None


def _check_address(address: str) -> None:
    if address != AUTO and not re.fullmatch(r"(?!.*://).+:[0-9]{1,5}", address):
        raise ReidError(
            f"--ray-address {address}: expected HOST:PORT of a cluster that this machine belongs to, as 'ray start' "
            f"prints it, or {AUTO}"
        )


# A network file system may show a new file only after some seconds.
_LOOKS = 10
_SECONDS_BETWEEN_LOOKS_AT_MARKER = 1.0


@dataclass(frozen=True)
class Marker:
    """A file that the command has written to its output folder, for workers to find."""

    path: Path
    content: str


@dataclass(frozen=True)
class Setup:
    """What a worker is to do and what it must have.

    Attributes:
        job: of the command.
        marker: lies in the directory that the command fills.
        folder: what relative paths are relative to.
        versions: what shapes the bytes of a file, see `versions`.
    """

    job: Job[Any, Any]
    marker: Marker
    folder: Path
    versions: Mapping[str, str]


class Worker:
    """Does tasks, one at a time, on one core."""

    def __init__(self) -> None:
        self._do: Callable[[Any], Any] | None = None

    def ready(self) -> None:
        """Answer once the worker is there."""

    def do(self, setup: Sequence[Any], task: Any) -> Any:
        """Do a task.

        Args:
            setup: reference to a `Setup`, in a list, for otherwise Ray would fetch it for every task.
            task: what the job takes.

        Returns:
            The result, or an error for the user, which would not arrive without a traceback if it were raised.
        """
        try:
            if self._do is None:
                self._do = _prepared(*setup)
            return self._do(task)
        except ReidError as error:
            return error


def _prepared(reference: Any) -> Callable[[Any], Any]:
    import ray

    setup: Setup = ray.get(reference)
    limit_threads()
    with suppress(OSError):  # absolute paths may do without
        os.chdir(setup.folder)
    try:
        check_versions(setup.versions)
        check_marker(setup.marker)
        return setup.job.prepare()
    except ReidError as error:
        raise ReidError(f"Ray worker on {socket.gethostname()}: {error}") from None


def versions() -> dict[str, str]:
    """Versions of what shapes the bytes of a file."""
    import cv2
    import h5py
    import numpy
    import onnxruntime
    import PIL
    import simplejpeg

    program, version = TOOL.split()
    return {
        program: version,
        "Python": ".".join(platform.python_version_tuple()[:2]),
        "numpy": numpy.__version__,
        "opencv": cv2.__version__,
        "HDF5": h5py.version.hdf5_version,
        "Pillow": PIL.__version__,
        "simplejpeg": simplejpeg.__version__,
        "onnxruntime": onnxruntime.__version__,
    }


def check_versions(wanted: Mapping[str, str]) -> None:
    """Raise if this process has other versions."""
    here = versions()
    other = [f"{name} {here[name]} instead of {version}" for name, version in wanted.items() if here[name] != version]
    if other:
        raise ReidError(
            f"has {', '.join(other)}, so the same images might give other bytes; install the same versions on all "
            "machines"
        )


@contextmanager
def shared_file(folder: Path) -> Iterator[Marker]:
    """A file for workers to find, there as long as the block; named so that the next run removes what a kill leaves."""
    marker = Marker(folder.resolve() / f".shared.{randbits(64)}.tmp", token_hex())
    write_file(marker.path, marker.content.encode())
    try:
        yield marker
    finally:
        with suppress(OSError):
            marker.path.unlink()


def check_marker(marker: Marker) -> None:
    """Raise if this process does not see the output folder."""
    for _ in range(_LOOKS):
        with suppress(OSError):
            if marker.path.read_text() == marker.content:
                return
        time.sleep(_SECONDS_BETWEEN_LOOKS_AT_MARKER)
    raise ReidError(
        f"does not see the output folder {marker.path.parent}; it must be on storage that all machines have at this "
        "path"
    )
