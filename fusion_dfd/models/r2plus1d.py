"""R(2+1)D-18 (Tran et al. 2018, "A Closer Look at Spatiotemporal Convolutions for Action Recognition").

Every 3-D convolution is split into a convolution over space, BatchNorm, ReLU, and a convolution over time. The number
of channels between them gives the pair as many weights as the 3x3x3 kernel that it replaces.

The layout is torchvision's ``r2plus1d_18``: a stem of 45 and 64 channels, then four stages of two blocks. Each stage
after the first halves space and time. Names follow torchvision's, with ``stages`` for its layer1 .. layer4 and
``shortcut_conv``/``shortcut_bn`` for its ``downsample.0``/``.1``.

``model.backbone.width`` and ``stages`` are those of this network; 0 means as published, 64 and 4. Frames are normalised
as torchvision's weights (Kinetics-400, BSD-3-Clause, 112 px) expect them. A window ends at its ``length``: every
convolution over time sees zeros beyond it, as at any border, and no batch statistic includes padding.
"""

from __future__ import annotations

import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Int, UInt8

from fusion_dfd import config
from fusion_dfd.backbones.conv import HE_FAN_OUT, Conv
from fusion_dfd.backbones.layers import BatchNorm
from fusion_dfd.config import ConfigError
from fusion_dfd.models.attention import clear_padding, masked_mean
from fusion_dfd.models.heads import LogitHead
from fusion_dfd.models.system import System
from fusion_dfd.types import Outputs

MEAN = (0.43216, 0.394666, 0.37645)
"""Of R, G, B of Kinetics-400, in 0..1."""
STD = (0.22803, 0.22145, 0.216989)
WIDTH, STAGES = 64, 4
STEM = 45
"""Channels between the stem's two convolutions at the published width."""
BLOCKS = 2
"""Blocks of every stage."""


