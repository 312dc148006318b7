"""Vision transformers S/16 and B/16 (Dosovitskiy et al. 2021, "An Image is Worth 16x16 Words") without the classifier.

They follow timm: a class token, learnt positions, LayerNorm before attention and before the dense layers, GELU. The
image tower of CLIP (Radford et al. 2021) is the same network with a LayerNorm before the blocks, QuickGELU, and no bias
in the patch embedding. DINO's (Caron et al. 2021) is the same with other weights. Positions are resampled to the grid
of the image (bicubic and antialiased, as in timm).

After the last LayerNorm, the maps are the patch tokens, and the pooled feature is the class token.

Weights, as timm's safetensors: ``vit_small``, ``vit_base`` Steiner et al. 2021 (Apache-2.0); ``vit_small_dino``,
``vit_base_dino`` facebookresearch/dino (Apache-2.0); ``vit_base_clip`` openai/CLIP (MIT).
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp
from einops import rearrange
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float

from fusion_dfd.backbones.backbone import Backbone, Features
from fusion_dfd.backbones.convert import NameTable
from fusion_dfd.backbones.spec import HALF, IMAGENET_MEAN, IMAGENET_STD, Spec, timm
from fusion_dfd.config import ConfigError

PATCH = 16
"""Pixels along a patch's side."""
HEAD = 64
"""Channels of an attention head."""
BLOCKS_PER_STAGE = 3
GRID = 14
"""Patches along a side of the images that the positions were learnt on."""
POSITION = nnx.initializers.truncated_normal(0.02)


def gelu(x: Array) -> Array:
    """Exact, by the error function (Hendrycks & Gimpel 2016)."""
    return jax.nn.gelu(x, approximate=False)


def quick_gelu(x: Array) -> Array:
    """OpenAI's approximation, ``x * sigmoid(1.702 x)``."""
    return x * jax.nn.sigmoid(1.702 * x)


class Patches(nnx.Module):
    """The patch embedding: a convolution whose stride is its size. ``kernel`` is [16, 16, 3, channels]."""

    def __init__(self, channels: int, bias: bool, *, dtype: DTypeLike, rngs: nnx.Rngs):
        self.kernel = nnx.Param(POSITION(rngs.params(), (PATCH, PATCH, 3, channels), jnp.float32))
        self.has_bias = bias
        if bias:
            self.bias = nnx.Param(jnp.zeros(channels, jnp.float32))
        self.dtype = dtype

    def __call__(self, images: Float[Array, "n h w 3"]) -> Float[Array, "n h2 w2 c"]:
        height, width = images.shape[1:3]
        if height % PATCH or width % PATCH:
            raise ConfigError(f"data.size: images of {height}x{width} pixels, want multiples of {PATCH} for a ViT")
        patches = rearrange(images.astype(self.dtype), "n (h p) (w q) c -> n h w (p q c)", p=PATCH, q=PATCH)
        x = patches @ self.kernel[...].reshape(-1, self.kernel.shape[-1]).astype(self.dtype)
        return x + self.bias[...].astype(self.dtype) if self.has_bias else x


