"""What is known about a backbone besides its layers: where it comes from and which pixels it expects."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, UInt8

IMAGENET_MEAN = (0.485, 0.456, 0.406)
"""Mean of ImageNet's R, G, B in 0..1, as torchvision's and timm's weights expect it."""
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclasses.dataclass(frozen=True)
class Spec:
    """A registered backbone.

    ``build(width=, stages=, dtype=, remat=, rngs=)`` returns an ``nnx.Module`` that obeys one contract::

        maps = backbone(images, valid)      # float32 [n, h, w, 3], bool [n] | None -> [n, h', w', c]
        c == backbone.channels

    ``valid`` keeps padded images out of the batch statistics while training. Everything reads ``images`` through
    :meth:`normalise`, so a set of weights and its preprocessing cannot drift apart.
    """

    name: str
    build: Callable[..., nnx.Module]
    input_size: int
    """Side of the images the published weights were trained on, pixels."""
    channels: int
    """Channels of the last map at the published width and depth."""
    mean: tuple[float, float, float]
    """Of R, G, B, as a fraction of full brightness."""
    std: tuple[float, float, float]
    source: str
    licence: str

    def normalise(self, frames: UInt8[Array, "*n h w 3"]) -> Float[Array, "*n h w 3"]:
        """``(frames / 255 - mean) / std``, float32."""
        mean = jnp.asarray(self.mean, jnp.float32) * 255.0
        scale = 1.0 / (jnp.asarray(self.std, jnp.float32) * 255.0)
        return (frames.astype(jnp.float32) - mean) * scale
