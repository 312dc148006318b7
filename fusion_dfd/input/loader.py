"""Batches filled by threads, in order. Every window is decoded directly into its batch, whose memory is reused.

Stacking decoded clips costs about 10% of decoding them, and so does allocating fresh memory, which the system zeroes;
``benchmarks/input.py`` has the figures.
"""

from __future__ import annotations

import collections
import functools
import weakref
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple, Protocol, TypeVar, runtime_checkable

import cv2
import jax
import numpy as np

from fusion_dfd.config import Data
from fusion_dfd.process_pool import cores
from fusion_dfd.types import Batch

_ALIGNMENT = 64
"""Bytes. JAX uses memory that begins at a multiple of it without a copy."""

T = TypeVar("T")


class Frames(NamedTuple):
    """Shape and type of one row of ``Batch.frames``."""

    shape: tuple[int, ...]
    """[t, ...]"""
    dtype: type


@runtime_checkable
class Fill(Protocol):
    def __call__(self, number: int, batch: Batch, first: int) -> None:
        """Write element ``number`` into the rows of ``batch`` from ``first`` on; every field is written."""


class Batches:
    """Batches of the elements ``numbers``, in order; can be iterated again and again, and knows its length.

    ``fill`` is called in ``data.threads`` threads (0 takes one per core), a few batches ahead of the one that is asked
    for. Its exceptions are raised in place of the batch. ``close`` of an iterator waits for the elements in progress.

    Args:
      fill: writes an element.
      frames: of one clip.
      numbers: of the elements; an incomplete last batch is left out.
      count: elements per batch.
      rows: rows of an element.
      data: threads.
      sharding: of global ``jax.Array`` batches over axis 0; None gives numpy arrays.
      cells: side of ``Batch.mask``; 0 = without.
    """

    def __init__(
        self,
        fill: Fill,
        frames: Frames,
        numbers: range,
        count: int,
        rows: int,
        data: Data,
        sharding: jax.sharding.Sharding | None = None,
        cells: int = 0,
        points: int = 5,
    ):
        self._cells, self._points = cells, points
        self._fill, self._frames, self._numbers, self._count, self._rows = fill, frames, numbers, count, rows
        self._threads, self._sharding = data.threads or cores(), sharding

    def __len__(self) -> int:
        return len(self._numbers) // self._count

    def __iter__(self) -> Iterator[Batch]:
        memory = Memory((self._count * self._rows, *self._frames.shape), self._frames.dtype)
        # Every thread has an element to fill while the caller uses a batch.
        ahead = max(2, -(-2 * self._threads // self._count))
        begin = functools.partial(self._begin, memory)
        for batch in in_threads(begin, range(len(self)), self._threads, ahead):
            yield batch if self._sharding is None else jax.tree.map(self._to_devices, batch)

    def _begin(self, memory: Memory, pool: ThreadPoolExecutor, index: int) -> Callable[[], Batch]:
        batch = _blank(memory.take(), self._cells, self._points)
        numbers = self._numbers[index * self._count : (index + 1) * self._count]
        fills = [pool.submit(self._fill, number, batch, i * self._rows) for i, number in enumerate(numbers)]
        return functools.partial(_finish, batch, fills)

    def _to_devices(self, values: np.ndarray) -> jax.Array:
        return jax.make_array_from_process_local_data(self._sharding, values)


def _blank(frames: np.ndarray, cells: int, points: int) -> Batch:
    rows, count = frames.shape[:2]
    return Batch(
        frames=frames,
        landmarks=np.empty((rows, count, points, 2), np.float32),
        length=np.empty(rows, np.int32),
        label=np.empty(rows, np.int32),
        weight=np.empty(rows, np.float32),
        row=np.empty(rows, np.int32),
        mask=np.empty((rows, count, cells, cells), np.uint8) if cells else None,
        contiguous=np.empty(rows, bool),
        forged=np.empty((rows, count), np.uint8),
    )


def _finish(batch: Batch, fills: list[Future]) -> Batch:
    for fill in fills:
        fill.result()
    return batch


def in_threads(
    begin: Callable[[ThreadPoolExecutor, int], Callable[[], T]], items: Iterable[int], count: int, ahead: int
) -> Iterator[T]:
    """``begin(pool, item)()`` of each item, in order; ``ahead`` of them are begun before the first is awaited."""
    # These threads keep every core busy; OpenCV's own would compete with them.
    cv2.setNumThreads(0)
    waiting: collections.deque[Callable[[], T]] = collections.deque()
    pool = ThreadPoolExecutor(count, "input")
    try:
        for item in items:
            waiting.append(begin(pool, item))
            if len(waiting) > ahead:
                yield waiting.popleft()()
        while waiting:
            yield waiting.popleft()()
    finally:
        pool.shutdown(cancel_futures=True)


class Memory:
    """Arrays of one shape and dtype. The memory of an array is reused once nothing refers to it."""

    def __init__(self, shape: tuple[int, ...], dtype: type):
        self._shape, self._dtype = shape, np.dtype(dtype)
        self._free: collections.deque[np.ndarray] = collections.deque()

    def take(self) -> np.ndarray:
        """An uninitialised array. It is kept by views of it and by JAX arrays that share its memory."""
        try:
            memory = self._free.pop()
        except IndexError:
            memory = self._new()
        lease = _Lease(memory)
        weakref.finalize(lease, self._free.append, memory).atexit = False
        return np.asarray(lease)

    def _new(self) -> np.ndarray:
        size = int(np.prod(self._shape)) * self._dtype.itemsize
        raw = np.empty(size + _ALIGNMENT, np.uint8)
        first = -raw.ctypes.data % _ALIGNMENT
        return raw[first : first + size].view(self._dtype).reshape(self._shape)


class _Lease:
    """Base of all views of an array; it is freed with the last of them."""

    def __init__(self, memory: np.ndarray):
        self.__array_interface__ = memory.__array_interface__
