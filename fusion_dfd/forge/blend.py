"""Blend: the face itself, changed a little, put back over itself.

Self-blended images (Shiohara & Yamasaki, "Detecting Deepfakes with Self-Blended Images", CVPR 2022) for clips: a copy
of the face with other colour, sharpness, size and place is blended into the clip. What is left are the traces of every
face swap: a border, and two halves that do not have the same history.

Over time (Nguyen et al., "Vulnerability-Aware Spatio-Temporal Learning", 2025; Cai et al., "DeepShield", 2025) a clip
draws how the hull follows the face (by each frame's own points, whose noise then shows, or by slowed ones), a slow
drift of colour and place, and a new alignment in every frame.
"""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np

from fusion_dfd.forge import hulls
from fusion_dfd.forge.forger import Donor, Face, Forged
from fusion_dfd.types import LUMA

SLOW = 0.35
"""Points whose mean step from frame to frame is larger follow slowly, pixels of a face of 256 (FakeSTormer)."""


@dataclasses.dataclass(frozen=True)
class _Change:
    """What is done to the pixels of the copy, the same in every frame."""

    gain: np.ndarray
    """[3], factor of each channel."""
    offset: np.ndarray
    """[3], grey values."""
    saturation: float
    scale: int
    """Shrunk by this factor and enlarged again; 1 = not at all."""
    nearest: bool
    sharpen: float
    """Weight of the unsharp mask; negative blurs."""

    @classmethod
    def draw(cls, rng: np.random.Generator) -> _Change:
        offset = rng.uniform(-20, 20, 3) * (rng.random() < 0.3)
        contrast, brightness = 1 + rng.uniform(-0.15, 0.15), rng.uniform(-0.1, 0.1) * 255
        saturation = 1 + rng.uniform(-0.3, 0.3) * (rng.random() < 0.5)
        gain = contrast * (1 + rng.uniform(-0.06, 0.06, 3) * (rng.random() < 0.5))
        kind = rng.integers(4)
        scale = int(rng.choice([2, 4])) if kind == 0 else 1
        sharpen = rng.uniform(0.2, 0.8) if kind == 1 else (-rng.uniform(0.3, 1.0) if kind == 2 else 0.0)
        offset = offset + brightness + 127.5 * (1 - gain)
        return cls(gain, offset, saturation, scale, bool(rng.random() < 0.5), float(sharpen))

    def __call__(self, frame: np.ndarray, drift: np.ndarray) -> np.ndarray:
        """float32 [h, w, 3]; ``drift`` [3] is added to the factors of this frame."""
        grey = np.outer(np.ones(3), LUMA)
        linear = np.diag(self.gain + drift) @ (self.saturation * np.eye(3) + (1 - self.saturation) * grey)
        matrix = np.hstack([linear, self.offset[:, None]]).astype(np.float32)
        out = cv2.transform(frame.astype(np.float32), matrix)
        height, width = out.shape[:2]
        if self.scale > 1:
            method = cv2.INTER_NEAREST if self.nearest else cv2.INTER_AREA
            small = cv2.resize(out, (max(width // self.scale, 1), max(height // self.scale, 1)), interpolation=method)
            out = cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)
        if self.sharpen:
            soft = cv2.GaussianBlur(out, (0, 0), 1.5)
            out = out + self.sharpen * (out - soft)
        return np.clip(out, 0, 255)


def blend(face: Face, donor: Donor, rng: np.random.Generator) -> Forged:
    """Self-blends a clip; ``donor`` is not asked. Needs the mesh in every frame."""
    face.require_mesh()
    count, height, width = face.frames.shape[:3]
    unit = min(height, width) / 256
    change = _Change.draw(rng)
    points = face.points(hulls.HULLS[str(rng.choice(list(hulls.HULLS)))])
    if rng.random() < 0.5:
        points = _slowed(points, SLOW * unit)
    sway = np.abs(rng.normal(0, 1)) * 50 * unit * 0.12
    field = cv2.resize(rng.normal(0, sway, (6, 6, 2)).astype(np.float32), (24, 24), interpolation=cv2.INTER_CUBIC)
    inner, outer = rng.uniform(0.02, 0.08), rng.uniform(0.01, 0.12)
    strength = float(rng.choice([0.25, 0.5, 0.75, 1, 1, 1, 1]))
    shift, size = rng.uniform(-1, 1, 2) * (0.03 * width, 0.015 * height), rng.uniform(0.95, 1 / 0.95)
    still = rng.random() < 0.3
    colour = _walk(rng, count, 0.0 if still else rng.uniform(0, 0.03), 3)
    place = _walk(rng, count, 0.0 if still else rng.uniform(0, 1.0) * unit, 2)
    jitter = rng.normal(0, rng.uniform(0.3, 1.0) * unit * (rng.random() < 0.4), (count, 2))
    frames, masks = face.frames.copy(), np.zeros((count, height, width), np.float32)
    for index, frame in enumerate(face.frames):
        centre = points[index].mean(0)
        move = shift + place[index] + jitter[index]
        matrix = np.array([[size, 0, 0], [0, size, 0]], np.float64)
        matrix[:, 2] = centre - size * centre + move
        mask = hulls.feather(hulls.elastic(hulls.hull(points[index], (height, width)), field), inner, outer) * strength
        mask = cv2.warpAffine(mask, matrix, (width, height))
        copy = cv2.warpAffine(change(frame, colour[index]), matrix, (width, height), borderMode=cv2.BORDER_REPLICATE)
        frames[index], masks[index] = hulls.composite(frame, copy, mask), mask
    return Forged(frames, masks)


def _walk(rng: np.random.Generator, count: int, size: float, parts: int) -> np.ndarray:
    """[count, parts]: a slow drift that begins anywhere, of standard deviation ``size`` over a second."""
    steps = np.cumsum(rng.normal(0, 1, (count, parts)), 0) / 5
    return size * (steps - steps.mean(0))


def _slowed(points: np.ndarray, limit: float) -> np.ndarray:
    """[t, n, 2] with every mean step from frame to frame shortened to ``limit`` pixels."""
    out = points.copy()
    for index in range(1, len(points)):
        step = points[index] - out[index - 1]
        length = float(np.linalg.norm(step, axis=-1).mean())
        out[index] = out[index - 1] + step * min(1.0, limit / max(length, 1e-6))
    return out
