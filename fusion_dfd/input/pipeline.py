"""From an opened split to batches: threads read, decode and augment; uint8 goes to the device.

Training reads an endless sequence of pairs. Each pair is a pure function of (seed, number), so the number of steps
determines where a run continues, and neither threads nor processes change what is read. Evaluation reads every window
once.
"""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Callable, Iterator
from typing import NamedTuple

import jax
import numpy as np

from fusion_dfd import process_pool
from fusion_dfd.config import ConfigError, Data
from fusion_dfd.input import augment, forging, loader
from fusion_dfd.input.loader import Batches
from fusion_dfd.input.sampling import PairIndex, WindowList, forged_starts, list_windows
from fusion_dfd.input.windows import FrameWindows, Seen, WindowRequest, WindowSource, with_mesh
from fusion_dfd.shards import records
from fusion_dfd.shards.clip_index import Split
from fusion_dfd.types import Batch, DataError

CELLS = 16
"""Side of ``Batch.mask``."""
REPLACEMENTS = 100
"""Number of damaged pairs in a row after which training stops."""

_DRAWS, _FORGERY = 3, 4
"""Streams of random numbers for windows and augmentation, and for forgeries; :mod:`fusion_dfd.input.sampling` uses
others."""

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

    :class:`PairIndex` chooses the clips. Of a video of which only stretches are forged, a window shows one of them: the
    other windows are in no batch, neither as fake nor as real.

    The two clips of a pair draw their own windows of ``data.frames`` frames, but
    share one draw of the augmentation: its traces in the pixels are then the same for both labels in every batch, and
    only the forgery differs within a pair. A damaged record is logged once; its pair is replaced by the next one of
    its method, in the same way in every run.

    Args:
      split: an opened split with real and fake clips.
      data: frames, size, threads and augmentation.
      batch_size: windows per batch over all processes; a multiple of twice their number.
      seed: of order, windows and augmentation; not negative.
      sharding: of global ``jax.Array`` batches over axis 0; None gives numpy arrays, this process's part.
      process: (index, count). Each process reads its own block of every batch; the blocks in order are the whole batch.
      clips: source of the windows; None reads and augments the frames of the split.
      start: number of batches that are skipped: the steps already taken, by any number of processes.

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
    reader = _ForgedPairReader(split, data, seed) if data.forge else _PairReader(split, data, seed, clips)
    own = batch_size // (2 * count)
    numbers = range(start * own, sys.maxsize // count)
    cells = CELLS if data.forge else 0
    return Batches(
        _ProcessBlock(reader, own, process), clips.shape, numbers, own, 2, data, sharding, cells, clips.points
    )


def eval_batches(
    split: Split,
    data: Data,
    batch_size: int,
    most: int = 0,
    sharding: jax.sharding.Sharding | None = None,
    process: tuple[int, int] | None = None,
    every_track: bool = False,
    read: WindowSource | None = None,
) -> tuple[Batches, WindowList]:
    """Every window once, in table order, without augmentation; and the list of windows that ``Batch.row`` refers to.

    The last batch is filled up with rows of weight 0 and row -1. A clip shorter than ``data.frames`` is padded with
    zeros at its end, and ``Batch.length`` says so.

    Args:
      split: an opened split.
      data: frames, size and threads.
      batch_size: windows per batch over all processes; a multiple of their number.
      most: at most this many windows per face, see :func:`fusion_dfd.input.sampling.list_windows`; 0 = all.
      sharding: as for :func:`train_batches`.
      process: (index, count); None asks JAX when there is a sharding, and reads everything when there is none.
      every_track: read all stored faces, not only track 0.
      read: source of the windows; None reads the frames of the split.

    Raises:
      DataError: an empty split. While iterating: a damaged record, named.
      ConfigError: a batch size that does not divide by the number of processes.
    """
    if process is None:
        process = (0, 1) if sharding is None else (jax.process_index(), jax.process_count())
    if batch_size < 1 or batch_size % process[1]:
        raise ConfigError(f"evaluate.batch_size={batch_size}: want a positive multiple of {process[1]}, the processes")
    windows = list_windows(split.table, data.frames, most, every_track)
    read = read or FrameWindows(split, data)
    own = batch_size // process[1]
    numbers = range(-(-len(windows) // batch_size) * own)
    fill = _ProcessBlock(_WindowReader(read, windows, split.table.label), own, process)
    return Batches(fill, read.shape, numbers, own, 1, data, sharding, points=read.points), windows


def whole_clips(split: Split, data: Data) -> Iterator[np.ndarray]:
    """Every stored clip in table order, all its frames: uint8 [t, size, size, 3], without augmentation.

    Raises :class:`DataError` for a damaged record.
    """
    reader = FrameWindows(split, data)
    count = data.threads or process_pool.cores()
    return loader.in_threads(lambda pool, row: pool.submit(reader.frames, row).result, range(len(split)), count, count)


class _ProcessBlock:
    """Maps the numbers 0, 1 ... of the elements of one process, ``own`` of every batch, to numbers over all processes.

    Each process has its own block of every batch, so that a global array has its rows in the order of a single process.
    Dropout, which depends on the row, is then the same for any number of processes.
    """

    def __init__(self, fill: loader.Fill, own: int, process: tuple[int, int]):
        self._fill, self._own, (self._index, self._processes) = fill, own, process

    def __call__(self, number: int, batch: Batch, first: int) -> None:
        block, position = divmod(number, self._own)
        self._fill((block * self._processes + self._index) * self._own + position, batch, first)


def _put(clips: WindowSource, window: WindowRequest, label: int, name: int, batch: Batch, row: int) -> None:
    """A window as row ``row`` of a batch, padded with zeros; ``name`` becomes ``Batch.row``."""
    seen = clips.read(window, batch.frames[row])
    count = len(seen.landmarks)
    batch.frames[row, count:] = 0
    batch.landmarks[row, :count] = np.nan_to_num(seen.landmarks)
    batch.landmarks[row, count:] = 0
    batch.length[row], batch.label[row], batch.weight[row], batch.row[row] = count, label, 1, name
    batch.contiguous[row] = seen.contiguous
    batch.forged[row, :count], batch.forged[row, count:] = seen.forged, 0


def _put_filling(batch: Batch, row: int) -> None:
    """A row of weight 0 and ``Batch.row`` -1."""
    for values in jax.tree.leaves(batch):
        values[row] = 0
    batch.row[row] = -1


class _PairReader:
    """Writes pair ``number`` as two rows, real and fake."""

    def __init__(self, split: Split, data: Data, seed: int, clips: WindowSource):
        self._clips, self._data, self._seed = clips, data, seed
        self._stored, self._labels, self._forged = split.table.frames, split.table.label, split.table.forged
        self._source = split.source
        self._index = PairIndex(split.table, seed)
        self._damaged: set[int] = set()
        self._lock = threading.Lock()

    def __call__(self, number: int, batch: Batch, first: int) -> None:
        _retry(lambda attempt: self._read(number, attempt, batch, first))

    def _read(self, number: int, attempt: int, batch: Batch, first: int) -> None:
        rng = np.random.default_rng((self._seed, _DRAWS, number))
        params = augment.draw(rng, self._data.augment)
        for half, row in enumerate(self._index.pair(number, attempt)):
            try:
                start = self._start(row, rng)
                _put(self._clips, WindowRequest(row, start, params), int(self._labels[row]), row, batch, first + half)
            except DataError as error:
                self._report(row, error)
                raise

    def _start(self, row: int, rng: np.random.Generator) -> int:
        """First frame of a window of a clip; where only some of its frames are forged, see :func:`forged_starts`."""
        stored = int(self._stored[row])
        if self._forged[row] in (0, stored):
            return int(rng.integers(max(0, stored - self._data.frames), endpoint=True))
        forged = records.decode_part(self._source[row], slice(None)).forged
        return int(rng.choice(forged_starts(forged, self._data.frames)))

    def _report(self, row: int, error: DataError) -> None:
        # Only for the log. Reading must not depend on earlier damage, or a resumed run would read other pairs.
        with self._lock:
            if row in self._damaged:
                return
            self._damaged.add(row)
            _log.warning("skipped a damaged record, number %d of this run: %s", len(self._damaged), error)


def _retry(read: Callable[[int], None]) -> None:
    """Call ``read`` with 0, 1 ... until it raises no DataError."""
    for attempt in range(REPLACEMENTS):
        try:
            read(attempt)
            return
        except DataError as error:
            last = error
    raise DataError(f"{REPLACEMENTS} damaged pairs of clips in a row, the last: {last}")


class _ForgedPairReader:
    """Writes pair ``number`` as two rows: a window of a real clip and its forgery (``data.forge``).

    Clips and forgers are those of :class:`PairIndex` over :func:`fusion_dfd.input.forging.table`. Where the forger
    cannot be applied another one is tried, and after the last of them the next clip.
    """

    def __init__(self, split: Split, data: Data, seed: int):
        self._forgery, self._data, self._seed = forging.Forgery(split), data, seed
        self._rows = forging.reals(split.table)
        self._lengths = np.asarray(split.table.frames)
        self._index = PairIndex(forging.table(split, data.forge), seed)

    def __call__(self, number: int, batch: Batch, first: int) -> None:
        _retry(lambda attempt: self._read(number, attempt, batch, first))

    def _read(self, number: int, attempt: int, batch: Batch, first: int) -> None:
        rng = np.random.default_rng((self._seed, _DRAWS, number))
        params = augment.draw(rng, self._data.augment)
        forged = self._index.pair(number, attempt)[1]
        kind, place = divmod(forged, len(self._rows))
        row, frames = int(self._rows[place]), self._data.frames
        start = int(rng.integers(max(0, int(self._lengths[row]) - frames), endpoint=True))
        # The drawn forger first, then the others in the order that follows it.
        names = self._data.forge[kind - 1 :] + self._data.forge[: kind - 1]
        request = forging.Request(row, slice(start, start + frames), (self._seed, _FORGERY, number, attempt), names)
        pair = self._forgery.pair(request)
        real = pair.real, with_mesh(pair.real_landmarks, pair.real_mesh)
        fake = pair.fake, with_mesh(pair.fake_landmarks, pair.fake_mesh)
        for label, (half, points) in enumerate((real, fake)):
            window, name = WindowRequest(row, start, params), (place, forged)[label]
            given = _Given(half, points, self._data.size, pair.contiguous, label)
            _put(given, window, label, name, batch, first + label)
        batch.mask[first : first + 2] = 0
        batch.mask[first + 1, : len(pair.mask)] = _cells(pair.mask, params)


def _cells(mask: np.ndarray, params: augment.Params) -> np.ndarray:
    """A mask float32 [t, h, w] in 0..1 as ``Batch.mask`` has it, cropped and flipped as its frames are."""
    pictures = np.repeat(np.rint(mask * 255).astype(np.uint8)[..., None], 3, -1)
    moved = augment.Params(flip=params.flip, window=params.window)
    return augment.apply(pictures, np.zeros((len(mask), 5, 2)), moved, CELLS)[0][..., 0]


class _Given(NamedTuple):
    """A window source of frames that are read already."""

    frames: np.ndarray
    landmarks: np.ndarray
    size: int
    contiguous: bool
    label: int

    def read(self, window: WindowRequest, out: np.ndarray) -> Seen:
        part = out[: len(self.frames)]
        landmarks = augment.apply(self.frames, self.landmarks, window.params, self.size, part)[1]
        return Seen(landmarks, np.full(len(part), self.label, np.uint8), self.contiguous)


class _WindowReader:
    """Writes window ``number`` of a list as one row; numbers beyond the list give filling."""

    def __init__(self, clips: WindowSource, windows: WindowList, labels: np.ndarray):
        self._clips, self._windows, self._labels = clips, windows, labels

    def __call__(self, number: int, batch: Batch, first: int) -> None:
        if number >= len(self._windows):
            _put_filling(batch, first)
        else:
            row, start = int(self._windows.rows[number]), int(self._windows.starts[number])
            _put(self._clips, WindowRequest(row, start, augment.Params()), int(self._labels[row]), number, batch, first)
