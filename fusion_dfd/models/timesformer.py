"""TimeSformer (Bertasius et al. 2021, "Is Space-Time Attention All You Need for Video Understanding?").

The factorised form, "divided space-time attention": in every block a patch first attends to the same position in the
other frames, then to the other patches of its frame. The defaults of ``config.TimeSformer`` are the paper's base model.
The order of layers and the epsilon are those of the published code, so that its weights fit::

    frames [b, t, s, s, 3] -> patches [b, t, n, d] + position in the frame + position in time
             |
    blocks:  attention over time, per patch (masked beyond ``length``) -> linear layer -> added
             attention over space, per frame, with the class token      -> added
             feed-forward layer                                         -> added
             |
    class token -> LayerNorm -> dropout -> Dense -> logit

After each block, the class token is the mean of its values in the valid frames.
"""

from __future__ import annotations

import functools

import jax.numpy as jnp
from einops import rearrange
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Int, UInt8

from fusion_dfd import config
from fusion_dfd.config import ConfigError
from fusion_dfd.models.attention import FeedForward, MultiHeadAttention, clear_padding, masked_mean
from fusion_dfd.models.heads import LogitHead
from fusion_dfd.models.system import System
from fusion_dfd.types import Outputs

MEAN, STD = 0.45, 0.225
"""Of all three channels, in 0..1, as for the published weights."""
EPSILON = 1e-6

_norm = functools.partial(nnx.LayerNorm, epsilon=EPSILON)
_INIT = nnx.initializers.truncated_normal(0.02)


class TimeSformerDetector(System):
    """The system ``timesformer``: it gives the logit and the class token's attention.

    Raises ConfigError, when called, for frames of another size than ``model.timesformer`` says, or more of them.
    """

    def __init__(self, model: config.Model, *, rngs: nnx.Rngs):
        dtype = jnp.bfloat16 if model.bfloat16 else jnp.float32
        options = model.timesformer
        self.size, self.patch, self.remat = options.size, options.patch, model.remat
        self.patch_embedding = nnx.Linear(3 * options.patch**2, options.width, rngs=rngs)
        self.class_token = nnx.Param(_INIT(rngs.params(), (options.width,)))
        self.positions = nnx.Param(_INIT(rngs.params(), (1 + (options.size // options.patch) ** 2, options.width)))
        self.time_positions = nnx.Param(jnp.zeros((options.frames, options.width)))
        self.blocks = nnx.List([])
        for place in range(options.depth):
            self.blocks.append(Block(options.width, options.heads, first=place == 0, dtype=dtype, rngs=rngs))
        self.norm = _norm(options.width, rngs=rngs)
        self.head = LogitHead(options.width, model.head, model.dropout, drop_input=True, rngs=rngs)

    def __call__(
        self,
        frames: UInt8[Array, "b t h w 3"],
        landmarks: Float[Array, "b t p 2"],
        length: Int[Array, " b"],
        contiguous: Bool[Array, " b"] | None = None,
        *,
        rngs: nnx.Rngs | None = None,
    ) -> Outputs:
        self._check(frames.shape)
        frames, valid = clear_padding(frames, length)
        x = self._patches(frames)
        token = jnp.broadcast_to(self.class_token[...] + self.positions[...][0], (x.shape[0], x.shape[-1]))
        for block in self.blocks:
            # Per block, so that only one block's activations are recomputed at a time.
            run = nnx.remat(type(block).__call__) if self.remat else type(block).__call__
            token, x, weights = run(block, token, x, valid)
        side = self.size // self.patch
        attention = rearrange(weights * valid[..., None], "b t (h w) -> b t h w", h=side)
        return Outputs(self.head(self.norm(token), rngs), spatial_attention=attention)

    def _check(self, shape: tuple) -> None:
        _, frames, height, width, _ = shape
        most = len(self.time_positions[...])
        if (height, width) != (self.size, self.size) or frames > most:
            raise ConfigError(
                f"{frames} frames of {height}x{width} pixels: model.timesformer was built for at most {most} of "
                f"{self.size}x{self.size}; set its frames and size to data.frames, data.size"
            )

    def _patches(self, frames: UInt8[Array, "b t h w 3"]) -> Float[Array, "b t n d"]:
        pixels = (frames.astype(jnp.float32) / 255.0 - MEAN) / STD
        x = rearrange(pixels, "b t (h p) (w q) c -> b t (h w) (p q c)", p=self.patch, q=self.patch)
        return self.patch_embedding(x) + self.positions[...][1:] + self.time_positions[...][: x.shape[1], None]


class Block(nnx.Module):
    """Attention over time, attention over space, feed-forward layer."""

    def __init__(self, features: int, heads: int, *, first: bool, dtype: DTypeLike, rngs: nnx.Rngs):
        self.time_norm = _norm(features, rngs=rngs)
        self.time_attention = MultiHeadAttention(features, heads, dtype=dtype, rngs=rngs)
        # As in the published code, all blocks but the first start without attention over time, as an image model.
        init = nnx.initializers.lecun_normal() if first else nnx.initializers.zeros
        self.time_linear = nnx.Linear(features, features, kernel_init=init, dtype=dtype, rngs=rngs)
        self.space_norm = _norm(features, rngs=rngs)
        self.space_attention = MultiHeadAttention(features, heads, dtype=dtype, rngs=rngs)
        self.feed_forward_norm = _norm(features, rngs=rngs)
        self.feed_forward = FeedForward(features, dtype=dtype, rngs=rngs)

    def __call__(
        self, token: Float[Array, "b d"], x: Float[Array, "b t n d"], valid: Bool[Array, "b t"]
    ) -> tuple[Float[Array, "b d"], Float[Array, "b t n d"], Float[Array, "b t n"]]:
        """Returns class token, patches, and the class token's attention in each frame (mean over the heads)."""
        by_patch = self.time_norm(rearrange(x, "b t n d -> b n t d"))
        moved = self.time_linear(self.time_attention(by_patch, valid[:, None])[0])
        x = x + rearrange(moved, "b n t d -> b t n d")

        repeated = jnp.broadcast_to(token[:, None, None], (*x.shape[:2], 1, x.shape[-1]))
        together = self.space_norm(jnp.concatenate([repeated, x], axis=2))
        attended, weights = self.space_attention(together, jnp.ones((1, 1, together.shape[2]), bool))
        token, x = token + masked_mean(attended[:, :, 0], valid), x + attended[:, :, 1:]

        token, x = self._feed_forward(token), self._feed_forward(x)
        return token, x, jnp.mean(weights[..., 0, 1:], axis=2)

    def _feed_forward(self, x: Float[Array, "*n d"]) -> Float[Array, "*n d"]:
        return x + self.feed_forward(self.feed_forward_norm(x))
