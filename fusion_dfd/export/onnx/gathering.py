"""``jax.lax.gather`` in ONNX: whole slices, or single numbers, at places that are computed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from jax.extend import core
from jax.lax import GatherScatterMode

from fusion_dfd.export.onnx.axes import Layout, Value, is_symbolic, known
from fusion_dfd.export.onnx.pointwise import SHORT, cast, cut, elementwise, reduced
from fusion_dfd.types import DataError

if TYPE_CHECKING:
    from fusion_dfd.export.onnx.walk import Program


def gather(walk: Program, equation: core.JaxprEqn, value: Value, places: Value) -> list[Value]:
    """The rule of the primitive, see :mod:`fusion_dfd.export.onnx.primitives`."""
    numbers, layout = equation.params["dimension_numbers"], walk.layout
    if places.known and len(places.shape) == 1 and equation.params["mode"] != GatherScatterMode.FILL_OR_DROP:
        return [_window(walk, equation, value, layout.plain(places))]
    looked, paired = list(numbers.start_index_map), list(numbers.operand_batching_dims)
    rest = [axis for axis in range(len(value.shape)) if axis not in (*looked, *paired)]
    sizes = [walk.number(size) for size in equation.params["slice_sizes"]]
    if set(numbers.collapsed_slice_dims) != set(looked) or any(sizes[axis] != value.shape[axis] for axis in rest):
        raise DataError("the model reads windows at computed places (JAX's gather): no ONNX form here")
    indices, inside = _bounded(layout, equation, places, [value.shape[axis] for axis in looked])
    pairs = list(numbers.start_indices_batching_dims)
    others = [axis for axis in range(len(places.shape) - 1) if axis not in pairs]
    shape = walk.shape(equation.outvars[0])
    at = [axis for axis in range(len(shape)) if axis not in numbers.offset_dims]
    source = layout.whole(layout.arranged(value, (*paired, *looked, *rest)))
    index = layout.whole(layout.arranged(indices, (*pairs, *others, len(places.shape) - 1)))
    lying = [at[axis] for axis in (*pairs, *others)]
    if len(looked) == len(others) == len(rest) == 1 and value.shape[rest[0]] <= SHORT:
        found = _numbers(layout, value, index, (paired, looked, rest))
        result = Value(found, shape, value.dtype, (*lying[:-1], *numbers.offset_dims, lying[-1]))
    else:
        found = layout.graph.add("GatherND", source.tensor, cast(layout, index, np.int64).tensor, batch_dims=len(pairs))
        result = Value(found, shape, value.dtype, (*lying, *numbers.offset_dims))
    if inside is None:
        return [result]
    filling = known(_filling(equation, value.dtype))
    return [elementwise(layout, "Where", (layout.broadcast(inside, shape, at), result, filling), value.dtype)]


def _numbers(layout: Layout, value: Value, index: Value, axes: tuple[list[int], list[int], list[int]]) -> str:
    """Slices of a few numbers one number at a time, the numbers of a slice apart: ten times faster than GatherND."""
    paired, looked, rest = axes
    source = layout.whole(layout.arranged(value, (*paired, *rest, *looked)))
    # [*pairs, others, 1] as it lies -> [*pairs, 1, others] -> once for every number of a slice
    turned = [*range(len(paired)), len(paired) + 1, len(paired)]
    lying = Value(index.tensor, index.stored, index.dtype, tuple(range(len(index.stored))))
    places = layout.arranged(lying, turned)
    spread = [*places.stored]
    spread[len(paired)] = value.shape[rest[0]]
    repeated = layout.broadcast(
        Value(places.tensor, places.stored, index.dtype, tuple(range(len(spread)))), spread, range(len(spread))
    )
    return layout.graph.add("GatherElements", source.tensor, layout.plain(repeated), axis=len(paired) + 1)


def _window(walk: Program, equation: core.JaxprEqn, value: Value, places: np.ndarray) -> Value:
    """The window at a place that is known now; one that would reach beyond the end is moved back, as JAX has it."""
    shape = tuple(walk.number(size) for size in equation.params["slice_sizes"])
    starts = [0] * len(shape)
    for axis, place in zip(equation.params["dimension_numbers"].start_index_map, places.tolist(), strict=True):
        starts[axis] = min(max(place, 0), value.shape[axis] - shape[axis])
    return walk.layout.reshape(
        cut(walk.layout, value, starts, shape, (1,) * len(shape)), walk.shape(equation.outvars[0])
    )


def _bounded(
    layout: Layout, equation: core.JaxprEqn, places: Value, sizes: Sequence[int]
) -> tuple[Value, Value | None]:
    """Indices that exist and, where others are filled in, which did."""
    mode = equation.params["mode"]
    if mode in (None, GatherScatterMode.PROMISE_IN_BOUNDS):
        return places, None
    if any(map(is_symbolic, sizes)):
        raise DataError("the model looks rows of a batch up by numbers that may not exist: no ONNX form here")
    top = known(np.array([size - 1 for size in sizes], places.dtype).reshape(*[1] * (len(places.shape) - 1), -1))
    zero = known(places.dtype.type(0))
    low = elementwise(layout, "Max", (places, zero), places.dtype)
    indices = elementwise(layout, "Min", (low, top), places.dtype)
    if mode == GatherScatterMode.CLIP:
        return indices, None
    same = elementwise(layout, "Equal", (places, indices), np.bool_)
    all_same = reduced(layout, "ReduceMin", cast(layout, same, np.int32), [len(places.shape) - 1])
    return indices, cast(layout, all_same, np.bool_)


def _filling(equation: core.JaxprEqn, dtype: np.dtype) -> np.ndarray:
    """What stands where nothing is: not a number unless the equation says otherwise."""
    given = equation.params["fill_value"]
    if given is None:
        given = np.nan if np.issubdtype(dtype, np.floating) else np.iinfo(dtype).min
    return np.asarray(given, dtype)
