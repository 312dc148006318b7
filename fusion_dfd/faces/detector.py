"""What a face detector is, and which ones there are."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Protocol

import numpy as np

from fusion_dfd import config
from fusion_dfd.types import DataError


@dataclasses.dataclass(frozen=True, slots=True)
class Detections:
    """The faces of one frame, the most confident first."""

    boxes: np.ndarray
    """float32 [m, 4], x0, y0, x1, y1 in pixels of the frame, inside it."""
    scores: np.ndarray
    """float32 [m] in 0..1, descending."""
    landmarks: np.ndarray
    """float32 [m, 5, 2], x and y in pixels of the frame, ordered as in :mod:`fusion_dfd.types`; may lie outside."""

    def __len__(self) -> int:
        return len(self.boxes)


class Detector(Protocol):
    def detect(self, frames: np.ndarray) -> list[Detections]:
        """Faces of each frame. ``frames`` is uint8 [n, h, w, 3] RGB; any n, also 0, and frames of any size."""
        ...


FOLLOW = 0.7
"""Detectors are built to report faces down to this share of ``options.threshold``: a face that is sure on one frame may
be followed through frames where it is less so (a blink, a blur)."""


def _mtcnn(options: config.Faces) -> Detector:
    from fusion_dfd.faces.mtcnn import MTCNN  # it needs this module's Detections

    return MTCNN(min_size=options.min_size, threshold=FOLLOW * options.threshold)


DETECTORS: dict[str, Callable[[config.Faces], Detector]] = {"mtcnn": _mtcnn}
"""Builders by name; ``config.faces.detector`` picks one."""


def build(options: config.Faces) -> Detector:
    """The detector that ``options`` ask for. An unknown name raises :class:`DataError` with those there are."""
    if options.detector not in DETECTORS:
        raise DataError(
            f"faces.detector={options.detector}: no such detector, choose one of {', '.join(sorted(DETECTORS))}"
        )
    return DETECTORS[options.detector](options)