class Block(nnx.Module):
    """Self-attention and two dense layers, each added to its input. ``x`` is [n, tokens, c]."""

    def __init__(self, channels: int, activation: Callable, epsilon: float, *, dtype: DTypeLike, rngs: nnx.Rngs):
        some = {"dtype": dtype, "rngs": rngs}
        self.heads = max(1, channels // HEAD)
        self.norm1 = nnx.LayerNorm(channels, epsilon=epsilon, rngs=rngs)
        self.qkv = nnx.Linear(channels, 3 * channels, **some)
        self.proj = nnx.Linear(channels, channels, **some)
        self.norm2 = nnx.LayerNorm(channels, epsilon=epsilon, rngs=rngs)
        self.fc1 = nnx.Linear(channels, 4 * channels, **some)
        self.fc2 = nnx.Linear(4 * channels, channels, **some)
        self.activation = activation

    def __call__(self, x: Float[Array, "n k c"], valid: Bool[Array, " n"] | None) -> Float[Array, "n k c"]:
        q, k, v = rearrange(self.qkv(self.norm1(x)), "n k (three h d) -> three n k h d", three=3, h=self.heads)
        x = x + self.proj(rearrange(jax.nn.dot_product_attention(q, k, v), "n k h d -> n k (h d)"))
        return x + self.fc2(self.activation(self.fc1(self.norm2(x))))


class ViT(Backbone):
    """The published network as four stages of three blocks; ``width`` is the number of channels of a token.

    A head has 64 channels: a width is below 64 (one head) or a multiple of it. The map is 1 / 16 of the image.
    """

    def __init__(
        self,
        *,
        width: int,
        stages: int = 4,
        pre_norm: bool = False,
        activation: Callable = gelu,
        epsilon: float = 1e-6,
        dtype: DTypeLike = jnp.float32,
        remat: bool = False,
        rngs: nnx.Rngs,
    ):
        if width > HEAD and width % HEAD:
            raise ConfigError(f"model.backbone.width={width}: want less than {HEAD} or a multiple of it for a ViT")
        self.patches = Patches(width, not pre_norm, dtype=dtype, rngs=rngs)
        self.class_token = nnx.Param(POSITION(rngs.params(), (1, 1, width), jnp.float32))
        self.positions = nnx.Param(POSITION(rngs.params(), (1, 1 + GRID * GRID, width), jnp.float32))
        self.pre_norm = pre_norm
        if pre_norm:
            self.norm_pre = nnx.LayerNorm(width, epsilon=epsilon, rngs=rngs)
        self.stages = nnx.List([])
        for _ in range(stages):
            blocks = (Block(width, activation, epsilon, dtype=dtype, rngs=rngs) for _ in range(BLOCKS_PER_STAGE))
            self.stages.append(nnx.List(list(blocks)))
        self.norm = nnx.LayerNorm(width, epsilon=epsilon, rngs=rngs)
        self.channels, self.remat, self.dtype = width, remat, dtype

    def features(self, images: Float[Array, "n h w 3"], valid: Bool[Array, " n"] | None = None) -> Features:
        """As in :class:`Backbone`. ``valid`` has no effect: there are no batch statistics.

        Raises ConfigError for images whose sides are not multiples of 16.
        """
        patches = self.patches(images)
        n, h, w, _ = patches.shape
        x = jnp.concatenate([jnp.repeat(self.class_token[...], n, 0), rearrange(patches, "n h w c -> n (h w) c")], 1)
        x = (x + self._positions(h, w)).astype(self.dtype)
        if self.pre_norm:
            x = self.norm_pre(x).astype(self.dtype)
        taps = {}
        for number, blocks in enumerate(self.stages, 1):
            for block in blocks:
                x = self.run(block, x, valid)
            taps[f"stage{number}"] = _map(x, h, w)
        x = self.norm(x)
        return Features(_map(x, h, w).astype(self.dtype), x[:, 0].astype(jnp.float32), taps)

    def _positions(self, height: int, width: int) -> Float[Array, "1 k c"]:
        token, grid = self.positions[:, :1], self.positions[:, 1:]
        if (height, width) != (GRID, GRID):
            grid = rearrange(grid, "1 (h w) c -> h w c", h=GRID)
            grid = jax.image.resize(grid, (height, width, grid.shape[-1]), "cubic", antialias=True)
            grid = rearrange(grid, "h w c -> 1 (h w) c")
        return jnp.concatenate([token, grid], 1)


def _map(x: Float[Array, "n k c"], height: int, width: int) -> Float[Array, "n h w c"]:
    return rearrange(x[:, 1:], "n (h w) c -> n h w c", h=height, w=width)


def _names(net: ViT) -> Iterator[tuple[str, str]]:
    """timm's names."""
    yield "class_token", "cls_token"
    yield "positions", "pos_embed"
    yield "patches", "patch_embed.proj"
    if net.pre_norm:
        yield "norm_pre", "norm_pre"
    for stage, blocks in enumerate(net.stages):
        for place in range(len(blocks)):
            ours, theirs = f"stages/{stage}/{place}", f"blocks.{BLOCKS_PER_STAGE * stage + place}"
            yield f"{ours}/norm1", f"{theirs}.norm1"
            yield f"{ours}/qkv", f"{theirs}.attn.qkv"
            yield f"{ours}/proj", f"{theirs}.attn.proj"
            yield f"{ours}/norm2", f"{theirs}.norm2"
            yield f"{ours}/fc1", f"{theirs}.mlp.fc1"
            yield f"{ours}/fc2", f"{theirs}.mlp.fc2"
    yield "norm", "norm"


TORCH = NameTable("torch", _names, ignored=(r"head\..*",))

_SMALL = Spec(
    name="vit_small",
    build=ViT,
    input_size=PATCH * GRID,
    channels=384,
    width=384,
    stages=4,
    mean=HALF,
    std=HALF,
    source="timm vit_small_patch16_224, ImageNet-21k then 1k (Steiner et al. 2021, arXiv:2106.10270)",
    licence="Apache-2.0",
    published=timm("vit_small_patch16_224.augreg_in21k_ft_in1k"),
    name_tables=(TORCH,),
)
_BASE = dataclasses.replace(
    _SMALL,
    name="vit_base",
    channels=768,
    width=768,
    source="timm vit_base_patch16_224, ImageNet-21k then 1k (Steiner et al. 2021, arXiv:2106.10270)",
    published=timm("vit_base_patch16_224.augreg2_in21k_ft_in1k"),
)
_DINO = {"mean": IMAGENET_MEAN, "std": IMAGENET_STD, "source": "DINO, ImageNet-1k without labels (arXiv:2104.14294)"}
SPECS = (
    _SMALL,
    _BASE,
    dataclasses.replace(_SMALL, name="vit_small_dino", published=timm("vit_small_patch16_224.dino"), **_DINO),
    dataclasses.replace(_BASE, name="vit_base_dino", published=timm("vit_base_patch16_224.dino"), **_DINO),
    dataclasses.replace(
        _BASE,
        name="vit_base_clip",
        build=functools.partial(ViT, pre_norm=True, activation=quick_gelu, epsilon=1e-5),
        mean=(0.48145466, 0.4578275, 0.40821073),
        std=(0.26862954, 0.26130258, 0.27577711),
        source="CLIP's image tower, 400 million image-text pairs (Radford et al. 2021, arXiv:2103.00020)",
        licence="MIT (openai/CLIP)",
        published=timm("vit_base_patch16_clip_224.openai"),
    ),
)
