r"""Optical flow, a CNN on it, recurrent layers over time: a detector that sees motion and nothing else::

    frames [b, t, h, w, 3]
             |
    dense optical flow into each frame from the one before [b, t-1, h, w]
             |                                                  \
    picture of u, v, strain                                      cells of 4x4: motion anomaly [b, t]
             |
    backbone (ResNet, EfficientNet, ...)         model.backbone
             |
    spatial attention: the heat map on the flow -> context [b, t-1, c]
             |
    LSTM or GRU layers, masked by length         model.recurrent, model.sequence
             |
    last state -> dropout -> Dense (ReLU) -> logit

A CNN on flow for forged faces is due to Amerini et al. 2019 ("Deepfake Video Detection through Optical Flow based
CNN"); theirs judges one flow picture, here recurrent layers relate them. The first frame has no flow and is not read.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from einops import rearrange, reduce
from flax import nnx
from jaxtyping import Array, Bool, Float, Int, UInt8

from fusion_dfd import config
from fusion_dfd.backbones import registry
from fusion_dfd.config import ConfigError
from fusion_dfd.models.attention import SpatialAttention, clear, masked_mean
from fusion_dfd.models.flow import LUMA, dense, strain
from fusion_dfd.models.heads import Readout
from fusion_dfd.models.sequence import Summary
from fusion_dfd.types import Outputs

GRID = 4
"""The anomaly compares means of the flow over this many rows and columns of cells."""
FLOOR = 0.05
"""Least standard deviation of such a mean, in units of the picture: below it, differences are noise."""


class FlowDetector(nnx.Module):
    """Frames in; logit, heat map and anomaly out. Landmarks are not used; its state is ``Param`` and ``BatchStat``.

    Raises ConfigError for an unknown backbone and, when called, for clips of one frame and frames too small.
    """

    def __init__(self, model: config.Model, *, rngs: nnx.Rngs):
        dtype = jnp.bfloat16 if model.bfloat16 else jnp.float32
        self.backbone = registry.build(model.backbone, dtype=dtype, remat=model.remat, rngs=rngs)
        self.looking = SpatialAttention(self.backbone.channels, rngs=rngs)
        self.summary = Summary(self.backbone.channels, model.recurrent, model.sequence, rngs=rngs)
        self.readout = Readout(self.summary.features, model.head, model.dropout, rngs=rngs)

    def __call__(
        self,
        frames: UInt8[Array, "b t h w 3"],
        landmarks: Float[Array, "b t 5 2"],
        length: Int[Array, " b"],
        *,
        rngs: nnx.Rngs | None = None,
    ) -> Outputs:
        """``rngs`` (stream ``dropout``) is needed in training mode only."""
        if frames.shape[1] < 2:
            raise ConfigError(f"data.frames={frames.shape[1]}: the flow system wants at least 2, flow has two ends")
        frames, valid = clear(frames, length)
        valid, steps = valid[:, 1:], jnp.maximum(length - 1, 0)
        pictures = flow_pictures(frames)
        flat = rearrange(pictures, "b t h w c -> (b t) h w c")
        maps = self.backbone(flat, valid.reshape(-1)).astype(jnp.float32)
        context, looking = self.looking(rearrange(maps, "(b t) h w c -> b t h w c", t=valid.shape[1]))
        return Outputs(
            self.readout(self.summary(context, valid, steps), rngs),
            motion_attention=_from_second(looking * valid[..., None, None]),
            motion_anomaly=_from_second(anomaly(pictures, valid)),
        )


# Compiled as one even where the model runs operation by operation; inside a larger program it changes nothing.
@jax.jit
def flow_pictures(frames: UInt8[Array, "b t h w 3"]) -> Float[Array, "b t-1 h w 3"]:
    """Flow into each frame but the first, as u, v and strain in -1..1, without gradient.

    Motion is measured in 64ths of the height, so that frames of another size show the same; half of one a frame is a
    strong motion of a face, a strain of a tenth a strong strain, and both come to tanh 1.
    """
    luma = jax.lax.stop_gradient(frames @ (jnp.asarray(LUMA, jnp.float32) / 255.0))
    before, after = (rearrange(part, "b t h w -> (b t) h w") for part in (luma[:, :-1], luma[:, 1:]))
    u, v = dense(before, after)
    unit = 0.5 * frames.shape[2] / 64
    channels = jnp.tanh(jnp.stack([u / unit, v / unit, strain(u, v) / 0.1], axis=-1))
    return rearrange(channels, "(b t) h w c -> b t h w c", t=frames.shape[1] - 1)


@jax.jit
def anomaly(pictures: Float[Array, "b t h w 3"], valid: Bool[Array, "b t"]) -> Float[Array, "b t"]:
    """How unusual each moment's flow is among those of its own clip; 0 where not valid.

    The Mahalanobis distance (1936) with a diagonal covariance, per feature: the root of the mean of ``(x - m)^2 / s^2``
    over the features ``x``, the means of each channel over 4x4 cells, where ``m`` and ``s^2 + FLOOR^2`` are mean and
    variance over the valid moments. 1 is usual; n equal moments and a different one give that about the root of n.
    """
    features = jax.lax.stop_gradient(_cells(pictures))
    centred = features - masked_mean(features, valid)[:, None]
    variance = masked_mean(jnp.square(centred), valid)[:, None] + FLOOR**2
    return jnp.sqrt(jnp.mean(jnp.square(centred) / variance, axis=-1)) * valid


def _cells(pictures: Float[Array, "b t h w c"]) -> Float[Array, "b t d"]:
    """Means over cells of equal size; a rest at the right and the bottom is left out."""
    height, width = (size // GRID * GRID for size in pictures.shape[2:4])
    whole = pictures[:, :, :height, :width]
    return reduce(whole, "b t (i h) (j w) c -> b t (i j c)", "mean", i=GRID, j=GRID)


def _from_second(values: Float[Array, "b t ..."]) -> Float[Array, "b t+1 ..."]:
    """A row of zeros for the first frame, which has no flow, before the others."""
    return jnp.concatenate([jnp.zeros_like(values[:, :1]), values], axis=1)
