"""Attention over pixels, over time and between frames, and what it needs: masked means, and a transformer's encoder.

Attention weights are returned beside the result, because explanations show them. Padding is the frames at and beyond
the ``length`` of a window: :func:`clear_padding` zeroes it before anything reads it, and no attention falls on it.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Int, Shaped

from fusion_dfd import config


def clear_padding(
    frames: Shaped[Array, "b t *frame"], length: Int[Array, " b"]
) -> tuple[Shaped[Array, "b t *frame"], Bool[Array, "b t"]]:
    """Per-frame values with zeros at and beyond ``length``, and which frames are valid."""
    valid = jnp.arange(frames.shape[1])[None, :] < length[:, None]
    return jnp.where(valid.reshape(*valid.shape, *[1] * (frames.ndim - 2)), frames, 0), valid


@jax.jit
def masked_softmax(scores: Float[Array, "*n t"], valid: Bool[Array, "... t"]) -> Float[Array, "*n t"]:
    """Softmax over the valid entries of the last axis. Other entries are 0; all are 0 where nothing is valid."""
    floor = jnp.finfo(scores.dtype).min
    top = jax.lax.stop_gradient(jnp.max(jnp.where(valid, scores, floor), axis=-1, keepdims=True))
    weights = jnp.where(valid, jnp.exp(jnp.where(valid, scores - top, 0.0)), 0.0)
    return weights / jnp.maximum(jnp.sum(weights, axis=-1, keepdims=True), jnp.finfo(scores.dtype).tiny)


@jax.jit
def masked_mean(x: Float[Array, "b t ..."], valid: Bool[Array, "b t"]) -> Float[Array, "b ..."]:
    """Mean over the valid frames; 0 for a window without any."""
    share = valid.astype(x.dtype) / jnp.maximum(jnp.sum(valid, axis=1, keepdims=True), 1).astype(x.dtype)
    return jnp.einsum("bt,bt...->b...", share, x)


class SpatialAttention(nnx.Module):
    """Where to look: a 1x1 convolution and a sigmoid give a map in 0..1. The context is the mean weighted by it."""

    def __init__(self, channels: int, *, rngs: nnx.Rngs):
        self.score = nnx.Linear(channels, 1, rngs=rngs)

    def __call__(self, maps: Float[Array, "b t h w c"]) -> tuple[Float[Array, "b t c"], Float[Array, "b t h w"]]:
        """Returns the context and the attention map of each frame."""
        attention = jax.nn.sigmoid(self.score(maps)[..., 0])
        total = jnp.sum(attention, axis=(2, 3))[..., None]
        context = jnp.einsum("bthw,bthwc->btc", attention, maps) / jnp.maximum(total, 1e-6)
        return context, attention


class TemporalAttention(nnx.Module):
    """When to look: additive attention (Bahdanau et al. 2015), ``softmax over t of v . tanh(W h_t + b)``."""

    def __init__(self, features: int, *, rngs: nnx.Rngs):
        self.hidden = nnx.Linear(features, features, rngs=rngs)
        # No bias: a constant added to every score does not change the softmax.
        self.score = nnx.Linear(features, 1, use_bias=False, rngs=rngs)

    def __call__(
        self, x: Float[Array, "b t c"], valid: Bool[Array, "b t"]
    ) -> tuple[Float[Array, "b c"], Float[Array, "b t"]]:
        """Returns the weighted sum over time and the weights, which sum to 1 over the valid frames."""
        weights = masked_softmax(self.score(jnp.tanh(self.hidden(x)))[..., 0], valid)
        return jnp.einsum("bt,btc->bc", weights, x), weights


class SelfAttention(nnx.Module):
    """Every frame attends to all valid frames (Vaswani et al. 2017): one head, a residual connection, LayerNorm."""

    def __init__(self, features: int, *, rngs: nnx.Rngs):
        self.query = nnx.Linear(features, features, rngs=rngs)
        # No bias: it would add the same amount to every key's score.
        self.key = nnx.Linear(features, features, use_bias=False, rngs=rngs)
        self.value = nnx.Linear(features, features, rngs=rngs)
        self.norm = nnx.LayerNorm(features, rngs=rngs)

    def __call__(
        self, x: Float[Array, "b t c"], valid: Bool[Array, "b t"]
    ) -> tuple[Float[Array, "b t c"], Float[Array, "b t t"]]:
        """Returns the sequence and the weights [b, t (queries), t (keys)]."""
        scores = jnp.einsum("btc,bsc->bts", self.query(x), self.key(x)) / jnp.sqrt(float(x.shape[-1]))
        weights = masked_softmax(scores, valid[:, None, :])
        return self.norm(x + jnp.einsum("bts,bsc->btc", weights, self.value(x))), weights


class MultiHeadAttention(nnx.Module):
    """Scaled dot-product attention with several heads (Vaswani et al. 2017, section 3.2.2), over the last axis but one.

    ``qkv`` gives queries, keys and values side by side, each ``heads`` times ``features // heads`` wide.
    """

    def __init__(self, features: int, heads: int, *, bias: bool = True, dtype: DTypeLike = jnp.float32, rngs: nnx.Rngs):
        self.qkv = nnx.Linear(features, 3 * features, use_bias=bias, dtype=dtype, rngs=rngs)
        self.out = nnx.Linear(features, features, dtype=dtype, rngs=rngs)
        self.heads = heads

    def __call__(
        self, x: Float[Array, "*n t c"], valid: Bool[Array, "... t"]
    ) -> tuple[Float[Array, "*n t c"], Float[Array, "*n h t t"]]:
        """Returns the sequence and the weights [*n, heads, t (queries), t (keys)], 0 for keys that are not valid."""
        query, key, value = (
            part.reshape(*part.shape[:-1], self.heads, -1) for part in jnp.split(self.qkv(x), 3, axis=-1)
        )
        scores = jnp.einsum("...qhd,...khd->...hqk", query, key, preferred_element_type=jnp.float32)
        weights = masked_softmax(scores / jnp.sqrt(float(query.shape[-1])), valid[..., None, None, :])
        attended = jnp.einsum("...hqk,...khd->...qhd", weights.astype(value.dtype), value)
        return self.out(attended.reshape(x.shape)), weights


class TransformerEncoder(nnx.Module):
    """A transformer's encoder over the frames of a window (Vaswani et al. 2017), instead of recurrent layers.

    A projection, plus positions in time, then blocks of self-attention and feed-forward layers. LayerNorm comes before
    each sublayer, not after it (Xiong et al. 2020): that trains without a long warm-up.
    """

    def __init__(self, inputs: int, options: config.Transformer, *, rngs: nnx.Rngs):
        self.projection = nnx.Linear(inputs, options.width, rngs=rngs)
        self.blocks = nnx.List([EncoderBlock(options.width, options.heads, rngs=rngs) for _ in range(options.depth)])
        self.norm = nnx.LayerNorm(options.width, rngs=rngs)
        self.features = options.width

    def __call__(self, x: Float[Array, "b t c"], length: Int[Array, " b"]) -> Float[Array, "b t d"]:
        """Features of each frame; 0 at and beyond ``length``."""
        valid = jnp.arange(x.shape[1])[None, :] < length[:, None]
        x = self.projection(x) + sinusoidal_positions(x.shape[1], self.features)
        for block in self.blocks:
            x = block(x, valid)
        return self.norm(x) * valid[..., None]


class EncoderBlock(nnx.Module):
    """Self-attention, then the feed-forward layer; each is added to its input."""

    def __init__(self, features: int, heads: int, *, rngs: nnx.Rngs):
        self.norm1 = nnx.LayerNorm(features, rngs=rngs)
        # No bias: that of the keys would add the same amount to every score.
        self.attention = MultiHeadAttention(features, heads, bias=False, rngs=rngs)
        self.norm2 = nnx.LayerNorm(features, rngs=rngs)
        self.feed_forward = FeedForward(features, rngs=rngs)

    def __call__(self, x: Float[Array, "b t c"], valid: Bool[Array, "b t"]) -> Float[Array, "b t c"]:
        x = x + self.attention(self.norm1(x), valid)[0]
        return x + self.feed_forward(self.norm2(x))


class FeedForward(nnx.Module):
    """A linear layer four times as wide, exact GELU (Hendrycks & Gimpel 2016), and a linear layer back."""

    def __init__(self, features: int, *, dtype: DTypeLike = jnp.float32, rngs: nnx.Rngs):
        self.widen = nnx.Linear(features, 4 * features, dtype=dtype, rngs=rngs)
        self.narrow = nnx.Linear(4 * features, features, dtype=dtype, rngs=rngs)

    def __call__(self, x: Float[Array, "*n c"]) -> Float[Array, "*n c"]:
        return self.narrow(jax.nn.gelu(self.widen(x), approximate=False))


def sinusoidal_positions(count: int, features: int) -> Float[np.ndarray, "t c"]:
    """Sine and cosine codes of positions 0 .. count - 1 (Vaswani et al. 2017, section 3.5); ``features`` is even."""
    angle = np.arange(count)[:, None] / 10000 ** (np.arange(0, features, 2)[None, :] / features)
    return np.stack([np.sin(angle), np.cos(angle)], -1).reshape(count, features).astype(np.float32)
