"""Stabilised faces: each frame is rotated, scaled and shifted so that slow head motion disappears.

What remains is motion *within* the face. The transform follows landmarks that are smoothed over time. The jitter of
detected landmarks would otherwise shake the image and hide the small motions that matter here.
"""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, UInt8

from fusion_dfd.types import ARCFACE_LANDMARKS

TEMPLATE = np.float32(ARCFACE_LANDMARKS) / np.float32(112)
"""Positions of the five landmarks in a stabilised face, x and y as fractions of its side."""

SIGMA = 4.0
"""Standard deviation of the smoothing, frames: at 25 frames per second, motion faster than about 3 Hz remains."""


# Jitted for eager callers; inside a larger program this changes nothing.
@functools.partial(jax.jit, static_argnums=3)
def stabilise(
    frames: UInt8[Array, "b t h w 3"], landmarks: Float[Array, "b t 5 2"], length: Int[Array, " b"], size: int
) -> Float[Array, "b t s s 3"]:
    """Stabilised faces, float32 in 0..255. Landmarks are in pixels of the frames; no gradient flows through."""
    landmarks = jax.lax.stop_gradient(smooth(landmarks, length))
    transform = similarity(TEMPLATE * size, landmarks)
    return warp(frames, transform, size)


def smooth(
    landmarks: Float[Array, "b t 5 2"], length: Int[Array, " b"], sigma: float = SIGMA
) -> Float[Array, "b t 5 2"]:
    """Local linear regression over time with Gaussian weights, over valid frames only (Cleveland 1979).

    Unlike a moving average it preserves steady motion, also at the ends of a window. Frames beyond ``length`` repeat
    the last valid one.
    """
    time = jnp.arange(landmarks.shape[1])
    valid = time[None, :] < length[:, None]
    centre = jnp.minimum(time[None, :], jnp.maximum(length[:, None] - 1, 0))
    away = (time[None, None, :] - centre[:, :, None]).astype(jnp.float32)
    weight = jnp.exp(-0.5 * jnp.square(away / sigma)) * valid[:, None, :]
    s0 = jnp.sum(weight, -1, keepdims=True)
    s1 = jnp.sum(weight * away, -1, keepdims=True)
    # With one valid frame the slope of the line is undefined; the small ridge then makes it 0.
    s2 = jnp.sum(weight * away * away, -1, keepdims=True) + 1e-3
    weight = weight * (s2 - away * s1) / jnp.maximum(s0 * s2 - s1 * s1, 1e-12)
    landmarks = jnp.where(valid[..., None, None], landmarks, 0.0)
    return jnp.einsum("bts,bspx->btpx", weight, landmarks, precision="highest")


def similarity(
    source: Float[Array, "5 2"] | np.ndarray, target: Float[Array | np.ndarray, "*n 5 2"]
) -> Float[Array, "*n 2 3"]:
    """The rotation, scale and shift that map ``source`` to ``target`` with the least squared error.

    Umeyama 1991 without reflection, in closed form for two dimensions: for centred points,
    ``a = sum(s . t) / sum |s|^2`` and ``b = sum(s x t) / sum |s|^2`` in ``[[a, -b], [b, a]]``.
    """
    source = jnp.asarray(source)
    middle, goal = source.mean(-2), target.mean(-2)
    s, t = source - middle, target - goal[..., None, :]
    spread = jnp.sum(s * s)
    a = jnp.sum(s * t, axis=(-2, -1)) / spread
    b = jnp.sum(s[:, 0] * t[..., 1] - s[:, 1] * t[..., 0], axis=-1) / spread
    shift_x = goal[..., 0] - a * middle[0] + b * middle[1]
    shift_y = goal[..., 1] - b * middle[0] - a * middle[1]
    return jnp.stack([jnp.stack([a, -b, shift_x], -1), jnp.stack([b, a, shift_y], -1)], -2)


def warp(frames: UInt8[Array, "b t h w 3"], transform: Float[Array, "b t 2 3"], size: int) -> Float[Array, "b t s s 3"]:
    """Bilinear sampling: pixel (x, y) of the result is the frame at ``transform @ (x, y, 1)``; edges repeat.

    Frames far larger than the result are area-averaged first, so that fine texture does not alias into motion.
    """
    factor = max(1, int(min(frames.shape[2:4]) / (1.25 * size)))
    images = _area_average(frames, factor)
    b, t, h, w, _ = images.shape
    grid = jnp.arange(size, dtype=jnp.float32)
    x, y = jnp.meshgrid(grid, grid)
    points = jnp.stack([x, y, jnp.ones_like(x)], -1)
    where = jnp.einsum("btij,yxj->btyxi", transform, points, precision="highest")
    # A pixel of the averaged image is centred on (factor - 1) / 2 of the original.
    where = (where - (factor - 1) / 2) / factor
    flat = bilinear(images.reshape(b * t, h, w, -1), where.reshape(b * t, size, size, 2))
    return flat.reshape(b, t, size, size, 3)


def bilinear(images: Float[Array, "n h w c"] | UInt8[Array, "n h w c"], where: Float[Array, "n i j 2"]) -> Array:
    """``images`` at the fractional pixels ``where`` (x, y), float32 [n, i, j, c]; edges repeat."""
    n, h, w, c = images.shape
    x = jnp.clip(where[..., 0], 0.0, w - 1.0)
    y = jnp.clip(where[..., 1], 0.0, h - 1.0)
    x0, y0 = jnp.floor(x).astype(jnp.int32), jnp.floor(y).astype(jnp.int32)
    x1, y1 = jnp.minimum(x0 + 1, w - 1), jnp.minimum(y0 + 1, h - 1)
    flat = images.reshape(n, h * w, c)

    def take(row, column):
        place = (row * w + column).reshape(n, -1, 1)
        values = jnp.take_along_axis(flat, place, axis=1, mode="promise_in_bounds")
        return values.reshape(*row.shape, c).astype(jnp.float32)

    fx, fy = (x - x0)[..., None], (y - y0)[..., None]
    upper = take(y0, x0) * (1 - fx) + take(y0, x1) * fx
    lower = take(y1, x0) * (1 - fx) + take(y1, x1) * fx
    return upper * (1 - fy) + lower * fy


def _area_average(frames: UInt8[Array, "b t h w 3"], factor: int) -> Array:
    """Mean of ``factor`` x ``factor`` pixels; a remainder at the right and the bottom is left out."""
    if factor == 1:
        return frames
    b, t, h, w, c = frames.shape
    h, w = h // factor, w // factor
    blocks = frames[:, :, : h * factor, : w * factor].reshape(b, t, h, factor, w, factor, c)
    return jnp.mean(blocks.astype(jnp.float32), axis=(3, 5))
