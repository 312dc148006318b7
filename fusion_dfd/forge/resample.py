"""What generators leave in the pixels: a smaller picture, enlarged by one of several methods."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np

SHRINK = (cv2.INTER_AREA, cv2.INTER_LINEAR, cv2.INTER_CUBIC, cv2.INTER_NEAREST)
ENLARGE = (cv2.INTER_LINEAR, cv2.INTER_CUBIC, cv2.INTER_LANCZOS4, cv2.INTER_NEAREST)


@dataclasses.dataclass(frozen=True)
class Resampling:
    """One draw, replayed on every frame of a clip."""

    scale: float
    """Side of the small picture relative to the large one."""
    shrink: int
    enlarge: int
    """Methods of OpenCV."""
    soft: float
    """Standard deviation of a blur at full size, pixels."""
    sharp: float
    """Weight of an unsharp mask at full size, as super-resolution networks leave it."""
    checks: float
    """Grey values by which the four places of a 2 x 2 cell differ, as transposed convolutions leave them."""

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Resampling:
        enlarge = int(rng.choice(ENLARGE))
        return cls(
            scale=float(rng.uniform(0.4, 0.95)),
            shrink=int(rng.choice(SHRINK)),
            enlarge=enlarge,
            soft=float(rng.uniform(0.5, 1.0) if enlarge == cv2.INTER_NEAREST else rng.uniform(0, 0.6)),
            sharp=float(rng.uniform(0.3, 1.0) if rng.random() < 0.4 else 0),
            checks=float(rng.uniform(0.5, 2) if rng.random() < 0.25 else 0),
        )

    def __call__(self, picture: np.ndarray) -> np.ndarray:
        """uint8 [h, w, 3], like ``picture``."""
        height, width = picture.shape[:2]
        small = (max(round(width * self.scale), 1), max(round(height * self.scale), 1))
        out = cv2.resize(picture.astype(np.float32), small, interpolation=self.shrink)
        out = cv2.resize(out, (width, height), interpolation=self.enlarge)
        if self.soft > 0.2:
            out = cv2.GaussianBlur(out, (0, 0), self.soft)
        if self.sharp:
            out += self.sharp * (out - cv2.GaussianBlur(out, (0, 0), 1.2))
        out[::2, ::2] += self.checks
        out[1::2, 1::2] -= self.checks
        return np.clip(np.rint(out), 0, 255).astype(np.uint8)
