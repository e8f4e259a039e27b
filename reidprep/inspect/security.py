"""What stands before every request: only our own name, only pages that load nothing from elsewhere."""

from __future__ import annotations

import hmac
import ipaddress
import socket
from collections.abc import Collection
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})

POLICY = "; ".join(
    (
        "default-src 'none'",
        "img-src 'self'",
        "style-src 'self'",
        "script-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}


class Hosts:
    """The names under which a server answers: a page elsewhere cannot make its own name stand for ours.

    Args:
        host: the address listened at.
        also: further names, such as that of a proxy.
    """

    def __init__(self, host: str, also: Collection[str] = ()) -> None:
        self._any_address = host in ("0.0.0.0", "::", "")
        names = {socket.gethostname(), *LOOPBACK} if self._any_address else LOOPBACK if host in LOOPBACK else {host}
        self._names = {name.lower() for name in (*names, *also)}

    def answers(self, authority: str) -> bool:
        """Whether a Host header names us, whatever the port: a tunnel may lead from another one."""
        name = host_name(authority)
        if name is None:
            return False
        return name in self._names or (self._any_address and _is_address(name))


def host_name(authority: str) -> str | None:
    """The host of "host:port" in lower case, without brackets; None if it is no such thing."""
    try:
        parts = urlsplit(f"//{authority}")
        _ = parts.port
    except ValueError:
        return None
    if parts.netloc != authority or parts.username is not None or not parts.hostname or not authority.isascii():
        return None
    return parts.hostname.lower()


def _is_address(name: str) -> bool:
    # No name server answers for an address, so a foreign page cannot take it.
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


class Guard:
    """Refuses foreign Host headers, and adds the headers that keep a page to itself.

    Args:
        app: the application.
        hosts: the names it answers under.
    """

    def __init__(self, app: ASGIApp, hosts: Hosts) -> None:
        self.app = app
        self.hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or have it answered, as ASGI has it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        given = Headers(scope=scope).getlist("host")
        if len(given) != 1 or not self.hosts.answers(given[0]):
            refusal = PlainTextResponse(
                "This server does not answer under that name. Open the address that it printed, or start it with "
                "--allow-host NAME.\n",
                status_code=421,
            )
            await refusal(scope, receive, send_guarded)
            return
        await self.app(scope, receive, send_guarded)


def why_foreign(request: Request, token: str) -> str | None:
    """Why a request that changes something is not from a page of ours; None if it is."""
    if request.headers.get("origin") != f"{request.url.scheme}://{request.headers['host']}":
        return "the request is not from a page of this server"
    if not hmac.compare_digest(request.headers.get("x-token", "").encode(), token.encode()):
        return "the page is from an earlier start of the server; load it again"
    return None
