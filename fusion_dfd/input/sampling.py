"""Which clips are read, in which order: pure functions of (table, seed, number), so resuming needs only a number.

Only clips of track 0 are read, unless an evaluation asks for all. A record has the label of its video, and for the
other faces that ``config.Faces.all_tracks`` stores it is not known whether they were forged.

Training counts *pairs* (a real and a fake clip) from 0 on without end; evaluation lists windows once.
"""

from __future__ import annotations

import dataclasses
import functools

import numpy as np

from fusion_dfd.shards.clip_index import ClipTable
from fusion_dfd.types import DataError

_METHODS, _CLIPS, _REALS = range(3)
"""Independent streams of random numbers."""


class PairIndex:
    """The table rows of the real and the fake clip of each pair.

    With m methods, each run of m consecutive pairs, counted from a multiple of m, holds every method once, in a random
    order. The fakes of one method are drawn without replacement: n clips make an epoch of that method, and each epoch
    has its own permutation. The real is a clip of the video the fake was made from (same data set, compression and
    source); where the table has none, of the same group; else of the same data set and compression; else any. Those
    clips are taken in turn, by the position of the fake in its video and from a start drawn per epoch and video, so
    that fakes and their reals are seen equally often. A real video that is never chosen in this way is not trained on,
    nor is a clip of a fake video without a forged frame.

    Args:
      table: one row per record.
      seed: of everything drawn here.

    Raises:
      DataError: the table lacks real or fake clips.
    """

    def __init__(self, table: ClipTable, seed: int):
        labels, counts = np.asarray(table.label), np.asarray(table.track) == 0
        forged = counts & (labels == 1) & (np.asarray(table.forged) > 0)
        self._reals, fakes = np.flatnonzero(counts & (labels == 0)), np.flatnonzero(forged)
        for rows, name in ((self._reals, "real"), (fakes, "fake")):
            if not len(rows):
                raise DataError(
                    f"training needs real and fake clips, but none of the {len(labels)} stored clips is {name}; "
                    "prepare a data set that has both"
                )
        methods = np.asarray(table.method)
        self.methods = tuple(sorted({str(methods[row]) for row in fakes}))
        self._fakes = [fakes[methods[fakes] == method] for method in self.methods]
        self._partners = _partners(table, self._reals, fakes)
        self._place = _places(table, fakes)
        self._seed = seed
        # Threads work on neighbouring pairs: they need the current and the next epoch of each method only.
        self._permutation = functools.lru_cache(maxsize=2 * len(self.methods) + 2)(self._permute)
        # Seeding a generator takes as long as decoding half a frame.
        self._methods = functools.lru_cache(maxsize=64)(self._order)
        self._start = functools.lru_cache(maxsize=4 * len(fakes))(self._draw_start)

    def pair(self, number: int, attempt: int = 0) -> tuple[int, int]:
        """Rows of (real, fake) of pair ``number``.

        ``attempt`` > 0 asks for a replacement: the following fake of the same method's permutation, and its real.
        """
        block, turn = divmod(number, len(self.methods))
        method = self._methods(block)[turn]
        epoch, position = divmod(block, len(self._fakes[method]))
        order = self._permutation(method, epoch)
        fake = int(order[(position + attempt) % len(order)])
        video, index = self._place[fake]
        partners = self._partners[fake]
        start = self._start(method, epoch, video, len(partners))
        return int(partners[(start + index + attempt) % len(partners)]), fake

    def _order(self, block: int) -> list[int]:
        return self._rng(_METHODS, block).permutation(len(self.methods)).tolist()

    def _draw_start(self, method: int, epoch: int, video: int, count: int) -> int:
        return int(self._rng(_REALS, method, epoch, video).integers(count))

    def _permute(self, method: int, epoch: int) -> np.ndarray:
        return self._rng(_CLIPS, method, epoch).permutation(self._fakes[method])

    def _rng(self, *stream: int) -> np.random.Generator:
        return np.random.default_rng((self._seed, *stream))


