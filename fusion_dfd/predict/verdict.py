"""What is said of one video: per person, over time, and as a whole."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

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
