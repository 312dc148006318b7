"""The video with boxes, verdict and timeline drawn into its frames, small enough to be embedded in a page."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator, Sequence
from fractions import Fraction

import av
import cv2
import numpy as np

from fusion_dfd.explain.sentences import SAID
from fusion_dfd.faces.video import Decoder, VideoInfo
from fusion_dfd.predict.verdict import Face
from fusion_dfd.types import DataError, FaceTrack

SECONDS = 60
"""Longest annotated video. Of a longer one only the scored clips are shown, up to this length."""
SHORT = 320, 480
"""Least and most pixels of the picture's shorter side. Small videos are enlarged so that the text is legible."""
LONG = 1280
"""Most pixels of the longer side."""
FASTEST = 30
"""Most frames per second; frames of faster videos are dropped."""
UNKNOWN = 25
"""Frames per second assumed of a file that does not state its frame rate."""
RATE = 1_200_000
"""Most bits per second: a minute is at most 9 MB."""

COLOURS = {"fake": (217, 102, 43), "real": (33, 102, 172), "uncertain": (150, 130, 40), "none": (110, 110, 110)}
"""Of the reports' pages, RGB."""
_INK, _BACK, _LINE = (235, 238, 242), (24, 30, 38), (90, 100, 112)
_HEAD, _STRIP, _CLOCK = 30, 44, 64
_FONT = cv2.FONT_HERSHEY_SIMPLEX


def wanted(info: VideoInfo, clips: Sequence[Sequence[FaceTrack]]) -> list[int]:
    """Numbers of the frames that are shown: all of a short video, of a longer one those in which faces were scored."""
    fps = info.fps or UNKNOWN
    step, most = _step(fps), int(SECONDS * fps)
    if info.frames <= most:
        return list(range(0, info.frames, step))
    looked = sorted({int(index) for faces in clips for face in faces for index in face.indices})
    return looked[:most:step]


def _step(fps: float) -> int:
    return max(1, math.ceil(fps / FASTEST - 1e-6))


def annotate(
    path: str,
    info: VideoInfo,
    clips: Sequence[Sequence[FaceTrack]],
    tracks: dict[int, list[FaceTrack]],
    faces: Sequence[Face],
    said: str,
    turns: int = 0,
) -> bytes:
    """The video as the bytes of an H.264 mp4 without sound.

    Args:
      path: of the video.
      info: what the file says about it.
      clips: the faces of each of its clips.
      tracks: the clips of each person, by track number.
      faces: verdicts on each person, first that of the person who speaks for the video.
      said: text above the picture, ASCII.
      turns: quarter turns counter-clockwise by which the frames were turned before faces were found.

    Raises :class:`fusion_dfd.types.DataError` where the file can no longer be read or FFmpeg has no encoder of H.264.
    """
    fps = info.fps or UNKNOWN
    boxes = _boxes(tracks)
    strip, length = None, max(info.frames / fps, 1e-6)
    out = io.BytesIO()
    with av.open(out, "w", format="mp4") as container:
        stream = None
        for index, frame in _frames(path, wanted(info, clips), turns):
            picture, scale = _resized(frame)
            if stream is None:
                strip = _timeline(picture.shape[1], faces[0].timeline, length)
                height = picture.shape[0] + _HEAD + _STRIP
                stream = _stream(container, fps / _step(fps), picture.shape[1], height)
            for face in faces:
                if index in boxes.get(face.track, {}):
                    _box(picture, boxes[face.track][index] * scale, face, len(faces) > 1)
            page = np.concatenate([_head(picture.shape[1], said, faces[0].verdict), strip, picture])
            _cursor(page, index / fps, length)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(page, format="rgb24")))
        if stream is not None:
            container.mux(stream.encode(None))
    return out.getvalue()


def _frames(path: str, numbers: list[int], turns: int) -> Iterator[tuple[int, np.ndarray]]:
    for index, picture in Decoder(path, numbers, math.inf, turns):
        yield index, picture.rgb()


