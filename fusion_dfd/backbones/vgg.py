"""VGG16 (Simonyan & Zisserman 2015, "Very Deep Convolutional Networks ...") without its dense layers.

Thirteen 3x3 convolutions with biases and without BatchNorm, in five blocks that each end with 2x2 max pooling.
torchvision and Keras agree on the network, but not on the pixels it expects: ``vgg16`` and ``vgg16_keras``.

Weights: torchvision (BSD-3-Clause), as timm's safetensors; Keras applications (converted from the authors' Caffe model,
CC BY 4.0), whose first convolution reads B, G, R.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float

from fusion_dfd.backbones.backbone import Backbone
from fusion_dfd.backbones.conv import Conv
from fusion_dfd.backbones.convert import NameTable
from fusion_dfd.backbones.layers import MaxPool, scaled
from fusion_dfd.backbones.spec import CAFFE_MEAN, CAFFE_STD, IMAGENET_MEAN, IMAGENET_STD, Spec, keras, timm

BLOCKS = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))
"""Channels, and number of convolutions, of each block."""


class ConvReLU(nnx.Module):
    """3x3 convolution with a bias, ReLU."""

    def __init__(self, inputs: int, outputs: int, *, dtype: DTypeLike, rngs: nnx.Rngs):
        self.conv = Conv(inputs, outputs, 3, bias=True, dtype=dtype, rngs=rngs)

    def __call__(self, x: Float[Array, "n h w i"], valid: Bool[Array, " n"] | None) -> Float[Array, "n h w o"]:
        return nnx.relu(self.conv(x))


class VGG(Backbone):
    """The published network at ``width`` 64 with five stages, each a block; each halves the map."""

    def __init__(
        self,
        *,
        width: int = 64,
        stages: int = 5,
        dtype: DTypeLike = jnp.float32,
        remat: bool = False,
        rngs: nnx.Rngs,
    ):
        self.stages = nnx.List([])
        inputs = 3
        for channels, depth in BLOCKS[:stages]:
            layers = nnx.List([])
            for _ in range(depth):
                outputs = scaled(channels, width, 64)
                layers.append(ConvReLU(inputs, outputs, dtype=dtype, rngs=rngs))
                inputs = outputs
            layers.append(MaxPool(2, 2))
            self.stages.append(layers)
        self.channels = inputs
        self.remat = remat


def _layers(net: VGG) -> Iterator[tuple[str, int, int]]:
    for stage, layers in enumerate(net.stages):
        yield from ((f"stages/{stage}/{place}/conv", stage, place) for place in range(len(layers) - 1))


def _torch(net: VGG) -> Iterator[tuple[str, str]]:
    # In torchvision's list, a convolution with its ReLU takes two entries, a pooling layer one.
    for path, stage, place in _layers(net):
        yield path, f"features.{2 * sum(depth for _, depth in BLOCKS[:stage]) + stage + 2 * place}"


def _keras(net: VGG) -> Iterator[tuple[str, str]]:
    for path, stage, place in _layers(net):
        yield path, f"block{stage + 1}_conv{place + 1}"


TORCH = NameTable("torch", _torch, ignored=(r"(pre_logits|head)\..*", r"classifier\..*"))
KERAS = NameTable("keras", _keras, ignored=(r"(fc1|fc2|predictions)/.*",), flipped="stages/0/0/conv/kernel")

_VGG16 = Spec(
    name="vgg16",
    build=VGG,
    input_size=224,
    channels=512,
    width=64,
    stages=5,
    mean=IMAGENET_MEAN,
    std=IMAGENET_STD,
    source="torchvision vgg16, ImageNet-1k (Simonyan & Zisserman 2015, arXiv:1409.1556)",
    licence="BSD-3-Clause (torchvision)",
    published=timm("vgg16.tv_in1k"),
    name_tables=(TORCH,),
)
SPECS = (
    _VGG16,
    dataclasses.replace(
        _VGG16,
        name="vgg16_keras",
        mean=CAFFE_MEAN,
        std=CAFFE_STD,
        source="Keras applications VGG16, ImageNet-1k (Simonyan & Zisserman 2015, arXiv:1409.1556)",
        licence="CC BY 4.0 (the authors' weights)",
        published=keras(
            "vgg16", "vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5", "6d6bbae143d832006294945121d1f1fc"
        ),
        name_tables=(KERAS,),
    ),
)
