"""Perturbations of whole frames at five levels, and chains of them as when a video is shared on social media.

The seven types are those of DeeperForensics-1.0 (Jiang et al., CVPR 2020), on which LipForensics and RealForensics
report; the two chains are ours. All map frames uint8 [t, h, w, 3] in RGB to frames of the same
shape and type. Each frame has random numbers of its own, so it is perturbed the same in every clip that holds it.
"""

from __future__ import annotations

import dataclasses
import functools
import zlib
from collections.abc import Callable, Sequence

import cv2
import numpy as np

from fusion_dfd.faces.recode import recode

Draws = Sequence[np.random.Generator]
"""One generator per frame."""

BLOCK = 8
GREY = 128


@dataclasses.dataclass(frozen=True)
class Perturbation:
    """One type; ``parameters[level - 1]`` is that of a level."""

    title: str
    parameters: tuple
    of: Callable[[np.ndarray, object, Draws], np.ndarray]


def _each(of: Callable) -> Callable:
    """A function of a frame, its parameter and its generator, over the frames of a clip."""

    @functools.wraps(of)
    def over(frames: np.ndarray, parameter, draws: Draws) -> np.ndarray:
        return np.stack([of(frame, parameter, rng) for frame, rng in zip(frames, draws, strict=True)])

    return over


def _bytes(picture: np.ndarray) -> np.ndarray:
    """float [h, w, 3] in 0..1 as uint8, clipped and rounded."""
    return np.clip(np.rint(picture * 255), 0, 255).astype(np.uint8)


def _ycc(frame: np.ndarray) -> np.ndarray:
    """float32 [h, w, 3], Y Cr Cb (BT.601) in 0..1; grey has chroma 0.5."""
    return cv2.cvtColor(frame.astype(np.float32) / 255, cv2.COLOR_RGB2YCrCb)


def _rgb(ycc: np.ndarray) -> np.ndarray:
    return _bytes(cv2.cvtColor(ycc.astype(np.float32), cv2.COLOR_YCrCb2RGB))


@_each
def saturation(frame: np.ndarray, p: float, rng: np.random.Generator) -> np.ndarray:
    """chroma' = .5 + (chroma - .5) p, in YCbCr."""
    ycc = _ycc(frame)
    ycc[..., 1:] = 0.5 + (ycc[..., 1:] - 0.5) * p
    return _rgb(ycc)


@_each
def contrast(frame: np.ndarray, p: float, rng: np.random.Generator) -> np.ndarray:
    """Pixel times p."""
    return _bytes(frame.astype(np.float32) / 255 * p)


