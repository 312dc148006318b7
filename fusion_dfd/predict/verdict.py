"""What is said of one video: per person, over time, and as a whole."""

from __future__ import annotations

import collections
import dataclasses
import json
import math
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from fusion_dfd import config as c
from fusion_dfd.evaluation import calibrate, scores
from fusion_dfd.evaluation import familiarity as domains
from fusion_dfd.faces import track
from fusion_dfd.faces.extract import Scan
from fusion_dfd.training.checkpoint import Trained
from fusion_dfd.types import LABELS, FaceTrack, Outputs

VERDICTS = ("fake", "real", "uncertain", "none")
"""``uncertain``: scored, but the evidence does not carry a verdict. ``none``: it could not be scored."""


@dataclasses.dataclass(frozen=True)
class Face:
    """One person of a video."""

    track: int
    """0 is the face that counts: the longest in the picture, then the largest."""
    verdict: str
    """One of VERDICTS."""
    probability: float
    """Of being fake, 0..1, aggregated over the clips as the calibration asks (default: their mean), calibrated where
    the run is."""
    branches: dict[str, float]
    """What each branch alone would say, 0..1: the mean of its probabilities over the clips, not calibrated."""
    clips: int
    frames: int
    """Frames of the video in which the face was seen and scored."""
    side: float
    """Longer side of the face box, pixels of the video, the median over those frames."""
    distance: float | None
    """How far its clips lie from those the run was trained on, their median; 1 is the farthest that is usual on val.
    None where the run does not know."""
    timeline: tuple[tuple[int, float], ...]
    """``(second of the video, probability)``: mean over the clips that cover the second, not calibrated. Seconds
    nobody looked at are missing; empty for a video that does not say its frame rate."""
    reason: str | None = None
    """Why the verdict is ``uncertain``."""


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What is said of a video: the verdict on the face that counts, or on the most suspicious one
    (``evaluate.tracks``)."""

    path: str
    verdict: str
    """One of VERDICTS."""
    probability: float | None
    """Of the face that speaks for the video, see :attr:`Face.probability`. None when not scored."""
    faces: tuple[Face, ...]
    reason: str | None = None
    """Why the video could not be scored, why the verdict is uncertain, or what of the file was damaged."""
    seconds: float | None = None
    """Length of the video; None where it is not known."""
    took: float = 0.0
    """Wall-clock seconds spent on it, work shared with other videos counted to whoever waited for it."""

    def to_json(self) -> str:
        """One line of JSON with all fields."""
        return json.dumps(dataclasses.asdict(self))

    def row(self) -> dict[str, Any]:
        """What fits a line of a table: a video without its timeline."""
        first = self.faces[0] if self.faces else None
        return {
            "path": self.path,
            "verdict": self.verdict,
            "probability": self.probability,
            "faces": len(self.faces),
            "fake_faces": sum(face.verdict == "fake" for face in self.faces),
            "clips": first.clips if first else 0,
            "seconds": self.seconds,
            "reason": self.reason or "",
        }


# MERGED from predict.judge: From the scored pieces of a video to a verdict per person, and when not to give one.
THRESHOLD = 0.5
"""Of a run without calibration."""


@dataclasses.dataclass(frozen=True)
class Judge:
    """What a run learnt about its own probabilities, and about what it was trained on."""

    calibration: calibrate.Calibration | None
    rule: str
    """How the logits of a face's clips become its probability, a name of ``scores.RULES``."""
    domain: domains.Domain | None
    tracks: str
    """Which face speaks for the video, a name of ``scores.TRACKS``."""

    @staticmethod
    def of(run: str, trained: Trained) -> Judge:
        """Of a run folder. Raises DataError for files that do not belong to its best checkpoint."""
        found = calibrate.load(run, trained.step)
        said = found or trained.config.evaluate
        return Judge(found, said.aggregate, domains.load(run), said.tracks)

    def verdict(self, video: Scored, config: c.Config) -> Verdict:
        """What is said of a video all of whose pieces are scored."""
        took = time.monotonic() - video.started
        if video.reason:
            return Verdict(video.path, "none", None, (), video.reason, took=took)
        fps = video.scan.info.fps
        seconds = video.scan.info.frames / fps if fps else None
        seen = people(video.windows, video.pieces)
        faces = tuple(self._face(number, *seen[number], fps, config) for number in sorted(seen))
        speaks = self.speaker(faces)
        damaged = f"{video.scan.damaged} damaged packets were left out" if video.scan.damaged else None
        reason = "; ".join(filter(None, [speaks.reason, damaged])) or None
        return Verdict(video.path, speaks.verdict, speaks.probability, faces, reason, seconds, took)

    def speaker(self, faces: Sequence[Face]) -> Face:
        """The face that speaks for a video; ``faces`` are those of its verdict."""
        return faces[0] if self.tracks == "first" else max(faces, key=lambda face: face.probability)

    def aggregated(self, logits: np.ndarray) -> float:
        """Probability of the clips' ``logits`` [n], as the run aggregates them, calibrated where it is."""
        probability = scores.RULES[self.rule](logits)
        return float(self.calibration.apply([probability])[0]) if self.calibration else probability

    def _face(self, number: int, clips: list[FaceTrack], pieces: list[Piece], fps: float, config: c.Config) -> Face:
        logits = np.array([float(piece.outputs.logit) for piece in pieces])
        probability = self.aggregated(logits)
        boxes = np.concatenate([clip.boxes for clip in clips])
        frames = len(boxes)
        distance = self._distance(pieces)
        doubt = self._doubt(probability, frames, config.data.frames, distance)
        return Face(
            track=number,
            verdict="uncertain" if doubt else self._call(probability),
            probability=probability,
            branches=_branches(pieces),
            clips=len(pieces),
            frames=frames,
            distance=distance,
            side=float(np.median((boxes[:, 2:] - boxes[:, :2]).max(1))),
            timeline=_timeline(pieces, logits, fps),
            reason=doubt,
        )

    def _distance(self, pieces: list[Piece]) -> float | None:
        if self.domain is None:
            return None
        return float(np.median(self.domain.distances(np.stack([piece.looks for piece in pieces]))))

    def _doubt(self, probability: float, frames: int, wanted: int, distance: float | None) -> str | None:
        """Why no verdict is given, if so."""
        if math.isnan(probability):
            return "the model's answer is not a number"
        if frames < wanted:
            return f"too short: the face is seen on {frames} frames, the model looks at {wanted}"
        if distance is not None and distance > 1:
            return f"outside what the model was trained on: {distance:.1f} times as far as is usual there"
        if self.calibration and self.calibration.verdict(probability) not in LABELS:
            low, high = self.calibration.abstain
            return f"undecided: between {low:.3f} and {high:.3f} too many verdicts were wrong on the validation set"
        return None

    def _call(self, probability: float) -> str:
        return LABELS[int(probability > (self.calibration.threshold if self.calibration else THRESHOLD))]


