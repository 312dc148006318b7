"""TimeSformer (Bertasius et al. 2021, "Is Space-Time Attention All You Need for Video Understanding?").

The factorised form, "divided space-time attention": in every block a patch first looks at the same place in the other
frames, then at the other patches of its frame. The defaults of ``config.TimeSformer`` are the paper's base model; the
order of layers and the epsilon are those of the published code, so that its weights fit::

    frames [b, t, s, s, 3] -> patches [b, t, n, d] + place in the frame + place in time
             |
    blocks:  attention over time, per patch (masked beyond ``length``) -> linear layer -> added
             attention over space, per frame, with the class token      -> added
             feed-forward layer                                         -> added
             |
    class token -> LayerNorm -> dropout -> Dense -> logit

The class token of a block is the mean of what it becomes in each valid frame.
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
from fusion_dfd.models.attention import FeedForward, MultiHeadAttention, clear, masked_mean
from fusion_dfd.models.heads import Readout
from fusion_dfd.types import Outputs

MEAN, STD = 0.45, 0.225
"""Of all three colours, in 0..1: what the published weights were trained on."""
EPSILON = 1e-6

_norm = functools.partial(nnx.LayerNorm, epsilon=EPSILON)
_INIT = nnx.initializers.truncated_normal(0.02)


class TimeSformerDetector(nnx.Module):
    """Frames in; the logit and the class token's attention out. Landmarks are not used; its state is ``Param`` only.

    Raises ConfigError, when called, for frames of another size or number than ``model.timesformer`` says.
    """

    def __init__(self, model: config.Model, *, rngs: nnx.Rngs):
        dtype = jnp.bfloat16 if model.bfloat16 else jnp.float32
        options = model.timesformer
        self.size, self.patch, self.remat = options.size, options.patch, model.remat
        self.embed = nnx.Linear(3 * options.patch**2, options.width, rngs=rngs)
        self.token = nnx.Param(_INIT(rngs.params(), (options.width,)))
        self.place = nnx.Param(_INIT(rngs.params(), (1 + (options.size // options.patch) ** 2, options.width)))
        self.time = nnx.Param(jnp.zeros((options.frames, options.width)))
        self.blocks = nnx.List([])
        for place in range(options.depth):
            self.blocks.append(Block(options.width, options.heads, first=place == 0, dtype=dtype, rngs=rngs))
        self.norm = _norm(options.width, rngs=rngs)
        self.readout = Readout(options.width, model.head, model.dropout, rngs=rngs)

    def __call__(
        self,
        frames: UInt8[Array, "b t h w 3"],
        landmarks: Float[Array, "b t 5 2"],
        length: Int[Array, " b"],
        *,
        rngs: nnx.Rngs | None = None,
    ) -> Outputs:
        """``rngs`` (stream ``dropout``) is needed in training mode only."""
        self._check(frames.shape)
        frames, valid = clear(frames, length)
        x = self._patches(frames)
        token = jnp.broadcast_to(self.token[...] + self.place[...][0], (x.shape[0], x.shape[-1]))
        for block in self.blocks:
            # Block by block, so that only one block's activations are ever recomputed at a time.
            run = nnx.remat(type(block).__call__) if self.remat else type(block).__call__
            token, x, weights = run(block, token, x, valid)
        side = self.size // self.patch
        looking = rearrange(weights * valid[..., None], "b t (h w) -> b t h w", h=side)
        return Outputs(self.readout(self.norm(token), rngs), spatial_attention=looking)

    def _check(self, shape: tuple[int, ...]) -> None:
        _, frames, height, width, _ = shape
        if (height, width) != (self.size, self.size) or frames > len(self.time[...]):
            raise ConfigError(
                f"{frames} frames of {height}x{width} pixels: model.timesformer was built for at most "
                f"{len(self.time[...])} of {self.size}x{self.size}; set its frames and size to data.frames, data.size"
            )

    def _patches(self, frames: UInt8[Array, "b t h w 3"]) -> Float[Array, "b t n d"]:
        pixels = (frames.astype(jnp.float32) / 255.0 - MEAN) / STD
        x = rearrange(pixels, "b t (h p) (w q) c -> b t (h w) (p q c)", p=self.patch, q=self.patch)
        return self.embed(x) + self.place[...][1:] + self.time[...][: x.shape[1], None]


class Block(nnx.Module):
    """Attention over time, attention over space, feed-forward layer."""

    def __init__(self, features: int, heads: int, *, first: bool, dtype: DTypeLike, rngs: nnx.Rngs):
        self.time_norm = _norm(features, rngs=rngs)
        self.time = MultiHeadAttention(features, heads, dtype=dtype, rngs=rngs)
        # All but the first block start without time, as the published code has it: a model of images to begin with.
        init = nnx.initializers.lecun_normal() if first else nnx.initializers.zeros
        self.time_linear = nnx.Linear(features, features, kernel_init=init, dtype=dtype, rngs=rngs)
        self.space_norm = _norm(features, rngs=rngs)
        self.space = MultiHeadAttention(features, heads, dtype=dtype, rngs=rngs)
        self.norm = _norm(features, rngs=rngs)
        self.feed = FeedForward(features, dtype=dtype, rngs=rngs)

    def __call__(
        self, token: Float[Array, "b d"], x: Float[Array, "b t n d"], valid: Bool[Array, "b t"]
    ) -> tuple[Float[Array, "b d"], Float[Array, "b t n d"], Float[Array, "b t n"]]:
        """Returns class token, patches, and where the class token looks in each frame (mean over the heads)."""
        tracks = self.time_norm(rearrange(x, "b t n d -> b n t d"))
        moved = self.time_linear(self.time(tracks, valid[:, None])[0])
        x = x + rearrange(moved, "b n t d -> b t n d")

        repeated = jnp.broadcast_to(token[:, None, None], (*x.shape[:2], 1, x.shape[-1]))
        together = self.space_norm(jnp.concatenate([repeated, x], axis=2))
        seen, weights = self.space(together, jnp.ones((1, 1, together.shape[2]), bool))
        token, x = token + masked_mean(seen[:, :, 0], valid), x + seen[:, :, 1:]

        token, x = token + self.feed(self.norm(token)), x + self.feed(self.norm(x))
        return token, x, jnp.mean(weights[..., 0, 1:], axis=2)
