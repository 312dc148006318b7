"""Windows of stored clips: what is asked for, what is known of it, and where its frames are read."""

from __future__ import annotations

import contextlib
import threading
from typing import NamedTuple, Protocol, runtime_checkable

import cv2
import numpy as np

from fusion_dfd.config import Data
from fusion_dfd.input import augment
from fusion_dfd.input.loader import Frames
from fusion_dfd.shards import records
from fusion_dfd.shards.clip_index import Split
from fusion_dfd.types import DataError

TRIED = 100
"""Records at the beginning of a split of which one must be readable, to know how many points its frames have."""


class WindowRequest(NamedTuple):
    """Which frames of which clip are read, and how they are augmented."""

    row: int
    """Of the table."""
    start: int
    """First frame."""
    params: augment.Params


class Seen(NamedTuple):
    """What is known of a window beside its frames."""

    landmarks: np.ndarray
    """float32 [n, p, 2], pixels of the frames, as ``Batch.landmarks`` has them; a point may be NaN."""
    forged: np.ndarray
    """uint8 [n], the label of each frame."""
    contiguous: bool = True
    """Whether the frames are known to be consecutive."""


@runtime_checkable
class WindowSource(Protocol):
    """Reads windows of clips."""

    shape: Frames
    points: int
    """Landmarks of a frame, with the points of the mesh."""

    def read(self, window: WindowRequest, out: np.ndarray) -> Seen:
        """Write the n <= t frames of a window into ``out`` [t, ...]."""


def with_mesh(landmarks: np.ndarray, mesh: np.ndarray) -> np.ndarray:
    """Landmarks [t, 5, 2], followed by the points of the mesh: [t, p, 2]."""
    return np.concatenate([landmarks, mesh], axis=1)


def _stored_points(split: Split) -> int:
    """Landmarks of a frame, with the points of the mesh, by the first clip that can be read."""
    for row in range(min(len(split), TRIED)):
        with contextlib.suppress(DataError):
            part = records.decode_part(split.source[row], slice(0, 0), mesh=True)
            return part.landmarks.shape[1] + (0 if part.mesh is None else part.mesh.shape[1])
    return 5


class FrameWindows:
    """Windows of records as frames: only the JPEGs of a window are decoded."""

    def __init__(self, split: Split, data: Data):
        self._split, self._data = split, data
        self.shape = Frames((data.frames, data.size, data.size, 3), np.uint8)
        self.points = _stored_points(split)
        self._kept = threading.local()

    def frames(self, row: int) -> np.ndarray:
        """All frames of a clip, uint8 [t, size, size, 3]."""
        out = np.empty((int(self._split.table.frames[row]), *self.shape.shape[1:]), np.uint8)
        self.read(WindowRequest(row, 0, augment.Params()), out)
        return out

    def read(self, window: WindowRequest, out: np.ndarray) -> Seen:
        """DataError names the shard and the record."""
        row, start, params = window
        record = self._split.source[row]
        try:
            part = self._decode_part(record, row, slice(start, start + len(out)))
            landmarks = self._write(part.frames, self._points(part), params, out[: len(part.frames)])
            return Seen(landmarks, part.forged, part.contiguous)
        except (DataError, cv2.error) as error:
            raise DataError(f"{self._where(row)}: {error}") from error

    def _write(self, jpegs: list[bytes], landmarks: np.ndarray, params: augment.Params, out: np.ndarray) -> np.ndarray:
        shape = records.frames_shape(jpegs)
        if params == augment.Params() and shape == out.shape:
            records.decode_frames(jpegs, out)
            return landmarks
        frames = records.decode_frames(jpegs, self._scratch(shape))
        return augment.apply(frames, landmarks, params, self._data.size, out)[1]

    def _scratch(self, shape: tuple[int, ...]) -> np.ndarray:
        """This thread's memory for decoded frames, reused while clips have the same shape."""
        frames = getattr(self._kept, "frames", None)
        if frames is None or frames.shape != shape:
            frames = self._kept.frames = np.empty(shape, np.uint8)
        return frames

    def _decode_part(self, record: bytes, row: int, window: slice) -> records.Stored:
        clip = records.decode_part(record, window, mesh=self.points > 5)
        stored = int(self._split.table.frames[row])
        if clip.count != stored:
            raise DataError(f"holds {clip.count} frames where the index says {stored}; prepare the folder again")
        if not np.isfinite(clip.landmarks).all():
            raise DataError("holds landmarks that are not finite; prepare the folder again")
        return clip

    def _points(self, part: records.Stored) -> np.ndarray:
        missing = np.full((len(part.frames), self.points - 5, 2), np.nan, np.float32)
        return with_mesh(part.landmarks, missing if part.mesh is None else part.mesh)

    def _where(self, row: int) -> str:
        shards = self._split.table.shard
        first = int(np.flatnonzero(shards == shards[row])[0])
        return f"{self._split.source.paths[shards[row]]}: record {row - first}"