@_each
def blocks(frame: np.ndarray, p: int, rng: np.random.Generator) -> np.ndarray:
    """max(1, min(h, w) // 256) p grey squares of 8 pixels at random places, which may overlap."""
    out = frame.copy()
    height, width = frame.shape[:2]
    count = max(1, min(height, width) // 256) * p
    tops = rng.integers(0, max(height - BLOCK, 0), count, endpoint=True)
    lefts = rng.integers(0, max(width - BLOCK, 0), count, endpoint=True)
    for top, left in zip(tops, lefts, strict=True):
        out[top : top + BLOCK, left : left + BLOCK] = GREY
    return out


@_each
def noise(frame: np.ndarray, p: float, rng: np.random.Generator) -> np.ndarray:
    """YCbCr in 0..1 plus sqrt(p) N(0, 1), clipped."""
    return _rgb(_ycc(frame) + np.sqrt(p) * rng.standard_normal(frame.shape, np.float32))


@_each
def blur(frame: np.ndarray, p: int, rng: np.random.Generator) -> np.ndarray:
    """Gaussian of kernel p, sigma p / 6."""
    return cv2.GaussianBlur(frame, (p, p), p / 6)


@_each
def pixelation(frame: np.ndarray, p: int, rng: np.random.Generator) -> np.ndarray:
    """Down by p and up again, bilinear."""
    height, width = frame.shape[:2]
    small = cv2.resize(frame, (max(width // p, 1), max(height // p, 1)), interpolation=cv2.INTER_LINEAR)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)


def compression(frames: np.ndarray, p: int, draws: Draws) -> np.ndarray:
    """H.264 (x264, medium preset) of constant rate factor p."""
    return recode(frames, "h264", p)


@dataclasses.dataclass(frozen=True)
class Share:
    """One upload: made smaller, saved as JPEG, encoded as video, then resized back, so that face boxes still fit."""

    scale: float
    quality: int
    crf: int

    def __call__(self, frames: np.ndarray) -> np.ndarray:
        height, width = frames.shape[1:3]
        size = (max(round(width * self.scale), 2), max(round(height * self.scale), 2))
        small = [_jpeg(cv2.resize(frame, size, interpolation=cv2.INTER_AREA), self.quality) for frame in frames]
        shown = recode(np.stack(small), "h264", self.crf)
        return np.stack([cv2.resize(frame, (width, height), interpolation=cv2.INTER_CUBIC) for frame in shown])


def _jpeg(frame: np.ndarray, quality: int) -> np.ndarray:
    _, data = cv2.imencode(".jpg", cv2.cvtColor(frame, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])
    return cv2.imdecode(data, cv2.IMREAD_COLOR_RGB)


def _chain(frames: np.ndarray, shares: Sequence[Share], draws: Draws) -> np.ndarray:
    for share in shares:
        frames = share(frames)
    return frames


PERTURBATIONS: dict[str, Perturbation] = {
    "saturation": Perturbation("Colour saturation", (0.4, 0.3, 0.2, 0.1, 0.0), saturation),
    "contrast": Perturbation("Contrast", (0.85, 0.725, 0.6, 0.475, 0.35), contrast),
    "blocks": Perturbation("Block-wise", (16, 32, 48, 64, 80), blocks),
    "noise": Perturbation("Gaussian noise", (0.001, 0.002, 0.005, 0.01, 0.05), noise),
    "blur": Perturbation("Gaussian blur", (7, 9, 13, 17, 21), blur),
    "pixelation": Perturbation("Pixelation", (2, 3, 4, 5, 6), pixelation),
    "compression": Perturbation("Video compression", (30, 32, 35, 38, 40), compression),
}
"""The seven types. The data set calls pixelation JPEG compression, which it is not."""

CHAINS: dict[str, Perturbation] = {
    "post": Perturbation("Shared: 3/4 size, JPEG 75, H.264 CRF 28, twice", ((Share(0.75, 75, 28),) * 2,), _chain),
    "messenger": Perturbation("Shared: half size, JPEG 50, H.264 CRF 32, twice", ((Share(0.5, 50, 32),) * 2,), _chain),
}
"""Chains as on social media, one level each; their parameters are this project's own."""

ALL = PERTURBATIONS | CHAINS


def cells(names: Sequence[str] = tuple(ALL)) -> list[tuple[str, int]]:
    """Name and level of every perturbation of those names, in order."""
    return [(name, level) for name in names for level in range(1, len(ALL[name].parameters) + 1)]


def apply(
    name: str, level: int, frames: np.ndarray, video: str, indices: Sequence[int] | np.ndarray, seed: int = 0
) -> np.ndarray:
    """Frames uint8 [t, h, w, 3] under a perturbation at a level from 1.

    Args:
      name: of :data:`ALL`.
      level: from 1.
      frames: RGB, of one video.
      video: its key. Key, frame number and ``seed`` determine the random numbers.
      indices: numbers [t] of the frames in the video.
      seed: see ``video``.
    """
    perturbation = ALL[name]
    draws = [np.random.default_rng([seed, zlib.crc32(f"{name}/{video}".encode()), level, int(i)]) for i in indices]
    return perturbation.of(frames, perturbation.parameters[level - 1], draws)
