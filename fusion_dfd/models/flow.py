"""Dense optical flow and optical strain between neighbouring frames, batched, without gradients.

Lucas & Kanade 1981 from coarse to fine (Bouguet 2001). Every linear filter here is separable and acts on small
pictures, so it is written as a product with a small matrix from either side: exact at the borders, and a plain matrix
product on every device.
"""

from __future__ import annotations

import functools

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from fusion_dfd.models.stabilise import bilinear

WINDOW = 2.5
"""Standard deviation of the window, pixels of each level."""
SMOOTHING = 0.7
"""Standard deviation of the blur before differentiating, pixels."""
DAMPING = 2e-5
"""Added to the squared gradient, for brightness in 0..1: where a window holds no more texture than that, flow fades."""
SMALLEST = 12
"""No level is smaller than this, pixels."""


def flow(
    before: Float[Array, "n s s"], after: Float[Array, "n s s"], levels: int = 2
) -> tuple[Float[Array, "n s s"], Float[Array, "n s s"]]:
    """u (to the right) and v (downwards) in pixels: ``after[y + v, x + u]`` shows what ``before[y, x]`` shows.

    Brightness in 0..1. Equal pictures give exactly 0. Good for motion up to about 2 ** levels pixels; where a window
    of some 5 pixels holds no texture, the flow fades to 0 rather than follow noise.
    """
    pyramid = [(before, after)]
    while len(pyramid) < levels and pyramid[-1][0].shape[-1] // 2 >= SMALLEST:
        half = _halve(pyramid[-1][0].shape[-1])
        pyramid.append(tuple(_apply(half, half, image) for image in pyramid[-1]))
    u = v = jnp.zeros_like(pyramid[-1][0])
    for first, second in reversed(pyramid):
        size = first.shape[-1]
        if u.shape[-1] != size:
            double = _resize(u.shape[-1], size)
            u, v = 2.0 * _apply(double, double, u), 2.0 * _apply(double, double, v)
        u, v = _refine(first, second, u, v)
    return u, v


def strain(u: Float[Array, "n s s"], v: Float[Array, "n s s"]) -> Float[Array, "n s s"]:
    """Magnitude of the optical strain tensor (Shreve et al. 2011), ``sqrt(exx^2 + eyy^2 + 2 exy^2)``, per frame."""
    size = u.shape[-1]
    keep, slope = _gaussian(size, SMOOTHING), _derivative(size, SMOOTHING)
    exx, eyy = _apply(keep, slope, u), _apply(slope, keep, v)
    exy = 0.5 * (_apply(slope, keep, u) + _apply(keep, slope, v))
    return jnp.sqrt(exx * exx + eyy * eyy + 2 * exy * exy)


def _refine(first: Array, second: Array, u: Array, v: Array) -> tuple[Array, Array]:
    """One Gauss-Newton step of Lucas-Kanade: the gradient of ``first`` against the error left by ``u`` and ``v``."""
    size = first.shape[-1]
    keep, slope, window = _gaussian(size, SMOOTHING), _derivative(size, SMOOTHING), _gaussian(size, WINDOW)
    axis = jnp.arange(size, dtype=jnp.float32)
    where = jnp.stack([axis[None, None, :] + u, axis[None, :, None] + v], -1)
    moved = bilinear(second[..., None], where)[..., 0]
    gx, gy = _apply(keep, slope, first), _apply(slope, keep, first)
    gt = _apply(keep, keep, moved - first)
    products = jnp.stack([gx * gx, gx * gy, gy * gy, gx * gt, gy * gt])
    xx, xy, yy, xt, yt = _apply(window, window, products.reshape(-1, size, size)).reshape(products.shape)
    xx, yy = xx + DAMPING, yy + DAMPING
    scale = 1.0 / (xx * yy - xy * xy)
    return u + (xy * yt - yy * xt) * scale, v + (xy * xt - xx * yt) * scale


def _apply(rows: np.ndarray, columns: np.ndarray, images: Float[Array, "n s s"]) -> Float[Array, "n h w"]:
    """``rows @ image @ columns.T`` for every image."""
    return jnp.einsum("ij,njk,lk->nil", rows, images, columns)


@functools.cache
def _gaussian(size: int, sigma: float) -> np.ndarray:
    """Gaussian smoothing as a matrix [size, size]; rows sum to 1, so borders do not darken."""
    away = np.arange(size)[:, None] - np.arange(size)[None, :]
    weight = np.exp(-0.5 * (away / sigma) ** 2) * (np.abs(away) <= np.ceil(3 * sigma))
    return (weight / weight.sum(1, keepdims=True)).astype(np.float32)


@functools.cache
def _derivative(size: int, sigma: float) -> np.ndarray:
    """Smoothing, then central differences (one-sided at the ends), per pixel."""
    return np.gradient(_gaussian(size, sigma).astype(np.float64), axis=0).astype(np.float32)


@functools.cache
def _halve(size: int) -> np.ndarray:
    """Smoothing and a half-size grid, [size // 2, size]: pixel i covers pixels 2 i and 2 i + 1."""
    smooth = _gaussian(size, 0.8)[: size // 2 * 2]
    return (smooth[0::2] + smooth[1::2]) / 2


@functools.cache
def _resize(small: int, size: int) -> np.ndarray:
    """Linear interpolation back from :func:`_halve`'s grid, [size, small]; ends repeat."""
    at = np.clip((np.arange(size) + 0.5) / 2 - 0.5, 0, small - 1)
    return np.maximum(0, 1 - np.abs(at[:, None] - np.arange(small)[None, :])).astype(np.float32)
