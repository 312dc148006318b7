"""BatchNorm over the valid images of a batch only, and the units of convolution, BatchNorm and activation."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float

from fusion_dfd.backbones.conv import Conv, Depthwise, max_pool


class BatchNorm(nnx.Module):
    """Batch normalisation (Ioffe & Szegedy 2015) whose statistics skip padded images.

    Its state is that of ``nnx.BatchNorm``: ``scale``, ``bias``, ``mean``, ``var``. We do not use that class for three
    reasons. Its ``mask`` sums a broadcast mask as large as the maps. It returns NaN when nothing is valid. With
    bfloat16 input it rounds the running statistics. Here the state is always float32; the result has the dtype of the
    input.

    ``momentum`` is the share of the old running value kept per step: PyTorch's 0.1 is 0.9 here.
    """

    def __init__(self, channels: int, *, momentum: float = 0.9, epsilon: float = 1e-5):
        self.scale = nnx.Param(jnp.ones(channels, jnp.float32))
        self.bias = nnx.Param(jnp.zeros(channels, jnp.float32))
        self.mean = nnx.BatchStat(jnp.zeros(channels, jnp.float32))
        self.var = nnx.BatchStat(jnp.ones(channels, jnp.float32))
        self.momentum = momentum
        self.epsilon = epsilon
        self.use_running_average = False

    def __call__(
        self, x: Float[Array, "n *space c"], valid: Bool[Array, " n"] | None = None
    ) -> Float[Array, "n *space c"]:
        """Normalise every channel. ``valid`` [n] selects the images of the batch statistics; None means all."""
        if self.use_running_average:
            mean, var = self.mean[...], self.var[...]
        else:
            mean, var, count = _moments(x, valid)
            keep = jnp.where(count > 0, self.momentum, 1.0)
            self.mean[...] = keep * self.mean[...] + (1 - keep) * jax.lax.stop_gradient(mean)
            self.var[...] = keep * self.var[...] + (1 - keep) * jax.lax.stop_gradient(var)
        return _apply(x, mean, var + self.epsilon, self.scale[...], self.bias[...])

    def set_view(self, use_running_average: bool | None = None):
        """Class method used by ``nnx.view``.

        Args:
          use_running_average: if True, normalise by the running statistics and do not change them.
        """
        if use_running_average is not None:
            self.use_running_average = use_running_average


@jax.jit
def _moments(x: Float[Array, "n *space c"], valid: Bool[Array, " n"] | None):
    """Mean [c] and (biased) variance [c] over the valid images, and the number of values per channel."""
    x = x.astype(jnp.float32)
    space = tuple(range(1, x.ndim - 1))
    if valid is None:
        valid = jnp.ones(x.shape[0], bool)
    share = valid.astype(jnp.float32)[:, None]
    pixels = x[0, ..., 0].size
    count = jnp.sum(share) * pixels
    total = jnp.maximum(count, 1.0)
    mean = jnp.sum(jnp.sum(x, space) * share, 0) / total
    square = jnp.sum(jnp.sum(x * x, space) * share, 0) / total
    return mean, jnp.maximum(square - mean * mean, 0.0), count


@jax.jit
def _apply(x: Float[Array, "n *space c"], mean: Array, var: Array, scale: Array, bias: Array) -> Array:
    """Computed in float32, then rounded to the dtype of the input."""
    gain = scale * jax.lax.rsqrt(var)
    return (x.astype(jnp.float32) * gain + (bias - mean * gain)).astype(x.dtype)


@dataclasses.dataclass(frozen=True)
class Style:
    """What libraries do differently in the same network. Published weights need the style of their library."""

    padding: str = "symmetric"
    """Of convolutions and pooling that are not ``valid``; for the names see :mod:`fusion_dfd.backbones.conv`."""
    epsilon: float = 1e-5
    """Of BatchNorm."""
    momentum: float = 0.9
    """Of BatchNorm: the share of the old running value kept per step."""


class Unit(nnx.Module):
    """A convolution without bias, BatchNorm, and an activation or None."""

    def __init__(self, conv: Conv | Depthwise, style: Style, activation: Callable[[Array], Array] | None = None):
        self.conv = conv
        self.bn = BatchNorm(conv.kernel.shape[-1], momentum=style.momentum, epsilon=style.epsilon)
        self.activation = activation

    def __call__(self, x: Float[Array, "n h w i"], valid: Bool[Array, " n"] | None = None) -> Float[Array, "n h2 w2 o"]:
        x = self.bn(self.conv(x), valid)
        return x if self.activation is None else self.activation(x)


class MaxPool(nnx.Module):
    """:func:`conv.max_pool` as a block."""

    def __init__(self, size: int, stride: int, padding: str = "valid"):
        self.size, self.stride, self.padding = size, stride, padding

    def __call__(self, x: Float[Array, "n h w c"], valid: Bool[Array, " n"] | None = None) -> Float[Array, "n h2 w2 c"]:
        return max_pool(x, self.size, self.stride, self.padding)


def scaled(channels: int, width: int, published: int) -> int:
    """``channels`` of the published network, scaled by ``width / published``; at least 1."""
    return max(1, round(channels * width / published))
