"""Five-point alignment: one similarity transform per clip that brings its face upright, to one size and place.

Aligning frame by frame would turn the jitter of landmarks into motion of the face, see :mod:`fusion_dfd.faces.track`.
"""

from __future__ import annotations

import cv2
import numpy as np

from fusion_dfd.types import ARCFACE_LANDMARKS

TEMPLATE = np.array(ARCFACE_LANDMARKS)
"""ArcFace's image ends at brow and chin; the next two numbers say how much more a crop shows around it."""
FACE = 105.0
"""Longer side of a face's box in pixels of that picture: median of MTCNN's boxes over 28 clips of real footage."""
CENTRE = np.array([56.0, 64.0])
"""Centre of that box; the middle of the crop."""


def transform(boxes: np.ndarray, landmarks: np.ndarray, scale: float, size: int) -> np.ndarray:
    """float32 [2, 3] from pixels of the frame to those of the crop of side ``size``; pixel centres at whole numbers.

    The median over the clip of each landmark goes to TEMPLATE as nearly as rotation, scale and shift can, in least
    squares with the scale that is the same in both directions (Horn 1987, J. Opt. Soc. Am. A 4(4), 629-642, for the
    plane: complex numbers). The crop shows ``scale`` times the face, more only where a box would stick out.

    Args:
      boxes: [t, 4], pixels of the frame.
      landmarks: [t, 5, 2], likewise.
      scale: side of the crop relative to the face.
      size: side of the crop, pixels.
    """
    middle = _plane(np.median(landmarks.astype(np.float64), 0))
    goal = _plane((TEMPLATE - CENTRE) * size / (scale * FACE))
    a, b = middle - middle.mean(), goal - goal.mean()
    # Landmarks in one spot ask for endless magnification: the boxes then limit it.
    factor = np.linalg.norm(b) / max(np.linalg.norm(a), 1e-6) * np.exp(1j * np.angle(np.vdot(a, b)))
    shift = goal.mean() - factor * middle.mean()
    corners = factor * _plane(boxes.astype(np.float64)[:, [[0, 1], [2, 1], [2, 3], [0, 3]]]) + shift
    out = max(abs(corners.real).max(), abs(corners.imag).max()) / (size / 2)
    factor, shift = factor / max(out, 1), shift / max(out, 1) + (1 + 1j) * (size - 1) / 2
    return np.array([[factor.real, -factor.imag, shift.real], [factor.imag, factor.real, shift.imag]], np.float32)


def warp(frame: np.ndarray, matrix: np.ndarray, size: int) -> np.ndarray:
    """uint8 [size, size, 3], a ``frame`` (uint8 [h, w, 3]) under a similarity; the edge is repeated beyond it.

    Shrinking averages over areas first, which lets nothing alias.
    """
    matrix = matrix.astype(np.float64)
    shrink = min(np.hypot(*matrix[:, 0]), 1)
    x0, y0, x1, y1 = _needed(frame, matrix, size, margin=np.ceil(2 / shrink))
    part = frame[y0:y1, x0:x1]
    height, width = part.shape[:2]
    small = (max(round(width * shrink), 1), max(round(height * shrink), 1))
    if shrink < 1:
        part = cv2.resize(part, small, interpolation=cv2.INTER_AREA)
    step = np.array([width, height]) / part.shape[1::-1]
    inner = matrix[:, :2] * step
    offset = matrix[:, :2] @ (step / 2 - 0.5 + [x0, y0]) + matrix[:, 2]
    return cv2.warpAffine(
        part, np.column_stack([inner, offset]), (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )


def _needed(frame: np.ndarray, matrix: np.ndarray, size: int, margin: float) -> tuple[int, int, int, int]:
    """x0, y0, x1, y1 of the part of a frame, at least one pixel, that a crop shows, and ``margin`` around it."""
    ends = np.array([[0, 0], [size, 0], [size, size], [0, size]]) - 0.5
    source = np.linalg.solve(matrix[:, :2], (ends - matrix[:, 2]).T).T
    room = np.array(frame.shape[1::-1])
    low = np.clip(np.floor(source.min(0) - margin), 0, room - 1).astype(int)
    high = np.clip(np.ceil(source.max(0) + margin), low + 1, room).astype(int)
    return int(low[0]), int(low[1]), int(high[0]), int(high[1])


def _plane(points: np.ndarray) -> np.ndarray:
    """[..., 2] as complex [...]."""
    return points[..., 0] + 1j * points[..., 1]
