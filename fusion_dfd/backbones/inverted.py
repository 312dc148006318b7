"""Inverted residual blocks: MobileNetV2 and EfficientNet.

Sandler et al. 2018, "MobileNetV2: Inverted Residuals and Linear Bottlenecks"; with squeeze-and-excitation (Hu et al.
2018) as in Tan & Le 2019, "EfficientNet". Stochastic depth is not implemented.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float

from fusion_dfd.backbones.backbone import Backbone
from fusion_dfd.backbones.conv import Conv, Depthwise
from fusion_dfd.backbones.layers import Style, Unit, scaled

Activation = Callable[[Array], Array]


class BlockGroup(NamedTuple):
    """Consecutive blocks with the same number of output channels."""

    expand: int
    """Channels inside a block, relative to its input."""
    channels: int
    blocks: int
    stride: int
    """Of the first block."""
    size: int = 3
    """Side of the depthwise kernel."""


class Squeeze(nnx.Module):
    """Squeeze-and-excitation: scales every channel by a factor in 0..1, computed from the means of all channels."""

    def __init__(self, channels: int, inner: int, activation: Activation, *, dtype: DTypeLike, rngs: nnx.Rngs):
        self.reduce = Conv(channels, inner, 1, bias=True, dtype=dtype, rngs=rngs)
        self.expand = Conv(inner, channels, 1, bias=True, dtype=dtype, rngs=rngs)
        self.activation = activation

    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n h w c"]:
        mean = jnp.mean(x, axis=(1, 2), keepdims=True, dtype=jnp.float32)
        logits = self.expand(self.activation(self.reduce(mean)))
        return x * jax.nn.sigmoid(logits)


class Block(nnx.Module):
    """1x1 to the inner width, depthwise, squeeze-and-excitation, 1x1 back; plus the input if the shapes agree."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        group: BlockGroup,
        stride: int,
        squeeze: float,
        activation: Activation,
        style: Style,
        *,
        dtype: DTypeLike,
        rngs: nnx.Rngs,
    ):
        some = {"padding": style.padding, "dtype": dtype, "rngs": rngs}
        inner = group.expand * inputs
        self.expands, self.squeezes = group.expand != 1, squeeze > 0
        self.adds = stride == 1 and inputs == outputs
        if self.expands:
            self.expand = Unit(Conv(inputs, inner, 1, **some), style, activation)
        self.depthwise = Unit(Depthwise(inner, group.size, stride, **some), style, activation)
        if self.squeezes:
            self.squeeze = Squeeze(inner, max(1, int(inputs * squeeze)), activation, dtype=dtype, rngs=rngs)
        self.project = Unit(Conv(inner, outputs, 1, **some), style)

    def __call__(self, x: Float[Array, "n h w i"], valid: Bool[Array, " n"] | None) -> Float[Array, "n h2 w2 o"]:
        y = self.depthwise(self.expand(x, valid) if self.expands else x, valid)
        y = self.project(self.squeeze(y) if self.squeezes else y, valid)
        return x + y if self.adds else y


class InvertedResiduals(Backbone):
    """A 3x3 convolution at stride 2, groups of blocks, a 1x1 convolution to ``last`` channels.

    ``width`` is the number of channels of the first convolution, ``published`` that of the published network. A stage
    ends before the map is halved again: the map is ``1 / 2**stages`` of the image. Only the whole network has the last
    convolution.
    """

    def __init__(
        self,
        groups: tuple[BlockGroup, ...],
        published: int,
        last: int,
        *,
        squeeze: float,
        activation: Activation,
        style: Style,
        width: int,
        stages: int,
        dtype: DTypeLike = jnp.float32,
        remat: bool = False,
        rngs: nnx.Rngs,
    ):
        some = {"dtype": dtype, "rngs": rngs}
        self.first = Unit(Conv(3, width, 3, 2, padding=style.padding, **some), style, activation)
        self.stages = nnx.List([])
        inputs = width
        split = by_stage(groups)
        for members in split[:stages]:
            blocks = nnx.List([])
            for group in members:
                outputs = scaled(group.channels, width, published)
                for place in range(group.blocks):
                    stride = group.stride if place == 0 else 1
                    blocks.append(Block(inputs, outputs, group, stride, squeeze, activation, style, **some))
                    inputs = outputs
            self.stages.append(blocks)
        self.whole = stages == len(split)
        self.channels = scaled(last, width, published) if self.whole else inputs
        if self.whole:
            self.last = Unit(Conv(inputs, self.channels, 1, **some), style, activation)
        self.groups, self.remat = groups, remat

    def stem(self, images: Array, valid: Array | None) -> Array:
        return self.first(images, valid)

    def head(self, x: Array, valid: Array | None) -> Array:
        return self.last(x, valid) if self.whole else x


def by_stage(groups: tuple[BlockGroup, ...]) -> list[list[BlockGroup]]:
    """Groups whose maps have the same size, stage by stage."""
    stages: list[list[BlockGroup]] = []
    for group in groups:
        if not stages or group.stride == 2:
            stages.append([])
        stages[-1].append(group)
    return stages


def blocks(net: InvertedResiduals) -> Iterator[tuple[str, Block, int, int]]:
    """Path of every block, the block, the number of its group, and its number within the group."""
    for stage, (members, made) in enumerate(zip(by_stage(net.groups), net.stages, strict=False)):
        places = [(net.groups.index(group), place) for group in members for place in range(group.blocks)]
        for number, (block, (group, place)) in enumerate(zip(made, places, strict=True)):
            yield f"stages/{stage}/{number}", block, group, place


def timm_names(net: InvertedResiduals) -> Iterator[tuple[str, str]]:
    """timm's names, for both families."""
    yield "first/conv", "conv_stem"
    yield "first/bn", "bn1"
    for path, block, group, place in blocks(net):
        name = f"blocks.{group}.{place}"
        units = [("expand", "conv_pw")] * block.expands + [
            ("depthwise", "conv_dw"),
            ("project", "conv_pwl" if block.expands else "conv_pw"),
        ]
        for number, (ours, theirs) in enumerate(units, 1):
            yield f"{path}/{ours}/conv", f"{name}.{theirs}"
            yield f"{path}/{ours}/bn", f"{name}.bn{number}"
        if block.squeezes:
            yield f"{path}/squeeze/reduce", f"{name}.se.conv_reduce"
            yield f"{path}/squeeze/expand", f"{name}.se.conv_expand"
    yield "last/conv", "conv_head"
    yield "last/bn", "bn2"
