"""Convolution and pooling, channels last, with one of three paddings.

The results are those of ``jax.lax``. Where XLA's CPU compiler is slow, they are computed differently on CPUs:

- 1x1 convolutions are matrix products (2-5x faster, forward and backward);
- the kernel gradient of larger convolutions is a few matrix products per cache-sized group of images (1-5x);
- depthwise convolutions are sums of shifted products (10-18x, forward and backward);
- max pooling compares shifted slices, first along rows, then along columns (3x, with its gradient).

Paddings: ``symmetric`` is ``size // 2`` on every side (PyTorch). ``same`` is the least that makes the result
``ceil(side / stride)`` long, the odd pixel at the end (TensorFlow; the same as Keras's ``correct_pad`` with ``valid``).
``valid`` is none.
"""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from fusion_dfd.config import ConfigError

HE_FAN_OUT = nnx.initializers.variance_scaling(2.0, "fan_out", "normal")
"""He et al. 2015, fan-out mode: what torchvision's ResNets start from."""

GROUP = 2**19
"""Values per group of a kernel gradient on a CPU: 2 MiB, about the cache of a core."""

NARROW = 64
"""Output channels up to which a kernel gradient takes two neighbouring results per product, since one is too narrow for
a fast product."""

_HE_DEPTHWISE = nnx.initializers.variance_scaling(2.0, "fan_in", "normal")
"""He initialisation for kernels [size, size, 1, channels]: each result reads one channel, so both fans are equal."""


