"""Reading videos, files or folders of frames: count the frames, then decode the wanted ones, in order, in one pass.

Header counts and timestamps are often wrong (variable frame rates, B-frames in AVI, Matroska without a count). So the
number of a frame is its position in decode order, the number of frames is the number of packets, and seeking is never
used.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import functools
import itertools
import os
import time
from collections.abc import Callable, Iterable, Iterator

import av
import numpy as np

from fusion_dfd.faces import frame_folder
from fusion_dfd.faces.picture import Picture, square_size
from fusion_dfd.types import DataError

LARGEST = 8192 * 8192
"""Most pixels of a frame that is decoded at all: 8K has half of them."""
POINTERS = (
    "alsa",
    "concat",
    "dash",
    "fbdev",
    "hls",
    "kmsgrab",
    "lavfi",
    "rtp",
    "rtsp",
    "sdp",
    "v4l2",
    "vobsub",
    "webm_dash_manifest",
    "x11grab",
)
"""FFmpeg's names of formats that hold no picture, but say where pictures are: playlists, devices, the network."""


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


class _Clock:
    """Raises DataError once ``limit`` seconds have passed since it was made."""

    def __init__(self, path: str, limit: float):
        self._path, self._end = path, time.monotonic() + limit

    def check(self) -> None:
        if time.monotonic() > self._end:
            raise DataError(f"{self._path}: takes longer than the time limit, raise faces.time_limit or re-encode it")


def probe(path: str, time_limit: float = 300.0) -> VideoInfo:
    """Describe a video by walking through its packets; nothing is decoded. Of a folder, its first good frame is.

    Raises :class:`DataError` for a file that is missing, empty, no video, cut off before its index, without a video
    stream or without packets, or that takes longer than ``time_limit`` seconds.
    """
    path, clock = os.fspath(path), _Clock(os.fspath(path), time_limit)
    if os.path.isdir(path):
        return _probe_folder(path)
    with _open(path) as container:
        stream = _video_stream(path, container)
        packets = damaged = end = 0
        try:
            for packet in container.demux(stream):
                clock.check()
                packets += bool(packet.size) and not packet.is_discard
                end = max(end, (packet.pts or 0) + (packet.duration or 0))
        except (av.FFmpegError, OSError):
            damaged = 1
        if not packets:
            raise _no_frames(path)
        # A demuxer ends without an error where a file is cut off, or where it loses the structure of a Matroska file.
        announced = _duration(container, stream)
        damaged = damaged or int(announced > 0 and end - (stream.start_time or 0) < 0.9 * announced)
        context = stream.codec_context
        rate = stream.average_rate or stream.guessed_rate
        size, kind = (context.width, context.height), container.format.name
        return VideoInfo(packets, float(rate or 0), *size, context.name, damaged, container=kind)


def _probe_folder(path: str) -> VideoInfo:
    found = frame_folder.read(path)
    for frame in found.paths:
        with contextlib.suppress(DataError), _open(frame) as container:
            context = _video_stream(frame, container).codec_context
            if context.width and context.height:
                return VideoInfo(len(found.paths), 0.0, context.width, context.height, context.name, 0, found.gaps)
    raise DataError(f"{path}: not one of {len(found.paths)} frames can be opened, copy or download them again")


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
        clock = _Clock(self.path, self._limit)
        wanted = iter(self._wanted)
        want = next(wanted, None)
        if want is None:
            return
        size = start = None
        if os.path.isdir(self.path):
            yield from self._folder(clock, itertools.chain([want], wanted))
            return
        with _open(self.path) as container:
            stream = _video_stream(self.path, container)
            ratio = float(stream.sample_aspect_ratio or 1)
            for frame in self._frames(container, stream, clock):
                index, self.decoded = self.decoded, self.decoded + 1
                size = size or square_size(frame.width, frame.height, ratio)
                start = frame.time if start is None else start
                if index < want:
                    continue
                since = None if start is None or frame.time is None else frame.time - start
                yield index, Picture(frame, size, self._turns, since)
                want = next(wanted, None)
                if want is None:
                    return
        if not self.decoded:
            raise _no_frames(self.path)

    def _folder(self, clock: _Clock, wanted: Iterable[int]) -> Iterator[tuple[int, Picture]]:
        paths = frame_folder.read(self.path).paths
        info = probe(self.path)
        size = square_size(info.width, info.height, 1.0)
        for index in itertools.takewhile(lambda index: index < len(paths), wanted):
            clock.check()
            self.decoded += 1
            frame = self._tried(lambda index=index: _still(paths[index]))
            if frame is not None:
                yield index, Picture(frame, size, self._turns)
        if self.decoded and self.damaged == self.decoded:
            raise DataError(
                f"{self.path}: not one of {self.decoded} frames can be decoded, copy or download them again"
            )

    def _frames(
        self, container: av.container.InputContainer, stream: av.video.stream.VideoStream, clock: _Clock
    ) -> Iterator[av.VideoFrame]:
        # One thread: clips are decoded by many processes at once, and frame threads can deadlock on damaged streams.
        stream.thread_type = "NONE"
        stream.codec_context.thread_count = 1
        stream.codec_context.options = {"max_pixels": str(LARGEST)}
        packets = container.demux(stream)
        while True:
            clock.check()
            packet = self._tried(lambda: next(packets, None))
            frames = self._tried(packet.decode if packet is not None else lambda: stream.decode(None))
            yield from frames or []
            if packet is None:
                return

    def _tried(self, step: Callable):
        """The result of ``step()``, None if the file is damaged there."""
        try:
            return step()
        except (av.FFmpegError, OSError, DataError):
            self.damaged += 1
            return None


