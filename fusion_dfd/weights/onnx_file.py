"""Arrays and nodes of ``.onnx`` files."""

from __future__ import annotations

import dataclasses
import pathlib

import numpy as np
from google.protobuf import message

from fusion_dfd.types import DataError


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


def read(path: str) -> OnnxModel:
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
