"""What a face detector is, and which ones there are."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

import numpy as np

from fusion_dfd import config
from fusion_dfd.faces import retinaface_weights
from fusion_dfd.faces.boxes import Detections
from fusion_dfd.types import DataError


class Detector(Protocol):
    def detect(self, frames: np.ndarray) -> list[Detections]:
        """Faces of each frame. ``frames`` is uint8 [n, h, w, 3] RGB; any n, also 0, and frames of any size."""
        ...


FOLLOW = 0.7
"""Detectors are built to report faces down to this share of ``options.threshold``: a face that is sure on one frame may
be followed through frames where it is less so (a blink, a blur)."""


class Kind(NamedTuple):
    """A registered detector."""

    build: Callable[[config.Faces], Detector]
    identity: Callable[[config.Faces], str]
    """Its name and what else decides what it finds; known without compiling anything."""


def _mtcnn(options: config.Faces) -> Detector:
    from fusion_dfd.faces.mtcnn import MTCNN  # it needs this module's Detections

    return MTCNN(min_size=options.min_size, threshold=FOLLOW * options.threshold)


def _retinaface(options: config.Faces) -> Detector:
    from fusion_dfd.faces.retinaface import RetinaFace  # likewise

    return RetinaFace(_trained(options), min_size=options.min_size, threshold=FOLLOW * options.threshold)


def _retinaface_identity(options: config.Faces) -> str:
    trained = _trained(options)
    anchors = ",".join(map(str, trained.recipe.anchors))
    return f"retinaface sha256={trained.sha256} anchors={anchors} slope={trained.recipe.slope}"


def _trained(options: config.Faces) -> retinaface_weights.DetectorWeights:
    slope = options.slope if options.slope >= 0 else None
    return retinaface_weights.load(options.weights, retinaface_weights.Recipe(tuple(options.anchors) or None, slope))


DETECTORS: dict[str, Kind] = {
    "mtcnn": Kind(_mtcnn, lambda options: "mtcnn"),
    "retinaface": Kind(_retinaface, _retinaface_identity),
}
"""By name; ``config.faces.detector`` picks one."""


def build(options: config.Faces) -> Detector:
    """The detector that ``options`` ask for.

    Raises :class:`DataError` for an unknown name, with those there are, and for weights that cannot be used.
    """
    return _kind(options).build(options)


def identity(options: config.Faces) -> str:
    """What shards say of the detector that made them; equal where equal frames give equal faces.

    MTCNN's weights are one known set, so its name says all; RetinaFace's are named by their hash. Raises as
    :func:`build` does.
    """
    return _kind(options).identity(options)


def _kind(options: config.Faces) -> Kind:
    if options.detector not in DETECTORS:
        raise DataError(
            f"faces.detector={options.detector}: no such detector, choose one of {', '.join(sorted(DETECTORS))}"
        )
    return DETECTORS[options.detector]
