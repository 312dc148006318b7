"""InceptionV3 (Szegedy et al. 2016, "Rethinking the Inception Architecture ...") without classifier and auxiliary head.

Parallel paths of small convolutions. There are two published variants. ``inceptionv3`` is that of torchvision and timm,
where average pooling at the border counts padding. ``inceptionv3_keras`` is that of Keras applications, where it does
not, and BatchNorm has no scale. Both have epsilon 1e-3 and no padding where the map shrinks. Units have torchvision's
names.

Weights: torchvision (converted from TensorFlow's; BSD-3-Clause), as timm's safetensors; Keras applications (Apache-2.0,
says Keras's documentation).
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
from fusion_dfd.backbones.conv import Conv, max_pool, mean_pool
from fusion_dfd.backbones.convert import NameTable
from fusion_dfd.backbones.layers import MaxPool, Style, Unit, scaled
from fusion_dfd.backbones.spec import HALF, Spec, keras, timm

Step = tuple[str, int, int, int]
"""Name of a unit, its channels, height and width of its kernel."""
Path = tuple[Step | tuple[Step, ...], ...]
"""Consecutive steps; steps in a tuple have the same input, and their results are concatenated."""
POOLED = "branch_pool"
"""The unit after 3x3 average pooling."""


def _a(pool: int) -> tuple[Path, ...]:
    return (
        (("branch1x1", 64, 1, 1),),
        (("branch5x5_1", 48, 1, 1), ("branch5x5_2", 64, 5, 5)),
        (("branch3x3dbl_1", 64, 1, 1), ("branch3x3dbl_2", 96, 3, 3), ("branch3x3dbl_3", 96, 3, 3)),
        ((POOLED, pool, 1, 1),),
    )


_B: tuple[Path, ...] = (
    (("branch3x3", 384, 3, 3),),
    (("branch3x3dbl_1", 64, 1, 1), ("branch3x3dbl_2", 96, 3, 3), ("branch3x3dbl_3", 96, 3, 3)),
)


def _c(inner: int) -> tuple[Path, ...]:
    return (
        (("branch1x1", 192, 1, 1),),
        (("branch7x7_1", inner, 1, 1), ("branch7x7_2", inner, 1, 7), ("branch7x7_3", 192, 7, 1)),
        (
            ("branch7x7dbl_1", inner, 1, 1),
            ("branch7x7dbl_2", inner, 7, 1),
            ("branch7x7dbl_3", inner, 1, 7),
            ("branch7x7dbl_4", inner, 7, 1),
            ("branch7x7dbl_5", 192, 1, 7),
        ),
        ((POOLED, 192, 1, 1),),
    )


_D: tuple[Path, ...] = (
    (("branch3x3_1", 192, 1, 1), ("branch3x3_2", 320, 3, 3)),
    (
        ("branch7x7x3_1", 192, 1, 1),
        ("branch7x7x3_2", 192, 1, 7),
        ("branch7x7x3_3", 192, 7, 1),
        ("branch7x7x3_4", 192, 3, 3),
    ),
)
_E: tuple[Path, ...] = (
    (("branch1x1", 320, 1, 1),),
    (("branch3x3_1", 384, 1, 1), (("branch3x3_2a", 384, 1, 3), ("branch3x3_2b", 384, 3, 1))),
    (
        ("branch3x3dbl_1", 448, 1, 1),
        ("branch3x3dbl_2", 384, 3, 3),
        (("branch3x3dbl_3a", 384, 1, 3), ("branch3x3dbl_3b", 384, 3, 1)),
    ),
    ((POOLED, 192, 1, 1),),
)

STEM: tuple[tuple[tuple[str, int, int, int, str], ...], ...] = (
    (
        ("Conv2d_1a_3x3", 32, 3, 2, "valid"),
        ("Conv2d_2a_3x3", 32, 3, 1, "valid"),
        ("Conv2d_2b_3x3", 64, 3, 1, "symmetric"),
    ),
    (("Conv2d_3b_1x1", 80, 1, 1, "valid"), ("Conv2d_4a_3x3", 192, 3, 1, "valid")),
)
"""Name, channels, kernel, stride and padding. Each of the two rows ends with 3x3 max pooling at stride 2."""
MIXED: tuple[tuple[tuple[str, tuple[Path, ...], bool], ...], ...] = (
    (),
    (("Mixed_5b", _a(32), False), ("Mixed_5c", _a(64), False), ("Mixed_5d", _a(64), False)),
    (
        ("Mixed_6a", _B, True),
        ("Mixed_6b", _c(128), False),
        ("Mixed_6c", _c(160), False),
        ("Mixed_6d", _c(160), False),
        ("Mixed_6e", _c(192), False),
    ),
    (("Mixed_7a", _D, True), ("Mixed_7b", _E, False), ("Mixed_7c", _E, False)),
)
"""Name, paths, and whether it halves the map; one row per stage."""


class Mixed(nnx.Module):
    """Parallel paths. If it ``shrinks``, the last step of each has stride 2, and max pooling is one more path."""

    def __init__(
        self,
        inputs: int,
        paths: tuple[Path, ...],
        shrinks: bool,
        style: Style,
        width: int,
        *,
        dtype: DTypeLike,
        rngs: nnx.Rngs,
    ):
        self.paths, self.shrinks, self.padding = paths, shrinks, style.padding
        self.units = nnx.Dict({})
        self.channels = inputs if shrinks else 0
        for path in paths:
            channels = inputs
            for step in path:
                stride = 2 if shrinks and step is path[-1] else 1
                read, channels = channels, 0
                for name, published, height, side in _each(step):
                    outputs = scaled(published, width, 32)
                    padding = "valid" if stride == 2 else "symmetric"
                    conv = Conv(read, outputs, (height, side), stride, padding=padding, dtype=dtype, rngs=rngs)
                    self.units[name] = Unit(conv, style, nnx.relu)
                    channels += outputs
            self.channels += channels

    def __call__(self, x: Float[Array, "n h w i"], valid: Bool[Array, " n"] | None) -> Float[Array, "n h2 w2 o"]:
        results = []
        for path in self.paths:
            y = mean_pool(x, 3, self.padding) if path[0][0] == POOLED else x
            for step in path:
                y = jnp.concatenate([self.units[name](y, valid) for name, *_ in _each(step)], -1)
            results.append(y)
        if self.shrinks:
            results.append(max_pool(x, 3, 2))
        return jnp.concatenate(results, -1)


def _each(step: Step | tuple[Step, ...]) -> tuple[Step, ...]:
    return (step,) if isinstance(step[0], str) else step


class Inception(Backbone):
    """The published network at ``width`` 32 with four stages, each ending before the next halves the map.

    Stages 1 and 2 begin with the two halves of the stem. The map is a little smaller than ``1 / 2**(stages + 1)`` of
    the image.
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
        self.stages = nnx.List([])
        inputs = 3
        for stage in range(stages):
            blocks = nnx.List([])
            for _, channels, size, stride, padding in STEM[stage] if stage < len(STEM) else ():
                outputs = scaled(channels, width, 32)
                conv = Conv(inputs, outputs, size, stride, padding=padding, dtype=dtype, rngs=rngs)
                blocks.append(Unit(conv, style, nnx.relu))
                inputs = outputs
            if stage < len(STEM):
                blocks.append(MaxPool(3, 2))
            for _, paths, shrinks in MIXED[stage]:
                blocks.append(Mixed(inputs, paths, shrinks, style, width, dtype=dtype, rngs=rngs))
                inputs = blocks[-1].channels
            self.stages.append(blocks)
        self.channels = inputs
        self.remat = remat


