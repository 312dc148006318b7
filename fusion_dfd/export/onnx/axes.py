"""Values of an ONNX graph whose storage order may differ from the axis order of the JAX program.

JAX's convolutions here are channels last, ONNX's are channels first. Instead of transposing twice per convolution, a
value records the order in which it is stored, and operations for which the order does not matter run on it as stored.
Likewise a broadcast is only recorded: ONNX's elementwise operations broadcast by themselves.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Collection, Sequence

import numpy as np

from fusion_dfd.export.onnx.graph import Graph, Tensor

BATCH = 1_000_003
"""Stands for the batch size in shapes: a prime above every size that occurs, so that its multiples are recognised."""


@dataclasses.dataclass(frozen=True, eq=False)
class Value:
    """An array of the program, and how the graph stores it."""

    tensor: Tensor
    shape: tuple[int, ...]
    """In the program's axis order; sizes that depend on the batch are multiples of BATCH."""
    dtype: np.dtype
    order: tuple[int, ...]
    """``order[k]`` is the axis that is stored as the k-th."""
    repeated: frozenset[int] = frozenset()
    """Axes stored with size 1, because all their elements are equal."""

    @property
    def known(self) -> bool:
        """Whether it is a constant of the conversion rather than computed by the graph."""
        return isinstance(self.tensor, np.ndarray)

    @property
    def stored(self) -> tuple[int, ...]:
        """The shape of the tensor in the graph."""
        return tuple(1 if axis in self.repeated else self.shape[axis] for axis in self.order)

    @property
    def symbolic(self) -> bool:
        """Whether its shape depends on the batch size."""
        return any(map(is_symbolic, self.shape))


def is_symbolic(size: int) -> bool:
    """Whether a size is a multiple of the batch's."""
    return size > 0 and size % BATCH == 0


def known(array: np.ndarray | np.generic) -> Value:
    """A constant."""
    array = np.asarray(array)
    return Value(array, array.shape, array.dtype, tuple(range(array.ndim)))


def computed(name: str, shape: Sequence, dtype: np.dtype | type) -> Value:
    """A value that the graph computes, stored in the program's axis order."""
    return Value(name, tuple(shape), np.dtype(dtype), tuple(range(len(shape))))


