"""The process of a foreign detector: it reads the windows of videos and asks the detector about them."""

from __future__ import annotations

import dataclasses
import functools
import json
import os
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from fusion_dfd.config import Data
from fusion_dfd.input import augment
from fusion_dfd.input.sampling import list_windows
from fusion_dfd.input.windows import FrameWindows, Seen, WindowRequest
from fusion_dfd.peers import detector
from fusion_dfd.process_pool import Report
from fusion_dfd.shards import clip_index
from fusion_dfd.types import DataError

Answers = list[tuple[int, int, list[float], bool, list[int]]]
"""Of a video: for each window the row of the clip table, the first frame in the stored clip, the probabilities (one, or
those of its frames), whether its frames are known to be consecutive, and the label of each frame."""


@dataclasses.dataclass(frozen=True)
class Setup:
    """What the process needs to begin."""

    name: str
    """Of the detector."""
    changes: tuple[tuple[str, str], ...]
    """What replaces its statements, see :func:`fusion_dfd.peers.detector.load`."""
    folders: tuple[str, ...]
    """Of shards."""
    split: str
    windows: int
    """At most that many windows of a face; 0 takes all."""
    every_track: bool


@dataclasses.dataclass(frozen=True)
class Chunk:
    """Videos of one folder that are asked about together."""

    folder: int
    videos: tuple[str, ...]


def work(setup: Setup, chunk: Chunk | None, report: Report) -> dict[str, Any]:
    """What the detector states, for None; else of each video its :data:`Answers`, or a sentence that says why not.

    Where the detector fails on the videos together, each is tried alone, so that only the one that it fails on is lost.
    Raises :class:`DataError` for what is wrong with the detector and not with a video: its name, its statements, the
    shape and range of its answers.
    """
    loaded = _loaded(setup)
    if chunk is None:
        return {"digest": loaded.digest, **dataclasses.asdict(loaded.stated)}
    reader = _reader(setup, chunk.folder)
    report(chunk.videos)
    try:
        return _ask(loaded, reader, chunk.videos)
    except _Failed as failed:
        if len(chunk.videos) == 1:
            return {chunk.videos[0]: str(failed)}
    answers = {}
    for video in chunk.videos:
        report((video,))
        try:
            answers |= _ask(loaded, reader, [video])
        except _Failed as failed:
            answers[video] = str(failed)
    return answers


class _Failed(Exception):
    """A video could not be read, or the detector failed on it."""


@functools.cache
def _loaded(setup: Setup) -> detector.Detector:
    return detector.load(setup.name, dict(setup.changes))


@functools.cache
def _reader(setup: Setup, folder: int) -> Reader:
    return Reader(setup, setup.folders[folder], _loaded(setup).stated)


class Reader:
    """The windows of one folder as a detector wants them."""

    def __init__(self, setup: Setup, folder: str, stated: detector.Stated):
        split = clip_index.open_split(folder, setup.split)
        self.windows = list_windows(split.table, stated.frames, setup.windows, setup.every_track)
        self._source = FrameWindows(split, Data(frames=stated.frames, size=stated.size))
        self._stated, self._params = stated, _crop(folder, stated.scale)
        self._of_video: dict[str, list[int]] = {}
        for number, video in enumerate(split.table.video[self.windows.rows].tolist()):
            self._of_video.setdefault(video, []).append(number)

    def numbers(self, video: str) -> list[int]:
        """Of the windows of a video."""
        return self._of_video[video]

    def read(self, number: int) -> tuple[np.ndarray, Seen]:
        """A window as items, uint8 [n, h, w, 3] of n frames or [1, t, h, w, 3], and what is known of it."""
        side, frames = self._stated.size, self._stated.frames
        request = WindowRequest(int(self.windows.rows[number]), int(self.windows.starts[number]), self._params)
        out = np.empty((frames, side, side, 3), np.uint8)
        seen = self._source.read(request, out)
        count = len(seen.landmarks)
        if self._stated.input == "frame":
            return out[:count], seen
        out[count:] = out[count - 1]
        return out[None], seen


def _ask(loaded: detector.Detector, reader: Reader, videos: Sequence[str]) -> dict[str, Answers]:
    numbers = [number for video in videos for number in reader.numbers(video)]
    given: dict[int, list[float]] = {number: [] for number in numbers}
    known: dict[int, tuple[bool, list[int]]] = {}
    for owners, items in _batches(reader, numbers, loaded.stated.batch, known):
        try:
            found = loaded.probabilities(items)
        except DataError:
            raise
        except Exception as error:
            said = str(error).strip().splitlines()
            raise _Failed(": ".join([f"the detector raised {type(error).__name__}", *said[:1]])) from error
        if np.isnan(found).any():
            raise _Failed(f"the detector returned NaN for {int(np.isnan(found).sum())} of {len(found)} answers")
        for owner, probability in zip(owners, found.tolist(), strict=True):
            given[owner].append(probability)
    rows, starts = reader.windows.rows, reader.windows.starts
    return {
        video: [(int(rows[one]), int(starts[one]), given[one], *known[one]) for one in reader.numbers(video)]
        for video in videos
    }


def _batches(
    reader: Reader, numbers: Sequence[int], size: int, known: dict[int, tuple[bool, list[int]]]
) -> Iterator[tuple[list[int], np.ndarray]]:
    """Items in batches of ``size``, each with the number of its window; windows share batches.

    ``known`` gets, by number, whether the frames of a window are consecutive, and the label of each.
    """
    owners: list[int] = []
    waiting: list[np.ndarray] = []
    for number in numbers:
        try:
            items, seen = reader.read(number)
        except DataError as error:
            raise _Failed(str(error)) from error
        known[number] = seen.contiguous, seen.forged.tolist()
        owners += [number] * len(items)
        waiting += list(items)
        while len(waiting) >= size:
            yield owners[:size], np.stack(waiting[:size])
            owners, waiting = owners[size:], waiting[size:]
    if waiting:
        yield owners, np.stack(waiting)


def _crop(folder: str, scale: float) -> augment.Params:
    """The middle of the stored crop whose side is ``scale`` sides of the face box; all of it for 0."""
    if not scale:
        return augment.Params()
    path = os.path.join(folder, clip_index.MANIFEST)
    try:
        with open(path, encoding="utf-8") as file:
            stored = float(json.load(file)["options"]["faces"]["scale"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{path} does not say how large the crops are; state scale=0 to take them as they are"
        ) from error
    if scale > stored:
        raise DataError(
            f"the detector wants crops of {scale:g} face boxes, {folder} has {stored:g}: prepare it with "
            f"--scale {scale:g}, or state scale=0 to take them as they are"
        )
    side = scale / stored
    return augment.Params(window=((1 - side) / 2, (1 - side) / 2, side))
