"""Files of TensorFlow Lite, written byte by byte: a FlatBuffer of tables, and networks of a few operators in it."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

CODES = {"add": 0, "conv": 3, "depthwise": 4, "max_pool": 17, "pad": 34, "prelu": 54, "softmax": 25}
OPTIONS = {"conv": 1, "depthwise": 2, "max_pool": 5, "add": 11}


class Number(NamedTuple):
    code: str
    value: int


def flatbuffer(root: dict) -> bytes:
    """A table {field: value}: a Number, bytes, an array, a table, or a list of tables."""
    out = bytearray(struct.pack("<I4s", 0, b"TFL3"))
    struct.pack_into("<I", out, 0, _put(out, root))
    return bytes(out)


def _put(out: bytearray, value) -> int:
    """Append a value, and what it refers to behind it; where it lies."""
    out += bytes(-len(out) % 4)
    if isinstance(value, dict):
        slots = max(value, default=-1) + 1
        places = {field: 4 + 4 * number for number, field in enumerate(value)}
        fields = [places.get(slot, 0) for slot in range(slots)]
        vtable = len(out)
        out += struct.pack(f"<HH{slots}H", 4 + 2 * slots, 4 + 4 * len(value), *fields)
        out += bytes(-len(out) % 4)
        at = len(out)
        out += struct.pack("<i", at - vtable) + bytes(4 * len(value))
        children = {at + places[field]: one for field, one in value.items()}
    elif isinstance(value, list):
        at = len(out)
        out += struct.pack("<I", len(value)) + bytes(4 * len(value))
        children = {at + 4 + 4 * number: one for number, one in enumerate(value)}
    else:
        at, values = len(out), np.frombuffer(value, "u1") if isinstance(value, bytes) else value
        out += struct.pack("<I", len(values)) + values.tobytes()
        children = {}
    for place, child in children.items():
        if isinstance(child, Number):
            struct.pack_into(child.code, out, place, child.value)
        else:
            struct.pack_into("<I", out, place, _put(out, child) - place)
    return at


def ints(values: Sequence[int]) -> np.ndarray:
    return np.array(values, "<i4")


class Writer:
    """A network under construction; tensor 0 is its input."""

    def __init__(self, shape: Sequence[int]):
        self.tensors, self.buffers, self.operators, self.codes = [], [{}], [], []
        self.input = self.tensor(shape)

    def tensor(self, shape: Sequence[int]) -> int:
        self.tensors.append({0: ints(shape), 1: Number("<b", 0), 2: Number("<I", 0)})
        return len(self.tensors) - 1

    def constant(self, values) -> int:
        values = np.asarray(values)
        kind = {"f": 0, "i": 2}[values.dtype.kind]
        self.buffers.append({0: values.astype(("<f4", "<i4")[kind // 2]).tobytes()})
        self.tensors.append({0: ints(values.shape), 1: Number("<b", kind), 2: Number("<I", len(self.buffers) - 1)})
        return len(self.tensors) - 1

    def operator(self, kind: str, inputs: Sequence[int], shape: Sequence[int], options: Sequence[int] = ()) -> int:
        """``options`` are the fields of the schema's table in order; the first, of ``add`` the only one, is a byte."""
        output = self.tensor(shape)
        self.codes.append({0: Number("<b", CODES[kind])})
        one = {0: Number("<I", len(self.codes) - 1), 1: ints(inputs), 2: ints([output])}
        if kind in OPTIONS:
            fields = {number: Number("<i", value) for number, value in enumerate(options)}
            one |= {3: Number("<B", OPTIONS[kind]), 4: fields}
        self.operators.append(one)
        return output

    def file(self, *outputs: int) -> bytes:
        graph = {0: self.tensors, 1: ints([self.input]), 2: ints(outputs), 3: self.operators}
        return flatbuffer({0: Number("<I", 3), 1: self.codes, 2: [graph], 4: self.buffers})
