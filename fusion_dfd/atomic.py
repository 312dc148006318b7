"""Files that are complete or absent, whoever is killed; and the lock of a folder that one process may write to."""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import os
from collections.abc import Iterator
from typing import BinaryIO

from fusion_dfd.types import DataError

SUFFIX = ".partial"
"""Ends the names of files that are being written. What a killed process leaves behind is used, and so removed, by the
next one that writes the same file."""


@contextlib.contextmanager
def binary(path: str | os.PathLike) -> Iterator[BinaryIO]:
    """A binary file that appears at ``path`` complete and synced to disk, or not at all; its folder is made.

    An older file stays until the new one is complete. Raises :class:`DataError` where the file cannot be written.
    """
    path = os.fspath(path)
    folder = os.path.dirname(path) or "."
    try:
        os.makedirs(folder, exist_ok=True)
        with _partial(path) as file:
            try:
                yield file
                file.flush()
                os.fsync(file.fileno())
                os.replace(file.name, path)
            except BaseException:
                with contextlib.suppress(OSError):
                    os.remove(file.name)
                raise
        _sync(folder)
    except OSError as error:
        if error.errno is None:  # of what is written, such as a damaged archive, not of writing it
            raise
        raise DataError(
            f"cannot write {path}: {error.strerror or error}; make room or choose another folder, then run the same "
            "command again: what was finished is kept"
        ) from error


@contextlib.contextmanager
def _partial(path: str) -> Iterator[BinaryIO]:
    """An empty file beside ``path`` that no other process or thread writes to: it is locked while it is open."""
    for number in itertools.count():
        with open(f"{path}.{number}{SUFFIX}", "wb", opener=_kept) as file:
            if _taken(file):
                file.truncate()
                yield file
                return


def _taken(file: BinaryIO) -> bool:
    """Whether an open file could be locked, and still has its name: its writer may have renamed it meanwhile."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:  # somebody else's
        return False
    except OSError:  # a file system without locks
        pass
    try:
        return os.path.samestat(os.fstat(file.fileno()), os.stat(file.name))
    except FileNotFoundError:
        return False


def _kept(path: str, flags: int) -> int:
    """A file descriptor; what is in the file stays, because it may be somebody else's."""
    return os.open(path, flags & ~os.O_TRUNC, 0o666)


def write_text(path: str | os.PathLike, text: str) -> str:
    """Write ``text`` (UTF-8, newlines as given) to ``path`` as :func:`binary` does; returns the path.

    Bytes of a file's name that are no text, which Python keeps as lone surrogates, are written as escapes.
    """
    with binary(path) as file:
        file.write(text.encode("utf-8", "backslashreplace"))
    return os.fspath(path)


@contextlib.contextmanager
def locked(folder: str | os.PathLike, doing: str, shared: bool = False) -> Iterator[None]:
    """Hold the lock of a folder, which is made. A killed process releases it.

    ``doing`` is what the other process does, for the sentence. ``shared`` locks exclude others that are not.

    Raises :class:`DataError` where another process holds it, or the folder cannot be made.
    """
    try:
        os.makedirs(folder, exist_ok=True)
        handle = os.open(os.path.join(folder, ".lock"), os.O_CREAT | os.O_RDWR, 0o644)
    except OSError as error:
        raise DataError(f"cannot make {folder}: {error.strerror}; choose another folder") from error
    try:
        try:
            fcntl.flock(handle, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except OSError as error:
            raise DataError(f"another process is {doing} {folder}; wait for it or choose another folder") from error
        yield
    finally:
        os.close(handle)


def _sync(folder: str) -> None:
    """Make a rename durable, where the file system can sync folders."""
    with contextlib.suppress(OSError):
        fd = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
