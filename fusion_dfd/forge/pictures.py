"""Pictures of what the forgers of a folder of forged videos do: a contact sheet and a looping picture of each.

A sheet has a row for each of a few forgeries and six moments across: the real face, the forged one, and how much they
differ. The looping picture shows the same three side by side.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

import cv2
import numpy as np

from fusion_dfd import atomic
from fusion_dfd.datasets import faceforensics, files
from fusion_dfd.faces.video import Reader, probe
from fusion_dfd.forge import videos
from fusion_dfd.types import DataError, Video

ROWS, MOMENTS = 2, 6
"""Forgeries on a sheet, and frames of each."""
SIDE, LOOP_SIDE = 96, 176
"""Sides of a face on the sheet and in the loop, pixels."""
LOOP = 40
"""Frames of the loop."""
GAIN = 4
"""Factor by which differences are made visible."""
SQUARE = ("x", "y", "side")
"""Columns of the square that is forged, pixels; it may reach beyond the frame."""


def write(root: str, out: str) -> str:
    """Write ``<method>.png`` and ``<method>.webp`` for each method under ``root``; returns ``out``.

    Raises DataError where a video cannot be read or a picture cannot be written.
    """
    compression = videos.compression(root)
    listed = faceforensics.videos(root, compression)
    real = {video.source: video for video in listed if not video.label}
    marked = files.read_csv(os.path.join(root, faceforensics.SEGMENTS), ("video", "method", "start", "stop"))
    segments = {(row["video"], row["method"]): row for row in reversed(list(marked))}
    sources = {row["id"]: row for row in files.read_csv(os.path.join(root, faceforensics.SOURCES), ("id", *SQUARE))}
    for method in dict.fromkeys(video.method for video in listed if video.label):
        fakes = [one for one in listed if one.method == method and (one.id, method) in segments]
        shown = _different(fakes)[:ROWS]
        strips = [
            _strip(one, real[one.source], segments[one.id, method], sources[one.id.partition("_")[0]]) for one in shown
        ]
        if strips:
            _save(os.path.join(out, f"{method}.png"), _sheet(strips))
            _save_loop(os.path.join(out, f"{method}.webp"), strips[0])
    return out


def _different(fakes: Sequence[Video]) -> list[Video]:
    """One of each group first, then the others."""
    first = {video.group: video for video in reversed(fakes)}
    return [*first.values(), *(video for video in fakes if video not in first.values())]


def _strip(fake: Video, real: Video, segment: dict[str, str], source: dict[str, str]) -> np.ndarray:
    """uint8 [t, side, 3 side, 3]: real face, forged face and difference, from just before the forged frames to just
    after them."""
    margin = LOOP // 8
    start = max(int(segment["start"]) - margin, 0)
    wanted = range(start, min(start + LOOP, int(segment["stop"]) + margin, probe(fake.path).frames))
    before, after = (np.stack([frame for _, frame in Reader(path, wanted)]) for path in (real.path, fake.path))
    x, y, side = (int(source[name]) for name in SQUARE)
    side = min(side, *before.shape[1:3])
    corner = np.clip([x, y], 0, np.array(before.shape[2:0:-1]) - side)
    view = (slice(None), slice(corner[1], corner[1] + side), slice(corner[0], corner[0] + side))
    before, after = before[view], after[view]
    change = np.clip(GAIN * np.abs(after.astype(np.int16) - before), 0, 255).astype(np.uint8)
    return np.concatenate([_squares(some, LOOP_SIDE) for some in (before, after, change)], 2)


def _squares(frames: np.ndarray, side: int) -> np.ndarray:
    """Frames [t, h, w, 3] at ``side`` by ``side``."""
    method = cv2.INTER_AREA if frames.shape[1] > side else cv2.INTER_CUBIC
    return np.stack([cv2.resize(frame, (side, side), interpolation=method) for frame in frames])


def _sheet(strips: Sequence[np.ndarray]) -> np.ndarray:
    """uint8 [h, w, 3]: for each strip three rows of moments."""
    rows = []
    for strip in strips:
        some = strip[np.linspace(0, len(strip) - 1, MOMENTS).round().astype(int)]
        rows += [np.concatenate(list(_squares(part, SIDE)), 1) for part in np.split(some, 3, 2)]
        rows.append(np.full((SIDE // 14, rows[-1].shape[1], 3), 255, np.uint8))
    return np.concatenate(rows[:-1], 0)


def _save(path: str, picture: np.ndarray) -> None:
    done, data = cv2.imencode(".png", picture[..., ::-1])
    if not done:
        raise DataError(f"{path}: OpenCV cannot write a PNG; install opencv-python-headless again")
    with atomic.binary(path) as file:
        file.write(data.tobytes())


def _save_loop(path: str, strip: np.ndarray) -> None:
    loop = cv2.Animation()
    loop.frames = [np.ascontiguousarray(frame[..., ::-1]) for frame in strip]
    loop.durations = np.full(len(strip), 60, np.int32)
    done, data = cv2.imencodeanimation(".webp", loop, [cv2.IMWRITE_WEBP_QUALITY, 70])
    if not done:
        raise DataError(f"{path}: OpenCV cannot write a looping WebP; install opencv-python-headless again")
    with atomic.binary(path) as file:
        file.write(data.tobytes())
