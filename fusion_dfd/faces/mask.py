"""Which face of a forged video was forged: the one under the mask that the data set publishes for the video."""

from __future__ import annotations

import collections
from collections.abc import Sequence

import numpy as np

from fusion_dfd.faces.video import Reader, probe
from fusion_dfd.types import DataError, FaceTrack

WHITE = 128
"""Least value, 0..255, of the brightest channel of a marked pixel: masks are two-valued, but compressed."""


def track_under(
    path: str, clips: Sequence[FaceTrack], looked: Sequence[int], frames: int, size: tuple[int, int], time_limit: float
) -> int:
    """Number of the track with the highest intersection over union with the mask; of equal ones the lowest.

    Intersection and union of the marked pixels and the boxes of a face are summed over the frames ``looked``. So a face
    that covers the marked pixels for longer or more tightly wins.

    Args:
      path: the mask, a video.
      clips: of all faces of the forged video.
      looked: numbers of the frames that the detector ran on, ascending.
      frames: of the forged video, as :func:`fusion_dfd.faces.video.probe` counts them.
      size: height and width of its frames.
      time_limit: seconds.

    Raises :class:`DataError` for a mask that cannot be read, is damaged, of other length or size than the video, or
    marks no pixel of any of the faces.
    """
    length = probe(path, time_limit).frames
    if length != frames:
        raise DataError(f"{path}: {length} frames where the video has {frames}, copy or download both again")
    inside, area = collections.Counter(), collections.Counter()
    marked = seen = 0
    mask = Reader(path, looked, time_limit)
    for index, picture in mask:
        if picture.shape[:2] != size:
            (height, width), (h, w) = size, picture.shape[:2]
            raise DataError(
                f"{path}: {w} x {h} pixels where the video has {width} x {height}, give the mask in that size"
            )
        white, seen = picture.max(-1) >= WHITE, seen + 1
        marked += int(white.sum())
        for clip in clips:
            for box in clip.boxes[clip.indices == index]:
                covered = white[_inside(box)]
                inside[clip.track] += int(covered.sum())
                area[clip.track] += covered.size
    if mask.damaged or seen < len(looked):
        raise DataError(f"{path}: damaged, copy or download it again")
    if not any(inside.values()):
        raise DataError(f"{path}: marks no pixel of a face that was found, check that it belongs to the video")
    return max(sorted(area), key=lambda track: inside[track] / max(marked + area[track] - inside[track], 1))


def _inside(box: np.ndarray) -> tuple[slice, slice]:
    """Rows and columns of a frame that a box covers."""
    x0, y0, x1, y1 = np.maximum(np.round(box), 0).astype(int)
    return slice(y0, y1), slice(x0, x1)
