"""Whether a face moves as the faces of real videos do, independent of the model.

A window of a video is described by how fast each part of the stabilised face moves, how much it is strained (Shreve et
al. 2011) and how abruptly its motion changes. Its distance is the Mahalanobis distance from the real windows of train.
The rarity of a distance is the share of the real windows of val, which took no part in the fit, that lie as far: a
conformal p-value (Laxhammar and Falkman 2010; Bates et al., Annals of Statistics 2023). Neither uses a fake video.
"""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from fusion_dfd.evaluation import face_regions, whitening
from fusion_dfd.models.flow import flow, strain
from fusion_dfd.models.geometry import stabilise
from fusion_dfd.types import LUMA, DataError

SIZE = 64
"""Side of the stabilised face, pixels."""
LEAST = 3
"""Minimum number of frames of a window: a change of motion takes three."""
KINDS = ("speed", "strain", "abruptness")
FEATURES = len(KINDS) * len(face_regions.FACIAL)
_FLOOR = 1e-3
"""Added before a logarithm is taken, pixels a frame: less is noise of the flow."""


@dataclasses.dataclass(frozen=True)
class Reference:
    """How real faces move."""

    mean: np.ndarray
    """float64 [FEATURES], of the real windows of train."""
    whiten: np.ndarray
    """float64 [FEATURES, FEATURES]; ``(x - mean) @ whiten`` has unit covariance."""
    usual: np.ndarray
    """float64 [m], distances of the real windows of val, ascending."""

    def distances(self, motions: np.ndarray) -> np.ndarray:
        """float64 [n] >= 0 of windows' ``motions`` [n, FEATURES]; NaN where those are.

        It is the root mean square of the whitened features, about 1 for real windows.
        """
        away = (np.asarray(motions, np.float64) - self.mean) @ self.whiten
        return np.sqrt(np.square(away).mean(-1))

    def rarity(self, distances: np.ndarray) -> np.ndarray:
        """float64 [n] in (0, 1], the share of real windows that lie as far: (1 + those) / (1 + all of val's)."""
        farther = len(self.usual) - np.searchsorted(self.usual, distances, side="left")
        return np.where(np.isnan(distances), np.nan, (1 + farther) / (1 + len(self.usual)))


def motion(frames: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """float64 [FEATURES] of one window: the logarithms of KINDS for each part of ``face_regions.FACIAL``.

    Args:
      frames: uint8 [t, s, s, 3], contiguous.
      landmarks: float32 [t, 5, 2], pixels of the frames.

    Fewer than LEAST frames give NaN.
    """
    if len(frames) < LEAST:
        return np.full(FEATURES, np.nan)
    found = _maps(frames[None], landmarks[None].astype(np.float32), np.array([len(frames)], np.int32))
    parts = face_regions.template_masks(SIZE)
    maps = jax.device_get(found)
    means = [heat[parts[name]].mean() for heat in maps for name in face_regions.FACIAL]
    return np.log(np.array(means, np.float64) + _FLOOR)


@jax.jit
def _maps(frames: Array, landmarks: Array, length: Array) -> tuple[Float[Array, "s s"], ...]:
    """Means over time of KINDS at every place of the stabilised face, pixels a frame."""
    faces = stabilise(frames, landmarks, length, SIZE)[0] @ (jnp.asarray(LUMA, jnp.float32) / 255.0)
    u, v = flow(faces[:-1], faces[1:])
    abrupt = jnp.hypot(jnp.diff(u, axis=0), jnp.diff(v, axis=0))
    return jnp.hypot(u, v).mean(0), strain(u, v).mean(0), abrupt.mean(0)


def fit(train: np.ndarray, val: np.ndarray) -> Reference:
    """Fit to motions of REAL windows: mean and covariance to ``train`` [n, d], the distances to ``val`` [m, d].

    Windows too short for a motion (NaN) are left out. Raises :class:`DataError` where one of them is left empty.
    """
    train, val = (rows[np.isfinite(rows).all(-1)] for rows in (np.asarray(train), np.asarray(val)))
    if len(train) < 2 or not len(val):
        raise DataError(
            f"how real faces move cannot be learnt from {len(train)} real windows of train and {len(val)} of val; "
            "prepare a data set with real videos in both, of clips of at least 3 frames"
        )
    mean = train.mean(0)
    fitted = Reference(mean, whitening.matrix(train - mean), np.empty(0))
    return dataclasses.replace(fitted, usual=np.sort(fitted.distances(val)))


def load(path: str) -> Reference | None:
    """What :func:`fusion_dfd.evaluation.whitening.save` wrote; None where there is no file.

    Raises :class:`DataError` where the file cannot be read or holds other features than this version's.
    """
    what = "reference of real motion"
    found = whitening.load(path, ("mean", "whiten", "usual"), what)
    if found is None:
        return None
    if found[0].shape != (FEATURES,) or found[1].shape != (FEATURES, FEATURES):
        raise whitening.outdated(path, what, f"{found[0].shape} features per window, this version has {FEATURES}")
    return Reference(*found)
