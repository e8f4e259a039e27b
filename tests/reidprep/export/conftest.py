"""Poses with values of any size, and runs that are killed or run out of disk."""

from __future__ import annotations

import os
import resource
import signal
import traceback
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from reidprep.errors import ReidError
from reidprep.files import write_file
from reidprep.poses.format import POSES, PoseFile, Poses, poses_bytes, take
from reidprep.poses.reader import PoseSet
from reidprep.store.manifest import read_manifest
from reidprep.store.writer import StoreWriter

MakePoses = Callable[[Poses], Path]


@pytest.fixture
def make_poses(drawn_poses: Path, tmp_path: Path) -> MakePoses:
    """Write a pose directory of two parts; its plan is that of the drawn people."""

    def make(poses: Poses) -> Path:
        out = tmp_path / "made"
        manifest = read_manifest(drawn_poses, POSES)
        with StoreWriter(out, POSES, "../source", manifest.plan) as directory:
            for number, rows in enumerate(np.array_split(np.arange(len(poses)), 2)):
                name = f"part-{number:05d}.h5"
                sha256 = write_file(out / name, poses_bytes(take(poses, rows), manifest.plan))
                directory.add(PoseFile(name, len(rows), sha256, (), manifest.files[0].statistics))
            directory.finish(manifest.summary)
        return out

    return make


@pytest.fixture
def some_poses(drawn_poses: Path) -> Poses:
    """The poses of the drawn people."""
    poses = PoseSet(drawn_poses)
    return poses.read(np.arange(len(poses)))


@pytest.fixture
def renamed(some_poses: Poses, make_poses: MakePoses) -> Callable[[list[str]], Path]:
    """Write as many of these poses as there are names, with these names as paths."""

    def make(paths: list[str]) -> Path:
        return make_poses(replace(take(some_poses, np.arange(len(paths))), paths=np.array(paths)))

    return make


def contents(path: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {str(file.relative_to(path)): file.read_bytes() for file in sorted(path.rglob("*")) if file.is_file()}


def run_export(
    export: Callable[..., object], source: Path, out: Path, *, killed_at: int = 0, limit: int = 0, **options: object
) -> tuple[int, str]:
    """Export in a child process, which may be killed after some images, or write no file larger than `limit` bytes.

    Returns:
        Its exit status, negative if it was killed, and what went wrong.
    """

    def step(done: int, total: int) -> None:
        if 0 < killed_at <= done:
            os.kill(os.getpid(), signal.SIGKILL)

    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            if limit:
                resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
            export(source, out, progress=step, **options)
            status = 0
        except ReidError as error:
            os.write(writing, str(error).encode())
        except BaseException:
            os.write(writing, traceback.format_exc().encode())
        finally:
            os._exit(status)
    os.close(writing)
    with os.fdopen(reading) as errors:
        text = errors.read()
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), text
