"""Kill the commands at random moments, fill the disk: a rerun must end with the bytes of an undisturbed run."""

import os
import random
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

COMMAND = [sys.executable, "-c", "from reid_cli.reidprep.main import main; main()"]
OPTIONS = {
    "extract-poses": ("--rows-per-part", "3", "--batch-size", "1", "--workers", "2"),
    "build-shards": ("--shard-size", "2", "--with-image", "--workers", "2"),
}
Step = Callable[[Path], list[str | Path]]


@pytest.fixture(scope="module", params=list(OPTIONS))
def step(request: pytest.FixtureRequest, drawn: Path, drawn_poses: Path) -> Step:
    """The command of a step that writes to a folder."""
    source = {"extract-poses": drawn, "build-shards": drawn_poses}[request.param]
    return lambda out: [request.param, source, out, *OPTIONS[request.param]]


@pytest.fixture(scope="module")
def undisturbed(step: Step, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, float]:
    """What it writes if nothing comes between, and the seconds it takes. Read only."""
    out = tmp_path_factory.mktemp("undisturbed") / "out"
    return out, run(*step(out))


def contents(path: Path) -> dict[str, bytes]:
    return {entry.name: entry.read_bytes() for entry in sorted(path.iterdir())}


def start(*arguments: str | Path, limit: int | None = None) -> subprocess.Popen[str]:
    def restrict() -> None:
        os.setsid()
        if limit is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    return subprocess.Popen(
        [*COMMAND, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=restrict,
    )


def run(*arguments: str | Path) -> float:
    started = time.monotonic()
    process = start(*arguments)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    return time.monotonic() - started


def test_a_step_survives_a_full_disk_and_kills(step: Step, undisturbed: tuple[Path, float], tmp_path: Path) -> None:
    expected, seconds = undisturbed
    out = tmp_path / "out"
    largest = max(file.stat().st_size for file in expected.glob("*.h5"))
    process = start(*step(out), limit=largest - 1)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "cannot be written" in errors and "Traceback" not in errors
    assert not list(out.glob(".*.tmp"))

    rng = random.Random(7)
    killed = 0
    for _ in range(2):
        process = start(*step(out))
        time.sleep(rng.uniform(0.3, 1.0) * seconds)
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            killed += 1
        process.communicate()
    assert killed > 0
    run(*step(out))
    assert contents(out) == contents(expected)
