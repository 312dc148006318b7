"""Clips as the features that a frozen backbone gave for each of their frames, encoded once and kept in a file."""

from __future__ import annotations

import os

import numpy as np

from fusion_dfd.config import Data
from fusion_dfd.input.batches import Frames
from fusion_dfd.input.pipeline import Window
from fusion_dfd.shards.table import ClipTable
from fusion_dfd.types import DataError


class FeatureClips:
    """Windows of clips as features: ``Batch.frames`` is float32 [b, t, c] then. Nothing is augmented.

    Args:
      table: of the split.
      data: frames per window.
      path: a ``.npy`` file, float32 [frames of all clips in table order, c]; read where it lies.

    Raises :class:`DataError` where the file does not hold as many frames as the table says.
    """

    def __init__(self, table: ClipTable, data: Data, path: str | os.PathLike):
        self._values = np.load(path, mmap_mode="r")
        self._first = np.concatenate([[0], np.cumsum(table.frames)])
        if len(self._values) != self._first[-1]:
            raise DataError(f"{path} holds {len(self._values)} frames, the shards {self._first[-1]}: delete the file")
        self.shape = Frames((data.frames, self._values.shape[1]), np.float32)

    def read(self, window: Window, out: np.ndarray) -> np.ndarray:
        first = int(self._first[window.row]) + window.start
        values = self._values[first : min(first + len(out), int(self._first[window.row + 1]))]
        out[: len(values)] = values
        return np.zeros((len(values), 5, 2), np.float32)
