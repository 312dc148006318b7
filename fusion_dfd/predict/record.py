"""The record of a verdict: which file, which detector, which software, when; ``fusion-dfd verify`` compares two.

Digests are SHA-256 in hexadecimal. Those of a detector are of its content and not of its files: a run and the folder
exported from it have equal ones.
"""

from __future__ import annotations

import dataclasses
import datetime
import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from fusion_dfd import config as c
from fusion_dfd.evaluation.calibrate import Calibration
from fusion_dfd.evaluation.familiarity import Familiarity
from fusion_dfd.faces import detector as face_detectors
from fusion_dfd.faces import frame_folder
from fusion_dfd.faces.video import VideoInfo
from fusion_dfd.predict.credentials import Credentials
from fusion_dfd.reports.versions import versions
from fusion_dfd.training.checkpoint import TrainedModel
from fusion_dfd.types import DataError

FORM = 1
"""Version of the fields of a record."""


@dataclasses.dataclass(frozen=True)
class FileFacts:
    """What was scored. Without a digest where the file could not be read, without codec facts where it is no video."""

    sha256: str | None
    """Of a folder of frames: of its frames one after the other."""
    bytes: int | None
    container: str | None = None
    """FFmpeg's names of the container, by commas; empty for a folder of frames."""
    codec: str | None = None
    width: int | None = None
    """Pixels as coded."""
    height: int | None = None
    frames: int | None = None
    fps: float | None = None
    """0 where the file does not say."""


@dataclasses.dataclass(frozen=True)
class DetectorFacts:
    """Which detector gave a verdict."""

    name: str
    """Last part of the run's path."""
    step: int
    """Training step of its weights."""
    digest: str
    """Of the fields below: two detectors of equal digest give equal verdicts under equal options and software."""
    weights: str
    """Of names, types, shapes and values of all arrays."""
    configuration: str
    calibration: str | None
    """Of calibration and threshold; None where there are none."""
    familiarity: str | None
    """Of what it knows of its training data; None where it knows nothing."""
    faces: str
    """The face detector, with the digest of its weights where there is a choice of them."""


@dataclasses.dataclass(frozen=True)
class ThresholdFacts:
    """Above which probability a video is called fake, and how sure that is."""

    one_person: float
    """For a video of one person, 0..1; the verdict states the threshold for its own number of people."""
    target: str | None = None
    """What it was chosen for on val, a name of ``config.TARGETS``; None where it was not."""
    interval: tuple[float, float] | None = None
    """95%, of the threshold."""
    false_alarms: int | None = None
    """Real val videos above it. It was chosen on these videos, so expect more on others. None where unknown."""
    real_videos: int | None = None
    """How many real videos val holds."""
    false_alarm_interval: tuple[float, float] | None = None
    """95%, of the rate of false alarms."""


@dataclasses.dataclass(frozen=True)
class Record:
    """Beside the verdict itself, all that is needed to repeat it and to notice that something is not what it was."""

    form: int
    time: str
    """When the verdict was given, UTC, ISO 8601."""
    file: FileFacts
    detector: DetectorFacts
    threshold: ThresholdFacts
    options: dict[str, Any]
    """``clips engine tracks`` as the flags of ``fusion-dfd predict``; the engine is the one that ran."""
    software: dict[str, str]
    windows: tuple[tuple[int, int, int], ...]
    """Windows looked at: number of the face, first and last frame of the video."""
    credentials: Credentials | None = None
    """What the file states of its making. It takes no part in the verdict. None where it was not looked for."""


def file_facts(path: str) -> FileFacts:
    """Digest and size of a video; both None where it cannot be read, and of pipes and devices."""
    if not (os.path.isfile(path) or os.path.isdir(path)):
        return FileFacts(None, None)
    try:
        return FileFacts(frame_folder.sha256(path), frame_folder.size(path))
    except (OSError, ValueError, DataError):
        return FileFacts(None, None)


def stamp(path: str) -> tuple[int, ...] | None:
    """What changes where a file is written to; None where there is no file."""
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


def detector_facts(
    name: str, trained: TrainedModel, calibration: Calibration | None, familiarity: Familiarity | None
) -> DetectorFacts:
    """Which detector these are. Reads all weights once."""
    parts = {
        "weights": digest(trained.weights),
        "configuration": digest(json.loads(c.to_json(trained.config))),
        "calibration": calibration and digest(json.loads(json.dumps(dataclasses.asdict(calibration)))),
        "familiarity": familiarity and digest(dataclasses.asdict(familiarity)),
        "faces": face_detectors.identity(trained.config.faces),
    }
    return DetectorFacts(name, trained.step, digest(parts), **parts)


def threshold_facts(calibration: Calibration | None, otherwise: float) -> ThresholdFacts:
    """Of a run's calibration; of the threshold ``otherwise`` where it has none."""
    if calibration is None:
        return ThresholdFacts(otherwise)
    interval, alarms = calibration.val.get("interval"), calibration.false_alarms
    return ThresholdFacts(
        one_person=calibration.threshold,
        target=calibration.target,
        interval=interval and tuple(interval),
        false_alarms=alarms and alarms.count,
        real_videos=alarms and alarms.real,
        false_alarm_interval=alarms and alarms.interval,
    )


def make(
    file: FileFacts,
    info: VideoInfo | None,
    detector: DetectorFacts,
    threshold: ThresholdFacts,
    options: Mapping[str, Any],
    windows: Sequence[tuple[int, int, int]],
    stated: Credentials | None = None,
) -> Record:
    """The record of a verdict that is given now; ``info`` is None where the file could not be opened, ``stated`` where
    Content Credentials were not looked for."""
    if info is not None:
        names = ("container", "codec", "width", "height", "frames", "fps")
        file = dataclasses.replace(file, **{name: getattr(info, name) for name in names})
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    return Record(FORM, now, file, detector, threshold, dict(options), versions(), tuple(windows), stated)


def digest(value: Any) -> str:
    """Of a tree of dictionaries, lists, arrays, text and numbers, whatever the order of the keys."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(value, is_leaf=lambda leaf: leaf is None)
    found = hashlib.sha256()
    for name, leaf in sorted(((jax.tree_util.keystr(path), leaf) for path, leaf in leaves), key=lambda one: one[0]):
        if isinstance(leaf, np.ndarray | jax.Array):
            array = np.asarray(leaf)
            found.update(f"{name} {array.dtype} {array.shape}\n".encode())
            found.update(np.ascontiguousarray(array).tobytes())
        else:
            found.update(f"{name} {json.dumps(leaf)}\n".encode())
    return found.hexdigest()
