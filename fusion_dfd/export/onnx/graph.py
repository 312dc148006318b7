"""An ONNX graph while it is made: nodes, stored values, and what can be simplified before it is written."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fusion_dfd.weights import onnx_schema

OPSET = 18
"""The first whose reductions all take their axes as an input; onnxruntime 1.14 (2023) and later run it."""
IR_VERSION = 8
"""Of the file's format; the one that came with this opset."""
DTYPES = {"float32": 1, "uint8": 2, "int8": 3, "int32": 6, "int64": 7, "bool": 9, "float64": 11, "uint32": 12}
"""TensorProto.DataType by numpy's names."""

Tensor = str | np.ndarray
"""The name of what a node computes or of an input; or a value that is known now."""


@dataclasses.dataclass
class Node:
    operation: str
    inputs: list[str]
    outputs: list[str]
    attributes: dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Port:
    """An input or output of the whole graph; dimensions that are text may have any size."""

    name: str
    dtype: str
    shape: tuple[int | str, ...]


class Graph:
    """Nodes in the order in which they run. A node that was added before is not added again."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self.arrays: dict[str, np.ndarray] = {}
        self._names: dict[Any, Any] = {}

    def add(self, operation: str, *inputs: Tensor, **attributes: Any) -> str:
        """The name of what ``operation`` gives, see https://onnx.ai/onnx/operators."""
        return self.add_many(operation, 1, *inputs, **attributes)[0]

    def add_many(self, operation: str, count: int, *inputs: Tensor, **attributes: Any) -> list[str]:
        """The names of the ``count`` outputs of an operation."""
        names = [self._stored(one) if isinstance(one, np.ndarray | np.generic) else one for one in inputs]
        key = operation, tuple(names), count, repr(sorted(attributes.items()))
        if key not in self._names:
            outputs = [f"{operation}_{len(self.nodes)}" + (f"_{k}" if k else "") for k in range(count)]
            self.nodes.append(Node(operation, names, outputs, attributes))
            self._names[key] = outputs
        return self._names[key]

    def _stored(self, array: np.ndarray) -> str:
        array = np.ascontiguousarray(array).reshape(array.shape)  # which alone would make a scalar a vector
        key = array.dtype.str, array.shape, array.tobytes()
        name = self._names.setdefault(key, f"value_{len(self._names)}")
        self.arrays[name] = array
        return name

    def name_output(self, name: str, tensor: Tensor) -> None:
        """Let ``tensor`` be known as ``name``."""
        self.nodes.append(
            Node("Identity", [self._stored(tensor) if isinstance(tensor, np.ndarray) else tensor], [name], {})
        )

    def simplify(self, outputs: Sequence[str]) -> None:
        """Multiply and add what follows a convolution into its weights; drop what no output needs."""
        self._drop(outputs)
        _Folding(self).run()
        self._drop(outputs)

    def _drop(self, outputs: Sequence[str]) -> None:
        needed, kept = set(outputs), []
        for node in reversed(self.nodes):
            if needed.intersection(node.outputs):
                needed.update(node.inputs)
                kept.append(node)
        self.nodes = kept[::-1]
        self.arrays = {name: array for name, array in self.arrays.items() if name in needed}

    def encode(self, inputs: Sequence[Port], outputs: Sequence[Port], metadata: Mapping[str, str], name: str) -> bytes:
        """The file's bytes."""
        model = onnx_schema.Model(ir_version=IR_VERSION, producer_name="fusion_dfd")
        model.opset_import.add(version=OPSET)
        for key, value in metadata.items():
            model.metadata_props.add(key=key, value=value)
        model.graph.name = name
        for node in self.nodes:
            entry = model.graph.node.add(op_type=node.operation, name=node.outputs[0])
            entry.input.extend(node.inputs)
            entry.output.extend(node.outputs)
            for attribute, value in node.attributes.items():
                entry.attribute.add(name=attribute, **_attribute(value))
        for key, array in self.arrays.items():
            kind = DTYPES[array.dtype.name]
            little = array.astype(array.dtype.newbyteorder("<"), copy=False)
            model.graph.initializer.add(name=key, dims=array.shape, data_type=kind, raw_data=little.tobytes())
        for ports, field in ((inputs, model.graph.input), (outputs, model.graph.output)):
            for port in ports:
                _describe(field.add(name=port.name), port)
        return model.SerializeToString()


class _Folding:
    """``Conv -> Mul by a number per channel -> Add of one`` becomes one Conv, where nobody else reads what is between.

    That is what a BatchNorm that evaluates comes to.
    """

    def __init__(self, graph: Graph):
        self.graph = graph
        self.makers = {name: node for node in graph.nodes for name in node.outputs}
        self.readers = collections.Counter(name for node in graph.nodes for name in node.inputs)

    def run(self) -> None:
        for node in list(self.graph.nodes):
            if node.operation in ("Mul", "Add"):
                self._fold(node)

    def _fold(self, node: Node) -> None:
        for value, other in (node.inputs, node.inputs[::-1]):
            conv, factor = self.makers.get(value), self.graph.arrays.get(other)
            if conv is None or conv.operation != "Conv" or factor is None or self.readers[value] != 1:
                continue
            kernel = self.graph.arrays.get(conv.inputs[1])
            if kernel is None or factor.ndim != kernel.ndim or factor.shape[1:2] != (factor.size,):
                continue
            if factor.size not in (1, len(kernel)):
                continue
            self._into(conv, kernel, np.broadcast_to(factor.reshape(-1), len(kernel)), node.operation)
            # The convolution now gives what the node gave; the node is found dead later.
            node.outputs, conv.outputs = [f"{node.outputs[0]}_folded"], node.outputs
            self.makers[conv.outputs[0]] = conv
            return

    def _into(self, conv: Node, kernel: np.ndarray, factor: np.ndarray, operation: str) -> None:
        bias = self.graph.arrays[conv.inputs[2]] if len(conv.inputs) > 2 else np.zeros(len(kernel), kernel.dtype)
        if operation == "Mul":
            kernel = kernel * factor.reshape(-1, *[1] * (kernel.ndim - 1))
            bias = bias * factor
        else:
            bias = bias + factor
        conv.inputs = [conv.inputs[0], self.graph._stored(kernel), self.graph._stored(bias)]


def _attribute(value: Any) -> dict[str, Any]:
    """The fields of an attribute; ``type`` is AttributeProto.AttributeType."""
    if isinstance(value, str):
        return {"s": value.encode(), "type": 3}
    if isinstance(value, float):
        return {"f": value, "type": 1}
    if isinstance(value, int):
        return {"i": value, "type": 2}
    return {"ints": [int(one) for one in value], "type": 7}


def _describe(entry: Any, port: Port) -> None:
    entry.type.tensor_type.elem_type = DTYPES[port.dtype]
    entry.type.tensor_type.shape.SetInParent()  # a scalar has a shape too: one without dimensions
    for size in port.shape:
        entry.type.tensor_type.shape.dim.add(**({"dim_param": size} if isinstance(size, str) else {"dim_value": size}))