class R2Plus1DDetector(System):
    """The system ``r2plus1d``: it gives the logit only. Raises ConfigError for more stages than it has."""

    def __init__(self, model: config.Model, *, rngs: nnx.Rngs):
        dtype = jnp.bfloat16 if model.bfloat16 else jnp.float32
        width, stages = model.backbone.width or WIDTH, model.backbone.stages or STAGES
        if stages > STAGES:
            raise ConfigError(f"model.backbone.stages={stages}: R(2+1)D-18 has {STAGES}")
        self.stem = Factorised(3, width, max(1, STEM * width // WIDTH), size=7, stride=(2, 1), dtype=dtype, rngs=rngs)
        self.stem_bn = BatchNorm(width)
        self.stages = nnx.List([])
        inputs = width
        for stage in range(stages):
            blocks = nnx.List([])
            for place in range(BLOCKS):
                stride = 2 if stage > 0 and place == 0 else 1
                blocks.append(Block(inputs, width * 2**stage, stride, dtype=dtype, rngs=rngs))
                inputs = width * 2**stage
            self.stages.append(blocks)
        self.head = LogitHead(inputs, model.head, model.dropout, drop_input=True, rngs=rngs)
        self.remat = model.remat

    def __call__(
        self,
        frames: UInt8[Array, "b t h w 3"],
        landmarks: Float[Array, "b t p 2"],
        length: Int[Array, " b"],
        contiguous: Bool[Array, " b"] | None = None,
        *,
        rngs: nnx.Rngs | None = None,
    ) -> Outputs:
        frames, valid = clear_padding(frames, length)
        mean, std = jnp.asarray(MEAN, jnp.float32) * 255.0, jnp.asarray(STD, jnp.float32) * 255.0
        x = self.stem((frames.astype(jnp.float32) - mean) / std, valid)
        x = nnx.relu(normalise(self.stem_bn, x, valid))
        for blocks in self.stages:
            for block in blocks:
                # Per block, so that only one block's activations are recomputed at a time.
                run = nnx.remat(type(block).__call__) if self.remat else type(block).__call__
                x, valid = run(block, x, valid)
        pooled = masked_mean(jnp.mean(x.astype(jnp.float32), axis=(2, 3)), valid)
        return Outputs(self.head(pooled, rngs))


class Block(nnx.Module):
    """Residual block of two factorised convolutions; the shortcut is a 1x1x1 convolution where the shape changes."""

    def __init__(self, inputs: int, outputs: int, stride: int, *, dtype: DTypeLike, rngs: nnx.Rngs):
        between = between_channels(inputs, outputs)
        self.conv1 = Factorised(inputs, outputs, between, stride=(stride, stride), dtype=dtype, rngs=rngs)
        self.bn1 = BatchNorm(outputs)
        self.conv2 = Factorised(outputs, outputs, between, dtype=dtype, rngs=rngs)
        self.bn2 = BatchNorm(outputs)
        self.stride = stride
        self.projects = stride != 1 or inputs != outputs
        if self.projects:
            self.shortcut_conv = Conv(inputs, outputs, 1, stride, dtype=dtype, rngs=rngs)
            self.shortcut_bn = BatchNorm(outputs)

    def __call__(self, x: Float[Array, "b t h w i"], valid: Bool[Array, "b t"]) -> tuple[Array, Bool[Array, "b t2"]]:
        """Returns [b, t2, h2, w2, o] and which of its time steps are valid."""
        later = valid[:, :: self.stride]
        y = nnx.relu(normalise(self.bn1, self.conv1(x, valid), later))
        y = normalise(self.bn2, self.conv2(y, later), later)
        if self.projects:
            short = per_frame(self.shortcut_conv, x[:, :: self.stride])
            x = normalise(self.shortcut_bn, short, later)
        return nnx.relu(x + y), later


def between_channels(inputs: int, outputs: int) -> int:
    """Channels between the two convolutions, for as many weights as a 3x3x3 kernel (section 3.5 of the paper)."""
    return (27 * inputs * outputs) // (9 * inputs + 3 * outputs)


class Factorised(nnx.Module):
    """A convolution over space, BatchNorm, ReLU, and one over 3 time steps. ``stride`` is (in space, in time)."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        between: int,
        *,
        size: int = 3,
        stride: tuple[int, int] = (1, 1),
        dtype: DTypeLike,
        rngs: nnx.Rngs,
    ):
        self.space = Conv(inputs, between, size, stride[0], dtype=dtype, rngs=rngs)
        self.bn = BatchNorm(between)
        self.time = TimeConv(between, outputs, stride[1], dtype=dtype, rngs=rngs)

    def __call__(self, x: Float[Array, "b t h w i"], valid: Bool[Array, "b t"]) -> Float[Array, "b t2 h2 w2 o"]:
        x = nnx.relu(normalise(self.bn, per_frame(self.space, x), valid))
        return self.time(jnp.where(valid[..., None, None, None], x, 0))


class TimeConv(nnx.Module):
    """Convolution over 3 time steps, padded with zeros, without bias; ``kernel`` is float32 [3, inputs, outputs].

    It is computed as three matrix products on shifted inputs, which is fast on every device, forward and backward.
    """

    def __init__(self, inputs: int, outputs: int, stride: int, *, dtype: DTypeLike, rngs: nnx.Rngs):
        self.kernel = nnx.Param(HE_FAN_OUT(rngs.params(), (3, inputs, outputs), jnp.float32))
        self.stride = stride
        self.dtype = dtype

    def __call__(self, x: Float[Array, "b t h w i"]) -> Float[Array, "b t2 h w o"]:
        kernel = self.kernel[...].astype(self.dtype)
        x = jnp.pad(x.astype(self.dtype), ((0, 0), (1, 1), (0, 0), (0, 0), (0, 0)))
        span = x.shape[1] - 2
        return sum(x[:, tap : tap + span : self.stride] @ kernel[tap] for tap in range(3))


def per_frame(layer: nnx.Module, x: Float[Array, "b t h w i"]) -> Float[Array, "b t h2 w2 o"]:
    """Apply a layer for images to every frame."""
    y = layer(x.reshape(-1, *x.shape[2:]))
    return y.reshape(*x.shape[:2], *y.shape[1:])


def normalise(layer: BatchNorm, x: Float[Array, "b t h w c"], valid: Bool[Array, "b t"]) -> Float[Array, "b t h w c"]:
    """BatchNorm over the valid frames of the batch."""
    return layer(x.reshape(-1, *x.shape[2:]), valid.reshape(-1)).reshape(x.shape)
