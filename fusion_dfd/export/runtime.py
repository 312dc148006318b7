"""The model as a program of plain arrays: written as StableHLO or ONNX, and loaded again from an exported folder.

The StableHLO program takes the weights as arguments, by their names in ``model.safetensors``. So they are stored once,
and the program stays small, although it holds a lowering for CPUs and one for CUDA. The ONNX program holds them as
constants, since its runtimes optimise constants when they load (and BatchNorm is folded into convolutions).

Both compute in float32, whatever ``model.bfloat16`` was in training: not every runtime has bfloat16.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import os
import pathlib
from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import export

from fusion_dfd import config as c
from fusion_dfd.export.onnx import walk
from fusion_dfd.runs.run import Run, flatten, stored_weights
from fusion_dfd.training import state
from fusion_dfd.types import MESH_POINTS, Batch, DataError, Outputs

PLATFORMS = ("cpu", "cuda")
INPUTS = ("frames", "landmarks", "length", "contiguous")
"""In the order of a system's arguments. Programs of earlier versions lack the last one."""
ONNX = "model.onnx"
STABLEHLO = "model.stablehlo"
BRANCH, ON = "branch_logits.", "branches_on."
"""Prefixes of the names of the branches' logits, and of whether they are on."""

Arrays = Mapping[str, np.ndarray]
LoadedProgram = Callable[[Arrays], dict[str, np.ndarray]]
"""From the inputs to the outputs, by name."""


def in_float32(model: c.Model) -> c.Model:
    """The same network without bfloat16 and rematerialisation."""
    return dataclasses.replace(model, bfloat16=False, remat=False)


def by_name(outputs: Outputs) -> dict[str, jax.Array]:
    """The outputs of a model, the logit first: fields of :class:`Outputs` by name, and ``branch_logits.<branch>``,
    ``branches_on.<branch>``."""
    fields = {field.name: getattr(outputs, field.name) for field in dataclasses.fields(outputs)}
    branches = {f"{BRANCH}{name}": logit for name, logit in fields.pop("branch_logits").items()}
    branches |= {f"{ON}{name}": on for name, on in fields.pop("branches_on").items()}
    found = {name: array for name, array in fields.items() if array is not None}
    return {"logit": found.pop("logit"), **branches, **found}


def from_names(arrays: Arrays) -> Outputs:
    """Inverse of :func:`by_name`."""
    logits, on = (
        {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
        for prefix in (BRANCH, ON)
    )
    rest = {name: array for name, array in arrays.items() if not name.startswith((BRANCH, ON))}
    return Outputs(branch_logits=logits, branches_on=on, **rest)


def points(model: c.Model) -> int:
    """Landmarks of a frame that a program takes: five, and the points of the mesh where the model reads it."""
    reads = model.system == "fusion" and "micro" in model.branches and model.micro.mesh
    return 5 + MESH_POINTS if reads else 5


def inputs(config: c.Config) -> dict[str, jax.ShapeDtypeStruct]:
    """The inputs of a program, for one window."""
    t, side = config.data.frames, config.data.size
    shapes = (
        ((1, t, side, side, 3), jnp.uint8),
        ((1, t, points(config.model), 2), jnp.float32),
        ((1,), jnp.int32),
        ((1,), jnp.bool_),
    )
    return dict(zip(INPUTS, (jax.ShapeDtypeStruct(*one) for one in shapes), strict=True))


def function(model: c.Model) -> Callable[..., dict[str, jax.Array]]:
    """``run(weights {"params", "stats"}, frames, landmarks, length, contiguous)`` -> outputs by name."""
    graph = state.graphs(in_float32(model)).evaluate

    def run(weights: dict, *windows: jax.Array) -> dict[str, jax.Array]:
        return by_name(nnx.merge(graph, weights["params"], weights["stats"])(*windows))

    return run


def stablehlo(config: c.Config, weights: dict) -> bytes:
    """A program for ``jax.export.deserialize``: ``call({name: array}, *inputs)``, any batch size."""
    run, tree = function(config.model), jax.tree.structure(weights)
    order = list(flatten(weights))

    def named(arrays: dict[str, jax.Array], *windows: jax.Array) -> dict[str, jax.Array]:
        return run(jax.tree.unflatten(tree, [arrays[name] for name in order]), *windows)

    (batch,) = export.symbolic_shape("batch")
    shapes = [jax.ShapeDtypeStruct((batch, *one.shape[1:]), one.dtype) for one in inputs(config).values()]
    given = {name: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype) for name, leaf in flatten(weights).items()}
    return bytes(export.export(jax.jit(named), platforms=PLATFORMS)(given, *shapes).serialize())


