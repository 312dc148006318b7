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
    """Every leaf is a ``jax.Array``; the structure is plain nested dicts, so it saves and shards as it is."""

    step: jax.Array
    """int32 [], optimiser steps taken."""
    params: dict
    stats: dict
    """All that is not a parameter: BatchNorm means and variances."""
    opt_state: optax.OptState
    average: dict
    """``{"params", "stats"}``, exponential moving averages of both: what is evaluated and exported."""


@dataclasses.dataclass(frozen=True)
class Graphs:
    """The static half of the model, for training and for evaluation; merge with params and stats inside jit."""

    train: nnx.GraphDef
    evaluate: nnx.GraphDef


def data_mesh() -> Mesh:
    """All devices of all hosts on one axis, ``data``; the compiler places collectives (axis type Auto)."""
    return jax.make_mesh((jax.device_count(),), ("data",), axis_types=(AxisType.Auto,))


def shardings(mesh: Mesh) -> tuple[NamedSharding, NamedSharding]:
    """(replicated, split along the batch axis)."""
    return NamedSharding(mesh, jax.P()), NamedSharding(mesh, jax.P("data"))


def graphs(model: c.Model) -> Graphs:
    """Build the model without memory or arithmetic and keep its structure."""
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
    """The state at step 0, made on the devices under jit; its backbone is what ``model.backbone.weights`` names.

    With ``start`` False the state is only what a saved one is restored into, and no file of weights is read. Raises
    ConfigError where weights are named for a model without a backbone, DataError where the file does not fit.
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

    # Initialisation runs once: compiling it without optimisation is three times cheaper than what it would save.
    made = jax.jit(init, compiler_options={"xla_backend_optimization_level": 0}, out_shardings=sharding)(read)
    # `average` must not share buffers with `params`: the training step donates both.
    return made.replace(average=jax.tree.map(jnp.copy, made.average))


def _with_backbone(fresh: dict, published: dict) -> dict:
    """Parameters or statistics of a model, those of its backbone replaced by published ones (none in a VGG's case)."""
    if not published:
        return fresh
    if "backbone" not in fresh:
        raise c.ConfigError("model.backbone.weights: this model has no backbone to start from them, leave it empty")
    return fresh | {"backbone": published}


def abstract_variables(model: c.Model) -> dict[str, Any]:
    """Shapes and dtypes of what :func:`variables` returns, as the target of a restore."""
    params, stats = jax.eval_shape(lambda: variables(model, 0))
    return {"params": params, "stats": stats}


def count(tree: dict) -> int:
    """Numbers held by a tree of arrays."""
    return sum(leaf.size for leaf in jax.tree.leaves(tree))
