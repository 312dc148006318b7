"""A JAX program as an ONNX graph, primitive by primitive; what has no counterpart is refused by its name.

The program is traced with a symbolic batch size, so the graph takes any. Whatever depends on weights alone (the
gain of a BatchNorm, a kernel's reshape) is computed by JAX itself now and stored. Loops over time, whose number of
steps is known, are written out.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jax import export
from jax.extend import core

from fusion_dfd.export.onnx import primitives
from fusion_dfd.export.onnx.axes import BATCH, Layout, Value, computed, is_symbolic, known
from fusion_dfd.export.onnx.graph import Graph, Port

BATCH_NAME = "batch"


def convert(
    function: Callable[..., Mapping[str, jax.Array]],
    inputs: Mapping[str, jax.ShapeDtypeStruct],
    metadata: Mapping[str, str],
    name: str,
) -> bytes:
    """The ``.onnx`` file of a function of named arrays.

    Args:
      function: takes the inputs by position, gives outputs by name.
      inputs: by name; the first axis of each is the batch, whatever size is written there. The first one's shape is
        read when the graph runs.
      metadata: pairs that the file carries.
      name: of the graph.

    Raises DataError for a program with an operation that is not known here, which the message names.
    """
    (batch,) = export.symbolic_shape("batch")
    shapes = [jax.ShapeDtypeStruct((batch, *one.shape[1:]), one.dtype) for one in inputs.values()]
    program, out = jax.make_jaxpr(function, return_shape=True)(*shapes)
    graph = Graph()
    walk = Program(Layout(graph, next(iter(inputs))), batch)
    ports = [Port(name, np.dtype(one.dtype).name, (BATCH_NAME, *one.shape[1:])) for name, one in inputs.items()]
    arguments = [
        computed(port.name, (BATCH, *one.shape[1:]), one.dtype)
        for port, one in zip(ports, inputs.values(), strict=True)
    ]
    results = walk.run(program.jaxpr, [known(np.asarray(one)) for one in program.consts], arguments)
    for label, value in zip(out, results, strict=True):
        graph.name_output(label, walk.layout.plain(value))
    graph.simplify(list(out))
    outputs = [Port(label, value.dtype.name, _named(value.shape)) for label, value in zip(out, results, strict=True)]
    return graph.encode(ports, outputs, metadata, name)


def _named(shape: Sequence[int]) -> tuple[int | str, ...]:
    names = {1: BATCH_NAME}
    return tuple(names.get(size // BATCH, f"{size // BATCH}*batch") if is_symbolic(size) else size for size in shape)


@dataclasses.dataclass
class Program:
    """Walks a traced program and leaves its operations in a graph."""

    layout: Layout
    batch: Any
    """The symbolic size."""

    def run(self, program: core.Jaxpr, consts: Sequence[Value], arguments: Sequence[Value]) -> list[Value]:
        """The results of a program for some arguments."""
        values: dict[Any, Value] = dict(zip((*program.constvars, *program.invars), (*consts, *arguments), strict=True))

        def read(var: Any) -> Value:
            return known(np.asarray(var.val, var.aval.dtype)) if isinstance(var, core.Literal) else values[var]

        for equation in program.eqns:
            results = self._apply(equation, [read(var) for var in equation.invars])
            values.update(zip(equation.outvars, results, strict=True))
        return [read(var) for var in program.outvars]

    def closed(self, program: core.ClosedJaxpr, arguments: Sequence[Value]) -> list[Value]:
        """The results of a program that carries its constants."""
        return self.run(program.jaxpr, [known(np.asarray(one)) for one in program.consts], arguments)

    def shape(self, var: Any) -> tuple[int, ...]:
        """The sizes of a variable, the batch's as multiples of BATCH."""
        return tuple(self.number(size) for size in var.aval.shape)

    def number(self, size: Any) -> int:
        """A size, the batch's as a multiple of BATCH."""
        return size if isinstance(size, int) else int(size // self.batch) * BATCH

    def _apply(self, equation: core.JaxprEqn, arguments: list[Value]) -> list[Value]:
        now = primitives.evaluate_now(self, equation, arguments)
        return now if now is not None else primitives.find(equation)(self, equation, *arguments)
