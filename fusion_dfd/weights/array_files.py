"""Arrays by name in ``.safetensors`` files (github.com/huggingface/safetensors), NumPy's ``.npz``, and ``.onnx``."""

from __future__ import annotations

import dataclasses
import pathlib
import zipfile
from collections.abc import Mapping

import numpy as np
import safetensors
import safetensors.numpy
from google.protobuf import message

from fusion_dfd import archives, atomic
from fusion_dfd.types import DataError


def write_safetensors(path: str, arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str]) -> str:
    """Write arrays and metadata; returns the path. Raises :class:`DataError` if the file cannot be written."""
    # The library writes memory as it lies: a transposed array would come back scrambled.
    rows_first = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    with atomic.binary(path) as file:
        file.write(safetensors.numpy.save(rows_first, dict(metadata)))
    return path


def read_safetensors(path: str) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """The arrays of a file and its metadata. Raises :class:`DataError` for a missing or damaged file."""
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (the file is no mapping)
            metadata = dict(file.metadata() or {})
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error}), check the path") from error
    except (safetensors.SafetensorError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise DataError(f"{path}: no whole safetensors file, take it from its source again") from error
    if not arrays:
        raise DataError(f"{path}: holds no arrays, take it from its source again")
    return arrays, metadata


_DAMAGE = (*archives.DAMAGE, RuntimeError, MemoryError, KeyError)
"""What zipfile and numpy raise over a damaged file: encrypted, unknown compression, endless shape, lost entry."""


def read_npz(path: str) -> dict[str, np.ndarray]:
    """The arrays of a file. Raises :class:`DataError` for a missing or damaged file, and for pickled objects."""
    try:
        with zipfile.ZipFile(path) as archive:
            archives.check(archive, path)
        with np.load(path, allow_pickle=False) as file:
            arrays = dict(file)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}), check the path") from error
    except _DAMAGE as error:
        raise DataError(f"{path}: no whole .npz file of plain arrays, take it from its source again") from error
    if not arrays:
        raise DataError(f"{path}: holds no arrays, take it from its source again")
    return arrays


@dataclasses.dataclass(frozen=True)
class OnnxNode:
    """One operation of the graph."""

    operation: str
    inputs: tuple[str, ...]
    numbers: dict[str, tuple[float, ...]]
    """Attributes that are numbers, by name."""


@dataclasses.dataclass(frozen=True)
class OnnxModel:
    arrays: dict[str, np.ndarray]
    """Stored values (initializers) of floating-point types, by name."""
    nodes: tuple[OnnxNode, ...]
    """In the order of the file: each after those it reads from."""
    metadata: dict[str, str]


def read_onnx(path: str) -> OnnxModel:
    """The graph of a model.

    Raises :class:`DataError` for a missing or damaged file, for arrays stored outside it, and without the package
    ``onnx``.
    """
    try:
        import onnx
    except ImportError as error:
        raise DataError(
            f"{path}: reading .onnx files needs the package onnx: pip install 'fusion-dfd[onnx]'"
        ) from error
    try:
        content = pathlib.Path(path).read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}), check the path") from error
    floats = (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.DOUBLE)
    try:
        model = onnx.load_model_from_string(content)
        stored = [tensor for tensor in model.graph.initializer if tensor.data_type in floats]
        if any(tensor.data_location == onnx.TensorProto.EXTERNAL for tensor in stored):
            raise ValueError("arrays in other files")
        arrays = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in stored}
    except (message.DecodeError, ValueError, TypeError) as error:
        raise DataError(f"{path}: no whole ONNX file with its values inside, take it from its source again") from error
    if not model.graph.node:
        raise DataError(f"{path}: no ONNX file, its graph is empty; take it from its source again")
    nodes = tuple(
        OnnxNode(node.op_type, tuple(node.input), {a.name: (*a.ints,) or (a.i or a.f,) for a in node.attribute})
        for node in model.graph.node
    )
    return OnnxModel(arrays, nodes, {entry.key: entry.value for entry in model.metadata_props})
