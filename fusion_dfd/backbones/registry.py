"""The backbones by name. A new one joins by adding its ``SPECS`` here."""

from __future__ import annotations

import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike

from fusion_dfd import config
from fusion_dfd.backbones import resnet
from fusion_dfd.backbones.spec import Spec

BACKBONES: dict[str, Spec] = {spec.name: spec for spec in (*resnet.SPECS,)}


def get(name: str) -> Spec:
    """The backbone of that name; an unknown name raises :class:`config.ConfigError` and lists the known ones."""
    if name not in BACKBONES:
        raise config.ConfigError(f"model.backbone.name={name!r}: want one of {', '.join(sorted(BACKBONES))}")
    return BACKBONES[name]


def build(
    options: config.Backbone, *, dtype: DTypeLike = jnp.float32, remat: bool = False, rngs: nnx.Rngs
) -> nnx.Module:
    """The network ``options`` names, with fresh weights; see :class:`Spec` for how it is called."""
    spec = get(options.name)
    return spec.build(width=options.width, stages=options.stages, dtype=dtype, remat=remat, rngs=rngs)
