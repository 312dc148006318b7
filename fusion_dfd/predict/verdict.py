"""From the scored windows of a video to a verdict per person and on the video, and when not to give one."""

from __future__ import annotations

import collections
import dataclasses
import json
import math
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fusion_dfd import config as c
from fusion_dfd.evaluation import calibrate, scores, segments
from fusion_dfd.evaluation.familiarity import Familiarity
from fusion_dfd.faces import track
from fusion_dfd.faces.extract import FaceScan
from fusion_dfd.predict import warnings
from fusion_dfd.predict.record import FileFacts, Record
from fusion_dfd.runs.run import Run
from fusion_dfd.types import LABELS, FaceTrack, Outputs

VERDICTS = ("fake", "real", "uncertain", "none")
"""``uncertain``: scored, but the evidence does not carry a verdict. ``none``: it could not be scored."""
THRESHOLD = 0.5
"""Decision threshold of a run without calibration."""


@dataclasses.dataclass(frozen=True)
class Face:
    """The verdict on one person of a video."""

    track: int
    """Number of the track; 0 is the main face: seen on the most frames, the largest if several are."""
    verdict: str
    """One of VERDICTS."""
    probability: float
    """Of being fake, 0..1: the windows' logits, aggregated by the run's rule (default: mean probability), calibrated if
    the run is."""
    branches: dict[str, float]
    """Probability 0..1 of each branch alone: the mean over the windows for which it is on, not calibrated. Without
    those that are on for none."""
    windows: int
    """Windows that were scored."""
    frames: int
    """Frames of the video on which the face was seen and scored."""
    side: float
    """Longer side of the face box, pixels of the video, the median over those frames."""
    distance: float | None
    """Median distance of its windows from the training data; 1 is the farthest that is usual on val. None if the run
    has no reference."""
    timeline: tuple[tuple[int, float], ...]
    """``(second of the video, probability)``: the mean over the windows that cover the second, not calibrated. Seconds
    without a window are missing; empty for a video that does not state its frame rate."""
    reason: str | None = None
    """Why the verdict is ``uncertain``."""
    brief: bool = False
    """Seen on fewer frames than the model needs."""
    stretches: tuple[tuple[float, float, float], ...] = ()
    """``(begin, end, probability)``, seconds of the video, of the stretches of windows that look forged
    (:func:`fusion_dfd.evaluation.segments.find`); the probability is their mean, not calibrated. Empty where the frames
    are not known to be consecutive, or have no times."""


@dataclasses.dataclass(frozen=True)
class Verdict:
    """The verdict on a video: that on its most suspicious person, or on its main one."""

    path: str
    verdict: str
    """One of VERDICTS."""
    probability: float | None
    """Of the face that speaks for the video, see :attr:`Face.probability`. None when not scored."""
    faces: tuple[Face, ...]
    reason: str | None = None
    """Why the video could not be scored, why the verdict is uncertain; who speaks if not the main face, how many faces
    were not judged, that the picture had to be turned, what of the file was damaged."""
    seconds: float | None = None
    """Length of the video; None if unknown."""
    speaks: int | None = None
    """Track number of the person whose verdict this is; None when not scored."""
    threshold: float | None = None
    """Persons of a higher probability are called fake; it is higher in a video of several, if the most suspicious one
    speaks. None when not scored."""
    warnings: tuple[str, ...] = ()
    """What a reader must know first about the detector."""
    took: float = 0.0
    """Wall-clock seconds from opening the file to the verdict. Batches shared with other videos count in full."""
    record: Record | None = None
    """Which file, which detector, which software, when; None in a verdict that no detector gave."""
    signature: dict[str, str] | None = None
    """See :mod:`fusion_dfd.predict.signing`; None where nobody signed."""

    def to_json(self) -> str:
        """One line of JSON with all fields."""
        return json.dumps(dataclasses.asdict(self))

    def row(self) -> dict[str, Any]:
        """One line of a table, see :func:`table_row`."""
        return table_row(dataclasses.asdict(self))


