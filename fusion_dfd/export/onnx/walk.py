"""Converts a JAX function to an ONNX graph, primitive by primitive. A primitive without a rule is refused by name.

The function is traced with a symbolic batch size, so that the graph accepts any. Whatever depends on weights alone (the
scale of a BatchNorm, a kernel's reshape) is computed by JAX during the conversion and stored. Loops over time have a
known number of steps and are unrolled.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import jax
import numpy as np
from jax import export

from fusion_dfd.export.onnx import primitives
from fusion_dfd.export.onnx.axes import BATCH, AxisLayout, computed, is_symbolic
from fusion_dfd.export.onnx.graph import Graph, Port
from fusion_dfd.export.onnx.program import Program

BATCH_NAME = "batch"


def convert(
    function: Callable[..., Mapping[str, jax.Array]],
    inputs: Mapping[str, jax.ShapeDtypeStruct | jax.Array | np.ndarray],
    metadata: Mapping[str, str],
    name: str,
) -> bytes:
    """The ``.onnx`` file of a function of named arrays.

    Args:
      function: takes the inputs by position, returns outputs by name.
      inputs: by name; the first axis of each is the batch, whatever its size here. The graph takes the batch size from
        the first one.
      metadata: stored in the file as key-value pairs.
      name: of the graph.

    Raises DataError for an operation without a rule, which the message names, and without the package ``onnx``.
    """
    (batch,) = export.symbolic_shape("batch")
    shapes = [jax.ShapeDtypeStruct((batch, *one.shape[1:]), one.dtype) for one in inputs.values()]
    closed, out = jax.make_jaxpr(function, return_shape=True)(*shapes)
    graph = Graph()
    program = Program(AxisLayout(graph, next(iter(inputs))), batch, primitives.apply)
    ports = [Port(name, np.dtype(one.dtype).name, (BATCH_NAME, *one.shape[1:])) for name, one in inputs.items()]
    arguments = [
        computed(port.name, (BATCH, *one.shape[1:]), one.dtype)
        for port, one in zip(ports, inputs.values(), strict=True)
    ]
    results = program.run_closed(closed, arguments)
    for label, value in zip(out, results, strict=True):
        graph.name_output(label, program.layout.plain(value))
    graph.simplify(list(out))
    outputs = [Port(label, value.dtype.name, _named(value.shape)) for label, value in zip(out, results, strict=True)]
    return graph.encode(ports, outputs, metadata, name)


def _named(shape: Sequence[int]) -> tuple[int | str, ...]:
    names = {1: BATCH_NAME}
    return tuple(names.get(size // BATCH, f"{size // BATCH}*batch") if is_symbolic(size) else size for size in shape)
