"""The most confident mistakes of a model, with their frames."""

from __future__ import annotations

import base64
import dataclasses
from collections.abc import Callable, Sequence

import cv2
import numpy as np

from fusion_dfd.evaluation.scores import VideoScore
from fusion_dfd.types import DataError, Score

Thumbnails = Callable[[Score], np.ndarray | None]
"""A clip's score -> uint8 [h, w, 3], a strip of its frames, RGB; None where there is nothing to show."""

_WIDTH = 1200  # pixels of a strip in the page: readable on a wide screen, and about 100 kB


@dataclasses.dataclass(frozen=True)
class Mistake:
    video: VideoScore
    clip: Score
    """Its most misleading clip."""


def mistakes(scores: Sequence[Score], videos: Sequence[VideoScore], threshold: float, count: int) -> list[Mistake]:
    """At most ``count`` videos on the wrong side of ``threshold``, the farthest from it first.

    ``scores``: the clips that ``videos`` were aggregated from.
    """
    clips: dict[str, list[Score]] = {}
    for row in scores:
        clips.setdefault(row.video, []).append(row)
    wrong = [v for v in videos if np.isfinite(v.probability) and (v.probability > threshold) != (v.label == 1)]
    wrong.sort(key=lambda video: (-abs(video.probability - threshold), video.video))
    return [Mistake(v, (min if v.label else max)(clips[v.video], key=lambda row: row.logit)) for v in wrong[:count]]


def picture(mistake: Mistake, thumbnails: Thumbnails) -> str | None:
    """The frames of a mistake's clip as a ``data:`` URI of a JPEG; None where the frames cannot be had."""
    try:
        strip = thumbnails(mistake.clip)
    except DataError:  # a lost shard must not cost the report
        return None
    if strip is None:
        return None
    height, width = strip.shape[:2]
    if width > _WIDTH:
        strip = cv2.resize(strip, (_WIDTH, max(1, round(height * _WIDTH / width))), interpolation=cv2.INTER_AREA)
    return data_uri(strip)


def data_uri(image: np.ndarray) -> str:
    """A picture uint8 [h, w, 3], RGB, as a ``data:`` URI of a JPEG."""
    _, jpeg = cv2.imencode(".jpg", np.ascontiguousarray(image[..., ::-1]), [cv2.IMWRITE_JPEG_QUALITY, 85])
    return "data:image/jpeg;base64," + base64.b64encode(jpeg.tobytes()).decode()
