"""The package's max_pool, which is written as slices for XLA's sake, recognised and made ONNX's MaxPool."""

from __future__ import annotations

import dataclasses

from jax.extend import core

from fusion_dfd.export.onnx.axes import Layout, Value

ORDER = (0, 3, 1, 2)
"""Channels first."""


@dataclasses.dataclass(frozen=True)
class Window:
    """Of a maximum over height and width."""

    size: int
    stride: int
    pads: tuple[int, int, int, int]
    """Before height, before width, after height, after width."""


def window(program: core.Jaxpr) -> Window | None:
    """The window of a program that is :func:`fusion_dfd.backbones.conv.max_pool`; None where it looks otherwise.

    Its parts are told by their kinds: a slice for every place of the window along the width and again along the
    height, strided, and before them at most one padding.
    """
    equations = list(_flat(program))
    around = [equation.params["padding_config"] for equation in equations if equation.primitive.name == "pad"]
    slices = [equation for equation in equations if equation.primitive.name == "slice"]
    names = {equation.primitive.name for equation in equations}
    known = {"pad", "slice", "max", "optimization_barrier", "convert_element_type"}
    if not slices or len(slices) % 2 or len(around) > 1 or not names <= known:
        return None
    size = len(slices) // 2
    strides = {max(equation.params["strides"] or (1,)) for equation in slices}
    starts = [max(equation.params["start_indices"]) for equation in slices]
    if len(strides) != 1 or starts != [*range(size), *range(size)]:
        return None
    rows, columns = [tuple(map(int, axis[:2])) for axis in around[0][1:3]] if around else [(0, 0), (0, 0)]
    return Window(size, strides.pop(), (rows[0], columns[0], rows[1], columns[1]))


def _flat(program: core.Jaxpr):
    for equation in program.eqns:
        if equation.primitive.name == "jit":
            yield from _flat(equation.params["jaxpr"].jaxpr)
        else:
            yield equation


def max_pool(layout: Layout, value: Value, seen: Window, shape: tuple[int, ...]) -> Value:
    """ONNX's MaxPool, whose padding never is the largest either."""
    lying = layout.whole(layout.arranged(value, ORDER))
    tensor = layout.graph.add(
        "MaxPool",
        lying.tensor,
        kernel_shape=[seen.size] * 2,
        strides=[seen.stride] * 2,
        pads=seen.pads,
    )
    return Value(tensor, shape, value.dtype, ORDER)
