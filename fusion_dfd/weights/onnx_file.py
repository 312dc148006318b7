"""Arrays and nodes out of ``.onnx`` files, read with protobuf alone."""

from __future__ import annotations

import dataclasses
import pathlib

import numpy as np
from google.protobuf import message

from fusion_dfd.types import DataError
from fusion_dfd.weights import onnx_schema

_TYPES = {1: "<f4", 10: "<f2", 11: "<f8"}
"""numpy's names of the kinds of numbers in TensorProto.DataType that are no whole numbers."""


@dataclasses.dataclass(frozen=True)
class Node:
    """One operation of the graph."""

    operation: str
    inputs: tuple[str, ...]
    settings: dict[str, tuple[float, ...]]
    """Attributes that are numbers, by name."""


@dataclasses.dataclass(frozen=True)
class Graph:
    arrays: dict[str, np.ndarray]
    """Stored values (initializers) by name, without whole numbers."""
    nodes: tuple[Node, ...]
    """In the file's order: each after those it reads from."""
    metadata: dict[str, str]


def read(path: str) -> Graph:
    """The graph of a model. Raises :class:`DataError` for a missing or damaged file, or values in files beside it."""
    try:
        content = pathlib.Path(path).read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}), check the path") from error
    try:
        model = onnx_schema.Model.FromString(content)
        stored = [tensor for tensor in model.graph.initializer if tensor.data_type in _TYPES]
        arrays = {tensor.name: _array(tensor) for tensor in stored}
    except (message.DecodeError, ValueError) as error:
        raise DataError(f"{path}: no whole ONNX file with its values inside, take it from its source again") from error
    if not model.graph.node:
        raise DataError(f"{path}: no ONNX file, its graph is empty; take it from its source again")
    nodes = tuple(
        Node(node.op_type, tuple(node.input), {a.name: (*a.ints,) or (a.i or a.f,) for a in node.attribute})
        for node in model.graph.node
    )
    return Graph(arrays, nodes, {entry.key: entry.value for entry in model.metadata_props})


def _array(tensor) -> np.ndarray:
    dtype = np.dtype(_TYPES[tensor.data_type])
    if tensor.data_location:
        raise ValueError(tensor.name)
    values = np.frombuffer(tensor.raw_data, dtype) if tensor.raw_data else np.array(tensor.float_data, dtype)
    return values.reshape(tuple(tensor.dims))
