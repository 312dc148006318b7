"""A transformer's encoder over the frames of a clip, in the place of recurrent layers."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Int

from fusion_dfd import config
from fusion_dfd.models.attention import MultiHeadAttention


class Encoder(nnx.Module):
    """Projection, places in time, then blocks of attention and feed-forward layer (Vaswani et al. 2017).

    LayerNorm stands before each part instead of behind it (Xiong et al. 2020), which trains without a long warm-up.
    """

    def __init__(self, inputs: int, options: config.Transformer, *, rngs: nnx.Rngs):
        self.project = nnx.Linear(inputs, options.width, rngs=rngs)
        self.blocks = nnx.List([EncoderBlock(options.width, options.heads, rngs=rngs) for _ in range(options.depth)])
        self.norm = nnx.LayerNorm(options.width, rngs=rngs)
        self.features = options.width

    def __call__(self, x: Float[Array, "b t c"], length: Int[Array, " b"]) -> Float[Array, "b t d"]:
        """What each frame has become; 0 at and beyond ``length``."""
        valid = jnp.arange(x.shape[1])[None, :] < length[:, None]
        x = self.project(x) + places(x.shape[1], self.features)
        for block in self.blocks:
            x = block(x, valid)
        return self.norm(x) * valid[..., None]


class EncoderBlock(nnx.Module):
    def __init__(self, features: int, heads: int, *, rngs: nnx.Rngs):
        self.norm1 = nnx.LayerNorm(features, rngs=rngs)
        # Without a bias: that of the keys would add the same amount to every score.
        self.attention = MultiHeadAttention(features, heads, bias=False, rngs=rngs)
        self.norm2 = nnx.LayerNorm(features, rngs=rngs)
        self.feed = FeedForward(features, rngs=rngs)

    def __call__(self, x: Float[Array, "b t c"], valid: Bool[Array, "b t"]) -> Float[Array, "b t c"]:
        x = x + self.attention(self.norm1(x), valid)[0]
        return x + self.feed(self.norm2(x))


class FeedForward(nnx.Module):
    """Four times as wide, GELU (Hendrycks & Gimpel 2016, the exact one), and back."""

    def __init__(self, features: int, *, dtype: DTypeLike = jnp.float32, rngs: nnx.Rngs):
        self.widen = nnx.Linear(features, 4 * features, dtype=dtype, rngs=rngs)
        self.narrow = nnx.Linear(4 * features, features, dtype=dtype, rngs=rngs)

    def __call__(self, x: Float[Array, "*n c"]) -> Float[Array, "*n c"]:
        return self.narrow(jax.nn.gelu(self.widen(x), approximate=False))


def places(count: int, features: int) -> Float[np.ndarray, "t c"]:
    """Sines and cosines that tell where in time a frame is (Vaswani et al. 2017, section 3.5); ``features`` even."""
    angle = np.arange(count)[:, None] / 10000 ** (np.arange(0, features, 2)[None, :] / features)
    return np.stack([np.sin(angle), np.cos(angle)], -1).reshape(count, features).astype(np.float32)
