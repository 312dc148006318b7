"""Video files through FFmpeg: how many frames, then the wanted ones, in order, in one pass.

A crafted file can crash FFmpeg, make it spin, or fill the memory. Hence all of this runs in a process of its own
(:mod:`fusion_dfd.faces.decoder_process`) and imports little, so that the process starts fast.

Header counts and timestamps are often wrong (variable frame rates, B-frames in AVI, Matroska without a count). So the
number of a frame is its position in decode order, the number of frames is the number of packets, and seeking is never
used.
"""

from __future__ import annotations

import collections
import contextlib
import functools
import os
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import av
import numpy as np
from av.sidedata.sidedata import Type

LARGEST = 8192 * 8192
"""Most pixels of a frame that is decoded at all: 8K has half of them."""
MOST_PIXELS = 4096 * 2304
"""Most pixels of a frame that is held and searched for faces; larger ones are scaled down as soon as decoded."""
SQUARE = 0.01
"""Pixels whose sides differ by less than this share count as square: such ratios come from rounded sizes."""
ODDEST = 10.0
"""Longest pixels that are believed, as a ratio of their sides; a file that states longer ones has square pixels."""
PQ, HLG = 16, 18
"""Transfer functions of HDR video, numbers of ITU-T H.273, table 3."""
WIDE = (9, 12)
"""Primaries with colours outside of BT.709: BT.2020, Display P3 (numbers of H.273, table 2)."""
PLAIN = ("yuv420p", "yuvj420p")
"""Pixel formats in which frames are held: half the bytes of RGB, and nothing else of a frame matters to swscale."""
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

Check = Callable[[], None]
"""Called before every step that takes time. What it raises ends the work."""


class Refused(Exception):
    """A file cannot be used. The text is what follows its path in the sentence for the user."""


class Frame(NamedTuple):
    """A decoded frame, and what is needed to show it."""

    picture: av.VideoFrame
    """Of the size of the video's first frame in square pixels: in a PLAIN format as coded; ``rgb48le`` where transfer
    or primaries are not those of SDR; else ``rgb24``."""
    colours: tuple[int, int, int, int]
    """Matrix, range, transfer and primaries, numbers of H.273 (range: of FFmpeg)."""
    display: tuple[bool, bool, bool]
    """Whether it is shown transposed, then mirrored left to right, then mirrored top to bottom."""
    seconds: float | None
    """From the first frame to this one, as the file states it; None if it does not."""


def probe(path: str, check: Check) -> dict[str, Any]:
    """The fields of :class:`fusion_dfd.faces.video.VideoInfo`, by walking through all packets; nothing is decoded.

    Raises :class:`Refused` for a file that is missing, empty, no video, cut off before its index, without a video
    stream or without packets.
    """
    with _open(path) as container:
        stream = _video_stream(path, container, check)
        packets = damaged = end = 0
        try:
            for packet in container.demux(stream):
                check()
                packets += bool(packet.size) and not packet.is_discard
                end = max(end, (packet.pts or 0) + (packet.duration or 0))
        except MemoryError:
            raise
        except (av.FFmpegError, OSError):
            damaged = 1
        if not packets:
            raise _no_frames(path)
        # A demuxer ends without an error where a file is cut off, or where it loses the structure of a Matroska file.
        announced = _duration(container, stream)
        damaged = damaged or int(announced > 0 and end - (stream.start_time or 0) < 0.9 * announced)
        rate = stream.average_rate or stream.guessed_rate
        known = {"frames": packets, "fps": float(rate or 0), "damaged": damaged, "container": container.format.name}
        return known | _coded(stream)


def probe_still(path: str, check: Check) -> dict[str, Any]:
    """Width, height and codec of the picture in a file. Raises :class:`Refused` as :func:`probe` does."""
    check()
    with _open(path) as container:
        about = _coded(_video_stream(path, container, check))
    if not about["width"] or not about["height"]:
        raise _no_frames(path)
    return about


def _coded(stream: av.video.stream.VideoStream) -> dict[str, Any]:
    context = stream.codec_context
    return {"width": context.width, "height": context.height, "codec": context.name}