COLUMNS: dict[str, type] = {
    "path": str,
    "verdict": str,
    "probability": float,
    "faces": int,
    "fake_faces": int,
    "face": int,
    "windows": int,
    "seconds": float,
    "reason": str,
    "warnings": str,
    "threshold": float,
    "sha256": str,
    "bytes": int,
    "detector": str,
    "step": int,
    "detector_digest": str,
    "weights": str,
    "calibration": str,
    "version": str,
    "time": str,
    "credentials": str,
}
"""Of a table of verdicts, with the types of their cells."""


def table_row(verdict: Mapping[str, Any]) -> dict[str, Any]:
    """One line of a table: a verdict, given as JSON values, without its timeline, with the digests of its record."""
    faces, kept = verdict["faces"], verdict["record"] or {}
    file, by = kept.get("file", {}), kept.get("detector", {})
    given = {
        "faces": len(faces),
        "fake_faces": sum(face["verdict"] == "fake" for face in faces),
        "face": verdict["speaks"],
        "windows": next((face["windows"] for face in faces if face["track"] == verdict["speaks"]), 0),
        "reason": verdict["reason"] or "",
        "warnings": " ".join(verdict["warnings"]),
        "detector": by.get("name"),
        "detector_digest": by.get("digest"),
        "version": kept.get("software", {}).get("fusion_dfd"),
        "time": kept.get("time"),
        "credentials": (kept.get("credentials") or {}).get("state"),
    }
    found = {**file, **by, **verdict, **given}
    return {name: found.get(name) for name in COLUMNS}


@dataclasses.dataclass
class Window:
    """The frames of one face that the model sees at once, and the model's outputs for them."""

    clip: int
    """Which clip of the video it is cut from."""
    face: int
    """Position among the faces of that clip."""
    indices: np.ndarray
    """int32 [t], frame numbers in the video."""
    frames: np.ndarray | None
    """uint8 [t, size, size, 3], as the model sees them; None once scored and not kept."""
    landmarks: np.ndarray
    """float32 [t, p, 2], pixels of the frames, as ``Batch.landmarks`` has them."""
    appearance: np.ndarray
    """float64 [n], see :func:`fusion_dfd.evaluation.appearance.statistics`."""
    outputs: Outputs | None = None
    """Of this window alone, numpy without the batch axis; None until scored."""
    seconds: np.ndarray | None = None
    """float64 [t], times of the frames in the video; None where the file does not state them."""
    contiguous: bool = True
    """Whether the frames are known to be consecutive."""

    @property
    def end(self) -> float:
        """When its last frame ends, seconds; a frame lasts as long as its frames do on average."""
        first, last = float(self.seconds[0]), float(self.seconds[-1])
        return last + (last - first) / max(len(self.seconds) - 1, 1)

    @property
    def covers(self) -> set[int]:
        """The seconds of the video that it covers."""
        return set() if self.seconds is None else {int(second) for second in np.maximum(self.seconds, 0).tolist()}


@dataclasses.dataclass
class ScoredVideo:
    """A video while it is read and scored."""

    path: str
    started: float
    """``time.monotonic()`` when it was opened."""
    file: FileFacts = FileFacts(None, None)
    """Of the file when it was opened."""
    stamp: tuple[int, ...] | None = None
    """See :func:`fusion_dfd.predict.record.stamp`, before it was read."""
    scan: FaceScan | None = None
    clips: list[list[FaceTrack]] = dataclasses.field(default_factory=list)
    """The faces of each clip, without their crops."""
    windows: list[Window] = dataclasses.field(default_factory=list)
    """In the order of the video."""
    read: bool = False
    """Whether the file has been read to the end."""
    reason: str | None = None
    """Why it cannot be scored."""

    @property
    def ready(self) -> bool:
        """Whether every window of it is scored."""
        return self.read and all(window.outputs is not None for window in self.windows)


