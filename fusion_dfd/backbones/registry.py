"""The backbones by name. Register a new family by adding it to ``FAMILIES``."""

from __future__ import annotations

import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike

from fusion_dfd import config
from fusion_dfd.backbones import efficientnet, inception, mobilenet, resnet, vgg, vit_published, xception
from fusion_dfd.backbones.backbone import Backbone
from fusion_dfd.backbones.spec import Spec

FAMILIES = (resnet, vgg, xception, inception, mobilenet, efficientnet, vit_published)
BACKBONES: dict[str, Spec] = {spec.name: spec for family in FAMILIES for spec in family.SPECS}


def get(name: str) -> Spec:
    """The backbone of that name; an unknown name raises :class:`config.ConfigError` and lists the known ones."""
    if name not in BACKBONES:
        raise config.ConfigError(f"model.backbone.name={name!r}: want one of {', '.join(sorted(BACKBONES))}")
    return BACKBONES[name]


def build(options: config.Backbone, *, dtype: DTypeLike = jnp.float32, remat: bool = False, rngs: nnx.Rngs) -> Backbone:
    """The network that ``options`` names, with fresh weights; :class:`Spec` says how it is called.

    Raises :class:`config.ConfigError` for an unknown name, more stages than it has or a width it cannot have.
    """
    spec = get(options.name)
    if options.stages > spec.stages:
        raise config.ConfigError(f"model.backbone.stages={options.stages}: {spec.name} has {spec.stages}, 0 means all")
    width, stages = options.width or spec.width, options.stages or spec.stages
    return spec.build(width=width, stages=stages, dtype=dtype, remat=remat, rngs=rngs)
