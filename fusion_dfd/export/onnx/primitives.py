"""What JAX's primitives are in ONNX.

A rule takes the walk, the equation and the arguments as values, and returns the results. The names are those of
``jax.lax``; what an operation means there is said in https://docs.jax.dev/en/latest/jax.lax.html.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import jax
import numpy as np
from jax.extend import core

from fusion_dfd.export.onnx import contraction, gathering, pooling
from fusion_dfd.export.onnx.axes import Value, computed, is_symbolic, known
from fusion_dfd.export.onnx.graph import DTYPES
from fusion_dfd.export.onnx.pointwise import cast, cut, elementwise, reduced, sliced
from fusion_dfd.types import DataError

if TYPE_CHECKING:
    from fusion_dfd.export.onnx.walk import Program

Rule = Callable[..., list[Value]]

ELEMENTWISE = {
    "abs": "Abs", "add": "Add", "and": "And", "ceil": "Ceil", "cos": "Cos", "div": "Div", "eq": "Equal", "erf": "Erf",
    "exp": "Exp", "floor": "Floor", "ge": "GreaterOrEqual", "gt": "Greater", "le": "LessOrEqual", "log": "Log",
    "logistic": "Sigmoid", "lt": "Less", "max": "Max", "min": "Min", "mul": "Mul", "neg": "Neg", "not": "Not",
    "or": "Or", "pow": "Pow", "sign": "Sign", "sin": "Sin", "sqrt": "Sqrt", "sub": "Sub", "tanh": "Tanh",
}  # fmt: skip
"""Primitives that are one operation, place by place."""
REDUCTIONS = {"reduce_sum": "ReduceSum", "reduce_max": "ReduceMax", "reduce_min": "ReduceMin"}
SAME = ("copy", "stop_gradient", "optimization_barrier")
"""Primitives that give back what they get."""
INSIDE = {"jit": "jaxpr", "custom_jvp_call": "call_jaxpr", "custom_vjp_call": "call_jaxpr"}
"""Primitives that hold a program, and the parameter that is it."""


def find(equation: core.JaxprEqn) -> Rule:
    """The rule of an equation's primitive. Raises DataError where there is none."""
    name = equation.primitive.name
    if name in ELEMENTWISE:
        return _elementwise
    if name in REDUCTIONS:
        return _reduce
    if name in SAME:
        return lambda walk, equation, *arguments: list(arguments)
    if name in INSIDE:
        return _inside
    if name not in RULES:
        raise DataError(f"the model uses JAX's operation {name!r}, which has no ONNX form here: export without ONNX")
    return RULES[name]


def evaluate_now(walk: Program, equation: core.JaxprEqn, arguments: Sequence[Value]) -> list[Value] | None:
    """What JAX itself makes of known arguments; None where it must wait for the graph.

    Numbers that a broadcast repeats are computed once.
    """
    name = equation.primitive.name
    if name == "broadcast_in_dim" or not all(value.known for value in arguments):
        return None
    if name in ELEMENTWISE or name in ONE_BY_ONE:
        plain = [walk.layout.arranged(value, range(len(value.shape))).tensor for value in arguments]
        (result,) = _bind(equation, np.broadcast_arrays(*plain))
        shape = walk.shape(equation.outvars[0])
        once = frozenset(axis for axis, size in enumerate(result.shape) if size != shape[axis])
        return [Value(result, shape, result.dtype, tuple(range(len(shape))), once)]
    results = (size for var in equation.outvars for size in walk.shape(var))
    if any(value.symbolic for value in arguments) or any(map(is_symbolic, results)) or name in (*INSIDE, *LATER):
        return None
    return [known(one) for one in _bind(equation, [walk.layout.plain(value) for value in arguments])]


