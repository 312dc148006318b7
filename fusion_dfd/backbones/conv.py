"""Convolution and max-pooling as the networks here use them: channels last, explicit symmetric padding.

They give what the library's give, by another way where XLA's CPU compiler is slow, in the backward pass: the gradient
of a kernel takes a matrix product per cache-sized group of images (2-10x less processor time for these networks'
shapes), and a maximum is taken over shifted slices, first along rows, then along columns (its gradient: 4x less than
a window reduction's).
"""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from fusion_dfd.config import ConfigError

HE_FAN_OUT = nnx.initializers.variance_scaling(2.0, "fan_out", "normal")
"""He et al. 2015, fan-out mode: what torchvision's ResNets start from."""

_GROUP = 2**18
"""Values laid out at once for a kernel's gradient on a CPU: 1 MiB, about what a core keeps close."""


class Conv(nnx.Module):
    """2-D convolution without bias (a BatchNorm follows), padding ``size // 2`` on every side.

    ``kernel`` is float32 [size, size, inputs, outputs]; ``dtype`` is what the arithmetic runs in and what comes out.
    """

    def __init__(
        self, inputs: int, outputs: int, size: int, stride: int = 1, *, dtype: DTypeLike = jnp.float32, rngs: nnx.Rngs
    ):
        self.kernel = nnx.Param(HE_FAN_OUT(rngs.params(), (size, size, inputs, outputs), jnp.float32))
        self.stride = stride
        self.dtype = dtype

    def __call__(self, x: Float[Array, "n h w i"]) -> Float[Array, "n h2 w2 o"]:
        """Raises ConfigError where the map is smaller than the kernel."""
        kernel = self.kernel[...]
        check_map(x.shape[1:3], kernel.shape[0])
        return convolve(x.astype(self.dtype), kernel.astype(self.dtype), self.stride)


def check_map(shape: tuple[int, ...], size: int) -> None:
    """Refuse a map [h, w] smaller than the kernel: it reads mostly padding, and XLA on CPUs is 10-90x slow there."""
    if min(shape) < size:
        raise ConfigError(
            f"a map of {shape[0]}x{shape[1]} pixels meets a kernel of {size}x{size}: raise data.size or lower "
            "model.backbone.stages (micro-expression branch: raise model.micro.size or shorten model.micro.widths)"
        )


@functools.partial(jax.jit, static_argnums=(1, 2, 3))
def max_pool(x: Float[Array, "n h w c"], size: int, stride: int, pad: int = 0) -> Float[Array, "n h2 w2 c"]:
    """Largest value of each window. The input must be >= 0 (after a ReLU): the padding is zeros."""
    x = _pad(x, pad)
    for axis in (2, 1):
        # The barrier keeps XLA from computing what feeds the pool anew for each of its slices.
        x = jax.lax.optimization_barrier(x)
        x = functools.reduce(jnp.maximum, [_slide(x, start, size, stride, axis) for start in range(size)])
    return x


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def convolve(x: Float[Array, "n h w i"], kernel: Float[Array, "s s i o"], stride: int) -> Float[Array, "n h2 w2 o"]:
    """Cross-correlation with ``s // 2`` zeros around; the square kernel has an odd side ``s``."""
    pad = kernel.shape[0] // 2
    return jax.lax.conv_general_dilated(
        x,
        kernel,
        window_strides=(stride, stride),
        padding=((pad, pad), (pad, pad)),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )


def _forward(x: Array, kernel: Array, stride: int):
    return convolve(x, kernel, stride), (x, kernel)


def _backward(stride: int, kept: tuple[Array, Array], slope: Array) -> tuple[Array, Array]:
    return _gradients(*kept, slope, stride)


# Compiled as one, so that code that runs operation by operation compiles it once a shape and not once a call.
@functools.partial(jax.jit, static_argnums=3)
def _gradients(x: Array, kernel: Array, slope: Array, stride: int) -> tuple[Array, Array]:
    plain = convolve.__wrapped__
    (to_x,) = jax.vjp(lambda x: plain(x, kernel, stride), x)[1](slope)

    def grouped(x, slope):
        return _kernel_gradient(x, slope, kernel.shape, stride).astype(kernel.dtype)

    def library(x, slope):
        return jax.vjp(lambda kernel: plain(x, kernel, stride), kernel)[1](slope)[0]

    return to_x, jax.lax.platform_dependent(x, slope, cpu=grouped, default=library)


convolve.defvjp(_forward, _backward)


def _kernel_gradient(x: Array, slope: Array, shape: tuple[int, ...], stride: int) -> Array:
    """Sum over images and places of input times slope, for every tap of the kernel: float32 ``shape``."""
    size, _, inputs, outputs = shape
    images, rows, columns, _ = slope.shape
    most = max(1, _GROUP // (rows * columns * size * size * inputs))
    group = next(n for n in range(min(most, images), 0, -1) if images % n == 0)
    # The groups lie strided over the batch, so that a batch split over devices stays where it is.
    x = x.reshape(group, images // group, *x.shape[1:])
    slope = slope.reshape(group, images // group, *slope.shape[1:])

    def add(place, total):
        part = jax.lax.dynamic_index_in_dim(x, place, 1, keepdims=False)
        right = jax.lax.dynamic_index_in_dim(slope, place, 1, keepdims=False).reshape(-1, outputs)
        # Channels first: then the taps are copied row by row instead of pixel by pixel.
        part = jax.lax.optimization_barrier(_pad(part, size // 2).transpose(3, 0, 1, 2))
        left = jnp.stack(_taps(part, size, stride, rows=2)).reshape(size * size * inputs, -1)
        return total + jnp.dot(left, right, preferred_element_type=jnp.float32)

    total = jax.lax.fori_loop(0, images // group, add, jnp.zeros((size * size * inputs, outputs), jnp.float32))
    return total.reshape(shape)


def _pad(x: Array, pad: int) -> Array:
    return jnp.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0)))


def _taps(x: Array, size: int, stride: int, rows: int) -> list[Array]:
    """For each place of the kernel, row by row, what it sees of ``x``; image rows are axis ``rows``, columns follow."""
    strips = [_slide(x, start, size, stride, rows) for start in range(size)]
    return [_slide(strip, start, size, stride, rows + 1) for strip in strips for start in range(size)]


def _slide(x: Array, start: int, size: int, stride: int, axis: int) -> Array:
    """What place ``start`` of a window of ``size`` sees along one axis."""
    steps = (x.shape[axis] - size) // stride
    return jax.lax.slice_in_dim(x, start, start + stride * steps + 1, stride, axis)
