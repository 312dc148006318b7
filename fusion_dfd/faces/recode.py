"""Frames through a video encoder: into a file, or back to see what compression leaves of a picture."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from fractions import Fraction
from typing import NamedTuple

import av
import numpy as np

from fusion_dfd import atomic


class Codec(NamedTuple):
    """An encoder of the installed FFmpeg and its decoder."""

    encoder: str
    decoder: str
    options: Mapping[str, str]
    least: int = 2
    """Smallest height and width that it takes, pixels."""


CODECS = {
    # Macroblock-tree rate control gives other bytes from one call to the next (seen with PyAV 18.1 on one thread).
    "h264": Codec("libx264", "h264", {"x264-params": "mbtree=0"}),
    "hevc": Codec("libx265", "hevc", {"x265-params": "log-level=none:pools=none:frame-threads=1"}, 64),
    "vp9": Codec("libvpx-vp9", "vp9", {"b": "0"}),
}
"""By the name of the format; :func:`available` says which of them are installed.

libx265 writes beyond its memory for pictures of 48 pixels and less (seen with PyAV 18.1 and glibc's MALLOC_CHECK_).
"""


def available() -> tuple[str, ...]:
    """Names of CODECS whose encoder and decoder the installed FFmpeg has."""
    return tuple(name for name, codec in CODECS.items() if {codec.encoder, codec.decoder} <= av.codecs_available)


def recode(frames: np.ndarray, name: str, crf: int, **options: str) -> np.ndarray:
    """Frames uint8 [t, h, w, 3] in RGB through an encoder (4:2:0) and back.

    The encoder needs an even height and width, and a least one: a picture is padded by repeating its last row or
    column, and cropped after decoding.

    Args:
      frames: at 25 frames per second.
      name: of :data:`CODECS`.
      crf: constant rate factor of that encoder; for libx264 and libx265 0..51, for libvpx-vp9 0..63.
      options: of the encoder, e.g. ``preset="veryfast"``.
    """
    codec = CODECS[name]
    height, width = frames.shape[1:3]
    more = [max(codec.least, side + side % 2) - side for side in (height, width)]
    even = np.pad(frames, [(0, 0), (0, more[0]), (0, more[1]), (0, 0)], "edge")
    encoder = av.CodecContext.create(codec.encoder, "w")
    encoder.height, encoder.width = even.shape[1:3]
    encoder.pix_fmt, encoder.framerate, encoder.time_base = "yuv420p", 25, Fraction(1, 25)
    encoder.options = {"crf": str(crf), **codec.options, **options}
    encoder.thread_count = 1
    decoder = av.CodecContext.create(codec.decoder, "r")
    decoder.thread_count = 1
    pictures = [_picture(frame, number) for number, frame in enumerate(even)]
    packets = [packet for picture in [*pictures, None] for packet in encoder.encode(picture)]
    decoded = [frame for packet in [*packets, None] for frame in decoder.decode(packet)]
    return np.stack([frame.to_ndarray(format="rgb24")[:height, :width] for frame in decoded])


def write(path: str, frames: Iterable[np.ndarray], rate: Fraction | int, crf: int) -> None:
    """Write frames uint8 [h, w, 3] RGB, h and w even, as H.264 in 4:2:0; the file appears only when it is complete.

    Args:
      path: of an .mp4.
      frames: one at least.
      rate: frames per second.
      crf: constant rate factor of libx264, 0..51.

    Raises DataError where the file cannot be written.
    """
    codec = CODECS["h264"]
    frames = iter(frames)
    first = next(frames)
    with atomic.binary(path) as file, av.open(file, "w", format="mp4") as container:
        options = {"crf": str(crf), "preset": "veryfast", **codec.options}
        stream = container.add_stream(codec.encoder, rate=rate, options=options)
        # One thread: with several, x264's rate control, and so the bytes, depend on their number.
        stream.thread_count, stream.pix_fmt = 1, "yuv420p"
        stream.height, stream.width = first.shape[:2]
        for frame in itertools.chain([first], frames):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())


def _picture(frame: np.ndarray, number: int) -> av.VideoFrame:
    picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame))
    picture.pts, picture.time_base = number, Fraction(1, 25)
    return picture
