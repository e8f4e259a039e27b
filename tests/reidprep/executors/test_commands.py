"""The commands with --engine ray, as processes of their own."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import pytest
from click.testing import CliRunner
from reid_cli.reidprep.main import main

from reidprep.shards.build import BuildOptions, build_shards

pytestmark = [
    pytest.mark.skipif(find_spec("ray") is None, reason="needs Ray: pip install 'reidprep[ray]'"),
    pytest.mark.skipif(sys.platform != "linux", reason="finds processes in /proc"),
]

COMMAND = [sys.executable, "-c", "from reid_cli.reidprep.main import main; main()"]
EXTRACT = ("--rows-per-part", "3", "--batch-size", "1")
BUILD = ("--shard-size", "2", "--with-image")
RAY = ("--engine", "ray")
Contents = Callable[[Path], dict[str, bytes]]


@pytest.fixture(scope="module")
def undisturbed(drawn: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Poses made by the local engine. Read only."""
    return extract_here(drawn, tmp_path_factory.mktemp("undisturbed") / "poses")


def extract_here(dataset: Path, out: Path) -> Path:
    result = CliRunner().invoke(main, ["extract-poses", str(dataset), str(out), *EXTRACT, "--workers", "1"])
    assert result.exit_code == 0, result.output
    return out


def start(*arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*COMMAND, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # A shell has what it starts in the background ignore Ctrl-C, and so would what that starts.
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )


def finish(process: subprocess.Popen[str]) -> tuple[str, str]:
    output, errors = process.communicate(timeout=120)
    return output, errors


def workers_of(starter: int) -> list[int]:
    """Ids of the Ray workers, started by a process, that are making parts; Ray gives them their method's name."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            title = (entry / "cmdline").read_bytes()
            if title.startswith(b"ray::Worker.do") and descends(int(entry.name), starter):
                found.append(int(entry.name))
        except (OSError, ValueError):
            continue
    return found


def descends(pid: int, ancestor: int) -> bool:
    while pid > 1:
        if pid == ancestor:
            return True
        pid = int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])
    return False


def first_worker_of(process: subprocess.Popen[str], starter: int | None = None) -> int:
    """The id of a worker that is at work for a command, which has started it if nobody else did."""
    while process.poll() is None:
        if found := workers_of(starter or process.pid):
            return found[0]
        time.sleep(0.03)  # a look at all processes takes milliseconds
    raise AssertionError(f"no worker was seen: {finish(process)}")


def assert_made_in_spite_of_a_kill(process: subprocess.Popen[str], out: Path, local: Path, contents: Contents) -> None:
    output, errors = finish(process)
    assert process.returncode == 0, errors
    assert json.loads(output)["rows"] > 0  # and nothing else, whatever Ray says of the lost worker
    assert "Traceback" not in errors and "Actor" not in errors
    assert contents(out) == contents(local)


def test_a_worker_killed_by_its_pid_changes_nothing(
    drawn: Path, undisturbed: Path, tmp_path: Path, contents: Contents
) -> None:
    process = start("extract-poses", drawn, tmp_path / "ray", *EXTRACT, *RAY, "--num-workers", 2, "--json")
    os.kill(first_worker_of(process), signal.SIGKILL)
    assert_made_in_spite_of_a_kill(process, tmp_path / "ray", undisturbed, contents)


@pytest.fixture(scope="module")
def long_job(drawn: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A dataset that takes long enough to be interrupted, 8 boxes in each of some images; and its poses. Read only."""
    images = sorted((drawn / "query").glob("*.jpg"))[:4]
    path = tmp_path_factory.mktemp("long") / "list.csv"
    rows = ["path,pid,camid,split,x,y,width,height"]
    for pid, image in enumerate(images):
        shutil.copy(image, path.parent)
        rows += [f"{image.name},{pid},1,train,0,0,{20 + size},64" for size in range(8)]
    path.write_text("\n".join(rows))
    return path, extract_here(path, tmp_path_factory.mktemp("local") / "poses")


def test_a_command_goes_on_after_ctrl_c_and_a_kill(
    long_job: tuple[Path, Path], tmp_path: Path, contents: Contents
) -> None:
    dataset, undisturbed = long_job
    arguments = ("extract-poses", dataset, tmp_path / "ray", *EXTRACT, *RAY, "--num-workers", 1)
    for number, status in ((signal.SIGINT, 130), (signal.SIGKILL, -9)):
        process = start(*arguments)
        worker = first_worker_of(process)
        os.killpg(process.pid, number)
        _, errors = finish(process)
        assert process.returncode == status and "Traceback" not in errors
        deadline = time.monotonic() + 20
        while Path(f"/proc/{worker}").exists():
            assert time.monotonic() < deadline, "the worker outlives its command"
            time.sleep(0.05)
    process = start(*arguments)
    _, errors = finish(process)
    assert process.returncode == 0, errors
    assert contents(tmp_path / "ray") == contents(undisturbed)


def test_a_cluster_of_others_is_used_in_spite_of_a_killed_worker_and_left_running(
    cluster: str, undisturbed: Path, tmp_path: Path, contents: Contents
) -> None:
    import ray

    build_shards(undisturbed, tmp_path / "local", BuildOptions(samples_per_shard=2, image_size=(256, 128)))
    # The environment is this one: it says where on this machine Ray listens, and how one proves who one is.
    process = start("build-shards", undisturbed, tmp_path / "ray", *BUILD, *RAY, "--ray-address", cluster, "--json")
    os.kill(first_worker_of(process, starter=os.getpid()), signal.SIGKILL)
    assert_made_in_spite_of_a_kill(process, tmp_path / "ray", tmp_path / "local", contents)
    assert ray.cluster_resources()["CPU"] == 2


@pytest.mark.parametrize(("step", "address"), [("extract-poses", "127.0.0.1:1"), ("build-shards", "auto")])
def test_an_unreachable_address_is_a_plain_error(
    step: str, address: str, drawn: Path, undisturbed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    source = drawn if step == "extract-poses" else undisturbed
    started = time.monotonic()
    process = start(step, source, tmp_path / "out", *RAY, "--ray-address", address)
    _, errors = finish(process)
    assert process.returncode == 1 and time.monotonic() - started < 30
    # Ray's core may warn before, on the file descriptor itself.
    last = errors.splitlines()[-1]
    assert last.startswith("Error: --ray-address 127.0.0.1:1: no Ray cluster was reached; start one by 'ray start")
    assert not (tmp_path / "out").exists()
