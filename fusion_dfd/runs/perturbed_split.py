"""A split whose clips are perturbed as they are read: whole frames of the source videos, cropped where the clean ones
were, or the stored crops themselves where the videos are not at hand.
"""

from __future__ import annotations

import collections
import json
import os
import threading
from collections.abc import Sequence

import numpy as np

from fusion_dfd.evaluation import perturb
from fusion_dfd.faces import align, track, video
from fusion_dfd.shards import records
from fusion_dfd.shards.clip_index import MANIFEST, Split
from fusion_dfd.shards.plan import QUALITY
from fusion_dfd.types import DataError, FaceTrack

KEPT = 16
"""Perturbed records held in memory: the windows of a record are read one after another, by several threads."""


class Perturbed(Sequence[bytes]):
    """A source of records with other pixels, and all else the same.

    Args:
      split: as it was prepared.
      name, level: of a perturbation (:func:`fusion_dfd.evaluation.perturb.apply`).
      root: folder that the records' paths are relative to: whole frames are read from there, perturbed, and cropped by
        the clean clip's transform. None perturbs the stored crops instead.
      aligned: whether the crops were made with ``config.Faces.align``.
      seed: of what is random.

    Reading a record raises DataError where its video is missing or has other frames than when it was prepared.
    """

    def __init__(self, split: Split, name: str, level: int, root: str | None, aligned: bool, seed: int = 0):
        self.paths = split.source.paths
        self._source, self._name, self._level = split.source, name, level
        self._root, self._aligned, self._seed = root, aligned, seed
        self._done: collections.OrderedDict[int, bytes] = collections.OrderedDict()
        self._busy: dict[int, threading.Lock] = collections.defaultdict(threading.Lock)
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._source)

    def __getitem__(self, row: int) -> bytes:
        with self._lock:
            busy = self._busy[row]
        with busy:  # threads that need the same record wait for it; the others do not wait
            if row not in self._done:
                record = self._make(row)
                with self._lock:
                    self._done[row] = record
                    while len(self._done) > KEPT:
                        self._done.popitem(last=False)
                return record
            return self._done[row]

    def _make(self, row: int) -> bytes:
        clip = records.decode(self._source[row])
        frames = self._crops(clip) if self._root is None else self._cropped(clip)
        known = (clip.boxes, clip.landmarks, clip.scores, clip.indices, clip.transform, clip.track)
        face = FaceTrack(frames, *known, clip.mesh, clip.contiguous)
        return records.encode(clip.video, clip.clip, face, clip.detector, QUALITY)

    def _apply(self, frames: np.ndarray, clip: records.ClipRecord) -> np.ndarray:
        return perturb.apply(self._name, self._level, frames, clip.video.key, clip.indices, self._seed)

    def _crops(self, clip: records.ClipRecord) -> np.ndarray:
        return self._apply(records.decode_frames(clip.frames), clip)

    def _cropped(self, clip: records.ClipRecord) -> np.ndarray:
        path = os.path.join(self._root, clip.video.path)
        whole = [frame for _, frame in video.Reader(path, clip.indices.tolist())]
        if len(whole) != len(clip):
            raise DataError(
                f"{path} has other frames than when it was prepared; prepare again, or use the stored crops"
            )
        size = records.decode_frames(clip.frames[:1]).shape[1]
        frames = self._apply(np.stack(whole), clip)
        if self._aligned:
            return np.stack([align.warp(frame, clip.transform, size) for frame in frames])
        square = track.square(clip.transform, size)
        return np.stack([track.crop(frame, square, size) for frame in frames])


def perturbed(split: Split, name: str, level: int, root: str | None, aligned: bool, seed: int = 0) -> Split:
    """The split under a perturbation, see :class:`Perturbed`; its table is the same."""
    return Split(Perturbed(split, name, level, root, aligned, seed), split.table)


def origin(data: str, split: Split, root: str | None = None) -> tuple[str, bool]:
    """Where the source videos of prepared shards lie, and whether the crops are aligned.

    Args:
      data: folder of the shards.
      split: of it, opened.
      root: folder of the videos, where it is another than when they were prepared.

    Raises DataError where the first video of the split is not there, or the manifest does not say.
    """
    path = os.path.join(data, MANIFEST)
    try:
        with open(path, encoding="utf-8") as file:
            manifest = json.load(file)
        root, aligned = root or manifest["root"], bool(manifest["options"]["faces"]["align"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} does not say where the videos are ({error!r}); use --frames crops") from error
    first = os.path.join(root, records.decode(split.source[0]).video.path)
    if not os.path.exists(first):
        raise DataError(f"{first} is not there: give the folder of the videos as --root, or use --frames crops")
    return root, aligned
