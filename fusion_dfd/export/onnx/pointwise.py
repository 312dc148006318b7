"""Elementwise operations, reductions and slices of values as they are stored."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from fusion_dfd.export.onnx.axes import AxisLayout, Value
from fusion_dfd.export.onnx.graph import DTYPES
from fusion_dfd.types import DataError

SHORT = 8
"""Axes up to this size are called short."""


def elementwise(layout: AxisLayout, operation: str, arguments: Sequence[Value], dtype: np.dtype | type) -> Value:
    """One elementwise operation, in the storage order of its largest argument."""
    shape = np.broadcast_shapes(*(value.shape for value in arguments))
    full = [_ranked(layout, value, len(shape)) for value in arguments]
    order = _order(full, shape)
    tensors = [layout.arranged(value, order).tensor for value in full]
    stored_once = [{axis for axis in range(len(shape)) if _single(value, axis)} for value in full]
    repeated = frozenset(axis for axis in set.intersection(*stored_once) if shape[axis] != 1)
    return Value(layout.graph.add(operation, *tensors), shape, np.dtype(dtype), order, repeated)


def _ranked(layout: AxisLayout, value: Value, rank: int) -> Value:
    """A scalar reshaped to the rank of the other arguments: onnxruntime is many times slower with a scalar."""
    return value if len(value.shape) == rank else layout.reshape(value, (1,) * rank)


def _order(values: Sequence[Value], shape: tuple[int, ...]) -> tuple[int, ...]:
    """The storage order of the result: that of the largest value.

    The exception is a short last axis that is stored last and that some values repeat: it moves before the image axes,
    since broadcasting along a last axis of three colours is many times slower than along whole images.
    """
    order = max(values, key=lambda value: (not value.known, math.prod(value.stored))).order
    last = len(shape) - 1
    if len(shape) < 4 or order[-1] != last or shape[last] > SHORT:
        return order
    if len({_single(value, last) for value in values}) == 1:
        return order
    return (*order[:-3], last, *order[-3:-1])


def _single(value: Value, axis: int) -> bool:
    return axis in value.repeated or value.shape[axis] == 1


def cast(layout: AxisLayout, value: Value, dtype: np.dtype | type) -> Value:
    """The value as another dtype. Raises DataError for a dtype without an ONNX form here."""
    dtype = np.dtype(dtype)
    if dtype == value.dtype:
        return value
    if dtype.name not in DTYPES:
        raise DataError(f"the model computes in {dtype.name}, which has no ONNX form here")
    if value.known:
        return dataclasses.replace(value, tensor=value.tensor.astype(dtype), dtype=dtype)
    return dataclasses.replace(value, tensor=layout.graph.add("Cast", value.tensor, to=DTYPES[dtype.name]), dtype=dtype)


def reduced(layout: AxisLayout, operation: str, value: Value, axes: Sequence[int]) -> Value:
    """One of ONNX's reductions over ``axes``, which the result lacks."""
    value = layout.whole(value, axes)
    stored_axes = np.array(sorted(value.order.index(axis) for axis in axes), np.int64)
    tensor = layout.graph.add(operation, value.tensor, stored_axes, keepdims=0) if axes else value.tensor
    left = [axis for axis in range(len(value.shape)) if axis not in axes]
    order = tuple(left.index(axis) for axis in value.order if axis in left)
    repeated = frozenset(left.index(axis) for axis in value.repeated)
    return Value(tensor, tuple(value.shape[axis] for axis in left), value.dtype, order, repeated)


def cut(layout: AxisLayout, value: Value, starts: Sequence[int], shape: tuple[int, ...], steps: Sequence[int]) -> Value:
    """The slice of ``shape`` that begins at ``starts``, with strides ``steps``."""
    cut = [axis for axis in range(len(shape)) if shape[axis] != value.shape[axis] and axis not in value.repeated]
    repeated = frozenset(axis for axis in value.repeated if shape[axis] != 1)
    ends = {axis: starts[axis] + (shape[axis] - 1) * steps[axis] + 1 for axis in cut}
    tensor = value.tensor
    if cut:
        bounds = ([starts[axis] for axis in cut], [ends[axis] for axis in cut])
        tensor = sliced(layout, value, *bounds, cut, [steps[axis] for axis in cut])
    return dataclasses.replace(value, tensor=tensor, shape=shape, repeated=repeated)


def sliced(
    layout: AxisLayout,
    value: Value,
    starts: Sequence[int],
    ends: Sequence[int],
    axes: Sequence[int],
    steps: Sequence[int],
) -> str:
    """The tensor of a slice; bounds per axis as in ONNX's Slice."""
    stored_axes = [value.order.index(axis) for axis in axes]
    numbers = (np.array(column, np.int64) for column in (starts, ends, stored_axes, steps))
    return layout.graph.add("Slice", value.tensor, *numbers)