class Conv(nnx.Module):
    """2-D convolution, by default without bias, because a BatchNorm follows.

    ``size`` is the side of the kernel or its (height, width); odd where the padding is ``symmetric``. ``kernel`` is
    float32 [height, width, inputs, outputs]. ``dtype`` is that of the computation and of the result.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        size: int | tuple[int, int],
        stride: int = 1,
        *,
        padding: str = "symmetric",
        bias: bool = False,
        dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ):
        self.kernel = nnx.Param(HE_FAN_OUT(rngs.params(), (*_sides(size), inputs, outputs), jnp.float32))
        self.has_bias = bias
        if bias:
            self.bias = nnx.Param(jnp.zeros(outputs, jnp.float32))
        self.stride = stride
        self.padding = padding
        self.dtype = dtype

    def __call__(self, x: Float[Array, "n h w i"]) -> Float[Array, "n h2 w2 o"]:
        """Raises ConfigError where the map is smaller than the kernel."""
        kernel = self.kernel[...]
        check_map(x.shape[1:3], kernel.shape[:2])
        x = convolve(x.astype(self.dtype), kernel.astype(self.dtype), self.stride, self.padding)
        return x + self.bias[...].astype(self.dtype) if self.has_bias else x


class Depthwise(nnx.Module):
    """Depthwise 2-D convolution, without bias; ``kernel`` is float32 [size, size, 1, channels]."""

    def __init__(
        self,
        channels: int,
        size: int,
        stride: int = 1,
        *,
        padding: str = "symmetric",
        dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ):
        self.kernel = nnx.Param(_HE_DEPTHWISE(rngs.params(), (size, size, 1, channels), jnp.float32))
        self.stride = stride
        self.padding = padding
        self.dtype = dtype

    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n h2 w2 c"]:
        """Raises ConfigError where the map is smaller than the kernel."""
        kernel = self.kernel[...]
        check_map(x.shape[1:3], kernel.shape[:2])
        return convolve_channels(x.astype(self.dtype), kernel.astype(self.dtype), self.stride, self.padding)


def check_map(shape: tuple[int, ...], size: int | tuple[int, ...]) -> None:
    """Refuse a map [h, w] smaller than the kernel, which would read mostly padding; XLA:CPU is 10-90x slower there."""
    height, width = _sides(size)
    if shape[0] < height or shape[1] < width:
        raise ConfigError(
            f"a map of {shape[0]}x{shape[1]} pixels is smaller than its kernel of {height}x{width}: raise data.size "
            "or lower model.backbone.stages (micro-expression branch: raise model.micro.size or shorten "
            "model.micro.widths)"
        )


@functools.partial(jax.jit, static_argnums=(1, 2, 3))
def max_pool(x: Float[Array, "n h w c"], size: int, stride: int, padding: str = "valid") -> Float[Array, "n h2 w2 c"]:
    """Maximum of each window, without padding. Raises ConfigError where the map is smaller than the window."""
    x = _pad(x, margins(x.shape[1:3], (size, size), stride, padding), -jnp.inf)
    check_map(x.shape[1:3], size)
    for axis in (2, 1):
        # The barrier keeps XLA from recomputing the input of the pool for each slice.
        x = jax.lax.optimization_barrier(x)
        x = functools.reduce(jnp.maximum, [_slide(x, start, size, stride, axis) for start in range(size)])
    return x


@functools.partial(jax.jit, static_argnums=(1, 2))
def mean_pool(x: Float[Array, "n h w c"], size: int, padding: str) -> Float[Array, "n h w c"]:
    """Mean of the window around every pixel. Padding counts as zeros if ``symmetric`` (PyTorch), not if ``same``."""
    around = margins(x.shape[1:3], (size, size), 1, padding)

    def total(x: Array) -> Array:
        x = _pad(x, around)
        for axis in (2, 1):
            x = functools.reduce(jnp.add, [_slide(x, start, size, 1, axis) for start in range(size)])
        return x

    count = size * size if padding == "symmetric" else total(jnp.ones((1, *x.shape[1:3], 1), jnp.float32))
    return (total(x.astype(jnp.float32)) / count).astype(x.dtype)


def margins(shape: tuple[int, ...], size: tuple[int, ...], stride: int, padding: str) -> tuple[tuple[int, int], ...]:
    """Padding (before, after) of each axis of a map [h, w], for a kernel of ``size`` [h, w]."""
    if padding == "symmetric":
        return tuple((side // 2, side // 2) for side in size)
    if padding == "same":
        # The result has ceil(length / stride) values; the last window starts stride * (values - 1) after the first.
        lacking = [
            max(0, (-(-length // stride) - 1) * stride + side - length)
            for length, side in zip(shape, size, strict=True)
        ]
        return tuple((lack // 2, lack - lack // 2) for lack in lacking)
    if padding == "valid":
        return ((0, 0), (0, 0))
    raise ValueError(f"padding {padding!r}: want symmetric, same or valid")


@functools.partial(jax.jit, static_argnums=(2, 3))
def convolve_channels(
    x: Float[Array, "n h w c"], kernel: Float[Array, "s s 1 c"], stride: int, padding: str = "symmetric"
) -> Float[Array, "n h2 w2 c"]:
    """Depthwise cross-correlation."""
    around = margins(x.shape[1:3], kernel.shape[:2], stride, padding)

    def shifted(x: Array, kernel: Array) -> Array:
        taps = _taps(_pad(x, around), kernel.shape[:2], stride, rows=1)
        weights = kernel.astype(jnp.float32).reshape(-1, kernel.shape[-1])
        return functools.reduce(jnp.add, [tap * weight for tap, weight in zip(taps, weights, strict=True)]).astype(
            x.dtype
        )

    def library(x: Array, kernel: Array) -> Array:
        return _library(x, kernel, stride, around, groups=x.shape[-1])

    return jax.lax.platform_dependent(x, kernel, cpu=shifted, default=library)


def convolve(
    x: Float[Array, "n h w i"],
    kernel: Float[Array | np.ndarray, "s1 s2 i o"],
    stride: int,
    padding: str = "symmetric",
) -> Float[Array, "n h2 w2 o"]:
    """Cross-correlation with zero padding."""
    if kernel.shape[:2] == (1, 1):
        return _pointwise(x, kernel, stride)
    return _windowed(x, kernel, stride, padding)


def _pointwise(x: Array, kernel: Array, stride: int) -> Array:
    """A 1x1 convolution as a matrix product, and so are its gradients. Padding does not reach it."""

    def product(x: Array, kernel: Array) -> Array:
        return jnp.dot(x[:, ::stride, ::stride], kernel[0, 0])

    def library(x: Array, kernel: Array) -> Array:
        return _library(x, kernel, stride, ((0, 0), (0, 0)))

    return jax.lax.platform_dependent(x, kernel, cpu=product, default=library)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _windowed(x: Array, kernel: Array, stride: int, padding: str) -> Array:
    return _library(x, kernel, stride, margins(x.shape[1:3], kernel.shape[:2], stride, padding))


def _library(x: Array, kernel: Array, stride: int, around: tuple[tuple[int, int], ...], groups: int = 1) -> Array:
    return jax.lax.conv_general_dilated(
        x,
        kernel,
        window_strides=(stride, stride),
        padding=around,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=groups,
    )


def _forward(x: Array, kernel: Array, stride: int, padding: str):
    return _windowed(x, kernel, stride, padding), (x, kernel)


def _backward(stride: int, padding: str, kept: tuple[Array, Array], gradient: Array) -> tuple[Array, Array]:
    return _gradients(*kept, gradient, stride, padding)


# Jitted here so that eager callers compile once per shape, not once per call.
@functools.partial(jax.jit, static_argnums=(3, 4))
def _gradients(x: Array, kernel: Array, gradient: Array, stride: int, padding: str) -> tuple[Array, Array]:
    plain = functools.partial(_windowed.__wrapped__, stride=stride, padding=padding)
    (to_x,) = jax.vjp(lambda x: plain(x, kernel), x)[1](gradient)

    def grouped(x, gradient):
        return kernel_gradient(x, gradient, kernel.shape, stride, padding).astype(kernel.dtype)

    def library(x, gradient):
        return jax.vjp(lambda kernel: plain(x, kernel), kernel)[1](gradient)[0]

    return to_x, jax.lax.platform_dependent(x, gradient, cpu=grouped, default=library)


_windowed.defvjp(_forward, _backward)


def kernel_gradient(
    x: Array,
    gradient: Array,
    shape: tuple[int, ...],
    stride: int,
    padding: str = "symmetric",
    *,
    values: int = GROUP,
    narrow: int = NARROW,
) -> Array:
    """The gradient of a kernel of ``shape``, float32: the sum of input times ``gradient`` over images and positions.

    One matrix product per row of the kernel computes all taps of that row. Up to ``narrow`` output channels, it takes
    two neighbouring results together: the window that both see, times both gradients. Some of these products belong to
    no tap and are dropped; that costs less than copying the input once per tap. A product reads at most about
    ``values`` values at once.
    """
    height, width, inputs, outputs = shape
    images, rows, columns, _ = gradient.shape
    together = 2 if outputs <= narrow and width > 1 else 1
    windows, reach = -(-columns // together), width + stride * (together - 1)
    most = max(1, values // (rows * stride * windows * reach * inputs))
    group = next(n for n in range(min(most, images), 0, -1) if images % n == 0)
    corner = [before for before, _ in margins(x.shape[1:3], shape[:2], stride, padding)]
    # A group is a strided selection from the batch, so that a batch split over devices stays where it is.
    x = x.reshape(group, images // group, *x.shape[1:])
    gradient = gradient.reshape(group, images // group, *gradient.shape[1:])

    def add(place, total):
        part = jax.lax.dynamic_index_in_dim(x, place, 1, keepdims=False)
        seen = _strips(part, corner, height + stride * (rows - 1), windows, together * stride, reach)
        right = jax.lax.dynamic_index_in_dim(gradient, place, 1, keepdims=False)
        right = jnp.pad(right, ((0, 0), (0, 0), (0, windows * together - columns), (0, 0)))
        right = right.reshape(-1, together * outputs)
        taps = [_slide(seen, row, height, stride, 1).reshape(-1, reach * inputs).T for row in range(height)]
        return total + jnp.stack([jnp.dot(tap, right, preferred_element_type=jnp.float32) for tap in taps])

    empty = jnp.zeros((height, reach * inputs, together * outputs), jnp.float32)
    total = jax.lax.fori_loop(0, images // group, add, empty).reshape(height, reach, inputs, together, outputs)
    return sum(total[:, stride * i : stride * i + width, :, i] for i in range(together))


def _strips(x: Array, corner: list[int], rows: int, windows: int, step: int, reach: int) -> Array:
    """Windows one row high and ``reach`` wide, ``step`` apart: [n, h, w, c] -> [n, rows, windows, reach * c].

    The map is padded with zeros, ``corner`` [h, w] of them before its first pixel.
    """
    count, high, wide, channels = x.shape
    (top, left), blocks = corner, windows + -(-reach // step) - 1
    # Negative padding cuts off what no window reaches.
    after = (rows - top - high, blocks * step - left - wide)
    around = ((0, 0, 0), (top, after[0], 0), (left, after[1], 0), (0, 0, 0))
    x = jax.lax.pad(x, jnp.zeros((), x.dtype), around).reshape(count, rows, blocks, step * channels)
    # A window is a block and the beginning of the next ones: long contiguous copies, which are fast.
    parts = [x[:, :, i : i + windows, : (reach - i * step) * channels] for i in range(-(-reach // step))]
    return jnp.concatenate(parts, axis=-1)


def _sides(size: int | tuple[int, ...]) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else tuple(size)


def _pad(x: Array, around: tuple[tuple[int, int], ...], value: float = 0.0) -> Array:
    return jnp.pad(x, ((0, 0), *around, (0, 0)), constant_values=value)


def _taps(x: Array, size: tuple[int, ...], stride: int, rows: int) -> list[Array]:
    """For each tap of the kernel, row by row, the part of ``x`` that it reads; image rows are axis ``rows``."""
    strips = [_slide(x, start, size[0], stride, rows) for start in range(size[0])]
    return [_slide(strip, start, size[1], stride, rows + 1) for strip in strips for start in range(size[1])]


def _slide(x: Array, start: int, size: int, stride: int, axis: int) -> Array:
    """The part of ``x`` that element ``start`` of a window of ``size`` reads along one axis."""
    steps = (x.shape[axis] - size) // stride
    return jax.lax.slice_in_dim(x, start, start + stride * steps + 1, stride, axis)