class Film:
    """The frames of a file. Frames are asked for by number, in ascending order."""

    def __init__(self, path: str, check: Check):
        self.damaged = 0
        """Packets that could not be decoded so far."""
        self.decoded = 0
        """Frames decoded so far, wanted or not."""
        self._path, self._check = path, check
        self._frames = self._decode()

    def at(self, number: int) -> Frame | None:
        """Frame ``number``, counted in decode order from 0; None beyond the end.

        Packets that cannot be decoded are skipped; the frames after them move up. Raises :class:`Refused` as
        :func:`probe` does, and where not one frame of the file can be decoded.
        """
        while self.decoded <= number:
            frame = next(self._frames, None)
            if frame is None:
                break
            self.decoded += 1
            if self.decoded > number:
                return _frame(*frame)
        if not self.decoded:
            raise _no_frames(self._path)
        return None

    def _decode(self) -> Iterator[tuple[av.VideoFrame, tuple[int, int], float | None]]:
        size = start = None
        with _open(self._path) as container:
            stream = _video_stream(self._path, container, self._check)
            ratio = float(stream.sample_aspect_ratio or 1)
            for frame in self._pictures(container, stream):
                size = size or square_size(frame.width, frame.height, ratio)
                start = frame.time if start is None else start
                yield frame, size, None if start is None or frame.time is None else frame.time - start

    def _pictures(
        self, container: av.container.InputContainer, stream: av.video.stream.VideoStream
    ) -> Iterator[av.VideoFrame]:
        # One thread: clips are decoded by many processes at once, and frame threads can deadlock on damaged streams.
        stream.thread_type = "NONE"
        stream.codec_context.thread_count = 1
        stream.codec_context.options = {"max_pixels": str(LARGEST)}
        packets = container.demux(stream)
        while True:
            self._check()
            packet = self._tried(lambda: next(packets, None))
            frames = self._tried(packet.decode if packet is not None else lambda: stream.decode(None))
            yield from frames or []
            if packet is None:
                return

    def _tried(self, step: Callable):
        """The result of ``step()``, None if the file is damaged there."""
        try:
            return step()
        except MemoryError:
            raise
        except (av.FFmpegError, OSError):
            self.damaged += 1
            return None


def still(path: str, size: tuple[int, int], check: Check) -> Frame | None:
    """The picture in a file, for ``size`` pixels; None if it cannot be decoded."""
    check()
    try:
        with _open(path) as container:
            _video_stream(path, container, check).codec_context.options = {"max_pixels": str(LARGEST)}
            return _frame(next(container.decode(video=0)), size, None)
    except MemoryError:
        raise
    except (av.FFmpegError, OSError, StopIteration, Refused):
        return None


def _frame(coded: av.VideoFrame, size: tuple[int, int], seconds: float | None) -> Frame:
    display = _display(coded)
    matrix, span, transfer, primaries = coded.colorspace, coded.color_range, coded.color_trc, coded.color_primaries
    interlaced, picture = coded.interlaced_frame, coded
    if coded.width * coded.height > MOST_PIXELS:
        picture = coded.reformat(*size, interpolation="AREA", threads=1)
    if transfer in (PQ, HLG) or primaries in WIDE:
        form = "rgb48le"
    elif picture.format.name not in PLAIN or (picture.width, picture.height) != size or interlaced:
        form = "rgb24"
    else:
        return Frame(picture, (matrix, span, transfer, primaries), display, seconds)
    # swscale looks at more than a frame can be given by PyAV, such as the place of chroma: it is called here.
    picture = picture.reformat(*size, format=form, threads=1)
    return Frame(picture, (_UNSAID, 0, transfer, primaries), display, seconds)


_UNSAID = 2
"""H.273's number of a matrix that is not stated."""


def square_size(width: int, height: int, ratio: float) -> tuple[int, int]:
    """Width and height of a coded frame whose pixels are ``ratio`` times as wide as high, in square pixels.

    The squeezed side is stretched, so that nothing is lost; at most MOST_PIXELS result.
    """
    if not 1 / ODDEST <= ratio <= ODDEST or abs(ratio - 1) < SQUARE:
        ratio = 1.0
    wide, high = width * max(ratio, 1), height * max(1 / ratio, 1)
    scale = min(1.0, (MOST_PIXELS / (wide * high)) ** 0.5)
    return max(round(wide * scale), 1), max(round(high * scale), 1)


