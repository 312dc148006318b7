"""Vision transformers (Dosovitskiy et al. 2021, "An Image is Worth 16x16 Words") without the classifier.

One module, whose options say what the published ones do differently. All have a class token, LayerNorm before attention
and before the dense layers, and heads of 64 channels.

- ViT-S/16 and B/16 follow timm: learnt positions, GELU. DINO's (Caron et al. 2021) are the same with other weights.
- CLIP's image towers (Radford et al. 2021) have a LayerNorm before the blocks, QuickGELU, and no bias in the patch
  embedding.
- DINOv2 (Oquab et al. 2023) scales what a block adds (LayerScale, Touvron et al. 2021). It was published without and
  with four registers: further tokens that no map shows (Darcet et al. 2024).
- DINOv3 (Simeoni et al. 2025) has registers too. Instead of learnt positions it turns queries and keys by the place of
  their patch (RoPE, Su et al. 2021, in two dimensions), so that any size of image is as good.

Learnt positions are resampled to the grid of the image (bicubic and antialiased, as in timm).

After the last LayerNorm, the maps are the patch tokens, and the pooled feature is the class token.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from einops import rearrange
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float

from fusion_dfd.backbones.backbone import Backbone, Features
from fusion_dfd.config import ConfigError

HEAD = 64
"""Channels of an attention head."""
STAGES = 4
POSITION = nnx.initializers.truncated_normal(0.02)


def gelu(x: Array) -> Array:
    """Exact, by the error function (Hendrycks & Gimpel 2016)."""
    return jax.nn.gelu(x, approximate=False)


def quick_gelu(x: Array) -> Array:
    """OpenAI's approximation, ``x * sigmoid(1.702 x)``."""
    return x * jax.nn.sigmoid(1.702 * x)


class Patches(nnx.Module):
    """The patch embedding: a convolution whose stride is its size. ``kernel`` is [size, size, 3, channels]."""

    def __init__(self, size: int, channels: int, bias: bool, *, dtype: DTypeLike, rngs: nnx.Rngs):
        self.kernel = nnx.Param(POSITION(rngs.params(), (size, size, 3, channels), jnp.float32))
        self.has_bias = bias
        if bias:
            self.bias = nnx.Param(jnp.zeros(channels, jnp.float32))
        self.size, self.dtype = size, dtype

    def __call__(self, images: Float[Array, "n h w 3"]) -> Float[Array, "n h2 w2 c"]:
        (height, width), size = images.shape[1:3], self.size
        if height % size or width % size:
            raise ConfigError(f"data.size: images of {height}x{width} pixels, want multiples of {size} for this ViT")
        patches = rearrange(images.astype(self.dtype), "n (h p) (w q) c -> n h w (p q c)", p=size, q=size)
        x = patches @ self.kernel[...].reshape(-1, self.kernel.shape[-1]).astype(self.dtype)
        return x + self.bias[...].astype(self.dtype) if self.has_bias else x


