"""Which part of a face is replaced: hulls of mesh points, with soft borders."""

from __future__ import annotations

import cv2
import numpy as np

from fusion_dfd.faces.mesh import JAW, LEFT_BROW, LEFT_EYE, LIPS, NOSE, OVAL, RIGHT_BROW, RIGHT_EYE

_BROWS = (*LEFT_BROW, *RIGHT_BROW)
HULLS = {
    "face": OVAL,
    "below_brows": (*_BROWS, *JAW),
    "features": (*_BROWS, *LEFT_EYE, *RIGHT_EYE, *NOSE, *LIPS),
    "mouth": (*LIPS, *JAW[4:-4]),
}
"""Points whose convex hull is replaced: the four hulls of self-blended images (Shiohara & Yamasaki 2022, section 3.2).
Without ears: the jaw of the last begins below them."""


def hull(points: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """float32 [h, w]: 1 within the convex hull of ``points`` [n, 2] (pixels), else 0."""
    mask = np.zeros(shape, np.float32)
    corners = cv2.convexHull(np.ascontiguousarray(points, np.float32)).round().astype(np.int32)
    return cv2.fillConvexPoly(mask, corners, 1.0)


def feather(mask: np.ndarray, inner: float, outer: float) -> np.ndarray:
    """A mask [h, w] with a soft border that does not reach beyond the old one.

    Blurred, scaled to 1 at its largest, cut to what is all within, and blurred again (self-blended images).

    Args:
      mask: 0..1.
      inner: standard deviation of the first blur. It says how far the border moves inwards.
      outer: standard deviation of the second blur. It says how wide the border is.

    Both are fractions of the side of a square as large as the mask, so that a small hull does not vanish.
    """
    inner, outer = (part * np.sqrt(float(mask.sum())) for part in (inner, outer))
    core = _blurred(mask, inner)
    core = (core >= 0.999 * max(float(core.max()), 1e-6)).astype(np.float32)
    soft = _blurred(core, outer) * (mask > 0)
    return soft / max(float(soft.max()), 1e-6)


def _blurred(mask: np.ndarray, sigma: float) -> np.ndarray:
    """A large blur of a smooth mask at a quarter of its size: the same to the eye in a tenth of the time."""
    if sigma < 6:
        return cv2.GaussianBlur(mask, (0, 0), max(sigma, 0.3))
    height, width = mask.shape
    small = cv2.resize(mask, (max(width // 4, 1), max(height // 4, 1)), interpolation=cv2.INTER_AREA)
    return cv2.resize(cv2.GaussianBlur(small, (0, 0), sigma / 4), (width, height), interpolation=cv2.INTER_LINEAR)


def elastic(mask: np.ndarray, field: np.ndarray) -> np.ndarray:
    """``mask`` [h, w] moved by a coarse displacement ``field`` [n, n, 2] in pixels, enlarged to its size."""
    height, width = mask.shape
    grid_x, grid_y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    moved = cv2.resize(field.astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC)
    return cv2.remap(mask, grid_x + moved[..., 0], grid_y + moved[..., 1], cv2.INTER_LINEAR)


def composite(below: np.ndarray, above: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """uint8 [h, w, 3]: ``above`` over ``below`` by ``mask`` [h, w] in 0..1; where it is 0, exactly ``below``."""
    cover = mask[..., None]
    mixed = below + cover * (above.astype(np.float32) - below)
    return np.where(cover > 0, np.clip(np.rint(mixed), 0, 255), below).astype(np.uint8)