def _stream(container: av.container.OutputContainer, rate: float, width: int, height: int) -> av.VideoStream:
    options = {"crf": "25", "preset": "veryfast", "maxrate": str(RATE), "bufsize": str(RATE)}
    try:
        stream = container.add_stream("libx264", rate=Fraction(rate).limit_denominator(1001), options=options)
    except ValueError as error:
        raise DataError("this PyAV cannot write H.264: install the wheel of `av` from PyPI, which can") from error
    stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
    return stream


def _boxes(tracks: dict[int, list[FaceTrack]]) -> dict[int, dict[int, np.ndarray]]:
    """Box [4] by frame of each person."""
    return {
        number: {int(index): box for clip in clips for index, box in zip(clip.indices, clip.boxes, strict=True)}
        for number, clips in tracks.items()
    }


def _resized(frame: np.ndarray) -> tuple[np.ndarray, float]:
    """The frame with even sides, as H.264 requires, and the scale from its pixels to the result's."""
    short, long = sorted(frame.shape[:2])
    scale = min(min(max(short, SHORT[0]), SHORT[1]) / short, LONG / long)
    height, width = (max(2, round(side * scale / 2) * 2) for side in frame.shape[:2])
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return cv2.resize(frame, (width, height), interpolation=method), scale


def _box(picture: np.ndarray, box: np.ndarray, face: Face, several: bool) -> None:
    x0, y0, x1, y1 = (round(float(value)) for value in box)
    colour = COLOURS[face.verdict]
    cv2.rectangle(picture, (x0, y0), (x1, y1), colour, 2, cv2.LINE_AA)
    label = f"face {face.track}: {SAID[face.verdict].lower()}" if several else SAID[face.verdict].lower()
    (width, height), _ = cv2.getTextSize(label, _FONT, 0.45, 1)
    left = min(max(x0 - 1, 0), max(picture.shape[1] - width - 8, 0))
    top = y0 - height - 9 if y0 > height + 9 else min(y1 + 1, picture.shape[0] - height - 9)
    cv2.rectangle(picture, (left, top), (left + width + 8, top + height + 8), colour, cv2.FILLED)
    cv2.putText(picture, label, (left + 4, top + height + 3), _FONT, 0.45, (255, 255, 255), 1, cv2.LINE_AA)


def _head(width: int, said: str, verdict: str) -> np.ndarray:
    bar = np.full((_HEAD, width, 3), _BACK, np.uint8)
    bar[:, :6] = COLOURS[verdict]
    (across, _), _ = cv2.getTextSize(said, _FONT, 0.5, 1)
    size = 0.5 * min(1.0, (width - 14 - _CLOCK) / max(across, 1))
    cv2.putText(bar, said, (14, 20), _FONT, size, _INK, 1, cv2.LINE_AA)
    return bar


def _timeline(width: int, timeline: Sequence[tuple[int, float]], length: float) -> np.ndarray:
    """Bars of the probability by second of the person who speaks for the video; nothing where no frame was scored."""
    bar = np.full((_STRIP, width, 3), _BACK, np.uint8)
    low, high = _STRIP - 6, 6
    cv2.line(bar, (0, (low + high) // 2), (width, (low + high) // 2), _LINE, 1)
    for second, value in timeline:
        x0, x1 = (int(min(at, length) / length * width) for at in (second, second + 1))
        if not math.isnan(value):
            top = round(low - value * (low - high))
            cv2.rectangle(bar, (x0, top), (max(x1 - 2, x0), low), COLOURS["fake" if value > 0.5 else "real"], -1)
    cv2.line(bar, (0, low), (width, low), _LINE, 1)
    return bar


def _cursor(page: np.ndarray, second: float, length: float) -> None:
    """The position of a frame in the video: a line in the strip, and the time to the right of the text."""
    width = page.shape[1]
    x = min(int(second / length * width), width - 1)
    page[_HEAD : _HEAD + _STRIP, max(x - 1, 0) : x + 1] = (255, 255, 255)
    text = f"{int(second // 60)}:{second % 60:04.1f}"
    (across, _), _ = cv2.getTextSize(text, _FONT, 0.4, 1)
    cv2.putText(page, text, (width - across - 8, 20), _FONT, 0.4, _INK, 1, cv2.LINE_AA)