class Block(nnx.Module):
    """Self-attention and two dense layers, each added to its input.

    Args:
      biased: queries, keys and values have a bias.
      gain: what the scales of LayerScale start from; None without LayerScale.
    """

    def __init__(
        self,
        channels: int,
        activation: Callable,
        epsilon: float,
        biased: bool,
        gain: float | None,
        *,
        dtype: DTypeLike,
        rngs: nnx.Rngs,
    ):
        some = {"dtype": dtype, "rngs": rngs}
        self.heads = max(1, channels // HEAD)
        self.norm1 = nnx.LayerNorm(channels, epsilon=epsilon, rngs=rngs)
        self.qkv = nnx.Linear(channels, 3 * channels, use_bias=biased, **some)
        self.proj = nnx.Linear(channels, channels, **some)
        self.norm2 = nnx.LayerNorm(channels, epsilon=epsilon, rngs=rngs)
        self.fc1 = nnx.Linear(channels, 4 * channels, **some)
        self.fc2 = nnx.Linear(4 * channels, channels, **some)
        self.activation = activation
        self.scaled = gain is not None
        if self.scaled:
            self.gain1 = nnx.Param(jnp.full(channels, gain, jnp.float32))
            self.gain2 = nnx.Param(jnp.full(channels, gain, jnp.float32))

    def __call__(self, x: Float[Array, "n k c"], turn: Float[Array, "2 p d2"] | None) -> Float[Array, "n k c"]:
        """Tokens to tokens. ``turn`` is that of :func:`turned` for the last ``p`` of them; None turns nothing."""
        q, k, v = self._asked(x, turn)
        seen = self.proj(rearrange(jax.nn.dot_product_attention(q, k, v), "n k h d -> n k (h d)"))
        x = x + (seen * self.gain1[...].astype(seen.dtype) if self.scaled else seen)
        made = self.fc2(self.activation(self.fc1(self.norm2(x))))
        return x + (made * self.gain2[...].astype(made.dtype) if self.scaled else made)

    def looks(self, x: Float[Array, "n k c"], turn: Float[Array, "2 p d2"] | None) -> Float[Array, "n k"]:
        """The class token's attention to every token, mean over the heads; sums to 1. Arguments as of a call."""
        q, k, _ = self._asked(x, turn)
        scores = jnp.einsum("nhd,nkhd->nhk", q[:, 0], k, preferred_element_type=jnp.float32)
        return jnp.mean(jax.nn.softmax(scores * q.shape[-1] ** -0.5, axis=-1), axis=1)

    def _asked(self, x: Float[Array, "n k c"], turn: Float[Array, "2 p d2"] | None) -> tuple[Array, Array, Array]:
        """Queries, keys and values, [n, k, h, d] each."""
        q, k, v = rearrange(self.qkv(self.norm1(x)), "n k (three h d) -> three n k h d", three=3, h=self.heads)
        return (q, k, v) if turn is None else (turned(q, turn), turned(k, turn), v)


def turned(x: Float[Array, "n k h d"], turn: Float[Array, "2 p d2"]) -> Float[Array, "n k h d"]:
    """The last ``p`` tokens with each pair of channels ``(i, i + d / 2)`` turned, in float32.

    Args:
      turn: cosine and sine of each token's and pair's angle.
    """
    patches = turn.shape[1]
    first, second = jnp.split(x[:, -patches:].astype(jnp.float32), 2, -1)
    cos, sin = turn[:, :, None]
    found = jnp.concatenate([first * cos - second * sin, second * cos + first * sin], -1)
    return jnp.concatenate([x[:, :-patches], found.astype(x.dtype)], 1)


def rotation(height: int, width: int, channels: int) -> Float[np.ndarray, "2 hw d2"]:
    """DINOv3's turn of the patches of a grid: half of the pairs of a head turn with y, half with x.

    The centres of the patches lie in -1..1. The periods grow geometrically from 1 towards 100.

    Args:
      channels: those of a head, a multiple of 4.
    """
    quarter = channels // 4
    periods = 100.0 ** (np.arange(quarter) / quarter)
    y, x = ((2 * np.arange(side) + 1) / side - 1 for side in (height, width))
    places = np.stack(np.meshgrid(y, x, indexing="ij"), -1)[..., None]
    angles = rearrange(2 * np.pi * places / periods, "h w two d -> (h w) (two d)")
    return np.stack([np.cos(angles), np.sin(angles)]).astype(np.float32)


class ViT(Backbone):
    """The published network as four stages of equally many blocks; ``width`` is the number of channels of a token.

    A head has 64 channels: a width is below 64 (one head) or a multiple of it. The map is 1 / ``patch`` of the image.

    Args:
      blocks: of a stage.
      patch: pixels along a patch's side.
      grid: patches along a side of the images that the positions were learnt on.
      positions: what has a learnt one: ``all`` (class token and patches), ``patches``, or nothing (``rotary``).
      registers: number of further tokens.
      pre_norm: LayerNorm before the blocks, and no bias in the patch embedding.
      biased, gain: as in :class:`Block`.
    """

    def __init__(
        self,
        *,
        width: int,
        stages: int = STAGES,
        blocks: int = 3,
        patch: int = 16,
        grid: int = 14,
        positions: str = "all",
        registers: int = 0,
        pre_norm: bool = False,
        biased: bool = True,
        gain: float | None = None,
        activation: Callable = gelu,
        epsilon: float = 1e-6,
        dtype: DTypeLike = jnp.float32,
        remat: bool = False,
        rngs: nnx.Rngs,
    ):
        if width > HEAD and width % HEAD:
            raise ConfigError(f"model.backbone.width={width}: want less than {HEAD} or a multiple of it for a ViT")
        self.rotary = positions == "rotary"
        if self.rotary and width % 4:
            raise ConfigError(f"model.backbone.width={width}: want a multiple of 4 for a ViT that turns its tokens")
        self.patches = Patches(patch, width, not pre_norm, dtype=dtype, rngs=rngs)
        self.class_token = nnx.Param(POSITION(rngs.params(), (1, 1, width), jnp.float32))
        self.placed = positions == "all"
        self.grid = grid
        if not self.rotary:
            places = self.placed + grid * grid
            self.positions = nnx.Param(POSITION(rngs.params(), (1, places, width), jnp.float32))
        self.registers = registers
        if registers:
            self.register_tokens = nnx.Param(POSITION(rngs.params(), (1, registers, width), jnp.float32))
        self.pre_norm = pre_norm
        if pre_norm:
            self.norm_pre = nnx.LayerNorm(width, epsilon=epsilon, rngs=rngs)
        self.stages = nnx.List([])
        for _ in range(stages):
            made = (Block(width, activation, epsilon, biased, gain, dtype=dtype, rngs=rngs) for _ in range(blocks))
            self.stages.append(nnx.List(list(made)))
        self.norm = nnx.LayerNorm(width, epsilon=epsilon, rngs=rngs)
        self.channels, self.remat, self.dtype = width, remat, dtype

    def features(self, images: Float[Array, "n h w 3"], valid: Bool[Array, " n"] | None = None) -> Features:
        """As in :class:`Backbone`. ``valid`` has no effect: there are no batch statistics.

        Raises ConfigError for images whose sides are not multiples of ``patch``.
        """
        patches = self.patches(images)
        h, w = patches.shape[1:3]
        x = self._tokens(rearrange(patches, "n h w c -> n (h w) c"), h, w).astype(self.dtype)
        if self.pre_norm:
            x = self.norm_pre(x).astype(self.dtype)
        turn = jnp.asarray(rotation(h, w, min(self.channels, HEAD))) if self.rotary else None
        taps = {}
        for number, blocks in enumerate(self.stages, 1):
            for block in blocks:
                before, x = x, self.run(block, x, turn)
            taps[f"stage{number}"] = _map(x, h, w)
        x = self.norm(x)
        attention = _map(self.stages[-1][-1].looks(before, turn)[..., None], h, w)[..., 0]
        return Features(_map(x, h, w).astype(self.dtype), x[:, 0].astype(jnp.float32), taps, attention)

    def _tokens(self, patches: Float[Array, "n p c"], height: int, width: int) -> Float[Array, "n k c"]:
        """Class token, registers and patches, with their positions."""
        token = self.class_token[...]
        if not self.rotary:
            first, grid = jnp.split(self.positions[...], [int(self.placed)], 1)
            patches = patches + self._resampled(grid, height, width)
            token = token + first if self.placed else token
        before = [token, self.register_tokens[...]] if self.registers else [token]
        return jnp.concatenate([*(jnp.repeat(one, patches.shape[0], 0) for one in before), patches], 1)

    def _resampled(self, positions: Float[Array, "1 g c"], height: int, width: int) -> Float[Array, "1 p c"]:
        if (height, width) == (self.grid, self.grid):
            return positions
        grid = rearrange(positions, "1 (h w) c -> h w c", h=self.grid)
        grid = jax.image.resize(grid, (height, width, grid.shape[-1]), "cubic", antialias=True)
        return rearrange(grid, "h w c -> 1 (h w) c")


def _map(x: Float[Array, "n k c"], height: int, width: int) -> Float[Array, "n h w c"]:
    return rearrange(x[:, -height * width :], "n (h w) c -> n h w c", h=height, w=width)
