r"""Optical flow, a CNN on it, then recurrent layers over time: a detector that sees motion only::

    frames [b, t, h, w, 3]
             |
    dense optical flow into each frame from the one before [b, t-1, h, w]
             |                                                  \
    image of u, v, strain                                        4x4 cells: motion anomaly [b, t]
             |
    backbone (ResNet, EfficientNet, ...)         model.backbone
             |
    spatial attention (the heat map on the flow) -> context [b, t-1, c]
             |
    LSTM or GRU layers, masked by length         model.recurrent, model.sequence
             |
    last state -> dropout -> Dense (ReLU) -> logit

Amerini et al. 2019 ("Deepfake Video Detection through Optical Flow based CNN") introduced a CNN on optical flow for
forged faces. Theirs classifies one flow image; here recurrent layers relate them. The first frame has no flow.
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
from fusion_dfd.models.attention import SpatialAttention, clear_padding, masked_mean
from fusion_dfd.models.flow import dense, strain
from fusion_dfd.models.heads import LogitHead
from fusion_dfd.models.recurrent import RecurrentStack
from fusion_dfd.models.system import System
from fusion_dfd.types import LUMA, Outputs

GRID = 4
"""Rows and columns of cells. The anomaly compares the mean flow of each cell."""
FLOOR = 0.05
"""Least standard deviation of such a mean, in units of the flow image. Smaller differences are noise."""


class FlowDetector(System):
    """The system ``flow``: it gives the logit, a heat map and the anomaly of each frame's motion.

    Raises ConfigError for an unknown backbone and, when called, for windows of one frame.
    """

    def __init__(self, model: config.Model, *, rngs: nnx.Rngs):
        dtype = jnp.bfloat16 if model.bfloat16 else jnp.float32
        self.backbone = registry.build(model.backbone, dtype=dtype, remat=model.remat, rngs=rngs)
        self.attention = SpatialAttention(self.backbone.channels, rngs=rngs)
        options = model.sequence
        self.recurrent = RecurrentStack(
            self.backbone.channels,
            model.recurrent,
            cell=options.cell,
            bidirectional=options.bidirectional,
            batch_norm=options.batch_norm,
            rngs=rngs,
        )
        self.head = LogitHead(self.recurrent.features, model.head, model.dropout, drop_input=True, rngs=rngs)

    def __call__(
        self,
        frames: UInt8[Array, "b t h w 3"],
        landmarks: Float[Array, "b t p 2"],
        length: Int[Array, " b"],
        contiguous: Bool[Array, " b"] | None = None,
        *,
        rngs: nnx.Rngs | None = None,
    ) -> Outputs:
        if frames.shape[1] < 2:
            raise ConfigError(
                f"data.frames={frames.shape[1]}: the flow system needs at least 2, because flow relates two frames"
            )
        frames, valid = clear_padding(frames, length)
        valid, steps = valid[:, 1:], jnp.maximum(length - 1, 0)
        pictures = flow_pictures(frames)
        flat = rearrange(pictures, "b t h w c -> (b t) h w c")
        maps = self.backbone(flat, valid.reshape(-1)).astype(jnp.float32)
        context, attention = self.attention(rearrange(maps, "(b t) h w c -> b t h w c", t=valid.shape[1]))
        return Outputs(
            self.head(self.recurrent.final_state(context, steps), rngs),
            motion_attention=_from_second(attention * valid[..., None, None]),
            motion_anomaly=_from_second(anomaly(pictures, valid)),
        )


# Jitted for eager callers; inside a larger program this changes nothing.
@jax.jit
def flow_pictures(frames: UInt8[Array, "b t h w 3"]) -> Float[Array, "b t-1 h w 3"]:
    """Flow into each frame but the first, as u, v and strain in -1..1, without gradient.

    Motion is measured in 64ths of the height, so that it does not depend on the size of the frames. Strong values, half
    a 64th per frame of motion and a strain of 0.1, become tanh 1.
    """
    luma = jax.lax.stop_gradient(frames @ (jnp.asarray(LUMA, jnp.float32) / 255.0))
    before, after = (rearrange(part, "b t h w -> (b t) h w") for part in (luma[:, :-1], luma[:, 1:]))
    u, v = dense(before, after)
    unit = 0.5 * frames.shape[2] / 64
    channels = jnp.tanh(jnp.stack([u / unit, v / unit, strain(u, v) / 0.1], axis=-1))
    return rearrange(channels, "(b t) h w c -> b t h w c", t=frames.shape[1] - 1)


@jax.jit
def anomaly(pictures: Float[Array, "b t h w c"], valid: Bool[Array, "b t"]) -> Float[Array, "b t"]:
    """How unusual the flow of each time step is within its window; 0 where not valid.

    The Mahalanobis distance (1936) with a diagonal covariance, per feature: the root of the mean of
    ``(x - m)^2 / (s^2 + FLOOR^2)``. The features ``x`` are the means of each channel over 4x4 cells. ``m`` and ``s^2``
    are their mean and variance over the valid time steps. 1 is usual. One step that differs from n equal ones gets
    about the root of n.
    """
    features = jax.lax.stop_gradient(_cells(pictures))
    centred = features - masked_mean(features, valid)[:, None]
    variance = masked_mean(jnp.square(centred), valid)[:, None] + FLOOR**2
    return jnp.sqrt(jnp.mean(jnp.square(centred) / variance, axis=-1)) * valid


def _cells(pictures: Float[Array, "b t h w c"]) -> Float[Array, "b t d"]:
    """Means over cells of equal size; a remainder at the right and the bottom is left out."""
    height, width = (size // GRID * GRID for size in pictures.shape[2:4])
    whole = pictures[:, :, :height, :width]
    return reduce(whole, "b t (i h) (j w) c -> b t (i j c)", "mean", i=GRID, j=GRID)


def _from_second(values: Float[Array, "b t ..."]) -> Float[Array, "b t+1 ..."]:
    """The values with zeros in front, for the first frame, which has no flow."""
    return jnp.concatenate([jnp.zeros_like(values[:, :1]), values], axis=1)
