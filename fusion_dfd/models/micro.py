"""Micro-expression branch: fine, brief motion of the face's parts, on a face held still."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
from einops import rearrange
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Int, UInt8

from fusion_dfd import config
from fusion_dfd.backbones.conv import Conv, check_map, max_pool
from fusion_dfd.backbones.layers import BatchNorm
from fusion_dfd.models.attention import SelfAttention, SpatialAttention, TemporalAttention, masked_mean
from fusion_dfd.models.flow import LUMA, flow, strain
from fusion_dfd.models.geometry import stabilise
from fusion_dfd.models.heads import Dense
from fusion_dfd.models.recurrent import Stack

CHANNELS = {"rgb": 3, "difference": 3, "flow": 3}


class MicroBranch(nnx.Module):
    """The right-hand column of the figure in ``models/fusion.py``, from the stabilised face down."""

    def __init__(
        self,
        options: config.Micro,
        recurrent: tuple[int, ...],
        dense: tuple[int, ...],
        *,
        dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ):
        self.inputs, self.size = tuple(options.inputs), options.size
        self.blocks = nnx.List([])
        channels, side = sum(CHANNELS[name] for name in self.inputs), options.size
        for width in options.widths:
            check_map((side, side), 3)
            self.blocks.append(Block(channels, width, dtype=dtype, rngs=rngs))
            channels, side = width, side // 2
        self.looking = SpatialAttention(channels, rngs=rngs)
        # The figure leaves open what the dense layers read: all places of the map side by side, because *where* a
        # motion happens (brow, eyelid, mouth corner) is the evidence, and an average over the face would lose it.
        self.per_frame = Dense(side * side * channels, dense, rngs=rngs)
        self.recurrent = Stack(self.per_frame.features, recurrent, rngs=rngs)
        self.relate = SelfAttention(self.recurrent.features, rngs=rngs)
        self.dense = Dense(self.recurrent.features, dense, rngs=rngs)
        self.attention = TemporalAttention(self.dense.features, rngs=rngs)
        self.features = channels + self.dense.features
        self.logit = nnx.Linear(self.features, 1, rngs=rngs)

    def __call__(
        self,
        frames: UInt8[Array, "b t h w 3"],
        landmarks: Float[Array, "b t 5 2"],
        valid: Bool[Array, "b t"],
        length: Int[Array, " b"],
    ) -> tuple[Float[Array, "b d"], Float[Array, " b"], Float[Array, "b t h2 w2"], Float[Array, "b t"]]:
        """Returns token, logit, the attention over the stabilised face (0 on padding) and the one over time."""
        b, t = valid.shape
        x = motion(stabilise(frames, landmarks, length, self.size), self.inputs)
        x = rearrange(x, "b t h w c -> (b t) h w c")
        for block in self.blocks:
            x = block(x, valid.reshape(-1))
        maps = rearrange(x.astype(jnp.float32), "(b t) h w c -> b t h w c", t=t)

        # Left line of the figure. Its context is per frame; the mean over the valid frames makes one of the clip.
        where, looking = self.looking(maps)
        place = masked_mean(where, valid)

        hidden = self.recurrent(self.per_frame(maps.reshape(b, t, -1)), length)
        related, _ = self.relate(hidden, valid)
        moment, attention = self.attention(self.dense(related), valid)

        token = jnp.concatenate([place, moment], axis=-1)
        return token, self.logit(token)[:, 0], looking * valid[..., None, None], attention


class Block(nnx.Module):
    """Convolution 3x3, BatchNorm, ReLU, maximum over 2x2."""

    def __init__(self, inputs: int, outputs: int, *, dtype: DTypeLike, rngs: nnx.Rngs):
        self.conv = Conv(inputs, outputs, 3, dtype=dtype, rngs=rngs)
        self.bn = BatchNorm(outputs)

    def __call__(self, x: Float[Array, "n h w i"], valid: Bool[Array, " n"]) -> Float[Array, "n h2 w2 o"]:
        return max_pool(nnx.relu(self.bn(self.conv(x), valid)), 2, 2)


# Compiled as one even where the model runs operation by operation; inside a larger program it changes nothing.
@functools.partial(jax.jit, static_argnums=1)
def motion(faces: Float[Array, "b t s s 3"], inputs: tuple[str, ...]) -> Float[Array, "b t s s c"]:
    """The channels of ``inputs``, each scaled to about unit size; faces 0..255.

    Differences and flow look back to the frame before; the first frame has none and gets 0. A frame never looks
    ahead, so padding behind the clip cannot reach it.
    """
    faces = jax.lax.stop_gradient(faces)
    before = jnp.concatenate([faces[:, :1], faces[:, :-1]], axis=1)
    parts = []
    if "rgb" in inputs:
        parts.append((faces - 127.5) / 64.0)
    if "difference" in inputs:
        parts.append(jnp.tanh((faces - before) / 16.0))
    if "flow" in inputs:
        luma = jnp.asarray(LUMA, jnp.float32) / 255.0
        one, two = (rearrange(clip @ luma, "b t h w -> (b t) h w") for clip in (before, faces))
        u, v = flow(one, two)
        parts.append(_as_channels(u, v, strain(u, v), times=faces.shape[1]))
    return jnp.concatenate(parts, axis=-1)


def _as_channels(u: Array, v: Array, magnitude: Array, *, times: int) -> Array:
    """Half a pixel per frame is a strong motion of a stabilised face, a tenth a strong strain: both come to 1."""
    channels = jnp.tanh(jnp.stack([u / 0.5, v / 0.5, magnitude / 0.1], axis=-1))
    return rearrange(channels, "(b t) h w c -> b t h w c", t=times)
