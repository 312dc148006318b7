"""Temporal branch: how the appearance changes from frame to frame."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Int

from fusion_dfd import config
from fusion_dfd.backbones.norm import BatchNorm
from fusion_dfd.models.attention import TemporalAttention
from fusion_dfd.models.recurrent import Stack
from fusion_dfd.models.transformer import Encoder

DAMPING = 0.1
"""Share of this branch's gradient that reaches the backbone. Standardising small changes multiplies it: undamped, what
reached the backbone from its loss was 1.4 times, from the fused loss 3 times the spatial branch's own at the first step
of the embedded data's recipe, and the shared backbone learnt late."""


class TemporalBranch(nnx.Module):
    """Backbone maps -> global average [b, t, c] -> BiLSTMs, or a transformer's encoder -> temporal attention."""

    def __init__(self, channels: int, model: config.Model, *, rngs: nnx.Rngs):
        self.level = nnx.LayerNorm(channels, rngs=rngs)
        self.change = BatchNorm(channels)
        if model.temporal == "transformer":
            self.over_time = Encoder(2 * channels, model.transformer, rngs=rngs)
        else:
            self.over_time = Stack(2 * channels, model.recurrent, rngs=rngs)
        self.features = self.over_time.features
        self.attention = TemporalAttention(self.features, rngs=rngs)
        self.logit = nnx.Linear(self.features, 1, rngs=rngs)
        self.damping = DAMPING
        """1 gives the true gradient, which explanations want; what is computed forward is the same whatever it is."""

    def __call__(
        self, maps: Float[Array, "b t h w c"], valid: Bool[Array, "b t"], length: Int[Array, " b"]
    ) -> tuple[Float[Array, "b d"], Float[Array, " b"], Float[Array, "b t"]]:
        """Returns token, logit and the attention over the valid frames."""
        pooled = jnp.mean(maps, axis=(2, 3))
        pooled = self.damping * pooled + (1 - self.damping) * jax.lax.stop_gradient(pooled)
        hidden = self.over_time(self._standardise(pooled, valid), length)
        token, attention = self.attention(hidden, valid)
        return token, self.logit(token)[:, 0], attention

    def _standardise(self, x: Float[Array, "b t c"], valid: Bool[Array, "b t"]) -> Float[Array, "b t d"]:
        """The sequence and its change from the frame before, each brought to unit variance.

        Who a person is varies far more between clips than anything varies within one; unscaled, that level is all
        the recurrent layer would see in its first thousands of steps. It is a linear re-weighting of the same input.
        """
        change = jnp.diff(x, axis=1, prepend=x[:, :1])
        change = self.change(change.reshape(-1, x.shape[-1]), valid.reshape(-1)).reshape(x.shape)
        return jnp.concatenate([self.level(x), change], axis=-1)