def _display(frame: av.VideoFrame) -> tuple[bool, bool, bool]:
    """See :attr:`Frame.display`.

    ISO/IEC 14496-12, 8.3.2: a pixel at (x, y) is shown at (a x + c y, b x + d y). Any other angle than a quarter turn
    is taken for the nearest.
    """
    try:
        matrix = frame.side_data.get(Type.DISPLAYMATRIX)
    except ValueError:  # PyAV does not know all kinds of side data, e.g. the EXIF of a photograph
        return _TURNED[round(frame.rotation / 90) % 4]
    if matrix is None:
        return False, False, False
    a, b, _, c, d = np.frombuffer(bytes(matrix), np.int32)[:5].tolist()
    if abs(b) + abs(c) > abs(a) + abs(d):
        return True, c < 0, b < 0
    return False, a < 0, d < 0


_TURNED = (False, False, False), (True, False, True), (False, True, True), (True, True, False)
"""What :func:`_display` gives for 0 to 3 quarter turns counter-clockwise."""


def _open(path: str) -> av.container.InputContainer:
    if not os.path.exists(path):
        linked = os.path.islink(path)
        raise Refused("a link that leads nowhere, check where it points" if linked else "no such file, check the path")
    if not os.path.isfile(path):
        raise Refused("a pipe or a device, give the path of a video file")
    if not os.path.getsize(path):
        raise Refused("empty (0 bytes), copy or download it again")
    if _cut_off(path):
        raise Refused("cut off before its index (no moov box), copy or download it again")
    try:
        # Without the whitelists, a playlist renamed .mp4 would make FFmpeg open what it names.
        allowed = {"protocol_whitelist": "file", "format_whitelist": _formats()}
        return av.open(path, metadata_errors="replace", options=allowed)
    except MemoryError:
        raise
    except (av.FFmpegError, OSError) as error:
        raise Refused(_why_not(path, error)) from error


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


def _video_stream(path: str, container: av.container.InputContainer, check: Check) -> av.video.stream.VideoStream:
    """The moving picture of a container: of several streams that with the most frames, of equal ones the largest.

    Cover art, thumbnails and other stills are none.
    """
    kinds = av.stream.Disposition
    stills = kinds.attached_pic | kinds.timed_thumbnails | kinds.still_image
    streams = [stream for stream in container.streams.video if not stream.disposition & stills]
    if not streams:
        raise Refused("no video stream (sound or data only), give a file with a picture")
    decodable = [stream for stream in streams if stream.codec_context is not None]
    if not decodable:
        raise Refused("no decoder for its video stream, convert it to H.264 mp4")
    if len(decodable) == 1:
        return decodable[0]
    packets = _packets(path, [stream.index for stream in decodable], check)
    return max(
        decodable,
        key=lambda stream: (packets[stream.index], stream.codec_context.width * stream.codec_context.height),
    )


def _packets(path: str, numbers: list[int], check: Check) -> collections.Counter:
    """How many packets each of the streams ``numbers`` of a file has; of a damaged file those before the damage."""
    found = collections.Counter()
    with _open(path) as container, contextlib.suppress(av.FFmpegError, OSError):
        for packet in container.demux([container.streams[number] for number in numbers]):
            check()
            found[packet.stream.index] += bool(packet.size) and not packet.is_discard
    return found


def _duration(container: av.container.InputContainer, stream: av.video.stream.VideoStream) -> float:
    """Duration of the stream according to the header, in its time base; 0 where the header does not give it."""
    if stream.duration:
        return stream.duration
    if container.duration and len(container.streams) == 1:
        return float(container.duration / av.time_base / stream.time_base)
    return 0


def _no_frames(path: str) -> Refused:
    with open(path, "rb") as file:
        head = file.read(12)
    if head[:4] == b"RIFF" and head[8:] == b"WEBP":
        return Refused("an animated WebP, which FFmpeg does not decode, convert it to mp4 or GIF")
    return Refused("not one frame can be decoded, copy or download it again")