@dataclasses.dataclass(frozen=True)
class VerdictRules:
    """How the logits of a run become verdicts: its calibration and what it knows of its training data."""

    calibration: calibrate.Calibration | None
    rule: str
    """How the logits of a face's windows become its probability, a name of ``config.RULES``."""
    familiarity: Familiarity | None
    tracks: str
    """Which person speaks for a video of several, a name of ``config.TRACKS``. With ``max``, every person's threshold
    is that for their number, see :meth:`fusion_dfd.evaluation.calibrate.Calibration.for_people`."""
    warnings: tuple[str, ...] = ()
    """What a reader of any of its verdicts must know first."""

    @staticmethod
    def of(run: Run, tracks: str = "max") -> VerdictRules:
        """What a run knows. Raises DataError for files that do not belong to its best weights."""
        options = run.calibration or run.evaluate
        known = tuple(warnings.of(run.calibration is not None, run.training_data, run))
        return VerdictRules(run.calibration, options.aggregate, run.familiarity, tracks, known)

    def verdict(self, video: ScoredVideo, config: c.Config) -> Verdict:
        """The verdict on a video all of whose windows are scored."""
        took = time.monotonic() - video.started
        if video.reason:
            return Verdict(video.path, "none", None, (), video.reason, warnings=self.warnings, took=took)
        fps = video.scan.info.fps
        seconds = video.scan.info.frames / fps if fps else None
        tracks = by_person(video.clips, video.windows)
        found = self.calibration and self.calibration.for_people(len(tracks) if self.tracks == "max" else 1)
        faces = tuple(self._face(number, *tracks[number], config, found) for number in sorted(tracks))
        speaks = self.speaker(faces)
        count = video.scan.damaged
        lost = "1 damaged packet was" if count == 1 else f"{count} damaged packets were"
        damaged = f"{lost} left out" if count else None
        turned = f"seen after a turn of the picture by {90 * video.scan.turns} degrees" if video.scan.turns else None
        who = f"face {speaks.track} of {len(faces)} speaks for the video" if speaks.track else None
        left = f"in a crowd, {video.scan.left_out} more faces were not judged" if video.scan.left_out else None
        apart = _why_no_motion(video) if video.scan.info.gaps else None
        reason = "; ".join(filter(None, [speaks.reason, who, left, turned, damaged, apart])) or None
        at = found.threshold if found else THRESHOLD
        return Verdict(
            path=video.path,
            verdict=speaks.verdict,
            probability=speaks.probability,
            faces=faces,
            reason=reason,
            seconds=seconds,
            speaks=speaks.track,
            threshold=at,
            warnings=self.warnings,
            took=took,
        )

    def speaker(self, faces: Sequence[Face]) -> Face:
        """The face that speaks for a video; ``faces`` are those of its verdict.

        The most suspicious one is the likeliest of those called fake; where none is, the likeliest to be fake. Somebody
        who is seen too briefly speaks only where everybody is: people pass in the background of many videos.
        """
        if self.tracks == "first":
            return faces[0]
        return max(faces, key=lambda face: (face.verdict == "fake", not face.brief, face.probability))

    def aggregated(self, logits: np.ndarray) -> float:
        """Probability of the windows' ``logits`` [n], aggregated by the run's rule, calibrated if the run is."""
        probability = scores.face_probability(logits, self.rule)
        return float(self.calibration.apply([probability])[0]) if self.calibration else probability

    def _face(
        self,
        number: int,
        clips: list[FaceTrack],
        windows: list[Window],
        config: c.Config,
        found: calibrate.Calibration | None,
    ) -> Face:
        logits = np.array([float(window.outputs.logit) for window in windows])
        probability = self.aggregated(logits)
        boxes = np.concatenate([clip.boxes for clip in clips])
        distance = self._distance(windows)
        reason = _why_uncertain(probability, len(boxes), config.data.frames, distance, found)
        if _motion_alone(config) and not any(window.contiguous for window in windows):
            reason = reason or "the model judges motion alone, and these frames are not known to be consecutive"
        return Face(
            track=number,
            verdict="uncertain" if reason else _label(probability, found),
            probability=probability,
            branches=_branches(windows),
            windows=len(windows),
            frames=len(boxes),
            distance=distance,
            side=float(np.median((boxes[:, 2:] - boxes[:, :2]).max(1))),
            timeline=_timeline(windows, logits),
            stretches=_stretches(windows, logits),
            reason=reason,
            brief=len(boxes) < config.data.frames,
        )

    def _distance(self, windows: list[Window]) -> float | None:
        if self.familiarity is None:
            return None
        return float(np.median(self.familiarity.distances(np.stack([window.appearance for window in windows]))))


