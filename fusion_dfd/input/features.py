"""Clips as the features that a frozen backbone gave for each of their frames, encoded once and kept in a file."""

from __future__ import annotations

import os

import numpy as np

from fusion_dfd.config import Data
from fusion_dfd.input import augment
from fusion_dfd.input.pipeline import row_of
from fusion_dfd.shards.table import ClipTable
from fusion_dfd.types import Batch, DataError


class FeatureClips:
    """Windows of clips as features: ``Batch.frames`` is float32 [1, t, c] then. Nothing is augmented.

    Args:
      table: of the split.
      data: frames per window.
      path: a ``.npy`` file, float32 [frames of all clips in table order, c]; read where it lies.

    Raises :class:`DataError` where the file does not hold as many frames as the table says.
    """

    def __init__(self, table: ClipTable, data: Data, path: str | os.PathLike):
        self._table, self._data = table, data
        self._values = np.load(path, mmap_mode="r")
        self._first = np.concatenate([[0], np.cumsum(table.frames)])
        if len(self._values) != self._first[-1]:
            raise DataError(f"{path} holds {len(self._values)} frames, the shards {self._first[-1]}: delete the file")

    def read(self, row: int, start: int, params: augment.Params, name: int) -> Batch:
        first = int(self._first[row]) + start
        window = np.array(self._values[first : min(first + self._data.frames, int(self._first[row + 1]))])
        landmarks = np.zeros((len(window), 5, 2), np.float32)
        return row_of(window, landmarks, self._data.frames, int(self._table.label[row]), name)

    def filling(self) -> Batch:
        nothing = np.zeros((0, self._values.shape[1]), np.float32)
        return row_of(nothing, np.zeros((0, 5, 2), np.float32), self._data.frames, 0, -1)
