"""Convolution with BatchNorm and activation, as the families are built of it, and what varies with who trained them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from flax import nnx
from jaxtyping import Array, Bool, Float

from fusion_dfd.backbones.conv import Conv, Depthwise, max_pool
from fusion_dfd.backbones.norm import BatchNorm


@dataclasses.dataclass(frozen=True)
class Style:
    """What two libraries do differently in one network, so that published weights fit only with their own."""

    padding: str = "symmetric"
    """Of convolutions and pools that are not ``valid``, by the names of ``conv.py``."""
    epsilon: float = 1e-5
    """Of BatchNorm."""
    momentum: float = 0.9
    """Of BatchNorm: the share of the old running value kept per step."""


class Unit(nnx.Module):
    """A convolution without bias, BatchNorm, and an activation or None."""

    def __init__(self, conv: Conv | Depthwise, style: Style, activation: Callable[[Array], Array] | None = None):
        self.conv = conv
        self.bn = BatchNorm(conv.kernel.shape[-1], momentum=style.momentum, epsilon=style.epsilon)
        self.activation = activation

    def __call__(self, x: Float[Array, "n h w i"], valid: Bool[Array, " n"] | None = None) -> Float[Array, "n h2 w2 o"]:
        x = self.bn(self.conv(x), valid)
        return x if self.activation is None else self.activation(x)


class MaxPool(nnx.Module):
    """:func:`conv.max_pool` as a block."""

    def __init__(self, size: int, stride: int, padding: str = "valid"):
        self.size, self.stride, self.padding = size, stride, padding

    def __call__(self, x: Float[Array, "n h w c"], valid: Bool[Array, " n"] | None = None) -> Float[Array, "n h2 w2 c"]:
        return max_pool(x, self.size, self.stride, self.padding)


def scaled(channels: int, width: int, published: int) -> int:
    """``channels`` of the published network in one whose first width is ``width`` and not ``published``; at least 1."""
    return max(1, round(channels * width / published))