def onnx(config: c.Config, weights: dict, metadata: Mapping[str, str]) -> bytes:
    """An ``.onnx`` file. Raises DataError for a model that has no ONNX form, saying why."""
    run = function(config.model)
    known = jax.tree.map(np.asarray, weights)
    return walk.convert(lambda *windows: run(known, *windows), inputs(config), metadata, config.name)


def arrays(batch: Batch, model: c.Model) -> dict[str, np.ndarray]:
    """The inputs of a model's program from a batch."""
    known = {name: getattr(batch, name) for name in INPUTS}
    if known["contiguous"] is None:
        known["contiguous"] = np.ones(len(known["length"]), bool)
    known["landmarks"] = _fitted(np.asarray(known["landmarks"]), points(model))
    return {name: np.asarray(array) for name, array in known.items()}


def _fitted(landmarks: np.ndarray, count: int) -> np.ndarray:
    """Landmarks [b, t, p, 2] with ``count`` points: without the mesh, or with one of zeros, which means none."""
    missing = max(0, count - landmarks.shape[2])
    return np.pad(landmarks[:, :, :count], ((0, 0), (0, 0), (0, missing), (0, 0)))


def onnx_program(folder: str, threads: int = 0) -> LoadedProgram:
    """``model.onnx`` on the CPU; ``threads`` 0 leaves their number to onnxruntime.

    Raises DataError if there is no such file or onnxruntime is not installed.
    """
    path = os.path.join(folder, ONNX)
    if not os.path.isfile(path):
        raise DataError(
            f"{folder} holds no {ONNX}: give a folder that fusion-dfd export made with ONNX, or --engine jax"
        )
    try:
        import onnxruntime
    except ImportError as error:
        raise DataError(f"{path} needs onnxruntime: pip install 'fusion-dfd[onnx]', or --engine jax") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # decoding needs the cores too
    options.log_severity_level = 3  # warnings concern shapes within its own optimiser
    try:
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own errors share no narrower base class
        raise DataError(f"{path} cannot be loaded by onnxruntime {onnxruntime.__version__}: {error}") from error
    names, wanted = ([port.name for port in ports] for ports in (session.get_outputs(), session.get_inputs()))
    return lambda given: dict(zip(names, session.run(None, {name: given[name] for name in wanted}), strict=True))


def stablehlo_program(folder: str) -> LoadedProgram:
    """``model.stablehlo`` with the weights beside it, on JAX's default device. Raises DataError for damaged files."""
    path = os.path.join(folder, STABLEHLO)
    weights = stored_weights(folder)
    try:
        program = export.deserialize(bytearray(pathlib.Path(path).read_bytes()))
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read ({error}); export again") from error
    placed = jax.device_put(weights)
    return lambda given: jax.device_get(program.call(placed, *(given[name] for name in INPUTS)))


def has_onnx(run: Run) -> bool:
    """Whether an exported folder has an ONNX program and onnxruntime is installed."""
    present = run.is_exported and os.path.isfile(run.path(ONNX))
    return present and importlib.util.find_spec("onnxruntime") is not None


def choose(engine: str, run: Run) -> str:
    """``jax`` or ``onnx``; resolves ``auto`` for a run.

    On a CPU onnxruntime is faster (figures: docs/EXPORT.md), on an accelerator JAX is.
    """
    if engine != "auto":
        return engine
    return "onnx" if jax.default_backend() == "cpu" and has_onnx(run) else "jax"


def predictor(run: Run) -> Callable[[Batch], Outputs]:
    """The ONNX program as a function of a batch; rows of weight 0, which are padding, are left out.

    Raises DataError as :func:`onnx_program` does, and if the folder was changed.
    """
    if run.verified is None:
        raise DataError(f"{run.folder} is no exported folder: make one with fusion-dfd export, or give --engine jax")
    program = onnx_program(run.folder)

    def predict(batch: Batch) -> Outputs:
        real = np.asarray(batch.weight) > 0
        return from_names(program({name: array[real] for name, array in arrays(batch, run.config.model).items()}))

    return predict
