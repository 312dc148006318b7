"""Rules that convert JAX's primitives to ONNX operations.

A rule takes the program, the equation and its arguments as values, and returns the results. Primitives have their names
in ``jax.lax``, where they are documented: https://docs.jax.dev/en/latest/jax.lax.html.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence

import jax
import numpy as np
from jax.extend import core

from fusion_dfd.export.onnx import contraction, gathering, pooling
from fusion_dfd.export.onnx.axes import Value, computed, is_symbolic, known
from fusion_dfd.export.onnx.graph import DTYPES
from fusion_dfd.export.onnx.pointwise import cast, cut, elementwise, reduced, sliced
from fusion_dfd.export.onnx.program import Program
from fusion_dfd.types import DataError

Rule = Callable[..., list[Value]]

ELEMENTWISE = {
    "abs": "Abs", "add": "Add", "and": "And", "ceil": "Ceil", "cos": "Cos", "div": "Div", "eq": "Equal", "erf": "Erf",
    "exp": "Exp", "floor": "Floor", "ge": "GreaterOrEqual", "gt": "Greater", "le": "LessOrEqual", "log": "Log",
    "logistic": "Sigmoid", "lt": "Less", "max": "Max", "min": "Min", "mul": "Mul", "neg": "Neg", "not": "Not",
    "or": "Or", "pow": "Pow", "sign": "Sign", "sin": "Sin", "sqrt": "Sqrt", "sub": "Sub", "tanh": "Tanh",
}  # fmt: skip
"""Elementwise primitives that are one ONNX operation."""
REDUCTIONS = {"reduce_sum": "ReduceSum", "reduce_max": "ReduceMax", "reduce_min": "ReduceMin"}
IDENTITY = ("copy", "stop_gradient", "optimization_barrier")
"""Primitives that return their arguments."""
NESTED = {"jit": "jaxpr", "custom_jvp_call": "call_jaxpr", "custom_vjp_call": "call_jaxpr"}
"""Primitives that contain a jaxpr, and the parameter that holds it."""


def apply(program: Program, equation: core.JaxprEqn, arguments: Sequence[Value]) -> list[Value]:
    """The results of an equation: computed now if the arguments are constants, else by nodes of the graph.

    Raises DataError for a primitive without a rule.
    """
    constants = _evaluate(program, equation, arguments)
    return constants if constants is not None else _rule(equation)(program, equation, *arguments)


def _rule(equation: core.JaxprEqn) -> Rule:
    name = equation.primitive.name
    if name in ELEMENTWISE:
        return _elementwise
    if name in REDUCTIONS:
        return _reduce
    if name in IDENTITY:
        return lambda program, equation, *arguments: list(arguments)
    if name in NESTED:
        return _nested
    if name not in RULES:
        raise DataError(f"the model uses JAX's operation {name!r}, which has no ONNX form here: export without ONNX")
    return RULES[name]


def _evaluate(program: Program, equation: core.JaxprEqn, arguments: Sequence[Value]) -> list[Value] | None:
    """The results that JAX computes from constant arguments; None if the graph must compute them.

    Elements that a broadcast repeats are computed once.
    """
    name = equation.primitive.name
    if name == "broadcast_in_dim" or not all(value.known for value in arguments):
        return None
    if name in ELEMENTWISE or name in ELEMENTWISE_RULES:
        plain = [program.layout.arranged(value, range(len(value.shape))).tensor for value in arguments]
        (result,) = _bind(equation, np.broadcast_arrays(*plain))
        shape = program.shape(equation.outvars[0])
        repeated = frozenset(axis for axis, size in enumerate(result.shape) if size != shape[axis])
        return [Value(result, shape, result.dtype, tuple(range(len(shape))), repeated)]
    results = (size for var in equation.outvars for size in program.shape(var))
    if any(value.symbolic for value in arguments) or any(map(is_symbolic, results)) or name in (*NESTED, *LAZY):
        return None
    return [known(one) for one in _bind(equation, [program.layout.plain(value) for value in arguments])]


def _bind(equation: core.JaxprEqn, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
    out = equation.primitive.bind(*map(jax.numpy.asarray, arrays), **equation.params)
    return [np.asarray(one) for one in (out if equation.primitive.multiple_results else [out])]


def _elementwise(program: Program, equation: core.JaxprEqn, *arguments: Value) -> list[Value]:
    operation, dtype = ELEMENTWISE[equation.primitive.name], equation.outvars[0].aval.dtype
    if operation in ("And", "Or", "Not") and dtype != np.bool_:
        raise DataError(f"the model uses JAX's operation {equation.primitive.name!r} on integers: no ONNX form here")
    positive = [one for one in arguments if not _is_zero(one)]
    whole = len(positive) == 1 and positive[0].shape == program.shape(equation.outvars[0])
    if operation == "Max" and dtype == np.float32 and whole:
        # Runtimes fuse a convolution with a Relu, but not with a Max.
        return [elementwise(program.layout, "Relu", positive, dtype)]
    return [elementwise(program.layout, operation, arguments, dtype)]


def _is_zero(value: Value) -> bool:
    return value.known and value.tensor.size == 1 and not value.tensor.any()


def _nested(program: Program, equation: core.JaxprEqn, *arguments: Value) -> list[Value]:
    closed = equation.params[NESTED[equation.primitive.name]]
    window = pooling.window(closed.jaxpr) if equation.params.get("name") == "max_pool" else None
    if window is not None:
        return [pooling.max_pool(program.layout, arguments[0], window, program.shape(equation.outvars[0]))]
    return program.run_closed(closed, arguments)


def _remat(program: Program, equation: core.JaxprEqn, *arguments: Value) -> list[Value]:
    return program.run(equation.params["jaxpr"], [], arguments)


def _platform(program: Program, equation: core.JaxprEqn) -> list[Value]:
    """Of implementations per device, the one for all devices: the others are written for XLA's compilers."""
    return [known(np.int32(equation.params["platforms"].index(None)))]


