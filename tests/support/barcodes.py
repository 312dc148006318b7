"""Small real videos, written with PyAV, whose frames carry their own number as a barcode."""

import pathlib

import av
import numpy as np

BITS = 7
BAR = 8


def barcode(number: int, width: int = 64, height: int = 48) -> np.ndarray:
    """uint8 [height, width, 3]: grey, with BITS black or white bars, least significant first."""
    frame = np.full((height, width, 3), 128, np.uint8)
    for bit in range(BITS):
        frame[: height // 2, bit * BAR : (bit + 1) * BAR] = 235 if number >> bit & 1 else 16
    return frame


def number(frame: np.ndarray) -> int:
    """Inverse of :func:`barcode`, on a decoded frame."""
    bars = [frame[4:12, bit * BAR + 2 : (bit + 1) * BAR - 2].mean() > 128 for bit in range(BITS)]
    return sum(1 << bit for bit, on in enumerate(bars) if on)


def write(
    path: pathlib.Path,
    frames,
    codec: str = "libx264",
    pixels: str = "yuv420p",
    times=None,
    rotation: int = 0,
    options: dict | None = None,
    container_options: dict | None = None,
) -> str:
    """Encode uint8 [h, w, 3] frames at 25 per second, or at ``times`` (in 1/25 s, ascending). Returns the path."""
    frames = list(frames)
    with av.open(str(path), "w", options=container_options or {}) as container:
        stream = container.add_stream(codec, rate=25, options=options or {})
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = pixels
        stream.thread_count = 1
        if rotation:
            stream.set_display_rotation(rotation)
        for count, pixels_of_frame in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(pixels_of_frame, format="rgb24")
            frame.pts = count if times is None else times[count]
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return str(path)
