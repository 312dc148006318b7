"""API keys: who may use a server, and how much. A file of JSON, read again when it changes::

    {"alice": {"sha256": "...", "secret": "whsec_...", "per_minute": 60, "waiting": 100, "admin": false}}

The keys themselves are 256 random bits, and stand nowhere: the file holds their SHA-256, which cannot be turned around.
``secret`` signs the callbacks to the holder of the key, so both sides know it.
"""

from __future__ import annotations

import base64
import collections
import contextlib
import dataclasses
import fcntl
import hashlib
import hmac
import json
import os
import re
import secrets
import threading
import time
from collections.abc import Callable

from fusion_dfd import atomic
from fusion_dfd.types import DataError

PREFIX, SECRET = "dfd_", "whsec_"
"""Begin keys and secrets, so that they are recognised where they should not be."""
MINUTE = 60.0
NAME = r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}"


@dataclasses.dataclass(frozen=True)
class Holder:
    """Who sent a request."""

    name: str
    """Empty on a server without keys."""
    sha256: str = ""
    """Of the key, in hexadecimal."""
    secret: str = ""
    """What callbacks are signed with."""
    per_minute: int = 60
    """Most submissions per minute, refused ones too."""
    waiting: int = 100
    """Most jobs that wait or run."""
    admin: bool = False
    """Whether the jobs of all others are seen, too."""


class Keys:
    """The holders in a file.

    Args:
      path: of the file; DataError where it is missing or damaged.
      clock: monotonic time in seconds.
    """

    def __init__(self, path: str, clock: Callable[[], float] = time.monotonic):
        self._path, self._clock = path, clock
        self._lock = threading.Lock()
        self._begun: dict[str, collections.deque[float]] = collections.defaultdict(collections.deque)
        self._read = _stamp(path)
        self._holders = read(path)

    def holder(self, key: str) -> Holder | None:
        """Who a key belongs to."""
        digest = hashlib.sha256(key.encode()).hexdigest()
        found = [one for one in self._current().values() if hmac.compare_digest(one.sha256, digest)]
        return found[0] if found else None

    def secret(self, name: str) -> str | None:
        """What callbacks to this holder are signed with; None if there is no such holder any more."""
        found = self._current().get(name)
        return found and found.secret

    def wait(self, holder: Holder) -> float:
        """Count a submission now and return 0, or return the seconds until there may be one."""
        with self._lock:
            now, begun = self._clock(), self._begun[holder.name]
            while begun and begun[0] <= now - MINUTE:
                begun.popleft()
            if len(begun) >= holder.per_minute:
                return begun[0] + MINUTE - now
            begun.append(now)
            return 0.0

    def _current(self) -> dict[str, Holder]:
        """A file that is damaged or gone changes nothing: who edits it must not lock everybody out."""
        with self._lock, contextlib.suppress(DataError):
            if (stamp := _stamp(self._path)) != self._read:
                self._holders, self._read = read(self._path), stamp
            return self._holders
        return self._holders


def read(path: str) -> dict[str, Holder]:
    """The holders by name. Raises DataError, which names the field."""
    try:
        with open(path, encoding="utf-8") as file:
            found = json.load(file)
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path}: no file of keys ({error}); make one with fusion-dfd key") from error
    if not isinstance(found, dict):
        raise DataError(f"{path}: want an object of names; make it with fusion-dfd key")
    return {name: _holder(path, name, fields) for name, fields in found.items()}


def _holder(path: str, name: str, fields: object) -> Holder:
    kinds = {"sha256": str, "secret": str, "per_minute": int, "waiting": int, "admin": bool}
    if not re.fullmatch(NAME, name) or not isinstance(fields, dict) or set(fields) != set(kinds):
        raise DataError(f"{path}: {name[:64]!r}: want a short name and the fields {', '.join(kinds)}")
    for field, kind in kinds.items():
        value = fields[field]
        if type(value) is not kind or (kind is int and value < 1):
            raise DataError(
                f"{path}: {name}: {field} is {value!r}, want {'1 or more' if kind is int else kind.__name__}"
            )
    return Holder(name, **fields)


def add(path: str, name: str, per_minute: int, waiting: int, admin: bool) -> tuple[str, str]:
    """Write a new key into the file, in place of the old one of that name; returns the key and the callback secret."""
    key = PREFIX + secrets.token_urlsafe(32)
    secret = SECRET + base64.b64encode(secrets.token_bytes(32)).decode()
    digest = hashlib.sha256(key.encode()).hexdigest()
    _change(path, lambda holders: holders | {name: Holder(name, digest, secret, per_minute, waiting, admin)})
    return key, secret


def remove(path: str, name: str) -> None:
    """Raises DataError if there is no such name."""

    def without(holders: dict[str, Holder]) -> dict[str, Holder]:
        if name not in holders:
            raise DataError(f"{path}: no key of {name!r}; there are {', '.join(holders) or 'none'}")
        return {other: holder for other, holder in holders.items() if other != name}

    _change(path, without)


def _change(path: str, change: Callable[[dict[str, Holder]], dict[str, Holder]]) -> None:
    try:
        lock = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}; choose a folder that can be written") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        holders = change(read(path) if os.path.exists(path) else {})
        fields = {name: dataclasses.asdict(holder) for name, holder in holders.items()}
        for one in fields.values():
            del one["name"]
        before = os.umask(0o077)  # the file is the user's alone
        try:
            atomic.write_text(path, json.dumps(fields, indent=1) + "\n")
        finally:
            os.umask(before)
    finally:
        os.close(lock)


def _stamp(path: str) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino
