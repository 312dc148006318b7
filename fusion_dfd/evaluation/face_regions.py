"""The parts of a face as pixels, from its five landmarks."""

from __future__ import annotations

import functools

import jax
import numpy as np

from fusion_dfd.models.geometry import TEMPLATE, similarity

ELLIPSES = {
    "eyes": ((0.34, 0.45, 0.16, 0.12), (0.66, 0.45, 0.16, 0.12)),
    "nose": ((0.50, 0.58, 0.11, 0.14),),
    "mouth": ((0.50, 0.83, 0.22, 0.11),),
    "cheeks": ((0.22, 0.70, 0.14, 0.14), (0.78, 0.70, 0.14, 0.14)),
    "forehead": ((0.50, 0.22, 0.32, 0.13),),
}
"""Centre and half axes, x and y, as fractions of the side of a stabilised face (``models/geometry.py``, whose template
says where the landmarks lie). Where two overlap, the first named has the pixel."""
FACE = (0.50, 0.58, 0.50, 0.62)
"""The whole face. What of it is in no ellipse above is its outer part: temples, jaw, chin."""
CORE = (0.50, 0.58, 0.38, 0.48)
"""The inner face, which is not part of the outer part."""
OUTER, BACKGROUND = "outer face", "background"
FACIAL = (*ELLIPSES, OUTER)
"""The parts of a face, in the order of :func:`masks`, which adds the background."""


def masks(landmarks: np.ndarray, size: int) -> dict[str, np.ndarray]:
    """Each part as bool [t, size, size], by name; no pixel is in two.

    Args:
      landmarks: float [t, 5, 2], pixels of the frames. Five equal points are no face: all masks are then empty.
      size: side of the frames, pixels.
    """
    where = _on_template(np.asarray(landmarks, np.float64), size)
    face, core = _inside(where, FACE), _inside(where, CORE)
    left = np.isfinite(where).all(-1)
    found = {}
    for name, ellipses in ELLIPSES.items():
        found[name] = np.any([_inside(where, ellipse) for ellipse in ellipses], axis=0) & left
        left = left & ~found[name]
    found[OUTER] = face & ~core & left
    found[BACKGROUND] = ~face & left
    return found


@functools.cache
def template_masks(size: int) -> dict[str, np.ndarray]:
    """The parts of a stabilised face of ``size`` pixels, bool [size, size] each."""
    return {name: mask[0] for name, mask in masks(TEMPLATE[None] * size, size).items()}


def _on_template(landmarks: np.ndarray, size: int) -> np.ndarray:
    """float64 [t, size, size, 2], where on the template each pixel lies, in 0..1; NaN where there is no face."""
    matrix = np.asarray(jax.device_get(similarity(TEMPLATE, landmarks)), np.float64)
    a, b, shift = matrix[:, 0, 0], matrix[:, 1, 0], matrix[:, :, 2]
    scale = a * a + b * b
    scale = np.where(scale > 1e-6, scale, np.nan)
    y, x = np.mgrid[:size, :size].astype(np.float64)
    x, y = x - shift[:, 0, None, None], y - shift[:, 1, None, None]
    a, b, scale = (value[:, None, None] for value in (a, b, scale))
    return np.stack([(a * x + b * y) / scale, (a * y - b * x) / scale], -1)


def _inside(where: np.ndarray, ellipse: tuple[float, float, float, float]) -> np.ndarray:
    x, y, across, down = ellipse
    return np.square((where[..., 0] - x) / across) + np.square((where[..., 1] - y) / down) <= 1


def strongest(heat: np.ndarray, parts: dict[str, np.ndarray]) -> tuple[str, float] | None:
    """The part, or the background, with the highest mean of ``heat`` [h, w] >= 0, and that over the whole picture's.

    None where the heat is 0 or no part is in the picture. ``parts`` are masks [h, w].
    """
    means = {name: float(heat[parts[name]].mean()) for name in parts if parts[name].any()}
    overall = float(heat.mean())
    if not means or overall <= 0:
        return None
    name = max(means, key=means.get)
    return name, means[name] / overall
