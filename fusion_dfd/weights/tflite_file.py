"""Networks out of ``.tflite`` files, without TensorFlow: the operators that the face mesh needs, and nothing is run.

A file is a FlatBuffer (flatbuffers.dev, "Internals") of TensorFlow Lite's schema (tensorflow/lite/schema/schema.fbs,
version 3): tables whose fields are found through offsets. Every offset, count and shape is checked before it is
followed, so that a damaged file ends in :class:`DataError` and costs no more time or memory than a good one of its
size.
"""

from __future__ import annotations

import math
import struct
from typing import NamedTuple

import numpy as np

from fusion_dfd.types import DataError

LARGEST = 64 << 20
"""Bytes of a file, and numbers of a tensor."""
MOST = 4096
"""Tensors or operators of a network."""
REMEDY = "take the file from its source again"

_KINDS = {0: "add", 3: "conv", 4: "depthwise", 17: "max_pool", 34: "pad", 54: "prelu"}
"""``BuiltinOperator`` of the schema."""
_INPUTS = {"add": 2, "conv": 3, "depthwise": 3, "max_pool": 1, "pad": 2, "prelu": 2}
_WEIGHTS = {"conv": (4, 1), "depthwise": (4, 1), "prelu": (3,)}
"""Axes of the inputs after the first, which are constants."""
_ACTIVATIONS = {0: "", 1: "relu", 3: "relu6"}
_TYPES = {0: "<f4", 2: "<i4"}
"""``TensorType``: float32, int32."""


class Operator(NamedTuple):
    """A step of a network. Maps are [n, h, w, c]."""

    kind: str
    """``add``, ``conv`` (kernel [o, h, w, i], bias), ``depthwise`` (kernel [1, h, w, c], bias), ``max_pool``, ``pad``
    (with zeros) or ``prelu`` (slope [1, 1, c])."""
    inputs: tuple[int, ...]
    """Numbers of the tensors that it reads."""
    output: int
    padding: str = "VALID"
    """Or ``SAME``, as TensorFlow means them."""
    stride: tuple[int, int] = (1, 1)
    """Down and across."""
    window: tuple[int, int] = (1, 1)
    """Height and width of what is pooled."""
    activation: str = ""
    """``relu``, ``relu6`` or none."""
    around: tuple[tuple[int, int], ...] = ()
    """Of ``pad``: zeros before and after, for each axis."""


class Network(NamedTuple):
    """What a file describes."""

    operators: tuple[Operator, ...]
    """In an order in which they can be run."""
    input: int
    outputs: tuple[int, ...]
    shapes: dict[int, tuple[int, ...]]
    """Of every tensor; the first axis of maps is 1 and stands for any number of images."""
    constants: dict[int, np.ndarray]
    """float32."""


class _Damaged(Exception):
    pass


def read(content: bytes, where: str) -> Network:
    """The network of a file; ``where`` it comes from, for messages.

    Raises :class:`DataError` for a file that is damaged, too large, or has an operator, a type of numbers or an option
    that is not one of those above.
    """
    try:
        return _network(content)
    except (_Damaged, struct.error) as error:
        raise DataError(f"{where}: no network that is understood ({error}), {REMEDY}") from error


def _need(holds: bool, what: str) -> None:
    if not holds:
        raise _Damaged(what)


