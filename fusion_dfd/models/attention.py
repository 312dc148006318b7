"""Attention over pixels, over time, and between frames: the weights are explicit, because explanations read them."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Int, Shaped

from fusion_dfd import config


@jax.jit
def masked_softmax(scores: Float[Array, "*n t"], valid: Bool[Array, "*#n t"]) -> Float[Array, "*n t"]:
    """Softmax over the last axis among the valid entries; 0 elsewhere, and all 0 where nothing is valid."""
    floor = jnp.finfo(scores.dtype).min
    top = jax.lax.stop_gradient(jnp.max(jnp.where(valid, scores, floor), axis=-1, keepdims=True))
    weights = jnp.where(valid, jnp.exp(jnp.where(valid, scores - top, 0.0)), 0.0)
    return weights / jnp.maximum(jnp.sum(weights, axis=-1, keepdims=True), jnp.finfo(scores.dtype).tiny)


@jax.jit
def masked_mean(x: Float[Array, "b t ..."], valid: Bool[Array, "b t"]) -> Float[Array, "b ..."]:
    """Mean over the valid frames; 0 where a clip has none."""
    share = valid.astype(x.dtype) / jnp.maximum(jnp.sum(valid, axis=1, keepdims=True), 1).astype(x.dtype)
    return jnp.einsum("bt,bt...->b...", share, x)


class SpatialAttention(nnx.Module):
    """Where to look: a 1x1 convolution and a sigmoid give a map in 0..1; the context is the mean it weights."""

    def __init__(self, channels: int, *, rngs: nnx.Rngs):
        self.score = nnx.Linear(channels, 1, rngs=rngs)

    def __call__(self, maps: Float[Array, "b t h w c"]) -> tuple[Float[Array, "b t c"], Float[Array, "b t h w"]]:
        """Returns the context and the attention."""
        attention = jax.nn.sigmoid(self.score(maps)[..., 0])
        total = jnp.sum(attention, axis=(2, 3))[..., None]
        context = jnp.einsum("bthw,bthwc->btc", attention, maps) / jnp.maximum(total, 1e-6)
        return context, attention


class TemporalAttention(nnx.Module):
    """When to look: additive attention (Bahdanau et al. 2015), ``softmax over t of v . tanh(W h_t + b)``."""

    def __init__(self, features: int, *, rngs: nnx.Rngs):
        self.hidden = nnx.Linear(features, features, rngs=rngs)
        # Without a bias: a constant added to every score leaves the softmax as it is.
        self.score = nnx.Linear(features, 1, use_bias=False, rngs=rngs)

    def __call__(
        self, x: Float[Array, "b t c"], valid: Bool[Array, "b t"]
    ) -> tuple[Float[Array, "b c"], Float[Array, "b t"]]:
        """Returns the weighted sum over time and the weights, which sum to 1 over the valid frames."""
        weights = masked_softmax(self.score(jnp.tanh(self.hidden(x)))[..., 0], valid)
        return jnp.einsum("bt,btc->bc", weights, x), weights


class SelfAttention(nnx.Module):
    """Every frame looks at all valid frames (Vaswani et al. 2017): one head, added to its input, then LayerNorm."""

    def __init__(self, features: int, *, rngs: nnx.Rngs):
        self.query = nnx.Linear(features, features, rngs=rngs)
        # Without a bias: it would add the same amount to every key's score.
        self.key = nnx.Linear(features, features, use_bias=False, rngs=rngs)
        self.value = nnx.Linear(features, features, rngs=rngs)
        self.norm = nnx.LayerNorm(features, rngs=rngs)

    def __call__(
        self, x: Float[Array, "b t c"], valid: Bool[Array, "b t"]
    ) -> tuple[Float[Array, "b t c"], Float[Array, "b t t"]]:
        """Returns the sequence and the weights [b, t (looks), t (is looked at)]."""
        scores = jnp.einsum("btc,bsc->bts", self.query(x), self.key(x)) / jnp.sqrt(float(x.shape[-1]))
        weights = masked_softmax(scores, valid[:, None, :])
        return self.norm(x + jnp.einsum("bts,bsc->btc", weights, self.value(x))), weights


class MultiHeadAttention(nnx.Module):
    """Scaled dot-product attention in several heads (Vaswani et al. 2017, section 3.2.2), over the last axis but one.

    ``qkv`` gives queries, keys and values side by side, each of ``heads`` times ``features // heads``.
    """

    def __init__(self, features: int, heads: int, *, bias: bool = True, dtype: DTypeLike = jnp.float32, rngs: nnx.Rngs):
        self.qkv = nnx.Linear(features, 3 * features, use_bias=bias, dtype=dtype, rngs=rngs)
        self.out = nnx.Linear(features, features, dtype=dtype, rngs=rngs)
        self.heads = heads

    def __call__(
        self, x: Float[Array, "*n t c"], valid: Bool[Array, "*#n t"]
    ) -> tuple[Float[Array, "*n t c"], Float[Array, "*n h t t"]]:
        """Returns the sequence and the weights [*n, heads, t (looks), t (is looked at)], 0 on what is not valid."""
        query, key, value = (
            part.reshape(*part.shape[:-1], self.heads, -1) for part in jnp.split(self.qkv(x), 3, axis=-1)
        )
        scores = jnp.einsum("...qhd,...khd->...hqk", query, key, preferred_element_type=jnp.float32)
        weights = masked_softmax(scores / jnp.sqrt(float(query.shape[-1])), valid[..., None, None, :])
        seen = jnp.einsum("...hqk,...khd->...qhd", weights.astype(value.dtype), value)
        return self.out(seen.reshape(x.shape)), weights


# MERGED from models.padding: What lies beyond the end of a clip is made black before anything reads it.
def clear(
    frames: Shaped[Array, "b t *frame"], length: Int[Array, " b"]
) -> tuple[Shaped[Array, "b t *frame"], Bool[Array, "b t"]]:
    """The frames, or whatever stands for them, with zeros at and beyond ``length``, and which frames are valid."""
    valid = jnp.arange(frames.shape[1])[None, :] < length[:, None]
    return jnp.where(valid.reshape(*valid.shape, *[1] * (frames.ndim - 2)), frames, 0), valid


# MERGED from models.transformer: A transformer's encoder over the frames of a clip, in the place of recurrent layers.
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
