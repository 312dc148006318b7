"""How a face moves: smooth, person-specific signals at 25 frames per second, and micro-expressions.

Every signal is a function of time made of few numbers of that person (own rates, amplitudes and phases). Beside slow
movements of brow, eyelid and mouth corner, which any frame may show, a face makes *micro-expressions*: brief
(80-360 ms), small movements in which the three move together. They are a renewal process of half-cosine pulses; the
same process on a stretched time axis has, at any single instant, the same distribution, and no brief movement.
"""

from __future__ import annotations

import dataclasses

import numpy as np

FPS = 25
REGIONS = ("brow", "lid", "corner")
MICRO = {"brow": 0.10, "lid": 0.35, "corner": 0.12}
"""Mean amplitude of a micro-expression: brow and corner in half face widths, lid as a fraction of the eye's opening."""
MACRO = {"brow": 0.065, "lid": 0.20, "corner": 0.075}
"""Standard deviation of the slow movement of each region, same units: about that of the micro-expressions."""
DURATION = (0.08, 0.36)
"""Seconds, of one micro-expression."""
PAUSE = (0.08, 0.42)
"""Seconds between two micro-expressions: no 16 frames are without one."""


@dataclasses.dataclass
class FaceMotion:
    """What a face does in ``t`` frames; all arrays float32 [t].

    Angles in radians, positive yaw turns to the right of the picture, positive pitch looks down. ``x``, ``y`` and
    ``brow``, ``corner`` in half face widths (positive brow and corner: up); ``jaw`` and ``blink`` 0..1; ``lid`` and
    ``lips`` relative changes of eye opening and mouth width; gaze -1..1.
    """

    yaw: np.ndarray
    pitch: np.ndarray
    roll: np.ndarray
    x: np.ndarray
    y: np.ndarray
    zoom: np.ndarray
    blink: np.ndarray
    gaze_x: np.ndarray
    gaze_y: np.ndarray
    jaw: np.ndarray
    lips: np.ndarray
    brow: np.ndarray
    lid: np.ndarray
    corner: np.ndarray

    def __len__(self) -> int:
        return len(self.yaw)

    def frame(self, index: int) -> dict[str, float]:
        """The signals at one frame."""
        return {field.name: float(getattr(self, field.name)[index]) for field in dataclasses.fields(self)}


def wander(rng: np.random.Generator, frames: int, period: float) -> np.ndarray:
    """A smooth random signal of unit variance: five sinusoids with periods from half to twice ``period`` seconds."""
    seconds = np.arange(frames) / FPS
    periods = period * 2.0 ** rng.uniform(-1, 1, 5)
    phases = rng.uniform(0, 2 * np.pi, 5)
    return (np.sin(2 * np.pi * seconds / periods[:, None] + phases[:, None]).sum(0) * np.sqrt(2 / 5)).astype(np.float32)


def pulses(rng: np.random.Generator, frames: int, regions: int, stretch: float = 1.0) -> np.ndarray:
    """Pulses common to ``regions`` signals: float32 [regions, frames], zero at rest, peaks +-(0.7 .. 1.3).

    Each region draws its own size and direction for every pulse; times are shared. ``stretch`` slows the whole
    process down without changing the distribution at a single instant.
    """
    seconds = np.arange(frames) / FPS / stretch
    out = np.zeros((regions, frames), np.float32)
    # The process starts well before the first frame, so that the first frame is like any other.
    time = -rng.uniform(2, 3)
    while time < seconds[-1]:
        duration = rng.uniform(*DURATION)
        size = rng.uniform(0.7, 1.3, regions) * rng.choice([-1, 1], regions)
        phase = (seconds - time) / duration
        shape = np.where((phase > 0) & (phase < 1), 0.5 - 0.5 * np.cos(2 * np.pi * np.clip(phase, 0, 1)), 0)
        out += (size[:, None] * shape).astype(np.float32)
        time += duration + rng.uniform(*PAUSE)
    return out


