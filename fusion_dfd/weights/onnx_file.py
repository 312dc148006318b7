"""Arrays and nodes out of ``.onnx`` files, read with protobuf alone.

Field numbers are those of onnx/onnx.proto (ONNX 1.x, https://github.com/onnx/onnx); what is not named here is skipped.
"""

from __future__ import annotations

import dataclasses
import pathlib

import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message, message_factory

from fusion_dfd.types import DataError

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
        model = _Model.FromString(content)
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


def _model_class() -> type[message.Message]:
    Field = descriptor_pb2.FieldDescriptorProto
    kinds = {"text": Field.TYPE_STRING, "bytes": Field.TYPE_BYTES, "int": Field.TYPE_INT64, "float": Field.TYPE_FLOAT}
    schema = {
        "Model": {"graph": (7, "Graph"), "metadata_props": (14, "Entry*")},
        "Entry": {"key": (1, "text"), "value": (2, "text")},
        "Graph": {"node": (1, "Node*"), "initializer": (5, "Tensor*")},
        "Node": {"input": (1, "text*"), "op_type": (4, "text"), "attribute": (5, "Attribute*")},
        "Attribute": {"name": (1, "text"), "f": (2, "float"), "i": (3, "int"), "ints": (8, "int*")},
        "Tensor": {
            "dims": (1, "int*"),
            "data_type": (2, "int"),
            "float_data": (4, "float*"),
            "name": (8, "text"),
            "raw_data": (9, "bytes"),
            "data_location": (14, "int"),
        },
    }
    package = "fusion_dfd.onnx"
    file = descriptor_pb2.FileDescriptorProto(name="fusion_dfd/onnx.proto", package=package, syntax="proto3")
    for owner, fields in schema.items():
        entry = file.message_type.add(name=owner)
        for name, (number, kind) in fields.items():
            label = Field.LABEL_REPEATED if kind.endswith("*") else Field.LABEL_OPTIONAL
            field = entry.field.add(name=name, number=number, label=label)
            kind = kind.removesuffix("*")
            field.type = kinds.get(kind, Field.TYPE_MESSAGE)
            if kind not in kinds:
                field.type_name = f".{package}.{kind}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{package}.Model"))


_Model = _model_class()