def _cond(program: Program, equation: core.JaxprEqn, index: Value, *arguments: Value) -> list[Value]:
    if not index.known:
        raise DataError("the model branches on a computed value (JAX's cond): no ONNX form here")
    return program.run_closed(equation.params["branches"][int(index.tensor)], arguments)


def _scan(program: Program, equation: core.JaxprEqn, *arguments: Value) -> list[Value]:
    """A loop of known length, unrolled."""
    params = equation.params
    head, carried = params["num_consts"], params["num_consts"] + params["num_carry"]
    consts, carry, rows = arguments[:head], list(arguments[head:carried]), arguments[carried:]
    steps = range(params["length"])
    found: dict[int, list[Value]] = {}
    for step in reversed(steps) if params["reverse"] else steps:
        results = program.run_closed(params["jaxpr"], [*consts, *carry, *(_at(program, value, step) for value in rows)])
        carry, found[step] = results[: params["num_carry"]], results[params["num_carry"] :]
    columns = zip(*(found[step] for step in steps), strict=True)
    return [*carry, *(_stacked(program, column) for column in columns)]


def _at(program: Program, value: Value, index: int) -> Value:
    """``value[index]``."""
    shape, repeated = value.shape[1:], frozenset(axis - 1 for axis in value.repeated if axis)
    order, axis = tuple(one - 1 for one in value.order if one), value.order.index(0)
    index = 0 if 0 in value.repeated else index
    if value.known:
        return Value(value.tensor.take(index, axis), shape, value.dtype, order, repeated)
    return Value(
        program.layout.graph.add("Gather", value.tensor, np.array(index, np.int64), axis=axis),
        shape,
        value.dtype,
        order,
        repeated,
    )


def _stacked(program: Program, values: Sequence[Value], axis: int = 0) -> Value:
    shape = list(values[0].shape)
    shape.insert(axis, 1)
    axes = [one for one in range(len(shape)) if one != axis]
    return _joined(program, [program.layout.broadcast(value, shape, axes) for value in values], axis)


