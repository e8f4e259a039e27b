import os
import socket
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from reidprep.errors import ReidError
from reidprep.executors import ray as worker
from reidprep.executors.ray import connected, ray_executor


@pytest.mark.parametrize("address", ["nonsense", "localhost:", "ray://localhost:10001", "localhost:6379/x", "a:123456"])
def test_addresses_that_are_none(address: str) -> None:
    with pytest.raises(ReidError, match=f"--ray-address {address}: expected HOST:PORT"), connected(address, 1):
        pass


CONNECT = """
import sys
from reidprep.errors import ReidError
from reidprep.executors.ray import connected
try:
    with connected(sys.argv[1], 1):
        pass
except ReidError as error:
    sys.exit(str(error))
"""


@pytest.mark.parametrize("port", ["is silent", "99999"])
def test_an_address_without_a_cluster_is_soon_an_error(port: str) -> None:
    """One that refuses is what test_an_unreachable_address_is_a_plain_error has."""
    if find_spec("ray") is None:
        pytest.skip("needs Ray: pip install 'reidprep[ray]'")
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{port if port.isdecimal() else server.getsockname()[1]}"
        # Another process, for Ray reads its time-outs once. It takes 8 s, and twice as many to import under load.
        run = subprocess.run([sys.executable, "-c", CONNECT, address], capture_output=True, text=True, timeout=60)
    assert run.returncode == 1
    assert "Traceback" not in run.stderr
    # Ray's core may warn before, on the file descriptor itself.
    last = run.stderr.splitlines()[-1]
    assert last.startswith(f"--ray-address {address}: no Ray cluster was reached; start one by")


def test_without_ray_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ReidError, match=r"pip install 'reidprep\[ray\]'"), connected(None, 1):
        pass


def test_a_cluster_without_gpus_has_no_room_for_workers_that_need_one(cluster: str) -> None:
    with ray_executor(gpus_per_worker=0.0) as executor:
        assert executor.workers == 2 and executor.device == "cpu"
    import ray

    if ray.cluster_resources().get("GPU"):
        pytest.skip("this machine has a GPU")
    with pytest.raises(ReidError, match="2 cores and 0 GPUs, too few for a worker"), ray_executor(gpus_per_worker=0.5):
        pass
    with ray_executor(workers=3, gpus_per_worker=0.5) as executor:  # it may grow
        assert executor.workers == 3 and executor.device == "cuda"


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_cluster_of_our_own_listens_on_loopback_only(cluster: str) -> None:
    ours = {inode for pid in descendants(os.getpid()) for inode in sockets(pid)}
    addresses = [address for address, inode in listeners() if inode in ours]
    assert len(addresses) >= 4  # of Ray's servers, this process and its workers
    assert {address for address in addresses if not is_loopback(address)} == set()


def descendants(pid: int) -> set[int]:
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
            except OSError:
                continue
    found = {pid}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return found


def sockets(pid: int) -> set[str]:
    try:
        links = [str(entry.readlink()) for entry in Path(f"/proc/{pid}/fd").iterdir()]
    except OSError:
        return set()
    return {link[len("socket:[") : -1] for link in links if link.startswith("socket:[")}


def listeners() -> list[tuple[str, str]]:
    rows = [line.split() for name in ("tcp", "tcp6") for line in Path(f"/proc/net/{name}").read_text().splitlines()]
    return [(row[1].partition(":")[0], row[9]) for row in rows if row[3] == "0A"]


def is_loopback(address: str) -> bool:
    """Addresses as /proc writes them: words of four bytes, the last byte first."""
    return address in ("0100007F", "0000000000000000FFFF00000100007F", "00000000000000000000000001000000")


def test_a_folder_that_a_worker_does_not_see(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "_SECONDS_BETWEEN_LOOKS_AT_MARKER", 0)
    with worker.shared_file(tmp_path) as marker:
        worker.check_marker(marker)
        other = worker.Marker(marker.path, "of another run")
        with pytest.raises(ReidError, match="does not see the output folder .* on storage that all machines have"):
            worker.check_marker(other)
    assert not list(tmp_path.iterdir())
    with pytest.raises(ReidError, match=str(tmp_path)):
        worker.check_marker(marker)


def test_a_worker_with_other_versions() -> None:
    worker.check_versions(worker.versions())
    for name in ("numpy", "simplejpeg"):
        with pytest.raises(ReidError, match=rf"has {name} .* instead of 0\.1, .*same versions on all machines"):
            worker.check_versions({**worker.versions(), name: "0.1"})
