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
EXTRACT = ["--rows-per-part", "3", "--batch-size", "1", "--workers", "2"]
BUILD = ["--shard-size", "2", "--with-image", "--workers", "2"]


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


def kill_and_rerun(command: Callable[[Path], list[str | Path]], undisturbed: Path, out: Path, kills: int) -> None:
    seconds = run(*command(undisturbed))
    rng = random.Random(7)
    killed = 0
    for _ in range(kills):
        process = start(*command(out))
        time.sleep(rng.uniform(0.3, 1.0) * seconds)
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            killed += 1
        process.communicate()
    assert killed > 0
    run(*command(out))
    assert contents(out) == contents(undisturbed)


def test_extract_poses_survives_kills(drawn: Path, tmp_path: Path) -> None:
    kill_and_rerun(lambda out: ["extract-poses", drawn, out, *EXTRACT], tmp_path / "a", tmp_path / "b", kills=4)


def test_build_shards_survives_kills(drawn_poses: Path, tmp_path: Path) -> None:
    kill_and_rerun(lambda out: ["build-shards", drawn_poses, out, *BUILD], tmp_path / "a", tmp_path / "b", kills=4)


@pytest.mark.parametrize("step", ["extract-poses", "build-shards"])
def test_a_full_disk_is_a_plain_error_and_a_rerun_goes_on(
    step: str, drawn: Path, drawn_poses: Path, tmp_path: Path
) -> None:
    source, options = (drawn, EXTRACT) if step == "extract-poses" else (drawn_poses, BUILD)
    run(step, source, tmp_path / "undisturbed", *options)
    parts = sorted((tmp_path / "undisturbed").glob("*.h5"), key=lambda file: file.stat().st_size)
    process = start(step, source, tmp_path / "out", *options, limit=parts[-1].stat().st_size - 1)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "cannot be written" in errors and "Traceback" not in errors
    assert not list((tmp_path / "out").glob(".*.tmp"))
    run(step, source, tmp_path / "out", *options)
    assert contents(tmp_path / "out") == contents(tmp_path / "undisturbed")