def _joined(program: Program, values: Sequence[Value], axis: int) -> Value:
    layout = program.layout
    order = max(values, key=lambda value: (not value.known, math.prod(value.stored))).order
    shared = frozenset.intersection(*(value.repeated for value in values)) - {axis}
    parts = [layout.arranged(layout.whole(value, set(range(len(order))) - shared), order) for value in values]
    shape = list(values[0].shape)
    shape[axis] = sum(value.shape[axis] for value in values)
    tensor = layout.graph.add("Concat", *(part.tensor for part in parts), axis=order.index(axis))
    return Value(tensor, tuple(shape), values[0].dtype, order, shared)


def _concatenate(program: Program, equation: core.JaxprEqn, *arguments: Value) -> list[Value]:
    return [_joined(program, arguments, equation.params["dimension"])]


def _stack(program: Program, equation: core.JaxprEqn, *arguments: Value) -> list[Value]:
    return [_stacked(program, arguments, equation.params["axis"])]


def _split(program: Program, equation: core.JaxprEqn, value: Value) -> list[Value]:
    axis, sizes = equation.params["axis"], equation.params["sizes"]
    value = program.layout.whole(value, {axis})
    names = program.layout.graph.add_many(
        "Split", len(sizes), value.tensor, np.array(sizes, np.int64), axis=value.order.index(axis)
    )
    shapes = ((*value.shape[:axis], size, *value.shape[axis + 1 :]) for size in sizes)
    return [dataclasses.replace(value, tensor=name, shape=shape) for name, shape in zip(names, shapes, strict=True)]


def _broadcast(program: Program, equation: core.JaxprEqn, value: Value, *sizes: Value) -> list[Value]:
    axes = equation.params["broadcast_dimensions"]
    return [program.layout.broadcast(value, program.shape(equation.outvars[0]), axes)]


def _reshape(program: Program, equation: core.JaxprEqn, value: Value, *sizes: Value) -> list[Value]:
    return [program.layout.reshape(value, program.shape(equation.outvars[0]))]


def _transpose(program: Program, equation: core.JaxprEqn, value: Value) -> list[Value]:
    return [program.layout.transpose(value, equation.params["permutation"])]


def _slice(program: Program, equation: core.JaxprEqn, value: Value) -> list[Value]:
    starts, shape = equation.params["start_indices"], program.shape(equation.outvars[0])
    return [cut(program.layout, value, starts, shape, equation.params["strides"] or (1,) * len(shape))]


LAST = np.iinfo(np.int64).min
"""End of a slice that runs backwards to the first element."""


def _rev(program: Program, equation: core.JaxprEqn, value: Value) -> list[Value]:
    axes = [axis for axis in equation.params["dimensions"] if axis not in value.repeated]
    count = len(axes)
    tensor = sliced(program.layout, value, [-1] * count, [LAST] * count, axes, [-1] * count) if axes else value.tensor
    return [dataclasses.replace(value, tensor=tensor)]


def _pad(program: Program, equation: core.JaxprEqn, value: Value, filling: Value) -> list[Value]:
    around = [(int(low), int(high), int(between)) for low, high, between in equation.params["padding_config"]]
    if any(between for *_, between in around):
        raise DataError("the model pads between elements (JAX's pad with an interior): no ONNX form here")
    value = program.layout.whole(value, {axis for axis, (low, high, _) in enumerate(around) if low or high})
    pads = [around[axis][side] for side in (0, 1) for axis in value.order]
    tensor = value.tensor
    if any(pads):
        tensor = program.layout.graph.add("Pad", tensor, np.array(pads, np.int64), program.layout.plain(filling))
    return [dataclasses.replace(value, tensor=tensor, shape=program.shape(equation.outvars[0]))]


def _iota(program: Program, equation: core.JaxprEqn) -> list[Value]:
    """Counts along an axis that depends on the batch size; other counts are constants."""
    shape, axis, dtype = program.shape(equation.outvars[0]), equation.params["dimension"], equation.params["dtype"]
    graph = program.layout.graph
    end = graph.add("Squeeze", program.layout.size(shape[axis]), np.zeros(1, np.int64))
    counted = graph.add("Range", np.array(0, np.int64), end, np.array(1, np.int64))
    line = computed(graph.add("Cast", counted, to=DTYPES[np.dtype(dtype).name]), shape[axis : axis + 1], dtype)
    return [program.layout.broadcast(line, shape, (axis,))]


