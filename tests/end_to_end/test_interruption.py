"""Kill the commands, fill the disk: a rerun must end with the bytes of an undisturbed run."""

import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner
from reid_cli.reidprep.main import main

COMMAND = [sys.executable, "-c", "from reid_cli.reidprep.main import main; main()"]
OPTIONS = {
    "extract-poses": ("--rows-per-part", "3", "--batch-size", "1", "--limit", "3"),
    "build-shards": ("--shard-size", "1", "--with-image"),
}
Step = Callable[[Path], list[str]]


@pytest.fixture(scope="module", params=list(OPTIONS))
def step(request: pytest.FixtureRequest, drawn: Path, drawn_poses: Path) -> Step:
    """The command of a step that writes to a folder."""
    source = {"extract-poses": drawn, "build-shards": drawn_poses}[request.param]
    return lambda out: [request.param, str(source), str(out), *OPTIONS[request.param]]


@pytest.fixture(scope="module")
def undisturbed(step: Step, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What it writes if nothing comes between. Read only."""
    return run(step, tmp_path_factory.mktemp("undisturbed") / "out")


def run(step: Step, out: Path) -> Path:
    result = CliRunner().invoke(main, [*step(out), "--workers", "1"])
    assert result.exit_code == 0, result.output
    return out


def contents(path: Path) -> dict[str, bytes]:
    return {entry.name: entry.read_bytes() for entry in sorted(path.iterdir())}


def start(*arguments: str, limit: int = resource.RLIM_INFINITY) -> subprocess.Popen[str]:
    """The command as a process, with two workers, that may write no file of more bytes than a limit."""
    return subprocess.Popen(
        [*COMMAND, *arguments, "--workers", "2"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY)),
    )


def test_a_full_disk_is_a_plain_error_and_leaves_no_piece_of_a_file(
    step: Step, undisturbed: Path, tmp_path: Path
) -> None:
    largest = max(file.stat().st_size for file in undisturbed.glob("*.h5"))
    process = start(*step(tmp_path / "out"), limit=largest - 1)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "cannot be written" in errors and "Traceback" not in errors
    assert not list((tmp_path / "out").glob(".*.tmp"))
    run(step, tmp_path / "out")
    assert contents(tmp_path / "out") == contents(undisturbed)


def test_a_killed_step_goes_on(step: Step, undisturbed: Path, tmp_path: Path) -> None:
    process = start(*step(tmp_path / "out"))
    while not list(tmp_path.glob("out/*.h5")):
        assert process.poll() is None
        time.sleep(0.002)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert len(list(tmp_path.glob("out/*.h5"))) < len(list(undisturbed.glob("*.h5")))
    run(step, tmp_path / "out")
    assert contents(tmp_path / "out") == contents(undisturbed)
