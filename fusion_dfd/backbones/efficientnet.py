"""EfficientNet-B0 and -B4 (Tan & Le 2019, "EfficientNet: Rethinking Model Scaling ...") without the classifier.

The variant of the authors' own weights, padded as TensorFlow's SAME with BatchNorm epsilon 1e-3: timm's
``tf_efficientnet`` and Keras applications both fit. Keras normalises within the network, to the same numbers (its
weights for ImageNet divide twice by the root of the deviation).

Weights: the authors' (Apache-2.0), as timm's safetensors; Keras applications (the same licence).
"""

from __future__ import annotations

import functools
import math
import string
from collections.abc import Iterator

from flax import nnx

from fusion_dfd.backbones.convert import Layout
from fusion_dfd.backbones.inverted import Group, InvertedResiduals, blocks, timm_names
from fusion_dfd.backbones.layers import Style
from fusion_dfd.backbones.spec import IMAGENET_MEAN, IMAGENET_STD, Spec, timm

STYLE = Style("same", 1e-3, 0.99)
B0 = (
    Group(1, 16, 1, 1, 3),
    Group(6, 24, 2, 2, 3),
    Group(6, 40, 2, 2, 5),
    Group(6, 80, 3, 2, 3),
    Group(6, 112, 3, 1, 5),
    Group(6, 192, 4, 2, 5),
    Group(6, 320, 1, 1, 3),
)


def _round(channels: float) -> int:
    """The multiple of 8 next to it that is not more than a tenth less."""
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


TORCH = Layout("torch", timm_names, ignored=(r"classifier\..*",))
KERAS = Layout("keras", _keras, ignored=(r"predictions/.*", r"normalization/.*"))


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
        layouts=(TORCH, KERAS),
    )


SPECS = (_spec("b0", 1.0, 1.0, 224), _spec("b4", 1.4, 1.8, 380))