def _size(program: Program, equation: core.JaxprEqn) -> list[Value]:
    size, graph = program.layout.size(program.size(equation.params["dim"])), program.layout.graph
    dtype = equation.outvars[0].aval.dtype
    scalar = graph.add("Squeeze", size, np.zeros(1, np.int64))
    return [computed(graph.add("Cast", scalar, to=DTYPES[np.dtype(dtype).name]), (), dtype)]


def _cast(program: Program, equation: core.JaxprEqn, value: Value) -> list[Value]:
    return [cast(program.layout, value, equation.params["new_dtype"])]


def _select(program: Program, equation: core.JaxprEqn, which: Value, *cases: Value) -> list[Value]:
    if which.dtype != np.bool_:
        raise DataError("the model selects among several arrays by an integer (JAX's select_n): no ONNX form here")
    return [elementwise(program.layout, "Where", (which, cases[1], cases[0]), cases[0].dtype)]


def _square(program: Program, equation: core.JaxprEqn, value: Value) -> list[Value]:
    return [elementwise(program.layout, "Mul", (value, value), value.dtype)]


def _integer_pow(program: Program, equation: core.JaxprEqn, value: Value) -> list[Value]:
    return [elementwise(program.layout, "Pow", (value, known(value.dtype.type(equation.params["y"]))), value.dtype)]


def _rsqrt(program: Program, equation: core.JaxprEqn, value: Value) -> list[Value]:
    root = elementwise(program.layout, "Sqrt", [value], value.dtype)
    return [elementwise(program.layout, "Reciprocal", [root], value.dtype)]


def _erfc(program: Program, equation: core.JaxprEqn, value: Value) -> list[Value]:
    """``1 - erf``; accurate in absolute, not in relative error."""
    erf = elementwise(program.layout, "Erf", [value], value.dtype)
    return [elementwise(program.layout, "Sub", (known(value.dtype.type(1)), erf), value.dtype)]


def _reduce(program: Program, equation: core.JaxprEqn, value: Value) -> list[Value]:
    return [reduced(program.layout, REDUCTIONS[equation.primitive.name], value, equation.params["axes"])]


def _truth(program: Program, equation: core.JaxprEqn, value: Value) -> list[Value]:
    """All or any, as the minimum or maximum of 0 and 1."""
    operation = {"reduce_and": "ReduceMin", "reduce_or": "ReduceMax"}[equation.primitive.name]
    found = reduced(program.layout, operation, cast(program.layout, value, np.int32), equation.params["axes"])
    return [cast(program.layout, found, np.bool_)]


def _dot(program: Program, equation: core.JaxprEqn, left: Value, right: Value) -> list[Value]:
    dtype = equation.outvars[0].aval.dtype
    left, right = (cast(program.layout, value, dtype) for value in (left, right))
    return [contraction.dot(program.layout, left, right, equation.params["dimension_numbers"])]


def _convolution(program: Program, equation: core.JaxprEqn, value: Value, kernel: Value) -> list[Value]:
    params = equation.params
    if set(params["lhs_dilation"]) != {1} or params["batch_group_count"] != 1:
        raise DataError("the model uses a transposed or batch-grouped convolution: no ONNX form here")
    numbers, layout = params["dimension_numbers"], program.layout
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
    return [Value(tensor, program.shape(equation.outvars[0]), value.dtype, tuple(numbers.out_spec))]


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
ELEMENTWISE_RULES = ("convert_element_type", "erfc", "integer_pow", "rsqrt", "select_n", "square", *IDENTITY)
"""Elementwise primitives with a rule of their own."""
LAZY = ("cond", "dim_as_value", "platform_index", "remat2", "scan", "transpose", "reshape", "squeeze")
"""Primitives whose rules handle constant arguments themselves."""
