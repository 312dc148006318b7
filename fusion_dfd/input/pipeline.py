"""From an opened split to batches: Grain reads, decodes and augments in threads; uint8 goes to the device.

Training is an endless sequence of pairs, each a pure function of (seed, number), so that the steps taken say where it
continues, resume is exact, and neither threads nor processes change what is read. Evaluation lists every window once.
"""

from __future__ import annotations

import functools
import itertools
import logging
import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import cv2
import grain
import jax
import numpy as np

from fusion_dfd.config import ConfigError, Data
from fusion_dfd.input import augment
from fusion_dfd.input.sampling import PairIndex, Windows, windows
from fusion_dfd.shards import example
from fusion_dfd.shards.table import Split
from fusion_dfd.types import Batch, DataError

REPLACEMENTS = 100
"""Damaged pairs in a row after which training gives up."""

_DRAWS = 3
"""Stream of random numbers for windows and augmentation, apart from those of :mod:`fusion_dfd.input.sampling`."""

_log = logging.getLogger(__name__)


def train_batches(
    split: Split,
    data: Data,
    batch_size: int,
    seed: int,
    sharding: jax.sharding.Sharding | None = None,
    process: tuple[int, int] = (0, 1),
    clips: Clips | None = None,
    start: int = 0,
) -> grain.IterDataset[Batch]:
    """Endless batches of pairs: rows 0, 2, 4 ... are real, each followed by its fake.

    :class:`PairIndex` says which clips are drawn. Both halves of a pair draw their own window of ``data.frames``
    frames, and share one draw of the augmentation: whatever it leaves in the pixels is then the same for both labels
    in every single batch, not only on average, and what differs within a pair is the forgery. A damaged record is
    logged once and its pair replaced by the next one of its method, the same way in every run.

    Args:
      split: an opened split with real and fake clips.
      data: frames, size, threads and augmentation.
      batch_size: clips per batch over all processes; a multiple of twice their number.
      seed: of order, windows and augmentation; not negative.
      sharding: of global ``jax.Array`` batches over axis 0; None gives numpy arrays, this process's part.
      process: (index, count). Each reads its own block of every batch: joined in order they are what one would read.
      clips: where windows come from; None reads and augments the frames of the split.
      start: batches that are left out, those of the steps already taken, in however many processes.

    Raises:
      DataError: no real or no fake clips. While iterating: too many damaged records in a row.
      ConfigError: a batch size that cannot be split into pairs.
    """
    count = process[1]
    if batch_size < 2 or batch_size % (2 * count):
        raise ConfigError(
            f"train.batch_size={batch_size}: want a multiple of {2 * count}, for real-fake pairs in {count} processes"
        )
    reader = _PairReader(split, data, seed, clips or FrameClips(split, data))
    part = batch_size // (2 * count)
    numbers = grain.MapDataset.range(start * part, sys.maxsize // count).map(_block(part, process))
    return _batched(numbers.map(reader), data, part, sharding)


def eval_batches(
    split: Split,
    data: Data,
    batch_size: int,
    clips: int = 0,
    sharding: jax.sharding.Sharding | None = None,
    process: tuple[int, int] | None = None,
    every_track: bool = False,
    read: Clips | None = None,
) -> tuple[EvalBatches, Windows]:
    """Every window once, in table order, without augmentation; and the list of them, which ``Batch.row`` points into.

    The last batch is filled up with rows of weight 0 and row -1. A clip shorter than ``data.frames`` is padded with
    zeros at its end, and ``Batch.length`` says so.

    Args:
      split: an opened split.
      data: frames, size and threads.
      batch_size: clips per batch over all processes; a multiple of their number.
      clips: at most this many windows per face, see :func:`fusion_dfd.input.sampling.windows`; 0 = all.
      sharding: as for :func:`train_batches`.
      process: (index, count); None asks JAX when there is a sharding, and reads everything when there is none.
      every_track: read all stored faces, not only the one that counts.
      read: where windows come from; None reads the frames of the split.

    Raises:
      DataError: an empty split. While iterating: a damaged record, named.
      ConfigError: a batch size that does not divide by the number of processes.
    """
    if process is None:
        process = (0, 1) if sharding is None else (jax.process_index(), jax.process_count())
    if batch_size < 1 or batch_size % process[1]:
        raise ConfigError(f"evaluate.batch_size={batch_size}: want a positive multiple of {process[1]}, the processes")
    found = windows(split.table, data.frames, clips, every_track)
    return EvalBatches(read or FrameClips(split, data), data, found, batch_size, sharding, process), found


def whole_clips(split: Split, data: Data) -> Iterator[np.ndarray]:
    """Every stored clip in table order, all its frames: uint8 [t, size, size, 3], without augmentation.

    Raises :class:`DataError` for a damaged record.
    """
    reader = FrameClips(split, data)
    return iter(grain.MapDataset.range(len(split)).map(reader.frames).to_iter_dataset(_reading(data, 1)))


class EvalBatches:
    """Batches of an evaluation: can be iterated again and again, and knows its length."""

    def __init__(self, clips: Clips, data: Data, found: Windows, batch_size: int, sharding, process: tuple[int, int]):
        self._length = -(-len(found) // batch_size)
        part = batch_size // process[1]
        places = grain.MapDataset.range(self._length * part).map(_block(part, process))
        self._dataset = _batched(places.map(_WindowReader(clips, found)), data, part, sharding)

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[Batch]:
        return iter(self._dataset)


def _block(part: int, process: tuple[int, int]) -> Callable[[int], int]:
    """From the numbers 0, 1 ... of what a process reads, ``part`` of every batch, to numbers over all processes.

    Each has its own block of every batch, so that the rows of a global array are in the order of one process: dropout,
    which goes by row, then hides the same, however many processes there are.
    """
    index, count = process
    return lambda number: number // part * part * count + index * part + number % part


def _batched(elements: grain.MapDataset[list[Batch]], data: Data, count: int, sharding) -> grain.IterDataset[Batch]:
    """Join the rows of ``count`` elements to a batch; read in threads; join and send to the device in the caller's."""
    batches = elements.to_iter_dataset(_reading(data, count)).batch(count, drop_remainder=True, batch_fn=_join)
    if sharding is None:
        return batches
    place = functools.partial(jax.make_array_from_process_local_data, sharding)
    return batches.map(functools.partial(jax.tree.map, place))


def _reading(data: Data, ahead: int) -> grain.ReadOptions:
    # OpenCV's own threads would compete with Grain's, which already keep every core busy.
    cv2.setNumThreads(0)
    threads = data.threads or _cores()
    return grain.ReadOptions(num_threads=threads, prefetch_buffer_size=max(ahead, 2 * threads))


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _join(parts: Sequence[list[Batch]]) -> Batch:
    # Once, over all rows: copying pixels costs a good part of what decoding them does.
    return jax.tree.map(lambda *arrays: np.concatenate(arrays), *itertools.chain.from_iterable(parts))


class Clips(Protocol):
    """Where windows of clips come from; one batch row each."""

    def read(self, row: int, start: int, params: augment.Params, name: int) -> Batch:
        """The window of clip ``row`` of the table from its frame ``start`` on; ``name`` becomes ``Batch.row``."""

    def filling(self) -> Batch:
        """A row of weight 0 and ``row`` -1 of the same shape."""


def row_of(frames: np.ndarray, landmarks: np.ndarray, count: int, label: int, name: int) -> Batch:
    """A batch of one from ``frames`` [t, ...] and ``landmarks`` [t, 5, 2], zeros behind them up to ``count``."""
    return Batch(
        frames=_pad(frames, count)[None],
        landmarks=_pad(landmarks, count)[None],
        length=np.array([len(frames)], np.int32),
        label=np.array([label], np.int32),
        weight=np.full(1, name >= 0, np.float32),
        row=np.array([name], np.int32),
    )


def _pad(values: np.ndarray, count: int) -> np.ndarray:
    """Zeros at the end of the first axis up to ``count``."""
    missing = count - len(values)
    return np.concatenate([values, np.zeros((missing, *values.shape[1:]), values.dtype)]) if missing else values


class FrameClips:
    """Windows of records as frames: only the JPEGs of a window are decoded."""

    def __init__(self, split: Split, data: Data):
        self._split, self._data = split, data

    def filling(self) -> Batch:
        size = self._data.size
        return row_of(np.zeros((0, size, size, 3), np.uint8), np.zeros((0, 5, 2), np.float32), self._data.frames, 0, -1)

    def frames(self, row: int) -> np.ndarray:
        """All frames of a clip, uint8 [t, size, size, 3]."""
        return self._window(row, slice(None), augment.Params())[0]

    def read(self, row: int, start: int, params: augment.Params, name: int) -> Batch:
        """DataError names the shard and the record."""
        frames, landmarks = self._window(row, slice(start, start + self._data.frames), params)
        return row_of(frames, landmarks, self._data.frames, int(self._split.table.label[row]), name)

    def _window(self, row: int, window: slice, params: augment.Params) -> tuple[np.ndarray, np.ndarray]:
        record = self._split.source[row]
        try:
            return augment.apply(*self._cut(record, row, window), params, self._data.size)
        except (DataError, cv2.error) as error:
            raise DataError(f"{self._place(row)}: {error}") from error

    def _cut(self, record: bytes, row: int, window: slice) -> tuple[np.ndarray, np.ndarray]:
        clip = example.decode(record)
        stored = int(self._split.table.frames[row])
        if len(clip) != stored:
            raise DataError(f"holds {len(clip)} frames where the index says {stored}; prepare the folder again")
        landmarks = clip.landmarks[window]
        if not np.isfinite(landmarks).all():
            raise DataError("holds landmarks that are not finite; prepare the folder again")
        return example.decode_frames(clip.frames[window]), landmarks

    def _place(self, row: int) -> str:
        shards = self._split.table.shard
        first = int(np.flatnonzero(shards == shards[row])[0])
        return f"{self._split.source.paths[shards[row]]}: record {row - first}"


class _PairReader:
    """Number of a pair -> two batches of one, real and fake."""

    def __init__(self, split: Split, data: Data, seed: int, clips: Clips):
        self._clips, self._data, self._seed = clips, data, seed
        self._stored = split.table.frames
        self._index = PairIndex(split.table, seed)
        self._damaged: set[int] = set()
        self._lock = threading.Lock()

    def __call__(self, number: int) -> list[Batch]:
        for attempt in range(REPLACEMENTS):
            try:
                return self._read(number, attempt)
            except DataError as error:
                last = error
        raise DataError(f"{REPLACEMENTS} damaged pairs of clips in a row, the last: {last}")

    def _read(self, number: int, attempt: int) -> list[Batch]:
        rng = np.random.default_rng((self._seed, _DRAWS, number))
        params = augment.draw(rng, self._data.augment)
        return [self._half(row, params, rng) for row in self._index.pair(number, attempt)]

    def _half(self, row: int, params: augment.Params, rng: np.random.Generator) -> Batch:
        start = int(rng.integers(max(0, int(self._stored[row]) - self._data.frames), endpoint=True))
        try:
            return self._clips.read(row, start, params, row)
        except DataError as error:
            self._report(row, error)
            raise

    def _report(self, row: int, error: DataError) -> None:
        # Only the log remembers: a record that fails in one window alone must do so in every run, resumed or not.
        with self._lock:
            if row in self._damaged:
                return
            self._damaged.add(row)
            _log.warning("skipped a damaged record, the %d. of this run: %s", len(self._damaged), error)


class _WindowReader:
    """Place in a list of windows -> one batch of one; places beyond the list give filling."""

    def __init__(self, clips: Clips, found: Windows):
        self._clips, self._windows = clips, found

    def __call__(self, place: int) -> list[Batch]:
        if place >= len(self._windows):
            return [self._clips.filling()]
        row, start = int(self._windows.rows[place]), int(self._windows.starts[place])
        return [self._clips.read(row, start, augment.Params(), place)]
