"""Recognises the package's ``max_pool``, which is written as slices for XLA, and converts it to ONNX's MaxPool."""

from __future__ import annotations

import dataclasses

from jax.extend import core

from fusion_dfd.export.onnx.axes import AxisLayout, Value

ORDER = (0, 3, 1, 2)
"""Channels first."""


@dataclasses.dataclass(frozen=True)
class PoolWindow:
    """Window of a max pooling over height and width."""

    size: int
    stride: int
    pads: tuple[int, int, int, int]
    """Before height, before width, after height, after width."""


def window(jaxpr: core.Jaxpr) -> PoolWindow | None:
    """The window of a jaxpr that is :func:`fusion_dfd.backbones.conv.max_pool`; None for any other jaxpr.

    The primitives identify it: one strided slice per offset within the window along the width, the same along the
    height, and at most one padding before them.
    """
    equations = list(_flat(jaxpr))
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
    return PoolWindow(size, strides.pop(), (rows[0], columns[0], rows[1], columns[1]))


def _flat(jaxpr: core.Jaxpr):
    for equation in jaxpr.eqns:
        if equation.primitive.name == "jit":
            yield from _flat(equation.params["jaxpr"].jaxpr)
        else:
            yield equation


def max_pool(layout: AxisLayout, value: Value, window: PoolWindow, shape: tuple[int, ...]) -> Value:
    """ONNX's MaxPool; its padding never is the maximum either."""
    as_stored = layout.whole(layout.arranged(value, ORDER))
    tensor = layout.graph.add(
        "MaxPool",
        as_stored.tensor,
        kernel_shape=[window.size] * 2,
        strides=[window.stride] * 2,
        pads=window.pads,
    )
    return Value(tensor, shape, value.dtype, ORDER)
