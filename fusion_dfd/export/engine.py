"""The programs of an exported folder, loaded and called as the model is."""

from __future__ import annotations

import importlib.util
import os
import pathlib
from collections.abc import Callable

import jax
import numpy as np
from jax import export

from fusion_dfd.export import programs
from fusion_dfd.training import exported
from fusion_dfd.types import Batch, DataError, Outputs
from fusion_dfd.weights import safetensors_file

ONNX = "model.onnx"
STABLEHLO = "model.stablehlo"

Program = Callable[[programs.Arrays], dict[str, np.ndarray]]
"""From the three inputs to the outputs, by name."""


def onnx_program(folder: str, threads: int = 0) -> Program:
    """``model.onnx`` on the CPU; ``threads`` 0 leaves their number to onnxruntime.

    Raises DataError where there is no such file or onnxruntime is not installed.
    """
    path = os.path.join(folder, ONNX)
    if not os.path.isfile(path):
        raise DataError(
            f"{folder} holds no {ONNX}: give a folder that scripts/export.py made with ONNX, or --engine jax"
        )
    try:
        import onnxruntime
    except ImportError as error:
        raise DataError(f"{path} wants onnxruntime: pip install 'fusion-dfd[onnx]', or --engine jax") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # others here want the cores too
    options.log_severity_level = 3  # warnings are about shapes that its own optimiser finds odd
    try:
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # of onnxruntime's own, which share no base but this
        raise DataError(f"{path} cannot be loaded by onnxruntime {onnxruntime.__version__}: {error}") from error
    names = [port.name for port in session.get_outputs()]
    return lambda given: dict(zip(names, session.run(None, dict(given)), strict=True))


def stablehlo_program(folder: str) -> Program:
    """``model.stablehlo`` with the weights beside it, on JAX's default device. Raises DataError for damaged files."""
    path = os.path.join(folder, STABLEHLO)
    weights = safetensors_file.read(os.path.join(folder, exported.WEIGHTS))[0]
    try:
        program = export.deserialize(bytearray(pathlib.Path(path).read_bytes()))
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read ({error}); export again") from error
    placed = jax.device_put(weights)
    return lambda given: jax.device_get(program.call(placed, *(given[name] for name in programs.INPUTS)))


def has_onnx(folder: str) -> bool:
    """Whether a folder's ONNX program can run here: it is there, and so is onnxruntime."""
    there = exported.is_folder(folder) and os.path.isfile(os.path.join(folder, ONNX))
    return there and importlib.util.find_spec("onnxruntime") is not None


def choose(engine: str, folder: str) -> str:
    """``jax`` or ``onnx``: what ``auto`` means for a folder here.

    On a CPU onnxruntime takes less time (docs/EXPORT.md has the figures), on an accelerator JAX does.
    """
    if engine != "auto":
        return engine
    return "onnx" if jax.default_backend() == "cpu" and has_onnx(folder) else "jax"


def predictor(folder: str) -> Callable[[Batch], Outputs]:
    """The ONNX program as a function of a batch; rows of weight 0, which only fill it up, are left out.

    Raises DataError as :func:`onnx_program` does, and where the folder was changed.
    """
    if not exported.is_folder(folder):
        raise DataError(f"{folder} is no exported folder: make one with scripts/export.py, or give --engine jax")
    exported.checked(folder)
    run = onnx_program(folder)

    def predict(batch: Batch) -> Outputs:
        real = np.asarray(batch.weight) > 0
        return programs.from_names(run({name: array[real] for name, array in programs.arrays(batch).items()}))

    return predict
