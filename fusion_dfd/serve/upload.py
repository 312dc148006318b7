"""Receives uploads into a private folder and checks that they are videos that may be scored."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import AsyncGenerator, Iterator

from fastapi import HTTPException

from fusion_dfd.faces import video
from fusion_dfd.types import DataError

MEGABYTE = 1_000_000
STALLED = 30.0
"""Seconds without data after which an upload is aborted."""
LEAST_RATE = 10_000
"""Least bytes per second, averaged over an upload longer than STALLED seconds: slower ones would hold the places of the
queue for hours."""
PIXELS = 4096 * 2304
"""Most pixels of a frame: all frames of a clip are held in memory at once."""
USUAL_RATE, HIGHEST_RATE = 25.0, 240.0
"""Frames per second: assumed if a file states none, and the most that is plausible. A file that states more must not
get past the limit of seconds by it."""
LONGEST_NAME = 200
PREFIX = "fusion_dfd_serve_"
"""Of the name of a server's temporary folder."""
LOCK = "lock"
"""A file in that folder, locked while its server runs. The lock of a killed process is released too."""


@dataclasses.dataclass(frozen=True)
class Limits:
    """Limits on uploads and on the queue."""

    max_mb: int = 200
    """Largest upload, megabytes (10**6 bytes)."""
    max_seconds: int = 600
    """Longest video, seconds."""
    time_limit: int = 300
    """Seconds the scoring of one video may take."""
    queue: int = 8
    """Videos that may wait."""


def announced(length: str | None, limits: Limits) -> None:
    """Refuse a body (413) by its Content-Length, before reading it."""
    if length is not None and length.isdecimal() and int(length) > limits.max_mb * MEGABYTE:
        raise _too_large(limits)


async def receive(body: AsyncGenerator[bytes, None], path: str, limits: Limits) -> None:
    """Write a body to the new file ``path`` chunk by chunk; reading stops as soon as it is too large (413)."""
    size, start = 0, time.monotonic()
    try:
        with open(path, "xb") as file:
            while chunk := await asyncio.wait_for(anext(body, b""), STALLED):
                size += len(chunk)
                if size > limits.max_mb * MEGABYTE:
                    raise _too_large(limits)
                file.write(chunk)
                taken = time.monotonic() - start
                if taken > STALLED and size < LEAST_RATE * taken:
                    raise HTTPException(408, f"slower than {LEAST_RATE // 1000} kB a second; use a faster line")
    except TimeoutError as error:
        raise HTTPException(408, f"the upload stalled for {STALLED:g} seconds; send it again") from error
    except OSError as error:
        raise HTTPException(507, f"the server cannot store the video ({error.strerror}); make room there") from error


def check(path: str, name: str, limits: Limits) -> None:
    """Refuse (422) a file that is not a video, too long, or with too large frames, without decoding it."""
    try:
        info = video.probe(path, limits.time_limit)
    except DataError as error:
        raise HTTPException(422, str(error).replace(os.fspath(path), name)) from error
    seconds = info.frames / min(info.fps or USUAL_RATE, HIGHEST_RATE)
    if seconds > limits.max_seconds:
        raise HTTPException(
            422, f"{name}: {seconds:.0f} seconds long, {limits.max_seconds} are allowed; cut out the part in question"
        )
    if info.width * info.height > PIXELS:
        raise HTTPException(
            422, f"{name}: frames of {info.width} x {info.height} pixels are too large, make them 4K or smaller"
        )


def shown(name: str) -> str:
    """A user's file name for display: printable, of bounded length, without folders."""
    name = name.replace("\\", "/").rpartition("/")[2]
    return "".join(filter(str.isprintable, name))[-LONGEST_NAME:] or "video"


def _too_large(limits: Limits) -> HTTPException:
    return HTTPException(413, f"larger than {limits.max_mb} MB, the most this server takes; cut or re-encode it")


@contextlib.contextmanager
def private_folder() -> Iterator[str]:
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