def _partners(table: ClipTable, reals: np.ndarray, fakes: np.ndarray) -> dict[int, np.ndarray]:
    """Rows of the real clips that each fake may be paired with: the most closely related ones in the table."""
    kinships = [
        [table.dataset, table.compression, table.source],
        [table.dataset, table.compression, table.group],
        [table.dataset, table.compression],
        [],
    ]
    groups = [_by_key(columns, reals) for columns in kinships]

    def closest(row: int) -> np.ndarray:
        keys = (tuple(str(column[row]) for column in columns) for columns in kinships)
        return next(rows[key] for rows, key in zip(groups, keys, strict=True) if key in rows)

    return {int(row): closest(row) for row in fakes}


def _by_key(columns: list, rows: np.ndarray) -> dict[tuple, np.ndarray]:
    by_key: dict[tuple, list[int]] = {}
    for row in rows:
        by_key.setdefault(tuple(str(column[row]) for column in columns), []).append(int(row))
    return {key: np.array(members) for key, members in by_key.items()}


def _places(table: ClipTable, rows: np.ndarray) -> dict[int, tuple[int, int]]:
    """For each row: the number of its video, and its position among the rows of that video."""
    groups = _by_key([table.video], rows).values()
    return {int(row): (number, index) for number, group in enumerate(groups) for index, row in enumerate(group)}


@dataclasses.dataclass(frozen=True)
class WindowList:
    """The windows that an evaluation reads, in order; ``Batch.row`` is an index into it."""

    rows: np.ndarray
    """int32 [n], row of the clip table."""
    starts: np.ndarray
    """int32 [n], first frame of the window in the stored clip."""

    def __len__(self) -> int:
        return len(self.rows)


def window_starts(stored: int, frames: int) -> np.ndarray:
    """First frames of the max(1, stored // frames) windows of a clip: disjoint, each in the middle of an equal share.

    A clip shorter than a window has one, which starts at 0. int32 [n].
    """
    count = max(1, stored // frames)
    middle = (stored * (2 * np.arange(count) + 1) - frames * count) // (2 * count)
    return np.maximum(middle, 0).astype(np.int32)


def forged_starts(forged: np.ndarray, frames: int) -> np.ndarray:
    """First frames of the windows of a clip that show enough of its forged frames, ``forged`` uint8 [t], not all 0.

    Enough is half of a window, or as many as any window shows.
    """
    shown = np.convolve(forged, np.ones(min(frames, len(forged)), int), "valid")
    return np.flatnonzero(shown >= min(int(shown.max()), -(-frames // 2)))


def list_windows(table: ClipTable, frames: int, most: int = 0, every_track: bool = False) -> WindowList:
    """All windows of ``frames`` frames of all clips of track 0, or of every track, in table order.

    ``most`` > 0 keeps at most that many per face, spread evenly over all windows of that face in the order of time;
    several records of one face count together.

    Raises:
      DataError: the table holds no such clip.
    """
    counting = np.flatnonzero(every_track | (np.asarray(table.track) == 0)).astype(np.int32)
    if not len(counting):
        raise DataError("the split holds no clips; prepare a data set that has some for it")
    starts = [window_starts(int(length), frames) for length in np.asarray(table.frames)[counting]]
    rows = np.repeat(counting, [len(own) for own in starts])
    windows = WindowList(rows, np.concatenate(starts))
    if not most:
        return windows
    kept = np.sort(np.concatenate([_spread(own, most) for own in _by_face(table, windows)]))
    return WindowList(windows.rows[kept], windows.starts[kept])


def _by_face(table: ClipTable, windows: WindowList) -> list[np.ndarray]:
    """Indices into ``windows`` of the windows of each face, by time."""
    time = np.asarray(table.start)[windows.rows] + windows.starts
    _, video = np.unique(np.asarray(table.video)[windows.rows], return_inverse=True)
    track = np.asarray(table.track)[windows.rows]
    order = np.lexsort((time, track, video))
    return np.split(order, np.flatnonzero(np.diff(video[order]) | np.diff(track[order])) + 1)


def _spread(items: np.ndarray, count: int) -> np.ndarray:
    """At most ``count`` of ``items``, the middles of equal shares."""
    if len(items) <= count:
        return items
    return items[(2 * np.arange(count) + 1) * len(items) // (2 * count)]
