"""The two published networks of RetinaFace as JAX functions, from pixels to raw predictions at every anchor.

Deng, Guo, Ververas, Kotsia and Zafeiriou, "RetinaFace: Single-Shot Multi-Level Face Localisation in the Wild", CVPR
2020, as built and trained in https://github.com/biubug6/Pytorch_Retinaface (MIT): models/net.py, models/retinaface.py;
the MobileNet also in https://github.com/biubug6/Face-Detector-1MB-with-landmark, with ReLU in place of leaky ReLU.

A body (MobileNetV1 of a quarter of the width, or ResNet-50), a feature pyramid, a context module (SSH) and three heads
a level. BatchNorm is folded into the convolutions.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import numpy as np

MEAN = (123, 117, 104)
"""Of R, G, B; subtracted from the pixels. The networks read B, G, R."""
STRIDES = (8, 16, 32)
"""Pixels between the anchors of each level."""
PER_PLACE = 2
"""Anchors at each place of a level."""
NETWORKS = ("mobilenet0.25", "resnet50")

Weights = Mapping[str, tuple[jax.Array, jax.Array]]
"""Kernel (HWIO) and bias of each convolution, by its published name."""


@dataclasses.dataclass(frozen=True)
class ConvLayer:
    """A convolution of a network."""

    norm: str | None
    """Published name of the BatchNorm after it; None for those with a bias of their own."""
    shape: tuple[int, int, int, int]
    """Of the kernel as PyTorch stores it: outputs, inputs of a group, height, width."""
    stride: int


Convolve = Callable[..., jax.Array]
"""``(x, name, norm, outputs, size, stride, depthwise) -> array``; the building block of the networks below."""


@functools.cache
def layers(network: str) -> dict[str, ConvLayer]:
    """All convolutions of a network by published name, in the order in which PyTorch runs them."""
    found: dict[str, ConvLayer] = {}

    def note(x, name, norm, outputs, size=3, stride=1, depthwise=False):
        found[name] = ConvLayer(norm, (outputs, 1 if depthwise else x.shape[-1], size, size), stride)
        return jnp.zeros((len(x), *(-(-side // stride) for side in x.shape[1:3]), outputs))

    jax.eval_shape(functools.partial(_heads, note, network, 0.0), jax.ShapeDtypeStruct((1, 32, 32, 3), jnp.float32))
    return found


def predict(weights: Weights, slope: float, images: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """uint8 [n, h, w, 3] RGB, sides multiples of 32 -> the raw predictions at each of the a anchors.

    Box offsets [n, a, 4], face probability [n, a], landmark offsets [n, a, 5, 2]; anchors by level, row, column, size.
    ``slope`` is that of the MobileNet's activations below zero.
    """

    def convolve(x, name, norm, outputs, size=3, stride=1, depthwise=False):
        kernel, bias = weights[name]
        if depthwise:
            return _depthwise(x, kernel, stride) + bias
        pad = (size // 2, size // 2)
        dims = ("NHWC", "HWIO", "NHWC")
        return jax.lax.conv_general_dilated(x, kernel, (stride, stride), (pad, pad), dimension_numbers=dims) + bias

    x = images[..., ::-1].astype(jnp.float32) - np.array(MEAN[::-1], np.float32)
    offsets, scores, points = _heads(convolve, NETWORKS["body.conv1" in weights], slope, x)
    return offsets, jax.nn.softmax(scores)[..., 1], points.reshape(*points.shape[:2], 5, 2)


def _heads(convolve: Convolve, network: str, slope: float, x: jax.Array) -> list[jax.Array]:
    """Box offsets, class scores and landmark offsets, [n, a, 4 | 2 | 10]."""
    if network == "resnet50":
        maps, width, activate = _resnet50(convolve, x), 256, jax.nn.relu
    else:
        activate = functools.partial(jax.nn.leaky_relu, negative_slope=slope)
        maps, width = _mobilenet(convolve, x, activate), 64
    maps = _pyramid(convolve, maps, width, activate)
    maps = [_context(convolve, level, f"ssh{k + 1}", width, activate) for k, level in enumerate(maps)]
    heads = []
    for head, values in (("BboxHead", 4), ("ClassHead", 2), ("LandmarkHead", 10)):
        parts = [
            convolve(level, f"{head}.{k}.conv1x1", None, PER_PLACE * values, size=1) for k, level in enumerate(maps)
        ]
        heads.append(jnp.concatenate([part.reshape(len(part), -1, values) for part in parts], 1))
    return heads


def _mobilenet(convolve: Convolve, x: jax.Array, activate: Callable) -> list[jax.Array]:
    """Howard et al., "MobileNets", 2017, at width 0.25: the maps of its three stages."""
    x = activate(convolve(x, "body.stage1.0.0", "body.stage1.0.1", 8, stride=2))
    maps = []
    for stage, widths, start in ((1, (16, 32, 32, 64, 64), 1), (2, (128,) * 6, 0), (3, (256, 256), 0)):
        for k, width in enumerate(widths, start):
            name = f"body.stage{stage}.{k}"
            # Stage 1 halves the map within, the others on entry.
            stride = 2 if (k in (2, 4) if stage == 1 else k == 0) else 1
            x = activate(convolve(x, f"{name}.0", f"{name}.1", x.shape[-1], stride=stride, depthwise=True))
            x = activate(convolve(x, f"{name}.3", f"{name}.4", width, size=1))
        maps.append(x)
    return maps


def _resnet50(convolve: Convolve, x: jax.Array) -> list[jax.Array]:
    """torchvision's ResNet-50 (stride in the 3 x 3 convolution): the maps of its last three stages."""
    x = jax.nn.relu(convolve(x, "body.conv1", "body.bn1", 64, size=7, stride=2))
    x = jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, (1, 3, 3, 1), (1, 2, 2, 1), ((0, 0), (1, 1), (1, 1), (0, 0)))
    maps = []
    for stage, blocks in enumerate((3, 4, 6, 3), 1):
        for block in range(blocks):
            x = _bottleneck(convolve, x, f"body.layer{stage}.{block}", 32 << stage, 1 + (stage > 1 and block == 0))
        maps.append(x)
    return maps[1:]


