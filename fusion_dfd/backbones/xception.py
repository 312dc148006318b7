"""Xception (Chollet 2017, "Xception: Deep Learning with Depthwise Separable Convolutions") without the classifier.

Blocks of separable convolutions (depthwise, then 1x1) with a shortcut. There are two published variants. ``xception``
is timm's legacy_xception: symmetric padding of max pooling, BatchNorm epsilon 1e-5. ``xception_keras`` is that of Keras
applications: TensorFlow's SAME padding, epsilon 1e-3. The two convolutions of the stem are not padded.

Weights: Cadene's PyTorch port of Keras's (BSD-3-Clause), with timm's names; Keras applications (MIT, Chollet).
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator

import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float

from fusion_dfd.backbones.backbone import Backbone
from fusion_dfd.backbones.conv import Conv, Depthwise, max_pool
from fusion_dfd.backbones.convert import NameTable
from fusion_dfd.backbones.layers import BatchNorm, Style, Unit, scaled
from fusion_dfd.backbones.spec import HALF, Spec, WeightsFile, keras

MIDDLE = 8
"""Blocks of the middle flow."""


class Separable(nnx.Module):
    """3x3 depthwise convolution, 1x1 convolution, BatchNorm; no activation."""

    def __init__(self, inputs: int, outputs: int, style: Style, *, dtype: DTypeLike, rngs: nnx.Rngs):
        self.depthwise = Depthwise(inputs, 3, dtype=dtype, rngs=rngs)
        self.pointwise = Conv(inputs, outputs, 1, dtype=dtype, rngs=rngs)
        self.bn = BatchNorm(outputs, momentum=style.momentum, epsilon=style.epsilon)

    def __call__(self, x: Float[Array, "n h w i"], valid: Bool[Array, " n"] | None) -> Float[Array, "n h w o"]:
        return self.bn(self.pointwise(self.depthwise(x)), valid)


class Block(nnx.Module):
    """Separable convolutions with a ReLU before each, and a shortcut. ``active=False`` omits the first ReLU.

    A block that ``shrinks`` ends with 3x3 max pooling at stride 2, and its shortcut is a 1x1 convolution.
    """

    def __init__(
        self,
        inputs: int,
        widths: tuple[int, ...],
        style: Style,
        *,
        active: bool = True,
        shrinks: bool = False,
        dtype: DTypeLike,
        rngs: nnx.Rngs,
    ):
        self.separables = nnx.List([])
        channels = inputs
        for width in widths:
            self.separables.append(Separable(channels, width, style, dtype=dtype, rngs=rngs))
            channels = width
        self.active, self.shrinks, self.padding = active, shrinks, style.padding
        if shrinks:
            self.shortcut = Unit(Conv(inputs, channels, 1, 2, dtype=dtype, rngs=rngs), style)

    def __call__(self, x: Float[Array, "n h w i"], valid: Bool[Array, " n"] | None) -> Float[Array, "n h2 w2 o"]:
        y = x
        for place, separable in enumerate(self.separables):
            y = separable(nnx.relu(y) if place or self.active else y, valid)
        if self.shrinks:
            x, y = self.shortcut(x, valid), max_pool(y, 3, 2, self.padding)
        return x + y


class Tail(nnx.Module):
    """Separable convolution and ReLU."""

    def __init__(self, inputs: int, outputs: int, style: Style, *, dtype: DTypeLike, rngs: nnx.Rngs):
        self.separable = Separable(inputs, outputs, style, dtype=dtype, rngs=rngs)

    def __call__(self, x: Float[Array, "n h w i"], valid: Bool[Array, " n"] | None) -> Float[Array, "n h w o"]:
        return nnx.relu(self.separable(x, valid))


class Xception(Backbone):
    """The published network at ``width`` 32 with four stages, each ending before the next halves the map.

    Stage 3 holds the middle flow, stage 4 the two separable convolutions at the end; the map is about
    ``1 / 2**(stages + 1)`` of the image.
    """

    def __init__(
        self,
        style: Style,
        *,
        width: int = 32,
        stages: int = 4,
        dtype: DTypeLike = jnp.float32,
        remat: bool = False,
        rngs: nnx.Rngs,
    ):
        some = {"dtype": dtype, "rngs": rngs}
        first, second, a, b, c, d, e = (scaled(n, width, 32) for n in (32, 64, 128, 256, 728, 1024, 1536))
        self.conv1 = Unit(Conv(3, first, 3, 2, padding="valid", **some), style, nnx.relu)
        self.conv2 = Unit(Conv(first, second, 3, padding="valid", **some), style, nnx.relu)
        made = [
            lambda: [Block(second, (a, a), style, active=False, shrinks=True, **some)],
            lambda: [Block(a, (b, b), style, shrinks=True, **some)],
            lambda: [
                Block(b, (c, c), style, shrinks=True, **some),
                *(Block(c, (c, c, c), style, **some) for _ in range(MIDDLE)),
            ],
            lambda: [
                Block(c, (c, d), style, shrinks=True, **some),
                Tail(d, e, style, **some),
                Tail(e, scaled(2048, width, 32), style, **some),
            ],
        ]
        self.stages = nnx.List([nnx.List(make()) for make in made[:stages]])
        self.channels = (a, b, c, scaled(2048, width, 32))[stages - 1]
        self.remat = remat

    def stem(self, images: Array, valid: Array | None) -> Array:
        return self.conv2(self.conv1(images, valid), valid)


def _blocks(net: Xception) -> Iterator[tuple[str, Block | Tail]]:
    for stage, blocks in enumerate(net.stages):
        yield from ((f"stages/{stage}/{place}", block) for place, block in enumerate(blocks))


def _torch(net: Xception) -> Iterator[tuple[str, str]]:
    for number in (1, 2):
        yield f"conv{number}/conv", f"conv{number}"
        yield f"conv{number}/bn", f"bn{number}"
    for number, (path, block) in enumerate(_blocks(net), 1):
        if isinstance(block, Tail):
            # The numbering continues after the two of the stem; twelve blocks come before.
            name = number - 12 + 2
            yield f"{path}/separable/depthwise", f"conv{name}.conv1"
            yield f"{path}/separable/pointwise", f"conv{name}.pointwise"
            yield f"{path}/separable/bn", f"bn{name}"
            continue
        for place in range(len(block.separables)):
            # In timm's list, ReLU, convolution and BatchNorm take an entry each; an inactive block has no first ReLU.
            first, ours = 3 * place + block.active, f"{path}/separables/{place}"
            yield f"{ours}/depthwise", f"block{number}.rep.{first}.conv1"
            yield f"{ours}/pointwise", f"block{number}.rep.{first}.pointwise"
            yield f"{ours}/bn", f"block{number}.rep.{first + 1}"
        if block.shrinks:
            yield f"{path}/shortcut/conv", f"block{number}.skip"
            yield f"{path}/shortcut/bn", f"block{number}.skipbn"


def _keras(net: Xception) -> Iterator[tuple[str, str]]:
    for number in (1, 2):
        yield f"conv{number}/conv", f"block1_conv{number}"
        yield f"conv{number}/bn", f"block1_conv{number}_bn"
    shortcuts = 0
    for number, (path, block) in enumerate(_blocks(net), 2):
        tail = isinstance(block, Tail)
        parts = ["separable"] if tail else [f"separables/{place}" for place in range(len(block.separables))]
        for place, part in enumerate(parts, 1):
            # The two at the end are one block, the fourteenth.
            name = f"block14_sepconv{number - 13}" if tail else f"block{number}_sepconv{place}"
            yield f"{path}/{part}/depthwise", name
            yield f"{path}/{part}/pointwise", f"{name}/1"
            yield f"{path}/{part}/bn", f"{name}_bn"
        if not tail and block.shrinks:
            yield f"{path}/shortcut/conv", f"conv2d#{shortcuts}"
            yield f"{path}/shortcut/bn", f"batch_normalization#{shortcuts}"
            shortcuts += 1


TORCH = NameTable("torch", _torch, ignored=(r"(fc|last_linear)\..*",))
KERAS = NameTable("keras", _keras, ignored=(r"predictions/.*",))

_XCEPTION = Spec(
    name="xception",
    build=functools.partial(Xception, Style()),
    input_size=299,
    channels=2048,
    width=32,
    stages=4,
    mean=HALF,
    std=HALF,
    source="timm legacy_xception.tf_in1k, ImageNet-1k (Chollet 2017, arXiv:1610.02357)",
    licence="BSD-3-Clause (pretrained-models.pytorch), Apache-2.0 (timm)",
    published=WeightsFile(
        "https://github.com/rwightman/pytorch-image-models/releases/download/v0.1-cadene/xception-43020ad28.pth",
        "xception-43020ad28.pth",
        hash="43020ad28",
    ),
    name_tables=(TORCH,),
)
SPECS = (
    _XCEPTION,
    dataclasses.replace(
        _XCEPTION,
        name="xception_keras",
        build=functools.partial(Xception, Style("same", 1e-3, 0.99)),
        source="Keras applications Xception, ImageNet-1k (Chollet 2017, arXiv:1610.02357)",
        licence="MIT (Keras applications)",
        published=keras(
            "xception", "xception_weights_tf_dim_ordering_tf_kernels_notop.h5", "b0042744bf5b25fce3cb969f33bebb97"
        ),
        name_tables=(KERAS,),
    ),
)
