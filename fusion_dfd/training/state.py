"""The state of a training run as a tree of arrays, and the two views of the model that read it."""

from __future__ import annotations

import dataclasses
from typing import Any

import flax
import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jax.sharding import AxisType, Mesh, NamedSharding

from fusion_dfd import config as c
from fusion_dfd.backbones import pretrained
from fusion_dfd.models import registry


@flax.struct.dataclass
class TrainState:
    """Every leaf is a ``jax.Array`` and trees are plain nested dicts, so that it can be saved and sharded as it is."""

    step: jax.Array
    """int32 [], optimiser steps taken."""
    params: dict
    stats: dict
    """BatchNorm means and variances: all variables that are not parameters."""
    opt_state: optax.OptState
    average: dict
    """``{"params", "stats"}``: their exponential moving averages, which are evaluated and exported."""


@dataclasses.dataclass(frozen=True)
class Graphs:
    """The static part of the model, for training and for evaluation; to be merged with params and stats inside jit."""

    train: nnx.GraphDef
    evaluate: nnx.GraphDef


def data_mesh() -> Mesh:
    """All devices of all hosts on one axis, ``data``; the compiler places collectives (axis type Auto)."""
    return jax.make_mesh((jax.device_count(),), ("data",), axis_types=(AxisType.Auto,))


def shardings(mesh: Mesh) -> tuple[NamedSharding, NamedSharding]:
    """(replicated, split along the batch axis)."""
    return NamedSharding(mesh, jax.P()), NamedSharding(mesh, jax.P("data"))


def graphs(model: c.Model) -> Graphs:
    """The structure of the model, without allocating or computing anything."""
    abstract = nnx.eval_shape(lambda: registry.build(model, rngs=nnx.Rngs(0)))
    evaluating = nnx.view(abstract, deterministic=True, use_running_average=True, raise_if_not_found=False)
    training = nnx.view(abstract, deterministic=False, use_running_average=False, raise_if_not_found=False)
    if model.backbone.frozen_norm and hasattr(training, "backbone"):
        training.backbone = nnx.view(training.backbone, use_running_average=True, raise_if_not_found=False)
    return Graphs(nnx.graphdef(training), nnx.graphdef(evaluating))


def variables(model: c.Model, seed: int | jax.Array) -> tuple[dict, dict]:
    """Fresh parameters and statistics of the model, as pure dicts."""
    _, params, stats = nnx.split(registry.build(model, rngs=nnx.Rngs(seed)), nnx.Param, ...)
    return nnx.to_pure_dict(params), nnx.to_pure_dict(stats)


def create(
    model: c.Model, tx: optax.GradientTransformation, seed: int, sharding: NamedSharding, *, start: bool = True
) -> TrainState:
    """The state at step 0, made on the devices under jit, with the backbone weights of ``model.backbone.weights``.

    With ``start=False`` no weights are read, because a saved state will be restored into it. Raises ConfigError if
    weights are named for a model without a backbone, DataError if the file does not fit.
    """
    read = pretrained.load(model.backbone) if start and model.backbone.weights else None

    def init(read: tuple[dict, dict] | None) -> TrainState:
        params, stats = variables(model, seed)
        if read is not None:
            params, stats = (
                _with_backbone(fresh, published) for fresh, published in zip((params, stats), read, strict=True)
            )
        average = {"params": params, "stats": stats}
        return TrainState(jnp.zeros((), jnp.int32), params, stats, tx.init(params), average)

    # It runs once: optimising it would cost three times the compile time and save less than that.
    made = jax.jit(init, compiler_options={"xla_backend_optimization_level": 0}, out_shardings=sharding)(read)
    # `average` must not share buffers with `params`: the training step donates both.
    return made.replace(average=jax.tree.map(jnp.copy, made.average))


def _with_backbone(fresh: dict, published: dict) -> dict:
    """Parameters or statistics with those of the backbone replaced by published ones (a VGG has no statistics)."""
    if not published:
        return fresh
    if "backbone" not in fresh:
        raise c.ConfigError("model.backbone.weights: this model has no backbone to start from them, leave it empty")
    return fresh | {"backbone": published}


def abstract_variables(model: c.Model) -> dict[str, Any]:
    """``{"params", "stats"}`` as shapes and dtypes: the target of a restore."""
    params, stats = jax.eval_shape(lambda: variables(model, 0))
    return {"params": params, "stats": stats}


def count(tree: dict) -> int:
    """Number of values in a tree of arrays."""
    return sum(leaf.size for leaf in jax.tree.leaves(tree))