class AxisLayout:
    """Transposes, reshapes and broadcasts values of one graph; constants are changed during the conversion.

    ``frames`` is the graph input from whose shape the batch size is read.
    """

    def __init__(self, graph: Graph, frames: str):
        self.graph = graph
        self._frames = frames
        self._unshaped: dict[tuple, Value] = {}
        """What a value was before it was reshaped."""

    def arranged(self, value: Value, order: Sequence[int]) -> Value:
        """The value, stored in ``order``."""
        order = tuple(order)
        if order == value.order:
            return value
        moves = [value.order.index(axis) for axis in order]
        tensor = value.tensor.transpose(moves) if value.known else self.graph.add("Transpose", value.tensor, perm=moves)
        return dataclasses.replace(value, tensor=tensor, order=order)

    def plain(self, value: Value) -> Tensor:
        """The tensor in the program's axis order, all its elements stored."""
        return self.whole(self.arranged(value, range(len(value.shape)))).tensor

    def whole(self, value: Value, axes: Collection[int] | None = None) -> Value:
        """The value with all elements of ``axes`` (default: all axes) stored."""
        wanted = value.repeated if axes is None else value.repeated & frozenset(axes)
        if not wanted:
            return value
        repeated = value.repeated - wanted
        sizes = tuple(value.shape[axis] if axis in wanted else 1 for axis in value.order)
        if value.known and not any(map(is_symbolic, sizes)):
            tensor = np.broadcast_to(value.tensor, np.broadcast_shapes(value.tensor.shape, sizes))
        else:
            tensor = self.graph.add("Expand", value.tensor, self._sizes(sizes))
        return dataclasses.replace(value, tensor=tensor, repeated=repeated)

    def broadcast(self, value: Value, shape: Sequence[int], axes: Sequence[int]) -> Value:
        """``jax.lax.broadcast_in_dim``: axis k of the value becomes axis ``axes[k]`` of ``shape``."""
        shape, rank = tuple(shape), len(shape)
        grown = {new for old, new in enumerate(axes) if value.shape[old] != shape[new] or old in value.repeated}
        fresh = [axis for axis in range(rank) if axis not in axes]
        kept = [axes[axis] for axis in value.order]
        order = tuple(range(rank)) if kept == sorted(kept) else (*kept, *fresh)
        stored = tuple(1 if axis in fresh or axis in grown else shape[axis] for axis in order)
        repeated = frozenset(axis for axis in (*fresh, *grown) if shape[axis] != 1)
        return Value(self._reshaped(value.tensor, value.stored, stored), shape, value.dtype, order, repeated)

    def transpose(self, value: Value, permutation: Sequence[int]) -> Value:
        """``jax.lax.transpose``: only the recorded order changes."""
        new_axis = {old: new for new, old in enumerate(permutation)}
        shape = tuple(value.shape[axis] for axis in permutation)
        order = tuple(new_axis[axis] for axis in value.order)
        repeated = frozenset(new_axis[axis] for axis in value.repeated)
        return Value(value.tensor, shape, value.dtype, order, repeated)

    def reshape(self, value: Value, shape: Sequence[int]) -> Value:
        """``jax.lax.reshape``. Axes that are neither merged nor split keep their storage order."""
        shape = tuple(shape)
        before = self._unshaped.get(_key(value))
        if before is not None and before.shape == shape:
            return before
        groups = _groups(value.shape, shape)
        merged = {axis for old, new in groups if len(old) > 1 or len(new) > 1 for axis in old}
        # A unit axis may be stored anywhere; a repeated axis must be expanded before it is merged with others.
        full = self.whole(value, merged)
        if not _in_runs(full, groups):
            full = self.arranged(full, range(len(full.shape)))
        runs = sorted(groups, key=lambda group: full.order.index(group[0][0]))
        order = _with_units([axis for _, new in runs for axis in new], len(shape))
        repeated = frozenset(new[0] for old, new in groups if old[0] in full.repeated)
        stored = tuple(1 if axis in repeated else shape[axis] for axis in order)
        result = Value(self._reshaped(full.tensor, full.stored, stored), shape, value.dtype, order, repeated)
        if not value.known:
            self._unshaped[_key(result)] = value
        return result

    def _reshaped(self, tensor: Tensor, old: tuple[int, ...], new: tuple[int, ...]) -> Tensor:
        if old == new:
            return tensor
        if isinstance(tensor, np.ndarray):
            return tensor.reshape(new)
        target = np.array([-1 if is_symbolic(size) else size for size in new], np.int64)
        return self.graph.add("Reshape", tensor, target)

    def size(self, size: int) -> Tensor:
        """int64 [1], a size that may be a multiple of the batch's."""
        if not is_symbolic(size):
            return np.array([size], np.int64)
        batch = self.graph.add("Shape", self._frames, start=0, end=1)
        return batch if size == BATCH else self.graph.add("Mul", batch, np.array([size // BATCH], np.int64))

    def _sizes(self, sizes: Sequence[int]) -> Tensor:
        if not any(map(is_symbolic, sizes)):
            return np.array(sizes, np.int64)
        return self.graph.add("Concat", *map(self.size, sizes), axis=0)


def _key(value: Value) -> tuple:
    return (value.tensor if isinstance(value.tensor, str) else None), value.shape, value.order, value.repeated


@functools.cache
def _groups(old: tuple[int, ...], new: tuple[int, ...]) -> list[tuple[list[int], list[int]]]:
    """Pairs of old axes and new axes with the same elements, in order; axes of size 1 are in none."""
    left = [axis for axis, size in enumerate(old) if size != 1]
    right = [axis for axis, size in enumerate(new) if size != 1]
    groups = []
    while left or right:
        mine, theirs = [left.pop(0)], [right.pop(0)]
        while (a := math.prod(old[k] for k in mine)) != (b := math.prod(new[k] for k in theirs)):
            if a < b:
                mine.append(left.pop(0))
            else:
                theirs.append(right.pop(0))
        groups.append((mine, theirs))
    return groups


def _in_runs(value: Value, groups: Sequence[tuple[list[int], list[int]]]) -> bool:
    """Whether the axes of every group are stored next to each other, those of size 1 aside."""
    order = [axis for axis in value.order if value.shape[axis] != 1]
    return all(order[(at := order.index(old[0])) : at + len(old)] == old for old, _ in groups)


def _with_units(order: list[int], rank: int) -> tuple[int, ...]:
    """Insert every axis that ``order`` lacks after its predecessor."""
    for axis in range(rank):
        if axis not in order:
            order.insert(order.index(axis - 1) + 1 if axis else 0, axis)
    return tuple(order)
