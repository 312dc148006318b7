"""ResNet-18, -34 and -50 (He et al. 2016, "Deep Residual Learning for Image Recognition") without the classifier.

It follows torchvision, so that its weights fit: version 1.5 (the stride of a bottleneck is in its 3x3 convolution),
symmetric padding, no biases, BatchNorm with epsilon 1e-5. Names follow torchvision's, with ``stages`` for its
layer1 .. layer4 and ``shortcut_conv``/``shortcut_bn`` for its ``downsample.0``/``.1``.

Weights: torchvision (BSD-3-Clause), as timm's safetensors.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator

import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float

from fusion_dfd.backbones.backbone import Backbone
from fusion_dfd.backbones.conv import Conv, max_pool
from fusion_dfd.backbones.convert import NameTable
from fusion_dfd.backbones.layers import BatchNorm
from fusion_dfd.backbones.spec import IMAGENET_MEAN, IMAGENET_STD, Spec, timm


class _Block(nnx.Module):
    """What both residual blocks share: the shortcut, a 1x1 convolution where the shape changes."""

    def _shortcut(self, inputs: int, outputs: int, stride: int, dtype: DTypeLike, rngs: nnx.Rngs) -> None:
        self.projects = stride != 1 or inputs != outputs
        if self.projects:
            self.shortcut_conv = Conv(inputs, outputs, 1, stride, dtype=dtype, rngs=rngs)
            self.shortcut_bn = BatchNorm(outputs)

    def _join(self, x: Array, y: Array, valid: Array | None) -> Array:
        if self.projects:
            x = self.shortcut_bn(self.shortcut_conv(x), valid)
        return nnx.relu(x + y)


class BasicBlock(_Block):
    """Two 3x3 convolutions."""

    expansion = 1

    def __init__(self, inputs: int, width: int, stride: int, *, dtype: DTypeLike, rngs: nnx.Rngs):
        self.conv1 = Conv(inputs, width, 3, stride, dtype=dtype, rngs=rngs)
        self.bn1 = BatchNorm(width)
        self.conv2 = Conv(width, width, 3, dtype=dtype, rngs=rngs)
        self.bn2 = BatchNorm(width)
        self._shortcut(inputs, width, stride, dtype, rngs)

    def __call__(self, x: Float[Array, "n h w i"], valid: Bool[Array, " n"] | None) -> Float[Array, "n h2 w2 o"]:
        y = nnx.relu(self.bn1(self.conv1(x), valid))
        return self._join(x, self.bn2(self.conv2(y), valid), valid)


class Bottleneck(_Block):
    """1x1, 3x3 and 1x1 convolutions; the last has four times the channels."""

    expansion = 4

    def __init__(self, inputs: int, width: int, stride: int, *, dtype: DTypeLike, rngs: nnx.Rngs):
        self.conv1 = Conv(inputs, width, 1, dtype=dtype, rngs=rngs)
        self.bn1 = BatchNorm(width)
        self.conv2 = Conv(width, width, 3, stride, dtype=dtype, rngs=rngs)
        self.bn2 = BatchNorm(width)
        self.conv3 = Conv(width, 4 * width, 1, dtype=dtype, rngs=rngs)
        self.bn3 = BatchNorm(4 * width)
        self._shortcut(inputs, 4 * width, stride, dtype, rngs)

    def __call__(self, x: Float[Array, "n h w i"], valid: Bool[Array, " n"] | None) -> Float[Array, "n h2 w2 o"]:
        y = nnx.relu(self.bn1(self.conv1(x), valid))
        y = nnx.relu(self.bn2(self.conv2(y), valid))
        return self._join(x, self.bn3(self.conv3(y), valid), valid)


class ResNet(Backbone):
    """The published network at ``width`` 64 with four stages; each after the first doubles channels, halves the map.

    The map is ``1 / 2**(stages + 1)`` of the image.
    """

    def __init__(
        self,
        block: type[BasicBlock] | type[Bottleneck],
        depths: tuple[int, ...],
        *,
        width: int = 64,
        stages: int = 4,
        dtype: DTypeLike = jnp.float32,
        remat: bool = False,
        rngs: nnx.Rngs,
    ):
        self.conv1 = Conv(3, width, 7, 2, dtype=dtype, rngs=rngs)
        self.bn1 = BatchNorm(width)
        self.stages = nnx.List([])
        inputs = width
        for stage, depth in enumerate(depths[:stages]):
            blocks = nnx.List([])
            for place in range(depth):
                stride = 2 if stage > 0 and place == 0 else 1
                blocks.append(block(inputs, width * 2**stage, stride, dtype=dtype, rngs=rngs))
                inputs = width * 2**stage * block.expansion
            self.stages.append(blocks)
        self.channels = inputs
        self.remat = remat

    def stem(self, images: Array, valid: Array | None) -> Array:
        return max_pool(nnx.relu(self.bn1(self.conv1(images), valid)), 3, 2, "symmetric")


def _names(net: ResNet) -> Iterator[tuple[str, str]]:
    """The names of torchvision and timm."""
    yield "conv1", "conv1"
    yield "bn1", "bn1"
    for stage, blocks in enumerate(net.stages):
        for place, block in enumerate(blocks):
            ours, theirs = f"stages/{stage}/{place}", f"layer{stage + 1}.{place}"
            for number in range(1, 4 if isinstance(block, Bottleneck) else 3):
                yield f"{ours}/conv{number}", f"{theirs}.conv{number}"
                yield f"{ours}/bn{number}", f"{theirs}.bn{number}"
            if block.projects:
                yield f"{ours}/shortcut_conv", f"{theirs}.downsample.0"
                yield f"{ours}/shortcut_bn", f"{theirs}.downsample.1"


TORCH = NameTable("torch", _names, ignored=(r"fc\..*",))


def _spec(name: str, block: type[BasicBlock] | type[Bottleneck], depths: tuple[int, ...]) -> Spec:
    return Spec(
        name=name,
        build=functools.partial(ResNet, block, depths),
        input_size=224,
        channels=512 * block.expansion,
        width=64,
        stages=4,
        mean=IMAGENET_MEAN,
        std=IMAGENET_STD,
        source=f"torchvision {name}, ImageNet-1k (He et al. 2016, arXiv:1512.03385)",
        licence="BSD-3-Clause (torchvision)",
        published=timm(f"{name}.tv_in1k"),
        name_tables=(TORCH,),
    )


SPECS = (
    _spec("resnet18", BasicBlock, (2, 2, 2, 2)),
    _spec("resnet34", BasicBlock, (3, 4, 6, 3)),
    _spec("resnet50", Bottleneck, (3, 4, 6, 3)),
)
