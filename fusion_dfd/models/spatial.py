"""Spatial branch: what a single frame shows."""

from __future__ import annotations

from flax import nnx
from jaxtyping import Array, Bool, Float

from fusion_dfd.models.attention import SpatialAttention, masked_mean


class SpatialBranch(nnx.Module):
    """Backbone maps -> attended context of every frame -> an opinion per frame; order in time plays no part."""

    def __init__(self, channels: int, *, rngs: nnx.Rngs):
        self.attention = SpatialAttention(channels, rngs=rngs)
        self.logit = nnx.Linear(channels, 1, rngs=rngs)
        self.features = channels

    def __call__(
        self, maps: Float[Array, "b t h w c"], valid: Bool[Array, "b t"]
    ) -> tuple[Float[Array, "b c"], Float[Array, " b"], Float[Array, "b t"], Float[Array, "b t h w"]]:
        """Returns token, logit, the logit of each frame (0 on padding) and the attention in 0..1 (0 on padding)."""
        context, attention = self.attention(maps)
        frame_logits = self.logit(context)[..., 0] * valid
        token, logit = masked_mean(context, valid), masked_mean(frame_logits, valid)
        return token, logit, frame_logits, attention * valid[..., None, None]