def _why_uncertain(
    probability: float, frames: int, needed: int, distance: float | None, found: calibrate.Calibration | None
) -> str | None:
    """Why the evidence carries no verdict; None if it does."""
    if math.isnan(probability):
        return "the model's answer is not a number"
    if frames < needed:
        return f"too short: the face is seen on {frames} frames, the model needs {needed}"
    if distance is not None and distance > 1:
        return f"outside what the model was trained on: {distance:.1f} times the distance that is usual there"
    if found and found.few:
        return f"too few val videos for verdicts ({found.val['real']} real, {found.val['fake']} fake): a raw score"
    if found and found.verdict(probability) not in LABELS:
        low, high = found.abstain
        return f"undecided: between {low:.3f} and {high:.3f} too many verdicts were wrong on the validation set"
    return None


def _why_no_motion(video: ScoredVideo) -> str:
    """What follows from gaps between the frames of a video."""
    off = sorted({name for window in video.windows for name, on in window.outputs.branches_on.items() if not on})
    branches = f"{' and '.join(off)} {'are' if len(off) > 1 else 'is'} switched off" if off else "motion says nothing"
    return f"its frames are not known to be consecutive, so {branches}"


def _motion_alone(config: c.Config) -> bool:
    """Whether a model reads nothing but the motion between consecutive frames."""
    fused = config.model.system == "fusion" and set(config.model.branches) <= set(c.MOTION_BRANCHES)
    return config.faces.sampling == "dense" and (fused or config.model.system == "flow")


def _label(probability: float, found: calibrate.Calibration | None) -> str:
    return LABELS[int(probability > (found.threshold if found else THRESHOLD))]


def by_person(clips: list[list[FaceTrack]], windows: list[Window]) -> dict[int, tuple[list[FaceTrack], list[Window]]]:
    """The clips and windows of each person, by track number."""
    named = track.number_tracks(clips)
    found: dict[int, tuple[list[FaceTrack], list[Window]]] = collections.defaultdict(lambda: ([], []))
    for faces in named:
        for face in faces:
            found[face.track][0].append(face)
    for window in windows:
        found[named[window.clip][window.face].track][1].append(window)
    return dict(found)


def _branches(windows: Sequence[Window]) -> dict[str, float]:
    logits = collections.defaultdict(list)
    for window in windows:
        for name, logit in window.outputs.branch_logits.items():
            if window.outputs.branches_on.get(name, True):
                logits[name].append(logit)
    return {name: float(scores.probability(logits[name]).mean()) for name in sorted(logits)}


def _stretches(windows: Sequence[Window], logits: np.ndarray) -> tuple[tuple[float, float, float], ...]:
    timed = [
        (float(window.seconds[0]), window.end, float(p))
        for window, p in zip(windows, scores.probability(logits), strict=True)
        if window.contiguous and window.seconds is not None
    ]
    return tuple(tuple(round(value, 3) for value in one) for one in segments.find(timed))


def _timeline(windows: Sequence[Window], logits: np.ndarray) -> tuple[tuple[int, float], ...]:
    by_second = collections.defaultdict(list)
    for window, probability in zip(windows, scores.probability(logits), strict=True):
        for second in window.covers:
            by_second[second].append(float(probability))
    return tuple((second, float(np.mean(by_second[second]))) for second in sorted(by_second))
