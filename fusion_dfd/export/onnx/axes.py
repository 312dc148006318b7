"""Arrays of an ONNX graph whose axes may lie in another order than the program names them, or be stored once.

JAX's convolutions here are channels last, ONNX's are channels first. Instead of turning every map twice per
convolution, a value remembers the order in which it is stored, and operations that do not care run on it as it lies.
Likewise a broadcast is only noted: ONNX's elementwise operations repeat by themselves.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Collection, Sequence

import numpy as np

from fusion_dfd.export.onnx.graph import Graph, Tensor

BATCH = 1_000_003
"""Stands for the batch size in shapes: a prime beyond every size that occurs, so that its multiples tell themselves."""


@dataclasses.dataclass(frozen=True, eq=False)
class Value:
    """What the program calls an array ``shape``, as it lies in the graph."""

    tensor: Tensor
    shape: tuple[int, ...]
    dtype: np.dtype
    order: tuple[int, ...]
    """``order[k]`` is the axis that is stored as the k-th."""
    once: frozenset[int] = frozenset()
    """Axes of which one place is stored, because all are equal."""

    @property
    def known(self) -> bool:
        return isinstance(self.tensor, np.ndarray)

    @property
    def stored(self) -> tuple[int, ...]:
        """Sizes as they lie in the graph."""
        return tuple(1 if axis in self.once else self.shape[axis] for axis in self.order)

    @property
    def symbolic(self) -> bool:
        return any(map(is_symbolic, self.shape))


def is_symbolic(size: int) -> bool:
    """Whether a size is a multiple of the batch's."""
    return size > 0 and size % BATCH == 0


def known(array: np.ndarray) -> Value:
    """A value that is known now."""
    array = np.asarray(array)
    return Value(array, array.shape, array.dtype, tuple(range(array.ndim)))


def computed(name: str, shape: Sequence[int], dtype: np.dtype) -> Value:
    """A value that the graph computes, stored in the program's order."""
    return Value(name, tuple(shape), np.dtype(dtype), tuple(range(len(shape))))


class Layout:
    """Moves values of one graph about; moves of known values happen at once."""

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
        """The tensor with all places stored, in the program's order."""
        return self.whole(self.arranged(value, range(len(value.shape)))).tensor

    def whole(self, value: Value, axes: Collection[int] | None = None) -> Value:
        """The value with every place of ``axes`` (default all) stored."""
        wanted = value.once if axes is None else value.once & frozenset(axes)
        if not wanted:
            return value
        once = value.once - wanted
        sizes = tuple(value.shape[axis] if axis in wanted else 1 for axis in value.order)
        if value.known and not any(map(is_symbolic, sizes)):
            tensor = np.broadcast_to(value.tensor, np.broadcast_shapes(value.tensor.shape, sizes))
        else:
            tensor = self.graph.add("Expand", value.tensor, self._sizes(sizes))
        return dataclasses.replace(value, tensor=tensor, once=once)

    def broadcast(self, value: Value, shape: Sequence[int], axes: Sequence[int]) -> Value:
        """``jax.lax.broadcast_in_dim``: axis k of the value becomes axis ``axes[k]`` of ``shape``."""
        shape, rank = tuple(shape), len(shape)
        grown = {new for old, new in enumerate(axes) if value.shape[old] != shape[new] or old in value.once}
        fresh = [axis for axis in range(rank) if axis not in axes]
        kept = [axes[axis] for axis in value.order]
        order = tuple(range(rank)) if kept == sorted(kept) else (*kept, *fresh)
        stored = tuple(1 if axis in fresh or axis in grown else shape[axis] for axis in order)
        once = frozenset(axis for axis in (*fresh, *grown) if shape[axis] != 1)
        return Value(self._reshaped(value.tensor, value.stored, stored), shape, value.dtype, order, once)

    def transpose(self, value: Value, permutation: Sequence[int]) -> Value:
        """``jax.lax.transpose``: nothing moves yet."""
        place = {old: new for new, old in enumerate(permutation)}
        shape = tuple(value.shape[axis] for axis in permutation)
        order, once = tuple(place[axis] for axis in value.order), frozenset(place[axis] for axis in value.once)
        return Value(value.tensor, shape, value.dtype, order, once)

    def reshape(self, value: Value, shape: Sequence[int]) -> Value:
        """``jax.lax.reshape``. Axes that keep their places keep the order in which they are stored."""
        shape = tuple(shape)
        before = self._unshaped.get(_key(value))
        if before is not None and before.shape == shape:
            return before
        groups = _groups(value.shape, shape)
        merged = {axis for old, new in groups if len(old) > 1 or len(new) > 1 for axis in old}
        # A unit axis may lie anywhere, an axis stored once not among those that are merged with it.
        full = self.whole(value, merged)
        if not _in_runs(full, groups):
            full = self.arranged(full, range(len(full.shape)))
        runs = sorted(groups, key=lambda group: full.order.index(group[0][0]))
        order = _with_units([axis for _, new in runs for axis in new], len(shape))
        once = frozenset(new[0] for old, new in groups if old[0] in full.once)
        stored = tuple(1 if axis in once else shape[axis] for axis in order)
        result = Value(self._reshaped(full.tensor, full.stored, stored), shape, value.dtype, order, once)
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
    return (value.tensor if isinstance(value.tensor, str) else None), value.shape, value.order, value.once


@functools.cache
def _groups(old: tuple[int, ...], new: tuple[int, ...]) -> list[tuple[list[int], list[int]]]:
    """Axes of the old shape and of the new one that hold the same numbers, in order; axes of size 1 are in none."""
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
    """Whether the axes of every group lie one after the other, those of size 1 aside."""
    order = [axis for axis in value.order if value.shape[axis] != 1]
    return all(order[(at := order.index(old[0])) : at + len(old)] == old for old, _ in groups)


def _with_units(order: list[int], rank: int) -> tuple[int, ...]:
    """Put every axis that ``order`` lacks behind the axis before it."""
    for axis in range(rank):
        if axis not in order:
            order.insert(order.index(axis - 1) + 1 if axis else 0, axis)
    return tuple(order)
