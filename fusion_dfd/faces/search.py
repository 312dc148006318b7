"""Where to look in a video whose usual ranges of frames show no face: later or briefer, or turned.

One cheap pass over the whole video: single frames, far apart.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from fusion_dfd import config
from fusion_dfd.faces.detector import Detector
from fusion_dfd.faces.video import Decoder, VideoInfo

LOOKS = 240
"""Most frames that are looked at."""
PER_SECOND = 2.0
"""Most frames of a second that are looked at: a face that is seen for a second is found in a video of LOOKS / 2 s."""
TURNED = 8
"""Frames that are also looked at in the three other turns."""
TWICE = 2
"""Frames on which a turned face must be found: detectors see faces in turned patterns now and then."""
RATE = 25.0
"""Frames per second assumed of a file that does not state them."""


@dataclasses.dataclass(frozen=True)
class Place:
    """Where faces are."""

    ranges: list[range]
    """Frame numbers, ascending and apart; empty: as for any video."""
    turns: int
    """Quarter turns counter-clockwise that put the faces upright."""


def find(path: str, info: VideoInfo, options: config.Faces, detector: Detector) -> Place | None:
    """Where a video shows faces, None where none is found.

    Single frames of the whole video are looked at as they are, and TURNED of them in the other turns too, as long as no
    upright face is seen. One upright face is enough: the ranges around it are then examined as any other.

    Raises :class:`fusion_dfd.types.DataError` as :class:`fusion_dfd.faces.video.Decoder` does.
    """
    step = max(1.0, (info.fps or RATE) / PER_SECOND, info.frames / LOOKS)
    looks = [int(k * step) for k in range(math.ceil(info.frames / step)) if int(k * step) < info.frames]
    turned = set(looks[:: math.ceil(len(looks) / TURNED)])
    seen, upright = [], [0, 0, 0, 0]
    for index, picture in Decoder(path, looks, options.time_limit):
        rgb = picture.rgb()
        if _sees(rgb, detector, options.threshold):
            seen.append(index)
        for turns in range(1, 4) if index in turned and not seen else ():
            upright[turns] += _sees(np.ascontiguousarray(np.rot90(rgb, turns)), detector, options.threshold)
    if seen:
        return Place(ranges_around(seen, info.frames, options), 0)
    turns = int(np.argmax(upright))
    return Place([], turns) if upright[turns] >= min(TWICE, len(turned)) else None


def ranges_around(seen: Sequence[int], frames: int, options: config.Faces) -> list[range]:
    """At most ``options.clips`` ranges of ``options.clip_length`` frame numbers around the frames ``seen``, ascending.

    They are apart, and spread evenly over all that could be drawn. Fewer ``frames`` than that make a shorter range.
    """
    length, found = min(options.clip_length, frames), []
    for index in seen:
        start = min(max(index - length // 2, 0), frames - length)
        if found and index < found[-1].stop:
            continue
        start = max(start, found[-1].stop) if found else start
        if start + length <= frames:
            found.append(range(start, start + length))
    count = min(options.clips, len(found))
    return [found[k * len(found) // count] for k in range(count)]


def _sees(rgb: np.ndarray, detector: Detector, threshold: float) -> bool:
    (faces,) = detector.detect(rgb[None])
    return bool(len(faces)) and bool(faces.scores.max() >= threshold)
