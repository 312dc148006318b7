"""An ONNX graph under construction: nodes, constants, and simplifications before it is written."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fusion_dfd.types import DataError

OPSET = 18
"""The first in which all reductions take their axes as an input; onnxruntime 1.14 (2023) and later run it."""
IR_VERSION = 8
"""Version of the file format that came with this opset."""
DTYPES = {"float32": 1, "uint8": 2, "int8": 3, "int32": 6, "int64": 7, "bool": 9, "float64": 11, "uint32": 12}
"""TensorProto.DataType by numpy's dtype names: the dtypes that a graph may have here."""

Tensor = str | np.ndarray
"""The name of a node's output or of an input; or a constant."""


@dataclasses.dataclass
class Node:
    operation: str
    inputs: list[str]
    outputs: list[str]
    attributes: dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Port:
    """An input or output of the whole graph; a dimension that is a string may have any size."""

    name: str
    dtype: str
    shape: tuple[int | str, ...]


class Graph:
    """Nodes in the order in which they run. An identical node is added only once."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self.arrays: dict[str, np.ndarray] = {}
        self._names: dict[Any, Any] = {}

    def add(self, operation: str, *inputs: Tensor, **attributes: Any) -> str:
        """Add a node; returns the name of its output. Operations: https://onnx.ai/onnx/operators."""
        return self.add_many(operation, 1, *inputs, **attributes)[0]

    def add_many(self, operation: str, count: int, *inputs: Tensor, **attributes: Any) -> list[str]:
        """Add a node with ``count`` outputs; returns their names."""
        names = [self._stored(one) if isinstance(one, np.ndarray | np.generic) else one for one in inputs]
        key = operation, tuple(names), count, repr(sorted(attributes.items()))
        if key not in self._names:
            outputs = [f"{operation}_{len(self.nodes)}" + (f"_{k}" if k else "") for k in range(count)]
            self.nodes.append(Node(operation, names, outputs, attributes))
            self._names[key] = outputs
        return self._names[key]

    def _stored(self, array: np.ndarray) -> str:
        array = np.ascontiguousarray(array).reshape(array.shape)  # ascontiguousarray alone would make a scalar a vector
        key = array.dtype.str, array.shape, array.tobytes()
        name = self._names.setdefault(key, f"value_{len(self._names)}")
        self.arrays[name] = array
        return name

    def name_output(self, name: str, tensor: Tensor) -> None:
        """Make ``tensor`` an output of the graph called ``name``."""
        self.nodes.append(
            Node("Identity", [self._stored(tensor) if isinstance(tensor, np.ndarray) else tensor], [name], {})
        )

    def simplify(self, outputs: Sequence[str]) -> None:
        """Fold what scales and shifts a convolution's output into its weights; drop what no output needs."""
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
        """The file's bytes, checked against the standard. Raises DataError without the package ``onnx``."""
        try:
            import onnx
        except ImportError as error:
            raise DataError(
                "writing ONNX needs the package onnx: pip install 'fusion-dfd[onnx]', or export without ONNX"
            ) from error
        make = onnx.helper
        nodes = [
            make.make_node(node.operation, node.inputs, node.outputs, node.outputs[0], **node.attributes)
            for node in self.nodes
        ]
        ports = [
            [make.make_tensor_value_info(port.name, DTYPES[port.dtype], port.shape) for port in side]
            for side in (inputs, outputs)
        ]
        arrays = [onnx.numpy_helper.from_array(array, key) for key, array in self.arrays.items()]
        opsets = [make.make_opsetid("", OPSET)]
        graph = make.make_graph(nodes, name, *ports, arrays)
        model = make.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name="fusion_dfd")
        make.set_model_props(model, dict(metadata))
        onnx.checker.check_model(model, full_check=True)
        return model.SerializeToString()


class _Folding:
    """Folds ``Conv -> Mul per channel -> Add per channel`` into the Conv, if nothing else reads the values in between.

    That is what a BatchNorm in evaluation amounts to.
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
            # The convolution now computes the node's output; the node itself is dropped later.
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