class _Table:
    """A table of a FlatBuffer."""

    def __init__(self, content: bytes, at: int):
        self._content, self._at = content, at
        # Before its fields lies the way back to the list of their places, which begins with its own length in bytes.
        self._places = at - self._number("<i", at)
        self._size = self._number("<H", self._places)

    def _number(self, code: str, at: int):
        _need(at >= 0, "an offset leaves the file")
        return struct.unpack_from(code, self._content, at)[0]

    def _field(self, number: int) -> int:
        """Where a field lies; 0: it is absent and has its default."""
        place = 4 + 2 * number
        inside = self._number("<H", self._places + place) if place + 2 <= self._size else 0
        return inside and self._at + inside

    def number(self, field: int, code: str, default: int = 0) -> int:
        at = self._field(field)
        return self._number(code, at) if at else default

    def numbers(self, field: int, dtype: str, most: int) -> np.ndarray:
        """A vector of numbers, as a view of the file; empty where it is absent."""
        at = self._field(field)
        if not at:
            return np.zeros(0, dtype)
        at += self._number("<I", at)
        count = self._number("<I", at)
        _need(count <= most, f"{count} entries where {most} are the most")
        _need(at + 4 + count * np.dtype(dtype).itemsize <= len(self._content), "a vector leaves the file")
        return np.frombuffer(self._content, dtype, count, at + 4)

    def table(self, field: int) -> _Table | None:
        at = self._field(field)
        return _Table(self._content, at + self._number("<I", at)) if at else None

    def tables(self, field: int, most: int = MOST) -> list[_Table]:
        at = self._field(field)
        if not at:
            return []
        start = at + self._number("<I", at) + 4
        places = self.numbers(field, "<u4", most)
        return [_Table(self._content, start + 4 * place + int(offset)) for place, offset in enumerate(places)]


def _network(content: bytes) -> Network:
    _need(len(content) <= LARGEST, f"more than {LARGEST} bytes")
    _need(content[4:8] == b"TFL3", "not a file of TensorFlow Lite")
    model = _Table(content, struct.unpack_from("<I", content)[0])
    graphs, buffers = model.tables(2, 1), model.tables(4)
    _need(len(graphs) == 1, "want one graph")
    tensors = graphs[0].tables(0)
    shapes, constants = {}, {}
    for number, tensor in enumerate(tensors):
        shape = tuple(map(int, tensor.numbers(0, "<i4", 4)))
        _need(all(0 < side <= LARGEST for side in shape) and math.prod(shape) <= LARGEST, f"a tensor of shape {shape}")
        kind, buffer = tensor.number(1, "<b"), tensor.number(2, "<I")
        _need(kind in _TYPES and buffer < len(buffers), f"tensor {number} is of type {kind} in buffer {buffer}")
        values = buffers[buffer].numbers(0, "u1", LARGEST)
        shapes[number] = shape
        if len(values):
            dtype = np.dtype(_TYPES[kind])
            _need(len(values) == math.prod(shape) * dtype.itemsize, f"tensor {number} has {len(values)} bytes")
            constants[number] = values.view(dtype).reshape(shape)
    # Several tensors may share a buffer; together they are no larger than the file all the same.
    _need(sum(array.nbytes for array in constants.values()) <= len(content), "constants larger than the file")
    inputs, outputs = (tuple(map(int, graphs[0].numbers(field, "<i4", 8))) for field in (1, 2))
    _need(len(inputs) == 1 and inputs[0] in shapes and len(shapes[inputs[0]]) == 4, "want one map as input")
    codes = model.tables(1)
    known = {*constants, *inputs}
    operators = []
    for table in graphs[0].tables(3):
        operator = _operator(table, codes, constants)
        _need(known.issuperset(operator.inputs), f"{operator.kind} reads what nothing gave")
        _need(operator.output in shapes and operator.output not in known, f"{operator.kind} gives nothing new")
        made = _shape(operator, shapes)
        _need(made == shapes[operator.output], f"{operator.kind} gives {made}, not {shapes[operator.output]}")
        known.add(operator.output)
        operators.append(operator)
    _need(bool(outputs) and known.issuperset(outputs), "an output that nothing gives")
    floats = {number: array for number, array in constants.items() if array.dtype == np.float32}
    return Network(tuple(operators), inputs[0], outputs, shapes, floats)


