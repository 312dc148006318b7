"""A temporary folder that only the server's user can enter and that is removed when the server ends."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator

PREFIX = "fusion_dfd_serve_"
LOCK = "lock"
"""A file in the folder, locked while its server runs. The lock of a killed process is released too."""


@contextlib.contextmanager
def folder() -> Iterator[str]:
    """A new temporary folder of mode 0700, removed at the end. Folders of killed servers are removed first."""
    sweep()
    path = tempfile.mkdtemp(prefix=f".{PREFIX}")
    try:
        with open(os.path.join(path, LOCK), "wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            # Renamed last: another server, which sweeps when it starts, must never see the folder unlocked.
            made, path = path, os.path.join(os.path.dirname(path), os.path.basename(path)[1:])
            os.rename(made, path)
            yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def sweep() -> None:
    """Remove the folders of this user's servers that are no longer running."""
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
        # Locked by a running server, removed meanwhile by another, or not made by a server.
        return False
    return True
