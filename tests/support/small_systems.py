"""Every registered system, small enough for a test, with variants that read other options; and clips to run it on."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from fusion_dfd import config
from fusion_dfd.models import registry

LENGTH = np.array([3, 4, 2])
SIDE = 32
VARIANTS = {
    **{name: {} for name in registry.SYSTEMS},
    "fusion": {"branches": ("spatial",)},  # test_fusion.py has the other branches
    "r2plus1d": {"backbone": config.Backbone(width=4, stages=2), "remat": True},  # the second stage strides over time
    "frame+vit": {"backbone": config.Backbone("vit_base_dinov3", width=4, stages=1)},
    "fusion+transformer": {"branches": ("temporal",), "temporal": "transformer"},
    "sequence+gru": {"sequence": config.Sequence("gru", bidirectional=True, batch_norm=True), "recurrent": (4, 3)},
}
"""Each system as it comes, and forms of them that read other options."""
HEAVY = VARIANTS.keys() - {"fusion", "sequence", "frame", "flow"}
"""Those of which a step of training or of evaluation takes long to compile."""
EVERY = [pytest.param(name, marks=[pytest.mark.slow] * (name in HEAVY)) for name in VARIANTS]


def options(variant: str) -> config.Model:
    model = config.Model(
        system=variant.split("+")[0],
        backbone=config.Backbone("resnet18", width=4, stages=1),
        micro=config.Micro(size=24, widths=(4,)),
        transformer=config.Transformer(width=8, depth=2, heads=2),
        timesformer=config.TimeSformer(size=SIDE, frames=6, patch=16, width=8, depth=2, heads=2),
        recurrent=(4,),
        dense=(6,),
        head=(6,),
        token=6,
    )
    return dataclasses.replace(model, **VARIANTS[variant])


def clips(frames=4, seed=0):
    """Textured frames in slow motion: flow needs something to follow."""
    rng = np.random.default_rng(seed)
    wide = rng.integers(0, 256, (3, SIDE + 2 * frames, SIDE, 3))
    wide = (wide + np.roll(wide, 1, 1) + np.roll(wide, 1, 2)) // 3
    images = np.stack([wide[:, t : t + SIDE] for t in range(frames)], axis=1).astype(np.uint8)
    landmarks = np.array([[10, 12], [22, 12], [16, 18], [12, 24], [20, 24]]) + rng.normal(size=(3, frames, 5, 2))
    return jnp.asarray(images), jnp.asarray(landmarks, jnp.float32), jnp.asarray(LENGTH, jnp.int32)


def garbage(batch, extra=0):
    """The same clips, longer by ``extra`` frames, and nonsense wherever a frame is padding."""
    rng = np.random.default_rng(9)
    images, landmarks, length = (np.array(x) for x in batch)
    images, landmarks = (np.concatenate([x, x[:, :extra]], axis=1) for x in (images, landmarks))
    for row, valid in enumerate(length):
        images[row, valid:] = rng.integers(0, 256, images[row, valid:].shape)
        landmarks[row, valid:] = np.nan
    return jnp.asarray(images), jnp.asarray(landmarks), jnp.asarray(length)


@functools.cache
def split(variant: str):
    """As :func:`split_model`, of a variant."""
    return split_model(options(variant))


def split_model(model: config.Model):
    """Graphs of training and evaluation, parameters and statistics as pure dicts; no parameter is 0."""
    detector = registry.build(model, rngs=nnx.Rngs(0))
    quiet = nnx.view(detector, deterministic=True, use_running_average=True, raise_if_not_found=False)
    graph, params, stats = nnx.split(detector, nnx.Param, ...)
    rng = np.random.default_rng(1)
    moved = jax.tree.map(lambda x: x + 0.05 * rng.normal(size=x.shape).astype(np.float32), nnx.to_pure_dict(params))
    return graph, nnx.graphdef(quiet), moved, nnx.to_pure_dict(stats)
