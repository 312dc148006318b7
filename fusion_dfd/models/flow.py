"""Dense optical flow and optical strain between neighbouring frames, batched, without gradients.

Lucas & Kanade 1981 from coarse to fine (Bouguet 2001). Every linear filter here is separable and acts on small images.
It is therefore computed as a product with a small matrix from either side: exact at the borders, and a plain matrix
product on every device.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from fusion_dfd.models.geometry import bilinear

WINDOW = 2.5
"""Standard deviation of the Lucas-Kanade window, pixels of each level."""
DENSE_WINDOW = 5.0
"""The same for whole frames."""
SMOOTHING = 0.7
"""Standard deviation of the blur before differentiating, pixels."""
DAMPING = 2e-5
"""Added to the squared image gradient, for brightness in 0..1. Where a window has less texture, the flow fades."""
SMALLEST = 12
"""No level is smaller than this, pixels."""


def flow(
    before: Float[Array, "n h w"], after: Float[Array, "n h w"], levels: int = 2
) -> tuple[Float[Array, "n h w"], Float[Array, "n h w"]]:
    """u (to the right) and v (downwards) in pixels: ``after[y + v, x + u]`` shows what ``before[y, x]`` shows.

    For small stabilised faces; :func:`dense` is for whole frames. Brightness is in 0..1. Equal images give exactly 0.
    Good for motion of up to about 2 ** levels pixels. Where a window of about 5 pixels has no texture, the flow fades
    to 0 instead of following noise.
    """
    return _coarse_to_fine(before, after, _Search(levels, steps=1, window=WINDOW, inside=False))


def dense(
    before: Float[Array, "n h w"], after: Float[Array, "n h w"]
) -> tuple[Float[Array, "n h w"], Float[Array, "n h w"]]:
    """:func:`flow` for whole frames, where motion may be many pixels.

    It uses all levels down to :data:`SMALLEST` pixels, two steps per level, and windows twice as wide, which ignore
    what has moved out of the image. On images of known motion, 0.5 to 14 pixels, its end-point error is below that of
    OpenCV's ``calcOpticalFlowFarneback`` (Farneback 2003), as ``tests/models/test_flow.py`` checks.
    """
    return _coarse_to_fine(before, after, _Search(levels=16, steps=2, window=DENSE_WINDOW, inside=True))


class _Search(NamedTuple):
    levels: int
    """Most levels of the image pyramid."""
    steps: int
    """Gauss-Newton steps on each level."""
    window: float
    """Standard deviation of the window, pixels of each level."""
    inside: bool
    """Ignore what has moved out of the image, instead of repeating its edge."""


def _coarse_to_fine(before: Array, after: Array, search: _Search) -> tuple[Array, Array]:
    pyramid = [(before, after)]
    while len(pyramid) < search.levels and min(pyramid[-1][0].shape[1:]) // 2 >= SMALLEST:
        rows, columns = map(_halve, pyramid[-1][0].shape[1:])
        pyramid.append(tuple(_apply(rows, columns, image) for image in pyramid[-1]))
    u = v = jnp.zeros_like(pyramid[-1][0])
    for first, second in reversed(pyramid):
        if u.shape != first.shape:
            rows, columns = map(_resize, u.shape[1:], first.shape[1:])
            u, v = 2.0 * _apply(rows, columns, u), 2.0 * _apply(rows, columns, v)
        for _ in range(search.steps):
            u, v = _refine(first, second, u, v, search)
    return u, v


def strain(u: Float[Array, "n h w"], v: Float[Array, "n h w"]) -> Float[Array, "n h w"]:
    """Magnitude of the optical strain tensor (Shreve et al. 2011), ``sqrt(exx^2 + eyy^2 + 2 exy^2)``, per frame."""
    rows, columns = ((_gaussian(size, SMOOTHING), _derivative(size, SMOOTHING)) for size in u.shape[1:])
    (blur_y, d_dy), (blur_x, d_dx) = rows, columns
    exx, eyy = _apply(blur_y, d_dx, u), _apply(d_dy, blur_x, v)
    exy = 0.5 * (_apply(d_dy, blur_x, u) + _apply(blur_y, d_dx, v))
    return jnp.sqrt(exx * exx + eyy * eyy + 2 * exy * exy)


def _refine(first: Array, second: Array, u: Array, v: Array, search: _Search) -> tuple[Array, Array]:
    """One Gauss-Newton step of Lucas-Kanade: the gradient of ``first`` against the error left by ``u`` and ``v``."""
    height, width = first.shape[1:]
    blur_y, blur_x = _gaussian(height, SMOOTHING), _gaussian(width, SMOOTHING)
    x, y = jnp.arange(width, dtype=jnp.float32), jnp.arange(height, dtype=jnp.float32)
    where = jnp.stack([x[None, None, :] + u, y[None, :, None] + v], -1)
    moved = bilinear(second[..., None], where)[..., 0]
    gx, gy = _apply(blur_y, _derivative(width, SMOOTHING), first), _apply(_derivative(height, SMOOTHING), blur_x, first)
    gt = _apply(blur_y, blur_x, moved - first)
    products = jnp.stack([gx * gx, gx * gy, gy * gy, gx * gt, gy * gt])
    if search.inside:
        products = products * _within(where, height, width)
    window = _gaussian(height, search.window), _gaussian(width, search.window)
    xx, xy, yy, xt, yt = _apply(*window, products.reshape(-1, height, width)).reshape(products.shape)
    xx, yy = xx + DAMPING, yy + DAMPING
    scale = 1.0 / (xx * yy - xy * xy)
    return u + (xy * yt - yy * xt) * scale, v + (xy * xt - xx * yt) * scale


def _within(where: Float[Array, "n h w 2"], height: int, width: int) -> Float[Array, "n h w"]:
    """1 where a point lies in the image, else 0."""
    inside = (where >= 0) & (where <= jnp.asarray([width - 1, height - 1]))
    return jnp.all(inside, axis=-1).astype(jnp.float32)


def _apply(rows: np.ndarray, columns: np.ndarray, images: Float[Array, "n h w"]) -> Float[Array, "n i j"]:
    """``rows @ image @ columns.T`` for every image, in full float32 on every device."""
    return jnp.einsum("ij,njk,lk->nil", rows, images, columns, precision="highest")


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
    """Linear interpolation back from the grid of :func:`_halve`, [size, small]; ends repeat."""
    at = np.clip((np.arange(size) + 0.5) / 2 - 0.5, 0, small - 1)
    return np.maximum(0, 1 - np.abs(at[:, None] - np.arange(small)[None, :])).astype(np.float32)
