"""Convolution and max-pooling as the networks here use them: channels last, explicit symmetric padding."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from fusion_dfd.config import ConfigError

HE_FAN_OUT = nnx.initializers.variance_scaling(2.0, "fan_out", "normal")
"""He et al. 2015, fan-out mode: what torchvision's ResNets start from."""


class Conv(nnx.Module):
    """2-D convolution without bias (a BatchNorm follows), padding ``size // 2`` on every side.

    ``kernel`` is float32 [size, size, inputs, outputs]; ``dtype`` is what the arithmetic runs in and what comes out.
    """

    def __init__(
        self, inputs: int, outputs: int, size: int, stride: int = 1, *, dtype: jnp.dtype = jnp.float32, rngs: nnx.Rngs
    ):
        self.kernel = nnx.Param(HE_FAN_OUT(rngs.params(), (size, size, inputs, outputs), jnp.float32))
        self.stride = stride
        self.dtype = dtype

    def __call__(self, x: Float[Array, "n h w i"]) -> Float[Array, "n h2 w2 o"]:
        """Raises ConfigError where the map is smaller than the kernel."""
        kernel = self.kernel[...]
        check_map(x.shape[1:3], kernel.shape[0])
        pad = kernel.shape[0] // 2
        return jax.lax.conv_general_dilated(
            x.astype(self.dtype),
            kernel.astype(self.dtype),
            window_strides=(self.stride, self.stride),
            padding=((pad, pad), (pad, pad)),
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )


def check_map(shape: tuple[int, ...], size: int) -> None:
    """Refuse a map [h, w] smaller than the kernel: it reads mostly padding, and XLA on CPUs is 10-90x slow there."""
    if min(shape) < size:
        raise ConfigError(
            f"a map of {shape[0]}x{shape[1]} pixels meets a kernel of {size}x{size}: raise data.size or lower "
            "model.backbone.stages (micro-expression branch: raise model.micro.size or shorten model.micro.widths)"
        )


def max_pool(x: Float[Array, "n h w c"], size: int, stride: int, pad: int = 0) -> Float[Array, "n h2 w2 c"]:
    """Largest value of each window. The input must be >= 0 (after a ReLU): the padding is zeros."""
    x = jnp.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
    return nnx.max_pool(x, window_shape=(size, size), strides=(stride, stride), padding="VALID")
