"""Connect to a Ray cluster, or start one on this machine."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from reidprep.errors import ReidError

AUTO = "auto"
"""The address of the cluster that this machine belongs to."""

# The least that Ray allows is 75 MiB; what goes through it are lists of images, a part at a time.
_OBJECT_STORE_BYTES = 100 * 2**20
_SECONDS = 5.0
# The preface of HTTP/2 (RFC 9113, section 3.4) with an empty SETTINGS frame, which the other side answers by its own.
_HTTP2_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
_SETTINGS = 4


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
        check_address(address)
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
    # Otherwise Ray looks for a quarter of an hour for a cluster that is no more but has left its address behind.
    common["RAY_NUM_REDIS_GET_RETRIES"] = "1"
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


def check_address(address: str) -> None:
    """Raise if nothing like Ray answers: Ray itself would try for minutes.

    Args:
        address: HOST:PORT, or `AUTO`, for which nothing is checked.

    Raises:
        ReidError: names the address and the remedy.
    """
    if address == AUTO:
        return
    host, colon, port = address.rpartition(":")
    if "://" in address or not colon or not port.isdecimal():
        raise ReidError(
            f"--ray-address {address}: expected HOST:PORT of a cluster that this machine belongs to, as 'ray start' "
            f"prints it, or {AUTO}"
        )
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=_SECONDS) as connection:
            if os.environ.get("RAY_USE_TLS", "0") not in ("0", ""):
                return
            connection.sendall(_HTTP2_PREFACE)
            answer = connection.recv(4)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
    else:
        if answer[3:] == bytes([_SETTINGS]):
            return
        reason = "something else answers there"
    raise ReidError(f"--ray-address {address}: {_NO_CLUSTER} ({reason})")
