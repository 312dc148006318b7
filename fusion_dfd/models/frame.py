"""A backbone per frame, and a head that judges each frame alone: linear probes, LayerNorm tuning of large encoders::

    frames [b, t, h, w, 3]
             |
    backbone, once per frame                     model.backbone
             |
    its pooled feature [b, t, c]                 the class token of a ViT, else the mean of the map
             |
    divided by its length, or not                model.frame.normalise
             |
    dropout -> Dense (ReLU) -> logit of a frame  model.dropout, model.head (empty: a linear layer)
             |
    mean over the frames of the window: its logit

``configs/gend.py`` has the recipes.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from einops import rearrange
from flax import nnx
from jaxtyping import Array, Bool, Float, Int, UInt8

from fusion_dfd import config
from fusion_dfd.backbones import registry
from fusion_dfd.backbones.backbone import Features
from fusion_dfd.models.attention import clear_padding, masked_mean
from fusion_dfd.models.heads import LogitHead
from fusion_dfd.models.system import System
from fusion_dfd.types import Outputs


class FrameDetector(System):
    """The system ``frame``: it gives logits of window and frames, embeddings, and a ViT's attention.

    Raises ConfigError for an unknown backbone.
    """

    def __init__(self, model: config.Model, *, rngs: nnx.Rngs):
        dtype = jnp.bfloat16 if model.bfloat16 else jnp.float32
        self.spec_name = model.backbone.name
        self.backbone = registry.build(model.backbone, dtype=dtype, remat=model.remat, rngs=rngs)
        self.normalise = model.frame.normalise
        self.head = LogitHead(self.backbone.channels, model.head, model.dropout, drop_input=True, rngs=rngs)

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
        attention = None
        if frames.ndim == 5:
            found = self._features(rearrange(frames, "b t h w c -> (b t) h w c"), valid.reshape(-1))
            frames, _ = clear_padding(found.pooled.reshape(*valid.shape, -1), length)
            if found.attention is not None:
                attention, _ = clear_padding(
                    rearrange(found.attention, "(b t) h w -> b t h w", t=valid.shape[1]), length
                )
        embedding = unit(frames)
        seen = rearrange(embedding if self.normalise else frames, "b t c -> (b t) c")
        logits = jnp.where(valid, self.head(seen, rngs).reshape(valid.shape), 0.0)
        return Outputs(
            masked_mean(logits, valid), frame_logits=logits, spatial_attention=attention, embedding=embedding
        )

    def encode(self, frames: UInt8[Array, "n h w 3"]) -> Float[Array, "n c"]:
        """The feature of each frame, float32."""
        return self._features(frames, None).pooled

    def _features(self, frames: UInt8[Array, "n h w 3"], valid: Bool[Array, " n"] | None) -> Features:
        """Frames that are not ``valid`` enter no batch statistic."""
        return self.backbone.features(registry.get(self.spec_name).normalise(frames), valid)


def unit(x: Float[Array, "*n c"]) -> Float[Array, "*n c"]:
    """Each vector divided by its length; one of length 0 stays 0."""
    return x * jax.lax.rsqrt(jnp.maximum(jnp.sum(x * x, -1, keepdims=True), 1e-12))