def _blinks(rng: np.random.Generator, frames: int) -> np.ndarray:
    seconds = np.arange(frames) / FPS
    out = np.zeros(frames)
    time, every = -rng.uniform(0, 3), rng.uniform(1.8, 4)
    while time < seconds[-1]:
        width = rng.uniform(0.05, 0.08)
        out = np.maximum(out, np.exp(-(((seconds - time) / width) ** 2)))
        time += every * rng.uniform(0.5, 1.5)
    return out.astype(np.float32)


def _saccades(rng: np.random.Generator, frames: int) -> np.ndarray:
    """Gaze [2, frames]: fixations of 0.4-1.2 s, jumps between them."""
    out, frame = np.zeros((2, frames), np.float32), 0
    while frame < frames:
        stop = frame + int(FPS * rng.uniform(0.4, 1.2))
        out[:, frame:stop] = np.clip(rng.normal(0, [[0.35], [0.2]]), -0.8, 0.8)
        frame = stop
    return out


def _speech(rng: np.random.Generator, frames: int) -> tuple[np.ndarray, np.ndarray]:
    """Jaw 0..1 at the rate of syllables, in phrases; and the width of the lips."""
    rate = rng.uniform(2.2, 3.6) * (1 + 0.25 * wander(rng, frames, 1.0))
    phase = 2 * np.pi * (np.cumsum(rate) / FPS + rng.uniform())
    phrase = np.clip(0.65 + 0.55 * wander(rng, frames, 1.6), 0, 1)
    size = np.clip(0.65 + 0.3 * wander(rng, frames, 0.6), 0.1, 1)
    jaw = rng.uniform(0.6, 1.0) * phrase * size * (0.5 - 0.5 * np.cos(phase))
    return jaw.astype(np.float32), np.float32(0.09) * wander(rng, frames, 0.5) * phrase.astype(np.float32)


def perform(rng: np.random.Generator, frames: int) -> tuple[FaceMotion, np.ndarray]:
    """A person's motion, and the share float32 [3, frames] of :data:`REGIONS` in it that is micro-expression."""

    def slow(low: float, high: float, period: float) -> np.ndarray:
        return np.float32(rng.uniform(low, high)) * wander(rng, frames, period * rng.uniform(0.7, 1.4))

    jaw, lips = _speech(rng, frames)
    gaze = _saccades(rng, frames)
    motion = FaceMotion(
        yaw=np.float32(rng.normal(0, 0.06)) + slow(0.04, 0.10, 2.5),
        pitch=np.float32(rng.normal(0, 0.03)) + slow(0.02, 0.05, 2.0) + 0.02 * jaw,
        roll=np.float32(rng.normal(0, 0.03)) + slow(0.015, 0.04, 2.5),
        x=slow(0.02, 0.07, 2.2) + slow(0.004, 0.012, 0.5),
        y=slow(0.02, 0.05, 2.0) + slow(0.004, 0.012, 0.5),
        zoom=1 + slow(0.004, 0.012, 2.0),
        blink=_blinks(rng, frames),
        gaze_x=gaze[0],
        gaze_y=gaze[1],
        jaw=jaw,
        lips=lips,
        **{region: np.float32(MACRO[region]) * wander(rng, frames, 4.0 * rng.uniform(0.8, 1.3)) for region in REGIONS},
    )
    share = pulses(rng, frames, len(REGIONS)) * np.float32([[MICRO[region]] for region in REGIONS])
    return add(motion, share), share


def add(motion: FaceMotion, share: np.ndarray) -> FaceMotion:
    """``motion`` with ``share`` [3, frames] added to brow, lid and corner."""
    return dataclasses.replace(
        motion, **{region: getattr(motion, region) + part for region, part in zip(REGIONS, share, strict=True)}
    )


def without_micro(rng: np.random.Generator, motion: FaceMotion, share: np.ndarray, stretch: float = 6.0) -> FaceMotion:
    """``motion`` with its micro-expressions replaced by slow drifts, at times of their own in every region.

    The drifts are the same process on a stretched time axis: each region shows, in a single frame, what it would show
    anyway; what is missing is brief motion, and motion of the three at once.
    """
    drift = np.concatenate([pulses(rng, share.shape[1], 1, stretch) for _ in REGIONS])
    return add(motion, drift * np.float32([[MICRO[region]] for region in REGIONS]) - share)
