"""Security headers for every response, and refusal of requests from other sites."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Sequence
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

POLICY = "; ".join((
    "default-src 'self'", "img-src 'self' data:", "object-src 'none'", "base-uri 'none'", "form-action 'none'",
    "frame-ancestors 'none'",
))  # fmt: skip
"""Pages load resources from this server only."""
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}


class Hosts:
    """The names by which a server without keys may be called.

    In DNS rebinding, a foreign page lets its own name point to this server, and the browser takes the server for the
    page's own. Such a name is none of these: localhost and other names of the loopback; where other machines reach the
    server, any address in digits (a page that was loaded from one is the server's own) and this machine's name; and
    what the operator adds.
    """

    def __init__(self, loopback: bool, more: Sequence[str] = ()):
        here = [] if loopback else [socket.gethostname(), f"{socket.gethostname().partition('.')[0]}.local"]
        self._loopback, self._names = loopback, tuple(name.lower() for name in (*here, *more))

    def known(self, name: str) -> bool:
        """Whether ``name``, in lower case and without port, is one of them. Asks no DNS."""
        return name in self._names or is_loopback(name) or (not self._loopback and is_address(name))

    def __str__(self) -> str:
        addresses = "127.0.0.1" if self._loopback else "addresses in digits"
        return ", ".join(dict.fromkeys(("localhost", *self._names))) + f" and {addresses}"


class Guard:
    """Middleware that adds :data:`HEADERS` to every response that does not set them, and refuses two kinds of requests.

    A request must call the server by one of its ``hosts`` (None: by any name). And a page of another origin may only
    read, never change anything.
    """

    def __init__(self, app: ASGIApp, hosts: Hosts | None):
        self._app, self._hosts = app, hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        refusal = self._refusal(scope["method"], Headers(scope=scope))
        app = JSONResponse({"detail": refusal}, 403) if refusal else self._app
        await app(scope, receive, guarded)

    def _refusal(self, method: str, headers: Headers) -> str | None:
        host, origin = headers.get("host", ""), headers.get("origin")
        if self._hosts is not None and not self._hosts.known(_hostname(host)):
            return f"this server answers to {self._hosts} only, not to {host[:100]!r}; --allow_host adds a name"
        if method not in ("GET", "HEAD") and origin is not None and _netloc(origin) != host:
            return f"a page of {origin[:100]!r} may not use this server"
        return None


def is_loopback(name: str) -> bool:
    """Whether a host name or address is this machine's loopback, without a DNS query."""
    try:
        return name == "localhost" or ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def is_address(name: str) -> bool:
    """Whether a host name is an address in digits."""
    try:
        return bool(ipaddress.ip_address(name))
    except ValueError:
        return False


def _hostname(host: str) -> str:
    """The name in a Host header, without port and brackets; empty if malformed."""
    if set(host) & set("@/\\?#") or not host.isprintable():  # urlsplit would take but a part of it for the name
        return ""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _netloc(origin: str) -> str | None:
    """Host and port of an Origin header; None if it has none, as ``null``."""
    try:
        return urlsplit(origin).netloc or None
    except ValueError:
        return None
