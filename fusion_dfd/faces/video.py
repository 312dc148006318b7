"""Reading videos, files or folders of frames: count the frames, then decode the wanted ones, in order, in one pass.

FFmpeg runs in another process (:mod:`fusion_dfd.faces.decoder_process`), within limits of memory and time: a file that
crashes it, makes it hang or fills its memory is a :class:`DataError` as any other.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import itertools
import math
import os
import time
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from fusion_dfd.faces import decoder_process, frame_folder
from fusion_dfd.faces.decoding import square_size
from fusion_dfd.faces.picture import Picture
from fusion_dfd.types import DataError


@dataclasses.dataclass(frozen=True, slots=True)
class VideoInfo:
    """Properties of a video stream that are known without decoding it."""

    frames: int
    """Packets of the video stream: the number of frames, or a little more in a damaged file."""
    fps: float
    """Average frames per second; 0 where the file does not say."""
    width: int
    """Pixels as coded; :class:`Decoder` makes them square and applies the display matrix."""
    height: int
    codec: str
    """FFmpeg's name of the codec, e.g. ``h264``."""
    damaged: int
    """1 if the packets break off, or end before nine tenths of the announced duration; else 0."""
    gaps: int = 0
    """Of a folder of frames: places where their numbers jump, -1 where they have none. Where it is not 0, the frames
    are not known to be consecutive. In a file they are."""
    container: str = ""
    """FFmpeg's names of the container, by commas, e.g. ``mov,mp4,m4a,3gp,3g2,mj2``; empty for a folder of frames."""


def probe(path: str, time_limit: float = 300.0) -> VideoInfo:
    """Describe a video by walking through its packets; nothing is decoded. Of a folder, its first good frame is.

    Raises :class:`DataError` for a file that is missing, empty, no video, cut off before its index, without a video
    stream or without packets, that takes longer than ``time_limit`` seconds or too much memory, or that crashes FFmpeg.
    """
    path = os.fspath(path)
    if os.path.isdir(path):
        return _probe_folder(path)
    return VideoInfo(**_described(path, "probe", time_limit))


def _probe_folder(path: str) -> VideoInfo:
    found = frame_folder.read(path)
    for frame in found.paths:
        with contextlib.suppress(DataError):
            about = _described(frame, "still", math.inf)
            return VideoInfo(frames=len(found.paths), fps=0.0, damaged=0, gaps=found.gaps, **about)
    raise DataError(f"{path}: not one of {len(found.paths)} frames can be opened, copy or download them again")


def _described(path: str, what: str, time_limit: float) -> dict[str, Any]:
    """What the decoder says of a file, a request of :func:`fusion_dfd.faces.decoder_process.serve`."""
    request = {what: os.path.abspath(path), "limit": time_limit}
    with _sentences(path):
        return _accepted(path, decoder_process.ask(request, time.monotonic() + time_limit))


class Decoder:
    """An iterable of ``(index, picture)`` of the wanted frames, each a :class:`Picture`.

    ``wanted`` holds frame numbers in ascending order, counted in decode order from 0; numbers beyond the end are left
    out. Decoding stops after the last of them. Packets that cannot be decoded are skipped and counted in ``damaged``;
    the frames after them move up. All frames have the size of the first one. ``turns`` quarter turns counter-clockwise
    are made beyond what the file asks for. Of a folder of frames only the wanted ones are opened, and none moves up.

    Raises :class:`DataError` as :func:`probe` does, and when not one frame of the file can be decoded. The consumer's
    time counts towards ``time_limit`` (seconds).
    """

    def __init__(self, path: str, wanted: Iterable[int], time_limit: float = 300.0, turns: int = 0):
        self.path = os.fspath(path)
        self.damaged = 0
        """Packets that could not be decoded so far."""
        self.decoded = 0
        """Frames decoded so far, wanted or not."""
        self._wanted = wanted
        self._limit = time_limit
        self._turns = turns

    def __iter__(self) -> Iterator[tuple[int, Picture]]:
        self.damaged = self.decoded = 0
        end, wanted = time.monotonic() + self._limit, iter(self._wanted)
        first = next(wanted, None)
        if first is None:
            return
        wanted, stills = itertools.chain([first], wanted), []
        if os.path.isdir(self.path):
            stills = frame_folder.read(self.path).paths
            wanted = itertools.takewhile(lambda index: index < len(stills), wanted)
        asked = collections.deque()
        with _sentences(self.path):
            try:
                yield from self._pictures(asked, wanted, stills, end)
            except decoder_process.Died as death:
                if not death.again:
                    raise
                yield from self._pictures(asked, wanted, stills, end)
        if stills and self.decoded and self.damaged == self.decoded:
            raise DataError(
                f"{self.path}: not one of {self.decoded} frames can be decoded, copy or download them again"
            )

    def _pictures(
        self, asked: collections.deque[int], wanted: Iterator[int], stills: list[str], end: float
    ) -> Iterator[tuple[int, Picture]]:
        """The frames ``asked``, which an earlier process did not give, then those ``wanted``.

        ``stills`` are the frames of a folder, none of a file. ``end`` is of the monotonic clock.
        """
        opened = {"open": None if stills else os.path.abspath(self.path), "limit": end - time.monotonic()}
        if stills:
            info = probe(self.path)
            opened["size"] = square_size(info.width, info.height, 1.0)
        with decoder_process.borrowed() as process:
            _accepted(self.path, process.ask(opened, end))
            for index in asked:
                process.want(index, stills[index] if stills else None)
            while True:
                for index in itertools.islice(wanted, decoder_process.AHEAD - len(asked)):
                    asked.append(index)
                    process.want(index, stills[index] if stills else None)
                if not asked:
                    return
                answer = process.receive(end)
                about = answer.get("frame")
                if about is None and not stills:  # the end, which is all that the other answers say too
                    while process.waiting:
                        process.receive(end)
                _accepted(self.path, answer)
                if stills:
                    self.decoded, self.damaged = self.decoded + 1, self.damaged + (about is None)
                else:
                    self.decoded, self.damaged = answer["decoded"], answer["damaged"]
                    if about is None:
                        return
                index = asked.popleft()
                if about is not None:
                    frame = process.frame(about)
                    yield index, Picture(frame, about["display"], self._turns, about["seconds"])


class Reader(Decoder):
    """A :class:`Decoder` that gives each frame as uint8 [h, w, 3] RGB, as it is to be shown."""

    def __iter__(self) -> Iterator[tuple[int, np.ndarray]]:
        for index, picture in super().__iter__():
            yield index, picture.rgb()


def _accepted(path: str, answer: dict[str, Any]) -> dict[str, Any]:
    """An answer of the decoder. Raises DataError for a refusal."""
    if "refused" in answer:
        raise DataError(f"{path}: {answer['refused']}")
    return answer


@contextlib.contextmanager
def _sentences(path: str) -> Iterator[None]:
    """What happens to the decoder, as a DataError."""
    try:
        yield
    except decoder_process.Died as death:
        raise DataError(f"{path}: {death}, re-encode it or leave it out") from death
    except TimeoutError as error:
        raise DataError(f"{path}: {decoder_process.TOO_LONG}") from error
