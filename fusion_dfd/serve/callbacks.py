"""Calls the address that a job names when it has ended: signed, repeated until it answers, never into private networks.

The form is that of Standard Webhooks (https://www.standardwebhooks.com): the headers ``webhook-id`` (the job's id, the
same in every try), ``webhook-timestamp`` (seconds since 1970) and ``webhook-signature``, ``v1,`` and the base64 of the
HMAC-SHA256 of ``id.timestamp.body`` under the secret. A receiver may get a call twice and must check the signature.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import ipaddress
import math
import socket
import ssl
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import httpcore2
from absl import logging
from sqlalchemy.exc import SQLAlchemyError

from fusion_dfd import __version__
from fusion_dfd.serve import keys
from fusion_dfd.serve.store import Store
from fusion_dfd.serve.tables import Job
from fusion_dfd.serve.telemetry import Telemetry

WAITS = (5.0, 30.0, 120.0, 600.0, 3600.0, 6 * 3600.0)
"""Seconds between the tries. After one try more, the callback is given up."""
TIMEOUT = 10.0
"""Seconds for each step of a call: connecting, sending, and waiting for the answer."""
AT_ONCE = 8
"""Calls at the same time: one that hangs does not hold the others up for long."""
LONGEST = 2000
"""Characters of an address."""
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


class Refused(Exception):
    """An address that must not be called; the text says why."""


class Caller:
    """Makes the callbacks that are due.

    Args:
      describe: the body of a callback.
      holders: whose secrets sign.
      private: whether private addresses may be called.
    """

    def __init__(
        self,
        store: Store,
        describe: Callable[[Job], bytes],
        holders: keys.Keys,
        telemetry: Telemetry,
        private: bool = False,
    ):
        self._store, self._describe, self._holders, self._telemetry = store, describe, holders, telemetry
        self._pool = httpcore2.ConnectionPool(
            ssl_context=ssl.create_default_context(),
            max_keepalive_connections=0,
            network_backend=Outside(private),
        )

    def run_due(self) -> None:
        """Make all callbacks that are due now, and wait for their ends."""
        try:
            with ThreadPoolExecutor(AT_ONCE) as pool:
                while due := self._store.due(AT_ONCE):
                    list(pool.map(self._call, due))
        except SQLAlchemyError as error:
            logging.error("the store does not answer: %s", type(error).__name__)

    def _call(self, job: Job) -> None:
        error, final = self._error(job)
        left = None if error is None or final or job.callback_tries >= len(WAITS) else WAITS[job.callback_tries]
        self._store.called(job, error, left)
        self._telemetry.called(job.id, "delivered" if error is None else "failed" if left else "given_up", error)

    def _error(self, job: Job) -> tuple[str | None, bool]:
        """What went wrong, None if nothing, and whether another try is useless."""
        secret = self._holders.secret(job.owner)
        if secret is None:
            return "the key that asked for it was removed", True
        body = self._describe(job)
        headers = sign(secret, job.id, math.floor(time.time()), body) | {
            "content-type": "application/json",
            "user-agent": f"fusion_dfd/{__version__}",
            "connection": "close",
        }
        timeouts = dict.fromkeys(("connect", "read", "write", "pool"), TIMEOUT)
        try:
            # Not request(), which would read a body of any length.
            with self._pool.stream(
                "POST", job.callback, headers=headers, content=body, extensions={"timeout": timeouts}
            ) as answer:
                status = answer.status
        except Refused as error:
            return str(error), True
        except Exception as error:
            return f"{type(error).__name__}: {error}"[:200], False
        # A redirect is an error: it could lead to an address that nobody checked.
        return (None, False) if 200 <= status < 300 else (f"status {status}", False)


class Outside(httpcore2.SyncBackend):
    """Connects to addresses of the public internet only, unless ``private``.

    The address that was checked is the one that is called, so a name that points elsewhere a moment later gains
    nothing.
    """

    def __init__(self, private: bool):
        super().__init__()
        self._private = private

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable | None = None,
    ) -> httpcore2.NetworkStream:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        addresses = list(dict.fromkeys(entry[4][0] for entry in found))
        if not self._private and not all(map(is_public, addresses)):
            raise Refused(f"{host} is a private address")
        return super().connect_tcp(addresses[0], port, timeout, local_address, socket_options)


def is_public(address: str) -> bool:
    """Whether an IP address is one of the public internet, and carries no other address inside."""
    found = ipaddress.ip_address(address.partition("%")[0])
    if found.version == 6:
        if found.ipv4_mapped is not None:
            return is_public(str(found.ipv4_mapped))
        if found.sixtofour is not None or found.teredo is not None or found in _NAT64:
            return False
    return found.is_global and not found.is_multicast


def check(url: str, private: bool) -> None:
    """Raises :class:`Refused` for what can never be called; names are resolved when they are called."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise Refused(f"callback {url[:100]!r} is no address") from error
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0 or len(url) > LONGEST:
        raise Refused(f"callback {url[:100]!r}: want http:// or https:// and a host, of at most {LONGEST} characters")
    if parts.username is not None or not url.isascii() or not url.isprintable() or " " in url:
        raise Refused("callback: no user name, spaces or letters beyond ASCII in the address, please")
    try:
        literal = is_public(parts.hostname)
    except ValueError:
        literal = parts.hostname != "localhost"
    if not literal and not private:
        raise Refused(f"callback {url[:100]!r}: private addresses are not called by this server")


def sign(secret: str, message: str, timestamp: int, body: bytes) -> dict[str, str]:
    """The three headers of a call."""
    key = base64.b64decode(secret.removeprefix(keys.SECRET))
    code = hmac.new(key, f"{message}.{timestamp}.".encode() + body, hashlib.sha256).digest()
    signature = f"v1,{base64.b64encode(code).decode()}"
    return {"webhook-id": message, "webhook-timestamp": str(timestamp), "webhook-signature": signature}
