"""A folder of a running server that nobody else may enter, and that does not outlive it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator

PREFIX = "fusion_dfd_serve_"
LOCK = "lock"
"""A file in the folder, locked as long as its server lives: a process that is killed lets go of it too."""


@contextlib.contextmanager
def folder() -> Iterator[str]:
    """A new folder of mode 0700 among the system's temporary ones, removed in the end; those of killed servers too."""
    sweep()
    path = tempfile.mkdtemp(prefix=f".{PREFIX}")
    try:
        with open(os.path.join(path, LOCK), "wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            # Named last: another server, which sweeps as it starts, must never see it without its lock.
            made, path = path, os.path.join(os.path.dirname(path), os.path.basename(path)[1:])
            os.rename(made, path)
            yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def sweep() -> None:
    """Remove the folders of this user's servers that live no more."""
    with os.scandir(tempfile.gettempdir()) as entries:
        for entry in entries:
            if entry.name.startswith(PREFIX) and entry.is_dir(follow_symlinks=False) and _abandoned(entry):
                shutil.rmtree(entry.path, ignore_errors=True)


def _abandoned(entry: os.DirEntry) -> bool:
    try:
        if entry.stat(follow_symlinks=False).st_uid != os.getuid():
            return False
        with open(os.path.join(entry.path, LOCK), "rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        # Locked by a living server, removed meanwhile by another, or made by something else.
        return False
    return True