def _units(net: Inception) -> Iterator[tuple[str, str]]:
    """Path and torchvision's name of every unit, in the order in which Keras makes them."""
    for stage, blocks in enumerate(net.stages):
        stem = [name for name, *_ in STEM[stage]] + [""] if stage < len(STEM) else []
        for place, name in enumerate([*stem, *(name for name, *_ in MIXED[stage])]):
            block, path = blocks[place], f"stages/{stage}/{place}"
            if isinstance(block, Mixed):
                steps = (each for paths in block.paths for step in paths for each in _each(step))
                yield from ((f"{path}/units/{unit}", f"{name}.{unit}") for unit, *_ in steps)
            elif name:
                yield path, name


def _torch(net: Inception) -> Iterator[tuple[str, str]]:
    for path, name in _units(net):
        yield f"{path}/conv", f"{name}.conv"
        yield f"{path}/bn", f"{name}.bn"


def _keras(net: Inception) -> Iterator[tuple[str, str]]:
    for number, (path, _) in enumerate(_units(net)):
        yield f"{path}/conv", f"conv2d#{number}"
        yield f"{path}/bn", f"batch_normalization#{number}"


TORCH = NameTable("torch", _torch, ignored=(r"fc\..*", r"AuxLogits\..*"))
KERAS = NameTable("keras", _keras, ignored=(r"predictions/.*",), scaled=False)

_INCEPTION = Spec(
    name="inceptionv3",
    build=functools.partial(Inception, Style(epsilon=1e-3)),
    input_size=299,
    channels=2048,
    width=32,
    stages=4,
    mean=HALF,
    std=HALF,
    source="torchvision inception_v3, ImageNet-1k (Szegedy et al. 2016, arXiv:1512.00567)",
    licence="BSD-3-Clause (torchvision), Apache-2.0 (timm)",
    published=timm("inception_v3.tv_in1k"),
    name_tables=(TORCH,),
)
SPECS = (
    _INCEPTION,
    dataclasses.replace(
        _INCEPTION,
        name="inceptionv3_keras",
        build=functools.partial(Inception, Style("same", 1e-3, 0.99)),
        source="Keras applications InceptionV3, ImageNet-1k (Szegedy et al. 2016, arXiv:1512.00567)",
        licence="Apache-2.0 (Keras applications)",
        published=keras(
            "inception_v3",
            "inception_v3_weights_tf_dim_ordering_tf_kernels_notop.h5",
            "bcbd6486424b2319ff4ef7d526e38f63",
        ),
        name_tables=(KERAS,),
    ),
)