def _operator(table: _Table, codes: list[_Table], constants: dict[int, np.ndarray]) -> Operator:
    code = table.number(0, "<I")
    _need(code < len(codes), "an operator without a code")
    # Codes up to 127 stood in a byte, later ones in a field of their own: the larger counts.
    code = max(codes[code].number(0, "<b"), codes[code].number(3, "<i"))
    _need(code in _KINDS, f"operator {code}, want one of {', '.join(_KINDS.values())}")
    kind = _KINDS[code]
    inputs, outputs = (tuple(map(int, table.numbers(field, "<i4", 8))) for field in (1, 2))
    _need((len(inputs), len(outputs)) == (_INPUTS[kind], 1), f"{kind} of {len(inputs)} tensors")
    for number, axes in zip(inputs[1:], _WEIGHTS.get(kind, ()), strict=False):
        found = constants.get(number)
        _need(found is not None and found.ndim == axes and found.dtype == np.float32, f"weights of {kind}")
    one, options = Operator(kind, inputs, outputs[0]), table.table(4)
    if kind == "pad":
        found = constants.get(inputs[1])
        _need(found is not None and found.shape == (4, 2) and found.dtype == np.int32, "pad without its numbers")
        _need(found.min() >= 0 and found.max() <= MOST, "pad by odd numbers")
        return one._replace(inputs=inputs[:1], around=tuple(tuple(map(int, pair)) for pair in found))
    if kind == "prelu" or options is None:
        _need(kind in ("prelu", "add"), f"{kind} without options")
        return one
    fused = {"add": 0, "conv": 3, "depthwise": 4, "max_pool": 5}[kind]
    activation = options.number(fused, "<b")
    _need(activation in _ACTIVATIONS, f"activation {activation} of {kind}")
    one = one._replace(activation=_ACTIVATIONS[activation])
    if kind == "add":
        return one
    padding, stride = options.number(0, "<b"), (options.number(2, "<i"), options.number(1, "<i"))
    window = (options.number(4, "<i"), options.number(3, "<i")) if kind == "max_pool" else (1, 1)
    _need(padding in (0, 1) and min(stride + window) > 0 and max(stride + window) <= MOST, f"options of {kind}")
    if kind == "conv":
        _need((options.number(4, "<i", 1), options.number(5, "<i", 1)) == (1, 1), "dilation")
    if kind == "depthwise":
        _need((options.number(5, "<i", 1), options.number(6, "<i", 1)) == (1, 1), "dilation")
        _need(options.number(3, "<i") == 1, "a depth multiplier")
    return one._replace(padding=("SAME", "VALID")[padding], stride=stride, window=window)


def _shape(operator: Operator, shapes: dict[int, tuple[int, ...]]) -> tuple[int, ...]:
    """Shape of what an operator makes of inputs of these shapes."""
    first, *others = (shapes[number] for number in operator.inputs)
    _need(len(first) == 4, f"{operator.kind} of no map")
    if operator.kind == "add":
        _need(others[0] == first, "add of two shapes")
        return first
    if operator.kind == "prelu":
        _need(others[0] == (1, 1, first[3]), "prelu of other channels")
        return first
    if operator.kind == "pad":
        _need(operator.around[0] == (0, 0), "pad of the batch")
        return tuple(side + sum(pair) for side, pair in zip(first, operator.around, strict=True))
    window, channels = operator.window, first[3]
    if operator.kind == "conv":
        channels, *window, inputs = others[0]
        _need(inputs == first[3], "a kernel for other channels")
    elif operator.kind == "depthwise":
        one, *window, channels = others[0]
        _need((one, channels) == (1, first[3]), "a kernel for other channels")
    if others:
        _need(others[1] == (channels,), "a bias for other channels")
    room = [0 if operator.padding == "SAME" else side - 1 for side in window]
    places = [-(-(side - less) // step) for side, less, step in zip(first[1:3], room, operator.stride, strict=True)]
    _need(min(places) > 0, f"{operator.kind} larger than its map")
    return first[0], *places, channels
