"""Looking into every file of a data set: does it open, do its first frames decode, what is it, which are equal."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import multiprocessing
from collections.abc import Callable, Collection, Sequence
from concurrent import futures
from concurrent.futures.process import BrokenProcessPool

import cv2
import numpy as np

from fusion_dfd.faces import video
from fusion_dfd.types import DataError

DIED = "the process that read it died: re-encode the file"
THUMBNAIL = 120
"""Height of a thumbnail, pixels."""

_FRAME = 30  # not the first, which is often black, and not far into the file, for decoding begins at 0


@dataclasses.dataclass(frozen=True)
class Probe:
    """What one file turned out to be."""

    info: video.VideoInfo | None = None
    """None where it does not open."""
    sha256: str = ""
    """Of its content; ``""`` where it cannot be read."""
    thumbnail: bytes = b""
    """JPEG of one of its first frames, ``THUMBNAIL`` pixels high; ``b""`` where none was asked for."""
    error: str = ""
    """Why it is of no use; ``""`` where it is."""
    size: int = 0
    """Bytes of the file."""

    @property
    def trouble(self) -> str:
        """One sentence without the path; ``""`` where there is none."""
        damaged = self.info is not None and self.info.damaged
        return self.error or ("cut off or damaged on the way: what can be decoded will be used" if damaged else "")


def probe(path: str, picture: bool = False, time_limit: float = 300.0) -> Probe:
    """Open a file, walk through its packets, decode up to its 31st frame and hash its content.

    Args:
      path: of the file.
      picture: keep a thumbnail.
      time_limit: seconds after which a file is given up.

    Never raises: whatever is wrong is in ``error``.
    """
    sha256, size, info = "", 0, None
    try:
        with open(path, "rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
            size = file.tell()
        info = video.probe(path, time_limit)
        _, frame = next(iter(video.read(path, [min(_FRAME, info.frames // 2)], time_limit)))
        return Probe(info, sha256, _thumbnail(frame) if picture else b"", size=size)
    except StopIteration:
        return Probe(info, sha256, error="its first frames do not decode, copy or download it again")
    except OSError as error:
        return Probe(info, sha256, error=f"{error.strerror}, check path and permissions")
    except DataError as error:
        return Probe(info, sha256, error=str(error).removeprefix(f"{path}: "))
    except Exception as error:  # whatever a broken file does to a decoder, the others must still be looked at
        return Probe(info, sha256, error=f"{type(error).__name__}: {error}")


def probe_all(
    paths: Sequence[str],
    workers: int,
    pictures: Collection[str] = (),
    report: Callable[[], None] = lambda: None,
    look: Callable[[str, bool], Probe] = probe,
) -> list[Probe]:
    """:func:`probe` of each file, with a thumbnail of those in ``pictures``, by that many processes.

    ``report`` is called after each file; ``look`` is another function than :func:`probe` with its first arguments.
    A file that kills the process that reads it costs that process alone, and is reported as ``DIED``.
    """
    found: dict[str, Probe] = {}
    while left := [path for path in paths if path not in found]:
        _pool(left, workers, pictures, found, report, look)
        # When a process died, its file was among the first that are left: each of those is tried alone.
        for path in [path for path in left if path not in found][: workers + 1]:
            _pool([path], 1, pictures, found, report, look)
            if path not in found:
                found[path] = Probe(error=DIED)
                report()
    return [found[path] for path in paths]


def _pool(paths, workers: int, pictures, found: dict[str, Probe], report, look) -> None:
    """Fill ``found`` as far as the processes live."""
    context = multiprocessing.get_context("spawn")
    with futures.ProcessPoolExecutor(workers, mp_context=context) as pool:
        running = {}
        with contextlib.suppress(BrokenProcessPool):  # it may break while there is still something to submit
            for path in paths:
                running[pool.submit(look, path, path in pictures)] = path
        for done in futures.as_completed(running):
            try:
                found[running[done]] = done.result()
            except BrokenProcessPool:
                continue
            report()


def _thumbnail(frame: np.ndarray) -> bytes:
    height, width = frame.shape[:2]
    small = cv2.resize(frame, (max(1, round(width * THUMBNAIL / height)), THUMBNAIL), interpolation=cv2.INTER_AREA)
    _, jpeg = cv2.imencode(".jpg", cv2.cvtColor(small, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 85])
    return jpeg.tobytes()
