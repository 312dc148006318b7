"""The model as a function of plain arrays, and that function as a file: StableHLO with its weights apart, or ONNX.

StableHLO takes the weights as arguments, by the names they have in ``model.safetensors``: so they are stored once, and
the program, which holds a lowering for CPUs and one for CUDA, stays small. ONNX holds them as constants, because its
runtimes prepare constants when they load (and BatchNorm is folded into convolutions here).

Both compute in float32, whatever ``model.bfloat16`` was in training: not every runtime has bfloat16.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import export

from fusion_dfd import config as c
from fusion_dfd.export import jaxpr_onnx
from fusion_dfd.training import exported, state
from fusion_dfd.types import Batch, Outputs

PLATFORMS = ("cpu", "cuda")
INPUTS = ("frames", "landmarks", "length")
BRANCH = "branch_logits."
"""Begins the names of the branches' logits."""

Arrays = Mapping[str, np.ndarray]


def in_float32(model: c.Model) -> c.Model:
    """The same network for evaluation: no bfloat16, nothing computed again."""
    return dataclasses.replace(model, bfloat16=False, remat=False)


def by_name(outputs: Outputs) -> dict[str, jax.Array]:
    """All that a model gives, the logit first: names of fields of :class:`Outputs`, and ``branch_logits.<branch>``."""
    fields = {field.name: getattr(outputs, field.name) for field in dataclasses.fields(outputs)}
    branches = {f"{BRANCH}{name}": logit for name, logit in fields.pop("branch_logits").items()}
    found = {name: array for name, array in fields.items() if array is not None}
    return {"logit": found.pop("logit"), **branches, **found}


def from_names(arrays: Arrays) -> Outputs:
    """Inverse of :func:`by_name`."""
    branches = {name.removeprefix(BRANCH): array for name, array in arrays.items() if name.startswith(BRANCH)}
    rest = {name: array for name, array in arrays.items() if not name.startswith(BRANCH)}
    return Outputs(branch_logits=branches, **rest)


def inputs(data: c.Data) -> dict[str, jax.ShapeDtypeStruct]:
    """The three inputs of every program, for one clip."""
    t, side = data.frames, data.size
    shapes = ((1, t, side, side, 3), jnp.uint8), ((1, t, 5, 2), jnp.float32), ((1,), jnp.int32)
    return dict(zip(INPUTS, (jax.ShapeDtypeStruct(*one) for one in shapes), strict=True))


def function(model: c.Model) -> Callable[..., dict[str, jax.Array]]:
    """``run(weights {"params", "stats"}, frames, landmarks, length)`` -> outputs by name."""
    graph = state.graphs(in_float32(model)).evaluate

    def run(weights: dict, frames: jax.Array, landmarks: jax.Array, length: jax.Array) -> dict[str, jax.Array]:
        return by_name(nnx.merge(graph, weights["params"], weights["stats"])(frames, landmarks, length))

    return run


def stablehlo(config: c.Config, weights: dict) -> bytes:
    """A program for ``jax.export.deserialize``: ``call({name: array}, frames, landmarks, length)``, any batch size."""
    run, tree = function(config.model), jax.tree.structure(weights)
    order = list(exported.flatten(weights))

    def named(arrays: dict[str, jax.Array], *clips: jax.Array) -> dict[str, jax.Array]:
        return run(jax.tree.unflatten(tree, [arrays[name] for name in order]), *clips)

    (batch,) = export.symbolic_shape("batch")
    shapes = [jax.ShapeDtypeStruct((batch, *one.shape[1:]), one.dtype) for one in inputs(config.data).values()]
    given = {name: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype) for name, leaf in exported.flatten(weights).items()}
    return bytes(export.export(jax.jit(named), platforms=PLATFORMS)(given, *shapes).serialize())


def onnx(config: c.Config, weights: dict, metadata: Mapping[str, str]) -> bytes:
    """An ``.onnx`` file. Raises DataError for a model that has no ONNX form, which says why."""
    run = function(config.model)
    known = jax.tree.map(np.asarray, weights)
    return jaxpr_onnx.convert(lambda *clips: run(known, *clips), inputs(config.data), metadata, config.name)


def arrays(batch: Batch) -> dict[str, np.ndarray]:
    """The inputs of a program, of a batch."""
    return {name: np.asarray(getattr(batch, name)) for name in INPUTS}
