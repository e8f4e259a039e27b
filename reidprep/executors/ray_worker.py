"""A worker of another machine: checks that it finds and has what it needs, then makes parts."""

from __future__ import annotations

import os
import platform
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from secrets import randbits, token_hex
from typing import Any

from reidprep.errors import ReidError
from reidprep.executors.base import Job
from reidprep.executors.local import limit_threads
from reidprep.files import TOOL, write_file
from reidprep.store.manifest import AnyFile

# A network file system may show a new file only after some seconds.
_LOOKS = 10
_SECONDS_BETWEEN_LOOKS = 1.0


@dataclass(frozen=True)
class Marker:
    """A file that the command has written to its output folder, for workers to find."""

    path: Path
    content: str


@dataclass(frozen=True)
class Setup:
    """What a worker is to do and what it must have.

    Attributes:
        job: makes the parts.
        marker: lies in the output folder.
        folder: what relative paths are relative to.
        versions: what shapes the bytes of a part, see `versions`.
    """

    job: Job[Any]
    marker: Marker
    folder: Path
    versions: Mapping[str, str]


class Worker:
    """Makes parts, one at a time, on one core."""

    def __init__(self) -> None:
        self._make: Callable[[Any], AnyFile] | None = None

    def ready(self) -> None:
        """Answer once the worker is there."""

    def make(self, setup: Sequence[Any], task: Any) -> AnyFile | ReidError:
        """Make the part of a task.

        Args:
            setup: reference to a `Setup`, in a list, for otherwise Ray would fetch it for every part.
            task: what the job takes.

        Returns:
            The part, or an error for the user, which would not arrive without a traceback if it were raised.
        """
        try:
            if self._make is None:
                self._make = _started(*setup)
            return self._make(task)
        except ReidError as error:
            return error


def _started(reference: Any) -> Callable[[Any], AnyFile]:
    import ray

    setup: Setup = ray.get(reference)
    limit_threads()
    with suppress(OSError):  # absolute paths may do without
        os.chdir(setup.folder)
    try:
        check_versions(setup.versions)
        check_marker(setup.marker)
        return setup.job.start()
    except ReidError as error:
        raise ReidError(f"Ray worker on {socket.gethostname()}: {error}") from None


def versions() -> dict[str, str]:
    """Versions of what shapes the bytes of a part file."""
    import cv2
    import h5py
    import numpy
    import onnxruntime
    import PIL

    program, version = TOOL.split()
    return {
        program: version,
        "Python": ".".join(platform.python_version_tuple()[:2]),
        "numpy": numpy.__version__,
        "opencv": cv2.__version__,
        "HDF5": h5py.version.hdf5_version,
        "Pillow": PIL.__version__,
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
        time.sleep(_SECONDS_BETWEEN_LOOKS)
    raise ReidError(
        f"does not see the output folder {marker.path.parent}; it must be on storage that all machines have at this "
        "path"
    )
