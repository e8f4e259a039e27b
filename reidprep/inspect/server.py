"""Listen, and serve until Ctrl-C."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable
from contextlib import suppress

import uvicorn
from starlette.types import ASGIApp

from reidprep.errors import ReidError

DEFAULT_PORT = 8765
_BACKLOG = 128
_SECONDS_TO_FINISH = 1


def listen(host: str, port: int) -> socket.socket:
    """A listening socket.

    Args:
        host: the address or name to listen at.
        port: the port; 0 for a free one.

    Raises:
        ReidError: the port is taken, or the address is not one of this machine.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except socket.gaierror as error:
        raise ReidError(f"--host {host}: is no address ({error.strerror})") from None
    listener = socket.socket(family, kind, protocol)
    try:
        if os.name == "posix":
            # A port is free again as soon as its server has ended; elsewhere this would let two have the same.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise ReidError(
                f"port {port} is in use, perhaps by another 'reidprep inspect'; give another by --port, or --port 0 "
                "for a free one"
            ) from None
        raise ReidError(f"--host {host} --port {port}: cannot be listened at ({error.strerror})") from None
    return listener


def address_of(listener: socket.socket, host: str) -> str:
    """Where a browser on this machine finds a server."""
    port = listener.getsockname()[1]
    name = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)
    return f"http://{name}:{port}/"


def serve(app: ASGIApp, listener: socket.socket, ready: Callable[[], None]) -> None:
    """Answer requests until the process is told to stop.

    Args:
        app: the application.
        listener: what `listen` gave.
        ready: called once requests are answered.
    """
    server = _Server(
        uvicorn.Config(
            app,
            lifespan="off",
            ws="none",
            log_level="warning",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=_SECONDS_TO_FINISH,
        ),
        ready,
    )
    with suppress(KeyboardInterrupt):
        server.run(sockets=[listener])


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._ready()
