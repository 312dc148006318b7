"""From an opened split to batches: threads read, decode and augment; uint8 goes to the device.

Training is an endless sequence of pairs, each a pure function of (seed, number), so that the steps taken say where it
continues, resume is exact, and neither threads nor processes change what is read. Evaluation lists every window once.
"""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Iterator
from typing import NamedTuple, Protocol

import cv2
import jax
import numpy as np

from fusion_dfd import process_pool
from fusion_dfd.config import ConfigError, Data
from fusion_dfd.input import augment, loader
from fusion_dfd.input.loader import Batches, Frames
from fusion_dfd.input.sampling import PairIndex, WindowList, list_windows
from fusion_dfd.shards import records
from fusion_dfd.shards.clip_index import Split
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
    clips: WindowSource | None = None,
    start: int = 0,
) -> Batches:
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
    clips = clips or FrameWindows(split, data)
    reader = _PairReader(split, data, seed, clips)
    part = batch_size // (2 * count)
    numbers = range(start * part, sys.maxsize // count)
    return Batches(_Block(reader, part, process), clips.shape, numbers, part, 2, data, sharding)


def eval_batches(
    split: Split,
    data: Data,
    batch_size: int,
    clips: int = 0,
    sharding: jax.sharding.Sharding | None = None,
    process: tuple[int, int] | None = None,
    every_track: bool = False,
    read: WindowSource | None = None,
) -> tuple[Batches, WindowList]:
    """Every window once, in table order, without augmentation; and the list of them, which ``Batch.row`` points into.

    The last batch is filled up with rows of weight 0 and row -1. A clip shorter than ``data.frames`` is padded with
    zeros at its end, and ``Batch.length`` says so.

    Args:
      split: an opened split.
      data: frames, size and threads.
      batch_size: clips per batch over all processes; a multiple of their number.
      clips: at most this many windows per face, see :func:`fusion_dfd.input.sampling.list_windows`; 0 = all.
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
    found = list_windows(split.table, data.frames, clips, every_track)
    read = read or FrameWindows(split, data)
    part = batch_size // process[1]
    numbers = range(-(-len(found) // batch_size) * part)
    fill = _Block(_WindowReader(read, found, split.table.label), part, process)
    return Batches(fill, read.shape, numbers, part, 1, data, sharding), found


def whole_clips(split: Split, data: Data) -> Iterator[np.ndarray]:
    """Every stored clip in table order, all its frames: uint8 [t, size, size, 3], without augmentation.

    Raises :class:`DataError` for a damaged record.
    """
    reader = FrameWindows(split, data)
    count = data.threads or process_pool.cores()
    return loader.in_threads(lambda pool, row: pool.submit(reader.frames, row).result, range(len(split)), count, count)


class _Block:
    """From the numbers 0, 1 ... of what a process reads, ``part`` of every batch, to numbers over all processes.

    Each has its own block of every batch, so that the rows of a global array are in the order of one process: dropout,
    which goes by row, then hides the same, however many processes there are.
    """

    def __init__(self, fill: loader.Fill, part: int, process: tuple[int, int]):
        self._fill, self._part, (self._index, self._processes) = fill, part, process

    def __call__(self, number: int, batch: Batch, first: int) -> None:
        block, place = divmod(number, self._part)
        self._fill((block * self._processes + self._index) * self._part + place, batch, first)


class WindowRequest(NamedTuple):
    """Which frames of which clip, and what becomes of them."""

    row: int
    """Of the table."""
    start: int
    """First frame."""
    params: augment.Params


class WindowSource(Protocol):
    """Where windows of clips come from."""

    shape: Frames

    def read(self, window: WindowRequest, out: np.ndarray) -> np.ndarray:
        """Write frames into the first places of ``out`` [t, ...]; landmarks [n, 5, 2] of as many as there were."""


def _put(clips: WindowSource, window: WindowRequest, label: int, name: int, batch: Batch, place: int) -> None:
    """A window as row ``place`` of a batch, zeros behind it; ``name`` becomes ``Batch.row``."""
    landmarks = clips.read(window, batch.frames[place])
    count = len(landmarks)
    batch.frames[place, count:] = 0
    batch.landmarks[place, :count] = landmarks
    batch.landmarks[place, count:] = 0
    batch.length[place], batch.label[place], batch.weight[place], batch.row[place] = count, label, 1, name


def _put_filling(batch: Batch, place: int) -> None:
    """A row of weight 0 and ``row`` -1."""
    for values in jax.tree.leaves(batch):
        values[place] = 0
    batch.row[place] = -1


class FrameWindows:
    """Windows of records as frames: only the JPEGs of a window are decoded."""

    def __init__(self, split: Split, data: Data):
        self._split, self._data = split, data
        self.shape = Frames((data.frames, data.size, data.size, 3), np.uint8)
        self._kept = threading.local()

    def frames(self, row: int) -> np.ndarray:
        """All frames of a clip, uint8 [t, size, size, 3]."""
        out = np.empty((int(self._split.table.frames[row]), *self.shape.shape[1:]), np.uint8)
        self.read(WindowRequest(row, 0, augment.Params()), out)
        return out

    def read(self, window: WindowRequest, out: np.ndarray) -> np.ndarray:
        """DataError names the shard and the record."""
        row, start, params = window
        record = self._split.source[row]
        try:
            jpegs, landmarks = self._cut(record, row, slice(start, start + len(out)))
            return self._write(jpegs, landmarks, params, out[: len(jpegs)])
        except (DataError, cv2.error) as error:
            raise DataError(f"{self._place(row)}: {error}") from error

    def _write(self, jpegs: list[bytes], landmarks: np.ndarray, params: augment.Params, out: np.ndarray) -> np.ndarray:
        shape = records.frames_shape(jpegs)
        if params == augment.Params() and shape == out.shape:
            records.decode_frames(jpegs, out)
            return landmarks
        frames = records.decode_frames(jpegs, self._scratch(shape))
        return augment.apply(frames, landmarks, params, self._data.size, out)[1]

    def _scratch(self, shape: tuple[int, ...]) -> np.ndarray:
        """This thread's memory for decoded frames: the same again where clips are of one size, as they are."""
        found = getattr(self._kept, "frames", None)
        if found is None or found.shape != shape:
            found = self._kept.frames = np.empty(shape, np.uint8)
        return found

    def _cut(self, record: bytes, row: int, window: slice) -> tuple[list[bytes], np.ndarray]:
        clip = records.decode_part(record, window)
        stored = int(self._split.table.frames[row])
        if clip.count != stored:
            raise DataError(f"holds {clip.count} frames where the index says {stored}; prepare the folder again")
        if not np.isfinite(clip.landmarks).all():
            raise DataError("holds landmarks that are not finite; prepare the folder again")
        return clip.frames, clip.landmarks

    def _place(self, row: int) -> str:
        shards = self._split.table.shard
        first = int(np.flatnonzero(shards == shards[row])[0])
        return f"{self._split.source.paths[shards[row]]}: record {row - first}"


class _PairReader:
    """Number of a pair -> two rows, real and fake."""

    def __init__(self, split: Split, data: Data, seed: int, clips: WindowSource):
        self._clips, self._data, self._seed = clips, data, seed
        self._stored, self._labels = split.table.frames, split.table.label
        self._index = PairIndex(split.table, seed)
        self._damaged: set[int] = set()
        self._lock = threading.Lock()

    def __call__(self, number: int, batch: Batch, first: int) -> None:
        for attempt in range(REPLACEMENTS):
            try:
                self._read(number, attempt, batch, first)
                return
            except DataError as error:
                last = error
        raise DataError(f"{REPLACEMENTS} damaged pairs of clips in a row, the last: {last}")

    def _read(self, number: int, attempt: int, batch: Batch, first: int) -> None:
        rng = np.random.default_rng((self._seed, _DRAWS, number))
        params = augment.draw(rng, self._data.augment)
        for half, row in enumerate(self._index.pair(number, attempt)):
            start = int(rng.integers(max(0, int(self._stored[row]) - self._data.frames), endpoint=True))
            try:
                _put(self._clips, WindowRequest(row, start, params), int(self._labels[row]), row, batch, first + half)
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
    """Place in a list of windows -> one row; places beyond the list give filling."""

    def __init__(self, clips: WindowSource, found: WindowList, labels: np.ndarray):
        self._clips, self._windows, self._labels = clips, found, labels

    def __call__(self, place: int, batch: Batch, first: int) -> None:
        if place >= len(self._windows):
            _put_filling(batch, first)
        else:
            row, start = int(self._windows.rows[place]), int(self._windows.starts[place])
            _put(self._clips, WindowRequest(row, start, augment.Params()), int(self._labels[row]), place, batch, first)