class Reader(Decoder):
    """A :class:`Decoder` that gives each frame as uint8 [h, w, 3] RGB, as it is to be shown."""

    def __iter__(self) -> Iterator[tuple[int, np.ndarray]]:
        for index, picture in super().__iter__():
            yield index, picture.rgb()


def _still(path: str) -> av.VideoFrame | None:
    """The picture in a file. Raises as :func:`_open` does, and FFmpegError."""
    with _open(path) as container:
        _video_stream(path, container).codec_context.options = {"max_pixels": str(LARGEST)}
        return next(container.decode(video=0))


def _open(path: str) -> av.container.InputContainer:
    if not os.path.exists(path):
        raise DataError(f"{path}: no such file, check the path")
    if not os.path.isfile(path):
        raise DataError(f"{path}: a pipe or a device, give the path of a video file")
    if not os.path.getsize(path):
        raise DataError(f"{path}: empty (0 bytes), copy or download it again")
    if _cut_off(path):
        raise DataError(f"{path}: cut off before its index (no moov box), copy or download it again")
    try:
        # Without the whitelists, a playlist renamed .mp4 would make FFmpeg open what it names.
        allowed = {"protocol_whitelist": "file", "format_whitelist": _formats()}
        return av.open(os.path.abspath(path), metadata_errors="replace", options=allowed)
    except (av.FFmpegError, OSError) as error:
        raise DataError(f"{path}: {_why_not(path, error)}") from error


@functools.cache
def _formats() -> str:
    """FFmpeg's formats that hold pictures themselves, comma-separated."""
    every = {name for names in av.formats_available for name in names.split(",")}
    return ",".join(sorted(every.difference(POINTERS)))


def _why_not(path: str, error: Exception) -> str:
    """Why FFmpeg cannot open a file, with a remedy."""
    if isinstance(error, PermissionError):
        return "may not be read, check its permissions"
    with open(path, "rb") as file:
        head = file.read(1024)
    if head.isascii() and b"\0" not in head:
        return "text, not a video, check what was saved under this name"
    return "not a video that FFmpeg can read, convert it to H.264 mp4 or copy it again"


def _cut_off(path: str) -> bool:
    """Is it an ISO base media file (ISO/IEC 14496-12, 4.2) without a complete box that describes its contents?"""
    at, end = 0, os.path.getsize(path)
    try:
        with open(path, "rb") as file:
            while at + 8 <= end:
                file.seek(at)
                head = file.read(16)
                size, kind = int.from_bytes(head[:4], "big"), head[4:8]
                size = {0: end - at, 1: int.from_bytes(head[8:16], "big")}.get(size, size)
                if (at == 0 and kind != b"ftyp") or size < 8:
                    return False
                at += size
                if kind in (b"moov", b"meta"):
                    return at > end
    except OSError:
        return False  # opening it will say why
    return end > 8


def _video_stream(path: str, container: av.container.InputContainer) -> av.video.stream.VideoStream:
    """The moving picture of a container: of several streams that with the most frames, of equal ones the largest.

    Cover art, thumbnails and other stills are none.
    """
    kinds = av.stream.Disposition
    stills = kinds.attached_pic | kinds.timed_thumbnails | kinds.still_image
    streams = [stream for stream in container.streams.video if not stream.disposition & stills]
    if not streams:
        raise DataError(f"{path}: no video stream (sound or data only), give a file with a picture")
    decodable = [stream for stream in streams if stream.codec_context is not None]
    if not decodable:
        raise DataError(f"{path}: no decoder for its video stream, convert it to H.264 mp4")
    if len(decodable) == 1:
        return decodable[0]
    packets = _packets(path, [stream.index for stream in decodable])
    return max(
        decodable,
        key=lambda stream: (packets[stream.index], stream.codec_context.width * stream.codec_context.height),
    )


def _packets(path: str, numbers: list[int]) -> collections.Counter:
    """How many packets each of the streams ``numbers`` of a file has; of a damaged file those before the damage."""
    found = collections.Counter()
    with _open(path) as container, contextlib.suppress(av.FFmpegError, OSError):
        for packet in container.demux([container.streams[number] for number in numbers]):
            found[packet.stream.index] += bool(packet.size) and not packet.is_discard
    return found


def _duration(container: av.container.InputContainer, stream: av.video.stream.VideoStream) -> float:
    """Duration of the stream according to the header, in its time base; 0 where the header does not give it."""
    if stream.duration:
        return stream.duration
    if container.duration and len(container.streams) == 1:
        return float(container.duration / av.time_base / stream.time_base)
    return 0


def _no_frames(path: str) -> DataError:
    with open(path, "rb") as file:
        head = file.read(12)
    if head[:4] == b"RIFF" and head[8:] == b"WEBP":
        return DataError(f"{path}: an animated WebP, which FFmpeg does not decode, convert it to mp4 or GIF")
    return DataError(f"{path}: not one frame can be decoded, copy or download it again")
