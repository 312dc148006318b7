"""The evidence on one video, as numbers, which its page states and draws."""

from __future__ import annotations

import collections
import dataclasses
import itertools
import math
from collections.abc import Sequence

import numpy as np

from fusion_dfd.evaluation import real_motion
from fusion_dfd.explain import counterfactual, gradcam, motionmaps
from fusion_dfd.explain.motionmaps import Motion
from fusion_dfd.predict.detector import BATCH, DeepfakeDetector, OnProgress
from fusion_dfd.predict.verdict import Face, ScoredVideo, Verdict, Window, by_person
from fusion_dfd.runs.run import MOTION
from fusion_dfd.types import DataError, FaceTrack

EXPLAINED = BATCH
"""Windows of a video that are explained: one call of each program."""
PICTURED = 3
"""Windows among them that are shown in pictures."""
HELD = 1 << 28
"""Most bytes of frames of one video that are held in memory."""
STEPS = 4
"""Steps of progress after the scoring: branches, regions, pictures, and the page with its annotated video."""


@dataclasses.dataclass(frozen=True)
class Effect:
    """The model's answer on the explained windows if one thing were missing."""

    name: str
    """A branch, or a part of the face."""
    probability: float
    """Of the explained windows, aggregated and calibrated as for the verdict."""


@dataclasses.dataclass(frozen=True)
class Seen:
    """A window shown in pictures."""

    window: Window
    heat: np.ndarray | None
    """float32 [t, h', w'] >= 0, Grad-CAM; None where the system has no maps."""
    motion: Motion | None
    """None where the system does not look at motion."""


@dataclasses.dataclass(frozen=True)
class Pace:
    """How the face moves, compared with real faces."""

    seconds: tuple[tuple[int, float], ...]
    """``(second of the video, distance)``, the mean over the windows that cover the second."""
    reference: real_motion.Reference


@dataclasses.dataclass(frozen=True)
class Evidence:
    """The evidence on a video with a face: on the person who speaks for it, except ``tracks``."""

    face: Face
    tracks: dict[int, list[FaceTrack]]
    """The clips of each person, without their crops."""
    explained: list[Window]
    """In the order of time; empty if no logit is finite."""
    baseline: float = math.nan
    """Probability of the explained windows together, which the effects are compared with; NaN without any."""
    branches: list[Effect] = dataclasses.field(default_factory=list)
    regions: list[Effect] = dataclasses.field(default_factory=list)
    seen: list[Seen] = dataclasses.field(default_factory=list)
    pace: Pace | None = None
    lacks: str | None = None
    """Why there is no ``pace``; None where there is."""


def gather(
    detector: DeepfakeDetector, path: str, on_progress: OnProgress | None = None
) -> tuple[ScoredVideo, Verdict, Evidence | None]:
    """Score a video once, and explain the score; there is no evidence if no face was scored.

    ``on_progress`` is called after each clip and then after each of :data:`STEPS`, counted as one more clip.
    """
    reference, lacks = _reference(detector)
    keeper = Keeper(motion=reference is not None)
    progress = _Progress(path, on_progress or (lambda *_: None))
    (video,) = detector.score([path], progress.clip, keep=keeper)
    verdict = detector.verdict(video)
    if not verdict.faces:
        return video, verdict, None
    face = detector.rules.speaker(verdict.faces)
    seen = by_person(video.clips, video.windows)
    windows = seen[face.track][1]
    explained = choose([window for window in windows if _explicable(window)], EXPLAINED)
    pace = None
    if reference is not None:
        motion_of = {id(window): motion for window, motion in zip(video.windows, keeper.motions, strict=True)}
        pace, lacks = _pace(windows, [motion_of[id(window)] for window in windows], reference)
    found = Evidence(face, {number: clips for number, (clips, _) in seen.items()}, explained, pace=pace, lacks=lacks)
    return video, verdict, _explained(detector, found, progress) if explained else found


class _Progress:
    def __init__(self, path: str, on_progress: OnProgress):
        self._path, self._on_progress = path, on_progress
        self._done = self._clips = 0

    def clip(self, path: str, done: int, clips: int) -> None:
        self._done, self._clips = done, clips
        self._on_progress(path, done, clips + STEPS)

    def step(self) -> None:
        self._done += 1
        self._on_progress(self._path, self._done, self._clips + STEPS)


