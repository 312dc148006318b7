"""Micro-expression branch: fine, brief motion of parts of the face, on a stabilised face."""

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
from fusion_dfd.faces.mesh import STORED
from fusion_dfd.models import mesh_motion
from fusion_dfd.models.attention import SelfAttention, SpatialAttention, TemporalAttention, masked_mean
from fusion_dfd.models.flow import flow, strain
from fusion_dfd.models.geometry import stabilise
from fusion_dfd.models.heads import Dense
from fusion_dfd.models.recurrent import RecurrentStack
from fusion_dfd.types import LUMA

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
        self.spatial_attention = SpatialAttention(channels, rngs=rngs)
        # The dense layers read the flattened map. *Where* a motion happens (brow, eyelid, mouth corner) is the
        # evidence, and an average over the face would lose it.
        self.input_dense = Dense(side * side * channels, dense, rngs=rngs)
        per_frame = self.input_dense.features
        self.reads_mesh = options.mesh
        if self.reads_mesh:
            self.mesh_dense = Dense(2 * len(STORED), (options.widths[-1],), rngs=rngs)
            per_frame += self.mesh_dense.features
        self.recurrent = RecurrentStack(per_frame, recurrent, rngs=rngs)
        self.self_attention = SelfAttention(self.recurrent.features, rngs=rngs)
        self.output_dense = Dense(self.recurrent.features, dense, rngs=rngs)
        self.temporal_attention = TemporalAttention(self.output_dense.features, rngs=rngs)
        self.features = channels + self.output_dense.features
        self.logit = nnx.Linear(self.features, 1, rngs=rngs)

    def __call__(
        self,
        frames: UInt8[Array, "b t h w 3"],
        landmarks: Float[Array, "b t p 2"],
        valid: Bool[Array, "b t"],
        counted: Bool[Array, "b t"],
        length: Int[Array, " b"],
    ) -> tuple[Float[Array, "b d"], Float[Array, " b"], Float[Array, "b t h2 w2"], Float[Array, "b t"]]:
        """Returns token, logit, the attention over the stabilised face (0 on padding) and the attention over time.

        Batch statistics are of the frames ``counted``.
        """
        b, t = valid.shape
        five = mesh_motion.five(landmarks, valid) if self.reads_mesh else landmarks[:, :, : mesh_motion.LANDMARKS]
        x = motion(stabilise(frames, five, length, self.size), self.inputs)
        x = rearrange(x, "b t h w c -> (b t) h w c")
        for block in self.blocks:
            x = block(x, counted.reshape(-1))
        maps = rearrange(x.astype(jnp.float32), "(b t) h w c -> b t h w c", t=t)

        # Left line of the figure: a context per frame, then its mean over the valid frames.
        frame_context, face_attention = self.spatial_attention(maps)
        context = masked_mean(frame_context, valid)

        # Right line of the figure.
        per_frame = self.input_dense(maps.reshape(b, t, -1))
        if self.reads_mesh:
            moved = mesh_motion.displacements(landmarks, valid)
            per_frame = jnp.concatenate([per_frame, self.mesh_dense(moved)], axis=-1)
        hidden = self.recurrent(per_frame, length)
        related, _ = self.self_attention(hidden, valid)
        summary, frame_attention = self.temporal_attention(self.output_dense(related), valid)

        token = jnp.concatenate([context, summary], axis=-1)
        return token, self.logit(token)[:, 0], face_attention * valid[..., None, None], frame_attention


class Block(nnx.Module):
    """3x3 convolution, BatchNorm, ReLU, 2x2 max pooling."""

    def __init__(self, inputs: int, outputs: int, *, dtype: DTypeLike, rngs: nnx.Rngs):
        self.conv = Conv(inputs, outputs, 3, dtype=dtype, rngs=rngs)
        self.bn = BatchNorm(outputs)

    def __call__(self, x: Float[Array, "n h w i"], valid: Bool[Array, " n"]) -> Float[Array, "n h2 w2 o"]:
        return max_pool(nnx.relu(self.bn(self.conv(x), valid)), 2, 2)


# Jitted for eager callers; inside a larger program this changes nothing.
@functools.partial(jax.jit, static_argnums=1)
def motion(faces: Float[Array, "b t s s 3"], inputs: tuple[str, ...]) -> Float[Array, "b t s s c"]:
    """The channels that ``inputs`` names, each scaled to about unit size, from faces in 0..255.

    Differences and flow compare a frame with the one before; those of the first frame are 0. No frame depends on a
    later one, so padding cannot reach a valid frame.
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
        one, two = (rearrange(images @ luma, "b t h w -> (b t) h w") for images in (before, faces))
        u, v = flow(one, two)
        parts.append(_as_channels(u, v, strain(u, v), times=faces.shape[1]))
    return jnp.concatenate(parts, axis=-1)


def _as_channels(u: Array, v: Array, magnitude: Array, *, times: int) -> Array:
    """Flow and strain in -1..1: tanh of 1 for strong values, half a pixel per frame of motion and a strain of 0.1."""
    channels = jnp.tanh(jnp.stack([u / 0.5, v / 0.5, magnitude / 0.1], axis=-1))
    return rearrange(channels, "(b t) h w c -> b t h w c", t=times)
