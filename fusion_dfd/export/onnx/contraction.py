"""``jax.lax.dot_general`` as ONNX's MatMul, which multiplies the last two axes of its arguments."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from fusion_dfd.export.onnx.axes import AxisLayout, Value

Numbers = tuple[tuple[Sequence[int], Sequence[int]], tuple[Sequence[int], Sequence[int]]]
"""((contracted axes of the left, of the right), (batch axes of the left, of the right)), as in ``dot_general``."""


def dot(layout: AxisLayout, left: Value, right: Value, numbers: Numbers) -> Value:
    """The product; its axes are the batch axes, the free axes of the left, the free axes of the right."""
    (left_sum, right_sum), (left_both, right_both) = numbers
    left_free = [axis for axis in range(len(left.shape)) if axis not in (*left_sum, *left_both)]
    right_free = [axis for axis in range(len(right.shape)) if axis not in (*right_sum, *right_both)]
    left, right = layout.whole(left), layout.whole(right)
    if left_both:
        return _shared(layout, (left, left_both, left_free, left_sum), (right, right_both, right_free, right_sum))
    rows, columns = (len(left_free), len(right_free))
    if left.known and not right.known:
        flipped = _plain(layout, right, right_free, right_sum, left, left_free, left_sum)
        # There the axes of the right come first: renaming them moves no data.
        return layout.transpose(flipped, [*range(columns, columns + rows), *range(columns)])
    return _plain(layout, left, left_free, left_sum, right, right_free, right_sum)


def _plain(
    layout: AxisLayout,
    value: Value,
    free: Sequence[int],
    summed: Sequence[int],
    weights: Value,
    weights_free: Sequence[int],
    weights_summed: Sequence[int],
) -> Value:
    """A product with one matrix [k, n] for all rows; axes of the result: ``free``, then ``weights_free``."""
    shape = tuple(value.shape[axis] for axis in free) + tuple(weights.shape[axis] for axis in weights_free)
    k = math.prod(weights.shape[axis] for axis in weights_summed)
    n = math.prod(weights.shape[axis] for axis in weights_free)
    if len(summed) == 1 and len(weights_free) == 1 and len(value.order) > 1 and value.order[-2] == summed[0]:
        # The contracted axis is stored last but one: multiplying from the left needs no transpose.
        matrix = layout.arranged(weights, (*weights_free, *weights_summed))
        tensor = layout.graph.add("MatMul", matrix.tensor, value.tensor)
        as_stored = [len(free) if axis == summed[0] else free.index(axis) for axis in value.order]
        return Value(tensor, shape, value.dtype, tuple(as_stored))
    matrix = _two(layout, layout.arranged(weights, (*weights_summed, *weights_free)), (k, n))
    kept = [axis for axis in value.order if axis in free]
    as_stored = layout.arranged(value, (*kept, *summed))
    rows = tuple(value.shape[axis] for axis in kept)
    flat = as_stored.tensor if len(summed) == 1 else _resized(layout, as_stored, (*rows, k))
    tensor = layout.graph.add("MatMul", flat, matrix)
    order = (*(free.index(axis) for axis in kept), *range(len(free), len(shape)))
    product = Value(tensor, (*rows, n), value.dtype, tuple(range(len(rows) + 1)))
    if len(weights_free) != 1:
        tensor = _resized(layout, product, tuple(shape[axis] for axis in order))
    return Value(tensor, shape, value.dtype, order)


def _shared(layout: AxisLayout, left: tuple, right: tuple) -> Value:
    """A batched product, one for every index of the batch axes."""
    (one, both, free, summed), (two, two_both, two_free, two_summed) = left, right
    sizes = tuple(one.shape[axis] for axis in both)
    m, k, n = (
        math.prod(value.shape[axis] for axis in axes) for value, axes in ((one, free), (one, summed), (two, two_free))
    )
    first = _two(layout, layout.arranged(one, (*both, *free, *summed)), (*sizes, m, k))
    second = _two(layout, layout.arranged(two, (*two_both, *two_summed, *two_free)), (*sizes, k, n))
    product = Value(layout.graph.add("MatMul", first, second), (*sizes, m, n), one.dtype, tuple(range(len(sizes) + 2)))
    shape = (*sizes, *(one.shape[axis] for axis in free), *(two.shape[axis] for axis in two_free))
    tensor = product.tensor if shape == product.shape else _resized(layout, product, shape)
    return Value(tensor, shape, one.dtype, tuple(range(len(shape))))


def _two(layout: AxisLayout, value: Value, shape: tuple[int, ...]) -> str | np.ndarray:
    return value.tensor if value.stored == shape else _resized(layout, value, shape)


def _resized(layout: AxisLayout, value: Value, shape: tuple[int, ...]) -> str | np.ndarray:
    """The stored tensor, reshaped."""
    as_stored = Value(value.tensor, value.stored, value.dtype, tuple(range(len(value.stored))))
    return layout.reshape(as_stored, shape).tensor
