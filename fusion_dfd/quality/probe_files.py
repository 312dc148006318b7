"""Probing every file of a data set: does it open, do its first frames decode, which properties and content has it."""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Callable, Collection, Sequence

import cv2
import numpy as np

from fusion_dfd import process_pool
from fusion_dfd.faces import frame_folder, video
from fusion_dfd.process_pool import DIED, Died
from fusion_dfd.types import DataError

THUMBNAIL = 120
"""Height of a thumbnail, pixels."""

_FRAME = 30  # not the first, which is often black, and not far into the file, because decoding begins at 0


@dataclasses.dataclass(frozen=True)
class Probe:
    """Result of probing one file."""

    info: video.VideoInfo | None = None
    """None where it does not open."""
    sha256: str = ""
    """Of its content; ``""`` where it cannot be read."""
    thumbnail: bytes = b""
    """JPEG of one of its first frames, ``THUMBNAIL`` pixels high; ``b""`` where none was asked for."""
    error: str = ""
    """Why it cannot be used; ``""`` where it can."""
    size: int = 0
    """Bytes of the file."""

    @property
    def trouble(self) -> str:
        """One sentence without the path; ``""`` where there is none."""
        damaged = self.info is not None and self.info.damaged
        return self.error or ("truncated or damaged in transfer: what can be decoded will be used" if damaged else "")


def probe(path: str, picture: bool = False, time_limit: float = 300.0) -> Probe:
    """Open a file, walk through its packets, decode up to its 31st frame and hash its content.

    Args:
      path: of the file.
      picture: keep a thumbnail.
      time_limit: seconds after which probing is given up.

    Never raises: whatever is wrong is in ``error``.
    """
    sha256, size, info = "", 0, None
    if os.path.exists(path) and not (os.path.isfile(path) or os.path.isdir(path)):
        return Probe(error="a pipe or a device, give the path of a video file")  # reading one may never end
    try:
        sha256, size = frame_folder.sha256(path), frame_folder.size(path)
        info = video.probe(path, time_limit)
        _, frame = next(iter(video.Reader(path, [min(_FRAME, info.frames // 2)], time_limit)))
        return Probe(info, sha256, _thumbnail(frame) if picture else b"", size=size)
    except StopIteration:
        return Probe(info, sha256, error="its first frames do not decode, copy or download it again")
    except OSError as error:
        return Probe(info, sha256, error=f"{error.strerror}, check path and permissions")
    except DataError as error:
        return Probe(info, sha256, error=str(error).removeprefix(f"{path}: "))
    except Exception as error:  # whatever a broken file does to a decoder, the other files must still be probed
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
    A file that kills the process that reads it, twice, has the error :data:`~fusion_dfd.process_pool.DIED`.
    """
    tasks = [(path, path in pictures) for path in paths]
    probes: dict[str, Probe] = {}
    suspects = []
    for task, result in process_pool.run(functools.partial(_look, look), tasks, workers):
        if isinstance(result, Died):
            suspects.append(task)
        else:
            probes[task[0]] = result
            report()
    # Memory may have run out, for which the file is not to blame: each is tried again, with no other beside it.
    for task, result in process_pool.run(functools.partial(_look, look), suspects, 1):
        probes[task[0]] = Probe(error=DIED) if isinstance(result, Died) else result
        report()
    return [probes[path] for path in paths]


def _look(look: Callable[[str, bool], Probe], task: tuple[str, bool], report: process_pool.Report) -> Probe:
    report(None)
    return look(*task)


def _thumbnail(frame: np.ndarray) -> bytes:
    height, width = frame.shape[:2]
    small = cv2.resize(frame, (max(1, round(width * THUMBNAIL / height)), THUMBNAIL), interpolation=cv2.INTER_AREA)
    _, jpeg = cv2.imencode(".jpg", cv2.cvtColor(small, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 85])
    return jpeg.tobytes()
