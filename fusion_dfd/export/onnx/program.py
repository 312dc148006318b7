"""Walks the equations of a traced JAX program (jaxpr) and adds their operations to an ONNX graph."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from jax.extend import core

from fusion_dfd.export.onnx.axes import BATCH, AxisLayout, Value, known


@dataclasses.dataclass(frozen=True)
class Program:
    """What a rule for a primitive works with: where values lie, the batch size, and programs inside the equation."""

    layout: AxisLayout
    batch: Any
    """The symbolic batch size that JAX traced with."""
    apply: Callable[[Program, core.JaxprEqn, Sequence[Value]], list[Value]]
    """Results of one equation, see :func:`fusion_dfd.export.onnx.primitives.apply`."""

    def run(self, jaxpr: core.Jaxpr, consts: Sequence[Value], arguments: Sequence[Value]) -> list[Value]:
        """The results of a jaxpr for some arguments."""
        values: dict[Any, Value] = dict(zip((*jaxpr.constvars, *jaxpr.invars), (*consts, *arguments), strict=True))

        def read(var: Any) -> Value:
            return known(np.asarray(var.val, var.aval.dtype)) if isinstance(var, core.Literal) else values[var]

        for equation in jaxpr.eqns:
            results = self.apply(self, equation, [read(var) for var in equation.invars])
            values.update(zip(equation.outvars, results, strict=True))
        return [read(var) for var in jaxpr.outvars]

    def run_closed(self, closed: core.ClosedJaxpr, arguments: Sequence[Value]) -> list[Value]:
        """The results of a jaxpr that carries its constants."""
        return self.run(closed.jaxpr, [known(np.asarray(const)) for const in closed.consts], arguments)

    def shape(self, var: Any) -> tuple[int, ...]:
        """The shape of a variable; sizes that depend on the batch are multiples of BATCH."""
        return tuple(self.size(size) for size in var.aval.shape)

    def size(self, size: Any) -> int:
        """A size as an int; one that depends on the batch is a multiple of BATCH."""
        return size if isinstance(size, int) else int(size // self.batch) * BATCH
