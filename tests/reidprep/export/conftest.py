"""Poses with values of any size, and runs that are killed or run out of disk."""

from __future__ import annotations

import resource
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

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


EXPORT = """
import os, sys
from pathlib import Path
from reidprep.errors import ReidError
from reidprep.export.coco import export_coco
from reidprep.export.openpose import export_openpose
from reidprep.export.webdataset import export_webdataset

def step(done, total):
    if 0 < {killed_at} <= done:
        os.kill(os.getpid(), 9)

try:
    export_{format}(Path(sys.argv[1]), Path(sys.argv[2]), progress=step, **{options})
except ReidError as error:
    sys.exit(str(error))
"""


def run_export(
    format: str, source: Path, out: Path, *, killed_at: int = 0, limit: int | None = None, **options: object
) -> subprocess.CompletedProcess[str]:
    """Export in another process, which may be killed after some images, or write no file larger than `limit` bytes."""
    code = EXPORT.format(format=format, killed_at=killed_at, options=options)
    return subprocess.run(
        [sys.executable, "-c", code, str(source), str(out)],
        capture_output=True,
        text=True,
        timeout=60,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)) if limit else None,
    )