def _bind(equation: core.JaxprEqn, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
    out = equation.primitive.bind(*map(jax.numpy.asarray, arrays), **equation.params)
    return [np.asarray(one) for one in (out if equation.primitive.multiple_results else [out])]


def _elementwise(walk: Program, equation: core.JaxprEqn, *arguments: Value) -> list[Value]:
    operation, dtype = ELEMENTWISE[equation.primitive.name], equation.outvars[0].aval.dtype
    if operation in ("And", "Or", "Not") and dtype != np.bool_:
        raise DataError(
            f"the model uses JAX's operation {equation.primitive.name!r} on whole numbers: no ONNX form here"
        )
    positive = [one for one in arguments if not _is_zero(one)]
    whole = len(positive) == 1 and positive[0].shape == walk.shape(equation.outvars[0])
    if operation == "Max" and dtype == np.float32 and whole:
        # Runtimes take a convolution and a Relu as one, but not a maximum.
        return [elementwise(walk.layout, "Relu", positive, dtype)]
    return [elementwise(walk.layout, operation, arguments, dtype)]


def _is_zero(value: Value) -> bool:
    return value.known and value.tensor.size == 1 and not value.tensor.any()


def _inside(walk: Program, equation: core.JaxprEqn, *arguments: Value) -> list[Value]:
    program = equation.params[INSIDE[equation.primitive.name]]
    window = pooling.window(program.jaxpr) if equation.params.get("name") == "max_pool" else None
    if window is not None:
        return [pooling.max_pool(walk.layout, arguments[0], window, walk.shape(equation.outvars[0]))]
    return walk.closed(program, arguments)


def _remat(walk: Program, equation: core.JaxprEqn, *arguments: Value) -> list[Value]:
    return walk.run(equation.params["jaxpr"], [], arguments)


def _platform(walk: Program, equation: core.JaxprEqn) -> list[Value]:
    """Of a program written in several ways, the one for all devices: the others suit XLA's compilers, not ONNX."""
    return [known(np.int32(equation.params["platforms"].index(None)))]


def _cond(walk: Program, equation: core.JaxprEqn, index: Value, *arguments: Value) -> list[Value]:
    if not index.known:
        raise DataError("the model chooses between programs by what it sees (JAX's cond): no ONNX form here")
    return walk.closed(equation.params["branches"][int(index.tensor)], arguments)


def _scan(walk: Program, equation: core.JaxprEqn, *arguments: Value) -> list[Value]:
    """A loop of known length, written out."""
    params = equation.params
    head, carried = params["num_consts"], params["num_consts"] + params["num_carry"]
    consts, carry, rows = arguments[:head], list(arguments[head:carried]), arguments[carried:]
    steps = range(params["length"])
    found: dict[int, list[Value]] = {}
    for place in reversed(steps) if params["reverse"] else steps:
        results = walk.closed(params["jaxpr"], [*consts, *carry, *(_at(walk, value, place) for value in rows)])
        carry, found[place] = results[: params["num_carry"]], results[params["num_carry"] :]
    columns = zip(*(found[place] for place in steps), strict=True)
    return [*carry, *(_stacked(walk, column) for column in columns)]


def _at(walk: Program, value: Value, place: int) -> Value:
    """One place of the first axis, which goes."""
    shape, once = value.shape[1:], frozenset(axis - 1 for axis in value.once if axis)
    order, axis = tuple(one - 1 for one in value.order if one), value.order.index(0)
    place = 0 if 0 in value.once else place
    if value.known:
        return Value(value.tensor.take(place, axis), shape, value.dtype, order, once)
    return Value(
        walk.layout.graph.add("Gather", value.tensor, np.array(place, np.int64), axis=axis),
        shape,
        value.dtype,
        order,
        once,
    )


def _stacked(walk: Program, values: Sequence[Value], axis: int = 0) -> Value:
    shape = list(values[0].shape)
    shape.insert(axis, 1)
    axes = [one for one in range(len(shape)) if one != axis]
    return _joined(walk, [walk.layout.broadcast(value, shape, axes) for value in values], axis)


def _joined(walk: Program, values: Sequence[Value], axis: int) -> Value:
    layout = walk.layout
    order = max(values, key=lambda value: (not value.known, math.prod(value.stored))).order
    shared = frozenset.intersection(*(value.once for value in values)) - {axis}
    parts = [layout.arranged(layout.whole(value, set(range(len(order))) - shared), order) for value in values]
    shape = list(values[0].shape)
    shape[axis] = sum(value.shape[axis] for value in values)
    tensor = layout.graph.add("Concat", *(part.tensor for part in parts), axis=order.index(axis))
    return Value(tensor, tuple(shape), values[0].dtype, order, shared)


def _concatenate(walk: Program, equation: core.JaxprEqn, *arguments: Value) -> list[Value]:
    return [_joined(walk, arguments, equation.params["dimension"])]


def _stack(walk: Program, equation: core.JaxprEqn, *arguments: Value) -> list[Value]:
    return [_stacked(walk, arguments, equation.params["axis"])]


def _split(walk: Program, equation: core.JaxprEqn, value: Value) -> list[Value]:
    axis, sizes = equation.params["axis"], equation.params["sizes"]
    value = walk.layout.whole(value, {axis})
    names = walk.layout.graph.add_many(
        "Split", len(sizes), value.tensor, np.array(sizes, np.int64), axis=value.order.index(axis)
    )
    shapes = ((*value.shape[:axis], size, *value.shape[axis + 1 :]) for size in sizes)
    return [dataclasses.replace(value, tensor=name, shape=shape) for name, shape in zip(names, shapes, strict=True)]


def _broadcast(walk: Program, equation: core.JaxprEqn, value: Value, *sizes: Value) -> list[Value]:
    axes = equation.params["broadcast_dimensions"]
    return [walk.layout.broadcast(value, walk.shape(equation.outvars[0]), axes)]


def _reshape(walk: Program, equation: core.JaxprEqn, value: Value, *sizes: Value) -> list[Value]:
    return [walk.layout.reshape(value, walk.shape(equation.outvars[0]))]


def _transpose(walk: Program, equation: core.JaxprEqn, value: Value) -> list[Value]:
    return [walk.layout.transpose(value, equation.params["permutation"])]


def _slice(walk: Program, equation: core.JaxprEqn, value: Value) -> list[Value]:
    starts, shape = equation.params["start_indices"], walk.shape(equation.outvars[0])
    return [cut(walk.layout, value, starts, shape, equation.params["strides"] or (1,) * len(shape))]


LAST = np.iinfo(np.int64).min
"""Where a slice ends that runs backwards over the first place."""


def _rev(walk: Program, equation: core.JaxprEqn, value: Value) -> list[Value]:
    axes = [axis for axis in equation.params["dimensions"] if axis not in value.once]
    count = len(axes)
    tensor = sliced(walk.layout, value, [-1] * count, [LAST] * count, axes, [-1] * count) if axes else value.tensor
    return [dataclasses.replace(value, tensor=tensor)]


def _pad(walk: Program, equation: core.JaxprEqn, value: Value, filling: Value) -> list[Value]:
    around = [(int(low), int(high), int(between)) for low, high, between in equation.params["padding_config"]]
    if any(between for *_, between in around):
        raise DataError("the model pads between places (JAX's pad with an interior): no ONNX form here")
    value = walk.layout.whole(value, {axis for axis, (low, high, _) in enumerate(around) if low or high})
    pads = [around[axis][side] for side in (0, 1) for axis in value.order]
    tensor = value.tensor
    if any(pads):
        tensor = walk.layout.graph.add("Pad", tensor, np.array(pads, np.int64), walk.layout.plain(filling))
    return [dataclasses.replace(value, tensor=tensor, shape=walk.shape(equation.outvars[0]))]


def _iota(walk: Program, equation: core.JaxprEqn) -> list[Value]:
    """Counting over an axis as long as the batch; others are known."""
    shape, axis, dtype = walk.shape(equation.outvars[0]), equation.params["dimension"], equation.params["dtype"]
    graph = walk.layout.graph
    end = graph.add("Squeeze", walk.layout.size(shape[axis]), np.zeros(1, np.int64))
    counted = graph.add("Range", np.array(0, np.int64), end, np.array(1, np.int64))
    line = computed(graph.add("Cast", counted, to=DTYPES[np.dtype(dtype).name]), shape[axis : axis + 1], dtype)
    return [walk.layout.broadcast(line, shape, (axis,))]


def _size(walk: Program, equation: core.JaxprEqn) -> list[Value]:
    size, graph = walk.layout.size(walk.number(equation.params["dim"])), walk.layout.graph
    dtype = equation.outvars[0].aval.dtype
    scalar = graph.add("Squeeze", size, np.zeros(1, np.int64))
    return [computed(graph.add("Cast", scalar, to=DTYPES[np.dtype(dtype).name]), (), dtype)]


def _cast(walk: Program, equation: core.JaxprEqn, value: Value) -> list[Value]:
    return [cast(walk.layout, value, equation.params["new_dtype"])]


def _select(walk: Program, equation: core.JaxprEqn, which: Value, *cases: Value) -> list[Value]:
    if which.dtype != np.bool_:
        raise DataError("the model selects among several by a number (JAX's select_n): no ONNX form here")
    return [elementwise(walk.layout, "Where", (which, cases[1], cases[0]), cases[0].dtype)]


def _square(walk: Program, equation: core.JaxprEqn, value: Value) -> list[Value]:
    return [elementwise(walk.layout, "Mul", (value, value), value.dtype)]


def _integer_pow(walk: Program, equation: core.JaxprEqn, value: Value) -> list[Value]:
    return [elementwise(walk.layout, "Pow", (value, known(value.dtype.type(equation.params["y"]))), value.dtype)]


def _rsqrt(walk: Program, equation: core.JaxprEqn, value: Value) -> list[Value]:
    root = elementwise(walk.layout, "Sqrt", [value], value.dtype)
    return [elementwise(walk.layout, "Reciprocal", [root], value.dtype)]


def _erfc(walk: Program, equation: core.JaxprEqn, value: Value) -> list[Value]:
    """``1 - erf``; for large arguments only its absolute error is small."""
    erf = elementwise(walk.layout, "Erf", [value], value.dtype)
    return [elementwise(walk.layout, "Sub", (known(value.dtype.type(1)), erf), value.dtype)]


def _reduce(walk: Program, equation: core.JaxprEqn, value: Value) -> list[Value]:
    return [reduced(walk.layout, REDUCTIONS[equation.primitive.name], value, equation.params["axes"])]


def _truth(walk: Program, equation: core.JaxprEqn, value: Value) -> list[Value]:
    """All or any, by the least or the largest of 0 and 1."""
    operation = {"reduce_and": "ReduceMin", "reduce_or": "ReduceMax"}[equation.primitive.name]
    found = reduced(walk.layout, operation, cast(walk.layout, value, np.int32), equation.params["axes"])
    return [cast(walk.layout, found, np.bool_)]


def _dot(walk: Program, equation: core.JaxprEqn, left: Value, right: Value) -> list[Value]:
    dtype = equation.outvars[0].aval.dtype
    left, right = (cast(walk.layout, value, dtype) for value in (left, right))
    return [contraction.dot(walk.layout, left, right, equation.params["dimension_numbers"])]


def _convolution(walk: Program, equation: core.JaxprEqn, value: Value, kernel: Value) -> list[Value]:
    params = equation.params
    if set(params["lhs_dilation"]) != {1} or params["batch_group_count"] != 1:
        raise DataError("the model uses a transposed or batch-grouped convolution: no ONNX form here")
    numbers, layout = params["dimension_numbers"], walk.layout
    image = layout.whole(layout.arranged(value, numbers.lhs_spec))
    weights = layout.whole(layout.arranged(kernel, numbers.rhs_spec))
    tensor = layout.graph.add(
        "Conv",
        image.tensor,
        weights.tensor,
        strides=params["window_strides"],
        dilations=params["rhs_dilation"],
        pads=[around[side] for side in (0, 1) for around in params["padding"]],
        group=params["feature_group_count"],
    )
    return [Value(tensor, walk.shape(equation.outvars[0]), value.dtype, tuple(numbers.out_spec))]


RULES: dict[str, Rule] = {
    "broadcast_in_dim": _broadcast,
    "concatenate": _concatenate,
    "cond": _cond,
    "conv_general_dilated": _convolution,
    "convert_element_type": _cast,
    "dim_as_value": _size,
    "dot_general": _dot,
    "erfc": _erfc,
    "expand_dims": _reshape,
    "gather": gathering.gather,
    "integer_pow": _integer_pow,
    "iota": _iota,
    "pad": _pad,
    "platform_index": _platform,
    "reduce_and": _truth,
    "reduce_or": _truth,
    "remat2": _remat,
    "reshape": _reshape,
    "rev": _rev,
    "rsqrt": _rsqrt,
    "scan": _scan,
    "select_n": _select,
    "slice": _slice,
    "split": _split,
    "square": _square,
    "squeeze": _reshape,
    "stack": _stack,
    "transpose": _transpose,
}
ONE_BY_ONE = ("convert_element_type", "erfc", "integer_pow", "rsqrt", "select_n", "square", *SAME)
"""Primitives of rules of their own that work place by place."""
LATER = ("cond", "dim_as_value", "platform_index", "remat2", "scan", "transpose", "reshape", "squeeze")
"""Primitives whose rules see to known arguments themselves."""