def _explained(detector: DeepfakeDetector, found: Evidence, progress: _Progress) -> Evidence:
    """With what running the model again on the explained windows shows."""
    windows = found.explained
    baseline = detector.rules.aggregated(np.array([float(window.outputs.logit) for window in windows]))
    branches = _effects(detector, counterfactual.without_branches(detector, windows))
    progress.step()
    regions = _effects(detector, counterfactual.without_regions(detector, windows))
    progress.step()
    seen = _seen(detector, windows)
    progress.step()
    return dataclasses.replace(found, baseline=baseline, branches=branches, regions=regions, seen=seen)


def _explicable(window: Window) -> bool:
    """Whether its frames are held and its logit is finite."""
    return window.frames is not None and bool(np.isfinite(window.outputs.logit))


def _reference(detector: DeepfakeDetector) -> tuple[real_motion.Reference | None, str | None]:
    """How real faces move, or why that is unknown; both None if frames are sparsely sampled and show no motion."""
    if detector.config.faces.sampling == "uniform":
        return None, None
    found = None
    try:
        found = detector.run.motion if detector.run else None
    except DataError as error:
        return None, str(error)
    if found:
        return found, None
    return None, (
        f"The run has no {MOTION}, the reference of how the faces of real videos move: this face cannot be compared "
        "with them. Run the training command again (a finished run does not train further, it only adds what is "
        "missing), or call fusion_dfd.runs.references.learn_motion(Run(FOLDER), SHARDS)."
    )


def _pace(
    windows: Sequence[Window], motions: Sequence[np.ndarray], reference: real_motion.Reference
) -> tuple[Pace | None, str | None]:
    """The distances by second, or why there are none."""
    if windows[0].seconds is None:
        return None, "The file does not say how many frames it has per second, so nothing can be said by second."
    seconds: dict[int, list[float]] = {}
    for window, distance in zip(windows, reference.distances(np.stack(motions)), strict=True):
        for second in window.covers:
            if np.isfinite(distance):
                seconds.setdefault(second, []).append(float(distance))
    if not seconds:
        return (
            None,
            f"The face is seen too briefly for its motion to be measured: {real_motion.LEAST} frames are needed.",
        )
    return Pace(tuple((second, float(np.mean(seconds[second]))) for second in sorted(seconds)), reference), None


def _effects(detector: DeepfakeDetector, changed: dict[str, np.ndarray]) -> list[Effect]:
    return [
        Effect(name, detector.rules.aggregated(logits)) for name, logits in changed.items() if np.isfinite(logits).all()
    ]


def _seen(detector: DeepfakeDetector, explained: Sequence[Window]) -> list[Seen]:
    heats = [None] * len(explained)
    if gradcam.has_maps(detector.config.model):
        heats = gradcam.maps(detector, explained)
    chosen = {id(window) for window in choose(explained, PICTURED)}
    return [
        Seen(window, heat, motionmaps.of(window, detector.config.model))
        for window, heat in zip(explained, heats, strict=True)
        if id(window) in chosen
    ]


# Which windows are explained: a bounded number, the most suspicious ones, spread over time


class Keeper:
    """Called with every scored window; keeps the frames of some and the motion of all."""

    def __init__(self, motion: bool):
        self._measures = motion
        self._kept: list[Window] = []
        self.motions: list[np.ndarray] = []
        """float64 [d] of every window in the order of the video; empty if not asked for."""

    def __call__(self, window: Window) -> bool:
        if self._measures:
            self.motions.append(real_motion.motion(window.frames, window.landmarks[:, :5]))
        self._kept.append(window)
        while len(self._kept) > 1 and sum(one.frames.nbytes for one in self._kept) > HELD:
            self._drop()
        return any(one is window for one in self._kept)

    def _drop(self) -> None:
        """Drop the less suspicious of the two windows nearest in time, of the face with most windows held."""
        most, _ = collections.Counter(window.face for window in self._kept).most_common(1)[0]
        row = [window for window in self._kept if window.face == most]
        near = min(itertools.pairwise(row), key=lambda pair: pair[1].indices[0] - pair[0].indices[0], default=row[:1])
        loser = min(near, key=_suspicion)
        self._kept = [window for window in self._kept if window is not loser]
        loser.frames = None


def choose(windows: Sequence[Window], count: int) -> list[Window]:
    """At most ``count`` of the windows (in the order of time): the most suspicious of each of ``count`` equal parts."""
    count = min(count, len(windows))
    parts = [windows[k * len(windows) // count : (k + 1) * len(windows) // count] for k in range(count)]
    return [max(part, key=_suspicion) for part in parts]


def _suspicion(window: Window) -> float:
    return float(np.nan_to_num(window.outputs.logit, nan=-np.inf))
