"""What happens to videos on their way: encoding, scaling, noise, blur, gamma, grey, a lower frame rate.

A real clip and its forgery get one draw: nothing but the forgery differs between them.
"""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np

from fusion_dfd.faces import recode

KERNELS = (cv2.INTER_AREA, cv2.INTER_LINEAR, cv2.INTER_CUBIC, cv2.INTER_LANCZOS4)
FAST = {
    "h264": {"preset": "superfast"},
    "hevc": {"preset": "superfast"},
    "vp9": {"deadline": "realtime", "cpu-used": "8"},
}
"""Options that make an encoder fast enough to be used while training."""
VP9 = 1.2
"""Ratio of libvpx's constant rate factor, 0..63, to x264's, 0..51."""


@dataclasses.dataclass(frozen=True)
class Encoding:
    """One pass through an encoder."""

    codec: str
    crf: int


@dataclasses.dataclass(frozen=True)
class Degradation:
    """One draw; the defaults change nothing."""

    scale: float = 1.0
    """The picture is shrunk by this factor, and enlarged again at the end."""
    kernels: tuple[int, int] = (cv2.INTER_AREA, cv2.INTER_LINEAR)
    """Of OpenCV, for shrinking and enlarging."""
    gamma: float = 1.0
    grey: bool = False
    blur: float = 0.0
    """Standard deviation, pixels."""
    noise: float = 0.0
    """Standard deviation, grey values."""
    noise_seed: int = 0
    hold: int = 1
    """Every so many frames are new, the others repeat the one before."""
    encodings: tuple[Encoding, ...] = ()


def draw(rng: np.random.Generator, probability: float) -> Degradation:
    """Draw a :class:`Degradation`; with ``1 - probability`` it changes nothing.

    Encoders are those that the installed FFmpeg has, at constant rate factors that equal 18 .. 40 of H.264.
    """
    if rng.random() >= probability:
        return Degradation()
    scale = rng.uniform(0.25, 1.0) if rng.random() < 0.5 else 1.0
    encodings = tuple(_draw_encoding(rng) for _ in range(rng.choice([0, 1, 1, 1, 2])))
    return Degradation(
        scale=float(scale),
        kernels=(int(rng.choice(KERNELS)), int(rng.choice(KERNELS[1:]))),
        gamma=float(np.exp(rng.uniform(-0.4, 0.4))) if rng.random() < 0.3 else 1.0,
        grey=bool(rng.random() < 0.05),
        blur=float(rng.uniform(0.4, 2.5)) if rng.random() < 0.25 else 0.0,
        noise=float(rng.uniform(1, 20)) if rng.random() < 0.25 else 0.0,
        noise_seed=int(rng.integers(2**31)),
        hold=int(rng.choice([1, 1, 1, 2])),
        encodings=encodings,
    )


def _draw_encoding(rng: np.random.Generator) -> Encoding:
    names = recode.available()
    weights = np.array([3.0 if name == "h264" else 1.0 for name in names])
    codec, crf = str(rng.choice(names, p=weights / weights.sum())), int(rng.integers(18, 40, endpoint=True))
    return Encoding(codec, round(crf * VP9) if codec == "vp9" else crf)


def apply(frames: np.ndarray, degradation: Degradation) -> np.ndarray:
    """Frames uint8 [t, h, w, 3] in RGB as they arrive, in the same shape."""
    d = degradation
    if d == Degradation():
        return frames
    height, width = frames.shape[1:3]
    frames = frames[np.arange(len(frames)) // d.hold * d.hold]
    table = np.rint(255 * (np.arange(256) / 255) ** d.gamma).astype(np.uint8)
    rng = np.random.default_rng(d.noise_seed)
    size = (max(round(width * d.scale), 16), max(round(height * d.scale), 16))
    small = np.stack([_worse(frame, d, table, size, rng) for frame in frames])
    for encoding in d.encodings:
        small = recode.recode(small, encoding.codec, encoding.crf, **FAST[encoding.codec])
    if small.shape[1:3] == (height, width):
        return small
    return np.stack([cv2.resize(frame, (width, height), interpolation=d.kernels[1]) for frame in small])


def _worse(
    frame: np.ndarray, d: Degradation, table: np.ndarray, size: tuple[int, int], rng: np.random.Generator
) -> np.ndarray:
    """One frame in all but its encoding."""
    if d.gamma != 1:
        frame = table[frame]
    if d.grey:
        frame = cv2.cvtColor(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    if d.blur:
        frame = cv2.GaussianBlur(frame, (0, 0), d.blur)
    if frame.shape[1::-1] != size:
        frame = cv2.resize(frame, size, interpolation=d.kernels[0])
    if d.noise:
        frame = np.clip(frame + rng.normal(0, d.noise, frame.shape), 0, 255).round().astype(np.uint8)
    return frame
