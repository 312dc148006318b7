"""Convolution and pooling as the networks here use them: channels last, padded in one of three ways.

They give what the library's give, by another way where XLA's CPU compiler is slow: a kernel of one place is a matrix
product (2-5x faster, forward and backward), the gradient of a larger one takes a few per cache-sized group of images
(1-5x), a convolution of each channel by itself is a sum of shifted products (10-18x, forward and backward), and a
maximum is taken over shifted slices, first along rows, then along columns (3x, with its gradient).

Paddings, by name: ``symmetric``, ``size // 2`` on every side (PyTorch); ``same``, as little as makes the result
``ceil(side / stride)`` long, the odd one at the end (TensorFlow; Keras's ``correct_pad`` with ``valid`` is the same);
``valid``, none.
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

_GROUP = 2**19
"""Values laid out at once for a kernel's gradient on a CPU: 2 MiB, about what a core keeps close."""

_NARROW = 64
"""Channels of a result up to which two neighbours share a product: one alone has too few for a fast one."""


_HE_DEPTHWISE = nnx.initializers.variance_scaling(2.0, "fan_in", "normal")
"""The same for kernels [size, size, 1, channels]: each result reads one channel, so the two fans are one."""


class Conv(nnx.Module):
    """2-D convolution; without bias unless asked (a BatchNorm follows).

    ``size`` is the kernel's side, or its (height, width); odd where the padding is ``symmetric``. ``kernel`` is float32
    [height, width, inputs, outputs]; ``dtype`` is what the arithmetic runs in and what comes out.
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
    """2-D convolution of each channel by itself, without bias; ``kernel`` is float32 [size, size, 1, channels]."""

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
    """Refuse a map [h, w] smaller than the kernel: it reads mostly padding, and XLA on CPUs is 10-90x slow there."""
    height, width = _sides(size)
    if shape[0] < height or shape[1] < width:
        raise ConfigError(
            f"a map of {shape[0]}x{shape[1]} pixels meets a kernel of {height}x{width}: raise data.size or lower "
            "model.backbone.stages (micro-expression branch: raise model.micro.size or shorten model.micro.widths)"
        )


@functools.partial(jax.jit, static_argnums=(1, 2, 3))
def max_pool(x: Float[Array, "n h w c"], size: int, stride: int, padding: str = "valid") -> Float[Array, "n h2 w2 c"]:
    """Largest value of each window; padding never is. Raises ConfigError where the map is smaller than the window."""
    x = _pad(x, margins(x.shape[1:3], (size, size), stride, padding), -jnp.inf)
    check_map(x.shape[1:3], size)
    for axis in (2, 1):
        # The barrier keeps XLA from computing what feeds the pool anew for each of its slices.
        x = jax.lax.optimization_barrier(x)
        x = functools.reduce(jnp.maximum, [_slide(x, start, size, stride, axis) for start in range(size)])
    return x


@functools.partial(jax.jit, static_argnums=(1, 2))
def mean_pool(x: Float[Array, "n h w c"], size: int, padding: str) -> Float[Array, "n h w c"]:
    """Mean of each window, at every place. Padding counts as zeros if ``symmetric`` (PyTorch), not if ``same``."""
    around = margins(x.shape[1:3], (size, size), 1, padding)

    def total(x: Array) -> Array:
        x = _pad(x, around)
        for axis in (2, 1):
            x = functools.reduce(jnp.add, [_slide(x, start, size, 1, axis) for start in range(size)])
        return x

    count = size * size if padding == "symmetric" else total(jnp.ones((1, *x.shape[1:3], 1), jnp.float32))
    return (total(x.astype(jnp.float32)) / count).astype(x.dtype)


def margins(shape: tuple[int, ...], size: tuple[int, ...], stride: int, padding: str) -> tuple[tuple[int, int], ...]:
    """Zeros (before, after) each side of a map [h, w], for a window of ``size`` [h, w]."""
    if padding == "symmetric":
        return tuple((side // 2, side // 2) for side in size)
    if padding == "same":
        # The result has ceil(length / stride) places; the last window starts stride * (places - 1) after the first.
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
    """Cross-correlation of each channel with a kernel of its own."""
    around = margins(x.shape[1:3], kernel.shape[:2], stride, padding)

    def shifted(x: Array, kernel: Array) -> Array:
        taps = _taps(_pad(x, around), kernel.shape[:2], stride, rows=1)
        places = kernel.astype(jnp.float32).reshape(-1, kernel.shape[-1])
        return functools.reduce(jnp.add, [tap * place for tap, place in zip(taps, places, strict=True)]).astype(x.dtype)

    def library(x: Array, kernel: Array) -> Array:
        return _library(x, kernel, stride, around, groups=x.shape[-1])

    return jax.lax.platform_dependent(x, kernel, cpu=shifted, default=library)


def convolve(
    x: Float[Array, "n h w i"], kernel: Float[Array, "s1 s2 i o"], stride: int, padding: str = "symmetric"
) -> Float[Array, "n h2 w2 o"]:
    """Cross-correlation, zeros around."""
    if kernel.shape[:2] == (1, 1):
        return _pointwise(x, kernel, stride)
    return _windowed(x, kernel, stride, padding)


def _pointwise(x: Array, kernel: Array, stride: int) -> Array:
    """A kernel of one place, which no padding reaches: a matrix product, and so are its gradients."""

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


def _backward(stride: int, padding: str, kept: tuple[Array, Array], slope: Array) -> tuple[Array, Array]:
    return _gradients(*kept, slope, stride, padding)


# Compiled as one, so that code that runs operation by operation compiles it once a shape and not once a call.
@functools.partial(jax.jit, static_argnums=(3, 4))
def _gradients(x: Array, kernel: Array, slope: Array, stride: int, padding: str) -> tuple[Array, Array]:
    plain = functools.partial(_windowed.__wrapped__, stride=stride, padding=padding)
    (to_x,) = jax.vjp(lambda x: plain(x, kernel), x)[1](slope)

    def grouped(x, slope):
        return _kernel_gradient(x, slope, kernel.shape, stride, padding).astype(kernel.dtype)

    def library(x, slope):
        return jax.vjp(lambda kernel: plain(x, kernel), kernel)[1](slope)[0]

    return to_x, jax.lax.platform_dependent(x, slope, cpu=grouped, default=library)


_windowed.defvjp(_forward, _backward)


def _kernel_gradient(x: Array, slope: Array, shape: tuple[int, ...], stride: int, padding: str = "symmetric") -> Array:
    """Sum over images and places of input times slope, for every tap of the kernel: float32 ``shape``.

    A matrix product per row of the kernel takes all taps of that row, of two neighbouring results where they are small:
    of the window that both see, times both slopes. Some of these products belong to no tap and are dropped, which costs
    less than to copy the input once a tap.
    """
    height, width, inputs, outputs = shape
    images, rows, columns, _ = slope.shape
    together = 2 if outputs <= _NARROW and width > 1 else 1
    windows, reach = -(-columns // together), width + stride * (together - 1)
    most = max(1, _GROUP // (rows * stride * windows * reach * inputs))
    group = next(n for n in range(min(most, images), 0, -1) if images % n == 0)
    corner = [before for before, _ in margins(x.shape[1:3], shape[:2], stride, padding)]
    # The groups lie strided over the batch, so that a batch split over devices stays where it is.
    x = x.reshape(group, images // group, *x.shape[1:])
    slope = slope.reshape(group, images // group, *slope.shape[1:])

    def add(place, total):
        part = jax.lax.dynamic_index_in_dim(x, place, 1, keepdims=False)
        seen = _strips(part, corner, height + stride * (rows - 1), windows, together * stride, reach)
        right = jax.lax.dynamic_index_in_dim(slope, place, 1, keepdims=False)
        right = jnp.pad(right, ((0, 0), (0, 0), (0, windows * together - columns), (0, 0)))
        right = right.reshape(-1, together * outputs)
        taps = [_slide(seen, row, height, stride, 1).reshape(-1, reach * inputs).T for row in range(height)]
        return total + jnp.stack([jnp.dot(tap, right, preferred_element_type=jnp.float32) for tap in taps])

    empty = jnp.zeros((height, reach * inputs, together * outputs), jnp.float32)
    total = jax.lax.fori_loop(0, images // group, add, empty).reshape(height, reach, inputs, together, outputs)
    return sum(total[:, stride * i : stride * i + width, :, i] for i in range(together))


def _strips(x: Array, corner: list[int], rows: int, windows: int, step: int, reach: int) -> Array:
    """What windows ``reach`` wide and one row high see, ``step`` apart: [n, h, w, c] -> [n, rows, windows, reach * c].

    Zeros are around the map; ``corner`` [h, w] of them lie before its first place.
    """
    count, high, wide, channels = x.shape
    (top, left), blocks = corner, windows + -(-reach // step) - 1
    # What no window reaches is cut off: less than nothing after the last place.
    after = (rows - top - high, blocks * step - left - wide)
    around = ((0, 0, 0), (top, after[0], 0), (left, after[1], 0), (0, 0, 0))
    x = jax.lax.pad(x, jnp.zeros((), x.dtype), around).reshape(count, rows, blocks, step * channels)
    # A window is a block and the beginning of those that follow: long pieces, which are copied fast.
    pieces = [x[:, :, i : i + windows, : (reach - i * step) * channels] for i in range(-(-reach // step))]
    return jnp.concatenate(pieces, axis=-1)


def _sides(size: int | tuple[int, ...]) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else tuple(size)


def _pad(x: Array, around: tuple[tuple[int, int], ...], value: float = 0.0) -> Array:
    return jnp.pad(x, ((0, 0), *around, (0, 0)), constant_values=value)


def _taps(x: Array, size: tuple[int, ...], stride: int, rows: int) -> list[Array]:
    """For each place of the kernel, row by row, what it sees of ``x``; image rows are axis ``rows``, columns follow."""
    strips = [_slide(x, start, size[0], stride, rows) for start in range(size[0])]
    return [_slide(strip, start, size[1], stride, rows + 1) for strip in strips for start in range(size[1])]


def _slide(x: Array, start: int, size: int, stride: int, axis: int) -> Array:
    """What place ``start`` of a window of ``size`` sees along one axis."""
    steps = (x.shape[axis] - size) // stride
    return jax.lax.slice_in_dim(x, start, start + stride * steps + 1, stride, axis)
