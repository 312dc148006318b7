"""The interface of a face detector, and the registered ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np

from fusion_dfd import config
from fusion_dfd.faces import retinaface_weights
from fusion_dfd.faces.boxes import Detections
from fusion_dfd.faces.mtcnn import MTCNN
from fusion_dfd.faces.retinaface import RetinaFace
from fusion_dfd.types import DataError


@runtime_checkable
class Detector(Protocol):
    def detect(self, frames: np.ndarray) -> list[Detections]:
        """Faces of each frame. ``frames`` is uint8 [n, h, w, 3] RGB; any n, also 0, and frames of any size."""
        ...


FOLLOW = 0.7
"""Detectors report faces down to this share of ``options.threshold``: a face that is certain on one frame can then be
followed through frames where it is less certain (a blink, a blur)."""


class Registered(NamedTuple):
    """A registered detector."""

    build: Callable[[config.Faces], Detector]
    identity: Callable[[config.Faces], str]
    """Its name and what else decides what it finds; known without compiling anything."""


def _mtcnn(options: config.Faces) -> Detector:
    return MTCNN(min_size=options.min_size, threshold=FOLLOW * options.threshold)


def _retinaface(options: config.Faces) -> Detector:
    return RetinaFace(_trained(options), min_size=options.min_size, threshold=FOLLOW * options.threshold)


def _retinaface_identity(options: config.Faces) -> str:
    trained = _trained(options)
    anchors = ",".join(map(str, trained.recipe.anchors))
    return f"retinaface sha256={trained.sha256} anchors={anchors} slope={trained.recipe.slope}"


def _trained(options: config.Faces) -> retinaface_weights.DetectorWeights:
    slope = options.slope if options.slope >= 0 else None
    return retinaface_weights.load(options.weights, retinaface_weights.Recipe(tuple(options.anchors) or None, slope))


DETECTORS: dict[str, Registered] = {
    "mtcnn": Registered(_mtcnn, lambda options: "mtcnn"),
    "retinaface": Registered(_retinaface, _retinaface_identity),
}
"""By name; ``config.faces.detector`` picks one."""


def build(options: config.Faces) -> Detector:
    """The detector that ``options`` ask for.

    Raises :class:`DataError` for an unknown name and for weights that cannot be used.
    """
    return _registered(options).build(options)


def identity(options: config.Faces) -> str:
    """What shards record of their detector; equal identities find equal faces in equal frames.

    MTCNN has one known set of weights, so its name is enough; RetinaFace's weights are identified by their hash. Raises
    as :func:`build` does.
    """
    return _registered(options).identity(options)


def _registered(options: config.Faces) -> Registered:
    if options.detector not in DETECTORS:
        raise DataError(
            f"faces.detector={options.detector}: unknown detector, choose one of {', '.join(sorted(DETECTORS))}"
        )
    return DETECTORS[options.detector]
