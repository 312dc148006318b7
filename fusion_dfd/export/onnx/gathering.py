"""``jax.lax.gather`` in ONNX: whole slices, or single elements, at computed indices."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jax.extend import core
from jax.lax import GatherScatterMode

from fusion_dfd.export.onnx.axes import AxisLayout, Value, is_symbolic, known
from fusion_dfd.export.onnx.pointwise import SHORT, cast, cut, elementwise, reduced
from fusion_dfd.export.onnx.program import Program
from fusion_dfd.types import DataError


def gather(program: Program, equation: core.JaxprEqn, value: Value, starts: Value) -> list[Value]:
    """The rule of the primitive, see :mod:`fusion_dfd.export.onnx.primitives`."""
    numbers, layout = equation.params["dimension_numbers"], program.layout
    if starts.known and len(starts.shape) == 1 and equation.params["mode"] != GatherScatterMode.FILL_OR_DROP:
        return [_window(program, equation, value, layout.plain(starts))]
    looked, paired = list(numbers.start_index_map), list(numbers.operand_batching_dims)
    rest = [axis for axis in range(len(value.shape)) if axis not in (*looked, *paired)]
    sizes = [program.size(size) for size in equation.params["slice_sizes"]]
    if set(numbers.collapsed_slice_dims) != set(looked) or any(sizes[axis] != value.shape[axis] for axis in rest):
        raise DataError("the model slices at computed positions (JAX's gather): no ONNX form here")
    indices, inside = _bounded(layout, equation, starts, [value.shape[axis] for axis in looked])
    pairs = list(numbers.start_indices_batching_dims)
    others = [axis for axis in range(len(starts.shape) - 1) if axis not in pairs]
    shape = program.shape(equation.outvars[0])
    at = [axis for axis in range(len(shape)) if axis not in numbers.offset_dims]
    source = layout.whole(layout.arranged(value, (*paired, *looked, *rest)))
    index = layout.whole(layout.arranged(indices, (*pairs, *others, len(starts.shape) - 1)))
    as_stored = [at[axis] for axis in (*pairs, *others)]
    if len(looked) == len(others) == len(rest) == 1 and value.shape[rest[0]] <= SHORT:
        found = _numbers(layout, value, index, (paired, looked, rest))
        result = Value(found, shape, value.dtype, (*as_stored[:-1], *numbers.offset_dims, as_stored[-1]))
    else:
        found = layout.graph.add("GatherND", source.tensor, cast(layout, index, np.int64).tensor, batch_dims=len(pairs))
        result = Value(found, shape, value.dtype, (*as_stored, *numbers.offset_dims))
    if inside is None:
        return [result]
    filling = known(_filling(equation, value.dtype))
    return [elementwise(layout, "Where", (layout.broadcast(inside, shape, at), result, filling), value.dtype)]


def _numbers(layout: AxisLayout, value: Value, index: Value, axes: tuple[list[int], list[int], list[int]]) -> str:
    """Gathers short slices element by element with GatherElements: ten times faster than GatherND."""
    paired, looked, rest = axes
    source = layout.whole(layout.arranged(value, (*paired, *rest, *looked)))
    # [*pairs, others, 1] as stored -> [*pairs, 1, others] -> repeated for every element of a slice
    turned = [*range(len(paired)), len(paired) + 1, len(paired)]
    as_stored = Value(index.tensor, index.stored, index.dtype, tuple(range(len(index.stored))))
    swapped = layout.arranged(as_stored, turned)
    spread = [*swapped.stored]
    spread[len(paired)] = value.shape[rest[0]]
    repeated = layout.broadcast(
        Value(swapped.tensor, swapped.stored, index.dtype, tuple(range(len(spread)))), spread, range(len(spread))
    )
    return layout.graph.add("GatherElements", source.tensor, layout.plain(repeated), axis=len(paired) + 1)


def _window(program: Program, equation: core.JaxprEqn, value: Value, starts: np.ndarray) -> Value:
    """A slice at a constant position; one that would reach beyond the end is shifted back, as in JAX."""
    shape = tuple(program.size(size) for size in equation.params["slice_sizes"])
    clamped = [0] * len(shape)
    for axis, start in zip(equation.params["dimension_numbers"].start_index_map, starts.tolist(), strict=True):
        clamped[axis] = min(max(start, 0), value.shape[axis] - shape[axis])
    return program.layout.reshape(
        cut(program.layout, value, clamped, shape, (1,) * len(shape)), program.shape(equation.outvars[0])
    )


def _bounded(
    layout: AxisLayout, equation: core.JaxprEqn, starts: Value, sizes: Sequence[int]
) -> tuple[Value, Value | None]:
    """Indices within bounds and, in the fill mode, which of them were."""
    mode = equation.params["mode"]
    if mode in (None, GatherScatterMode.PROMISE_IN_BOUNDS):
        return starts, None
    if any(map(is_symbolic, sizes)):
        raise DataError("the model indexes the batch with indices that may be out of bounds: no ONNX form here")
    top = known(np.array([size - 1 for size in sizes], starts.dtype).reshape(*[1] * (len(starts.shape) - 1), -1))
    zero = known(starts.dtype.type(0))
    low = elementwise(layout, "Max", (starts, zero), starts.dtype)
    indices = elementwise(layout, "Min", (low, top), starts.dtype)
    if mode == GatherScatterMode.CLIP:
        return indices, None
    same = elementwise(layout, "Equal", (starts, indices), np.bool_)
    all_same = reduced(layout, "ReduceMin", cast(layout, same, np.int32), [len(starts.shape) - 1])
    return indices, cast(layout, all_same, np.bool_)


def _filling(equation: core.JaxprEqn, dtype: np.dtype) -> np.ndarray:
    """The fill value: NaN, or the least integer, unless the equation gives one."""
    given = equation.params["fill_value"]
    if given is None:
        given = np.nan if np.issubdtype(dtype, np.floating) else np.iinfo(dtype).min
    return np.asarray(given, dtype)