def people(windows: list[list[FaceTrack]], pieces: list[Piece]) -> dict[int, tuple[list[FaceTrack], list[Piece]]]:
    """Clips and pieces of each person by track number."""
    named = track.name(windows)
    found: dict[int, tuple[list[FaceTrack], list[Piece]]] = collections.defaultdict(lambda: ([], []))
    for faces in named:
        for face in faces:
            found[face.track][0].append(face)
    for piece in pieces:
        found[named[piece.window][piece.face].track][1].append(piece)
    return dict(found)


def _branches(pieces: Sequence[Piece]) -> dict[str, float]:
    names = pieces[0].outputs.branch_logits
    return {
        name: float(scores.probability([piece.outputs.branch_logits[name] for piece in pieces]).mean())
        for name in sorted(names)
    }


def _timeline(pieces: Sequence[Piece], logits: np.ndarray, fps: float) -> tuple[tuple[int, float], ...]:
    if not fps:
        return ()
    found = collections.defaultdict(list)
    for piece, probability in zip(pieces, scores.probability(logits), strict=True):
        for second in {int(index / fps) for index in piece.indices.tolist()}:
            found[second].append(float(probability))
    return tuple((second, float(np.mean(found[second]))) for second in sorted(found))


@dataclasses.dataclass
class Piece:
    """As many frames of one face as the model takes, and what the model said of them."""

    window: int
    face: int
    """Place among the faces of its window of the video."""
    indices: np.ndarray
    """int32 [t], frame numbers in the video."""
    frames: np.ndarray | None
    """uint8 [t, size, size, 3], as the model sees them; None once scored and not kept."""
    landmarks: np.ndarray
    """float32 [t, 5, 2], pixels of the frames."""
    looks: np.ndarray
    """float64 [n], see :func:`fusion_dfd.evaluation.appearance.looks`."""
    outputs: Outputs | None = None
    """Of this piece alone, numpy without the batch axis; None until scored."""


@dataclasses.dataclass
class Scored:
    """A video on its way: what was found so far."""

    path: str
    started: float
    scan: Scan | None = None
    windows: list[list[FaceTrack]] = dataclasses.field(default_factory=list)
    """Faces by window, their crops let go."""
    pieces: list[Piece] = dataclasses.field(default_factory=list)
    read: bool = False
    reason: str | None = None
    """Why it cannot be scored."""

    @property
    def ready(self) -> bool:
        return self.read and all(piece.outputs is not None for piece in self.pieces)
