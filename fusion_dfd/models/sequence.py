"""A CNN per frame, then recurrent layers over time: the layout of most published detectors of forged video::

    frames [b, t, h, w, 3]
             |
    backbone, once per frame                     model.backbone
             |
    global average [b, t, c]
             |
    LSTM or GRU layers, masked by length         model.recurrent, model.sequence
             |
    last state [b, d]
             |
    dropout -> Dense (ReLU) -> logit             model.dropout, model.head

``configs/baselines.py`` names the published ones: MobileNetV2 + LSTM, InceptionV3 + GRU, Xception + LSTM. Where those
end in a softmax over two classes, this has one logit: the difference of their two.
"""

from __future__ import annotations

import jax.numpy as jnp
from einops import rearrange
from flax import nnx
from jaxtyping import Array, Bool, Float, Int, UInt8

from fusion_dfd import config
from fusion_dfd.backbones import registry
from fusion_dfd.models.attention import clear_padding
from fusion_dfd.models.heads import LogitHead
from fusion_dfd.models.recurrent import RecurrentStack
from fusion_dfd.models.system import System
from fusion_dfd.types import Outputs


class SequenceDetector(System):
    """The system ``sequence``: it gives the logit only. Raises ConfigError for an unknown backbone."""

    def __init__(self, model: config.Model, *, rngs: nnx.Rngs):
        dtype = jnp.bfloat16 if model.bfloat16 else jnp.float32
        self.spec_name = model.backbone.name
        self.backbone = registry.build(model.backbone, dtype=dtype, remat=model.remat, rngs=rngs)
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
        frames: UInt8[Array, "b t h w 3"] | Float[Array, "b t c"],
        landmarks: Float[Array, "b t p 2"],
        length: Int[Array, " b"],
        contiguous: Bool[Array, " b"] | None = None,
        *,
        rngs: nnx.Rngs | None = None,
    ) -> Outputs:
        """As in :class:`System`. ``frames`` may also be the features that :meth:`encode` gives, so that a frozen
        backbone runs only once.
        """
        frames, valid = clear_padding(frames, length)
        if frames.ndim == 5:
            pooled = self.encode(rearrange(frames, "b t h w c -> (b t) h w c"), valid.reshape(-1))
            frames = rearrange(pooled, "(b t) c -> b t c", t=valid.shape[1])
        return Outputs(self.head(self.recurrent.final_state(frames, length), rngs))

    def encode(self, frames: UInt8[Array, "n h w 3"], valid: Bool[Array, " n"] | None = None) -> Float[Array, "n c"]:
        """The features of each frame, float32. Frames that are not ``valid`` enter no batch statistic."""
        maps = self.backbone(registry.get(self.spec_name).normalise(frames), valid)
        return jnp.mean(maps.astype(jnp.float32), axis=(1, 2))