def _bottleneck(convolve: Convolve, x: jax.Array, name: str, width: int, stride: int) -> jax.Array:
    y = jax.nn.relu(convolve(x, f"{name}.conv1", f"{name}.bn1", width, size=1))
    y = jax.nn.relu(convolve(y, f"{name}.conv2", f"{name}.bn2", width, stride=stride))
    y = convolve(y, f"{name}.conv3", f"{name}.bn3", 4 * width, size=1)
    if name.endswith(".0"):
        x = convolve(x, f"{name}.downsample.0", f"{name}.downsample.1", 4 * width, size=1, stride=stride)
    return jax.nn.relu(x + y)


def _pyramid(convolve: Convolve, maps: list[jax.Array], width: int, activate: Callable) -> list[jax.Array]:
    """Each level plus the upsampled coarser one (Lin et al., "Feature Pyramid Networks", CVPR 2017)."""
    fine, middle, coarse = (
        activate(convolve(level, f"fpn.output{k}.0", f"fpn.output{k}.1", width, size=1))
        for k, level in enumerate(maps, 1)
    )
    middle = activate(convolve(middle + _doubled(coarse), "fpn.merge2.0", "fpn.merge2.1", width))
    fine = activate(convolve(fine + _doubled(middle), "fpn.merge1.0", "fpn.merge1.1", width))
    return [fine, middle, coarse]


def _context(convolve: Convolve, x: jax.Array, name: str, width: int, activate: Callable) -> jax.Array:
    """Context module: receptive fields of 3, 5 and 7 pixels, concatenated (Najibi et al., "SSH", ICCV 2017)."""

    def part(x, branch, outputs):
        return convolve(x, f"{name}.{branch}.0", f"{name}.{branch}.1", outputs)

    three = part(x, "conv3X3", width // 2)
    shared = activate(part(x, "conv5X5_1", width // 4))
    five = part(shared, "conv5X5_2", width // 4)
    seven = part(activate(part(shared, "conv7X7_2", width // 4)), "conv7x7_3", width // 4)
    return jax.nn.relu(jnp.concatenate([three, five, seven], -1))


def _doubled(x: jax.Array) -> jax.Array:
    """Nearest-neighbour upsampling by 2."""
    return x.repeat(2, 1).repeat(2, 2)


def _depthwise(x: jax.Array, kernel: jax.Array, stride: int) -> jax.Array:
    """3x3 depthwise convolution as nine shifted products: XLA's own is slow on CPUs."""
    height, width = x.shape[1:3]
    x = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    taps = [
        x[:, row : row + height : stride, column : column + width : stride] * kernel[row, column, 0]
        for row in range(3)
        for column in range(3)
    ]
    return functools.reduce(jnp.add, taps)
