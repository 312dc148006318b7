"""Reads the arrays of Keras models, ``.keras`` and the older ``.h5`` with layer names, in a process of its own.

A ``.weights.h5`` alone cannot be read: it numbers the layers of each kind, and only the configuration in a ``.keras``
says which layer has which number.
"""

from __future__ import annotations

import importlib.util
import json
import os
import zipfile
from typing import BinaryIO

import numpy as np

from fusion_dfd import archives, process_limits
from fusion_dfd.types import DataError
from fusion_dfd.weights.keras_process import REMEDY

SECONDS = 120.0
"""Processor time that a file may take; one of 0.5 GB takes a few seconds."""


def read(path: str) -> dict[str, np.ndarray]:
    """The arrays by layer and position, as in ``block1_conv1/0``: kernel, bias; or scale, bias, mean, variance.

    Names of arrays within a layer differ between versions of Keras, their order does not. Layers named by kind and
    number (``conv2d``, ``conv2d_7``) become ``conv2d#0``, ``conv2d#1`` .. in the order of their numbers, which is the
    order of their creation; the first number depends on what the process had created before.

    Raises :class:`DataError` for a missing or damaged file, one without names of layers, and where h5py is missing.
    Also for a file over which the library behind h5py crashes or spins.
    """
    return read_nested(path)[""]


def read_nested(path: str) -> dict[str, dict[str, np.ndarray]]:
    """As :func:`read`, for a model and for the models that its layers wrap.

    ``""`` has the model's own layers, ``time_distributed`` those of the model that the layer of that name wraps.
    """
    if importlib.util.find_spec("h5py") is None:
        raise DataError(f"{path}: Keras's files need h5py: pip install 'fusion-dfd[h5]'")
    if zipfile.is_zipfile(path):
        try:
            with zipfile.ZipFile(path) as archive:
                archives.check(archive, path)
        except (*archives.DAMAGE, OSError, RuntimeError) as error:
            raise DataError(f"{path}: no complete Keras model ({type(error).__name__}), {REMEDY}") from error
    ours, theirs = os.pipe()
    with open(ours, "rb") as answer:
        try:
            call = f"send({path!r}, {SECONDS}, {theirs})"
            process = process_limits.start("fusion_dfd.weights.keras_process", call, (theirs,))
        finally:
            os.close(theirs)
        try:
            return _received(answer, path)
        except EOFError as error:
            how = process_limits.ending(process.wait(), f"takes more than {SECONDS:g} seconds of processor time")
            raise DataError(f"{path}: the process that reads it {how}, {REMEDY}") from error
        finally:
            process.kill()
            process.wait()


def _received(answer: BinaryIO, path: str) -> dict[str, dict[str, np.ndarray]]:
    """What :func:`fusion_dfd.weights.keras_process.send` writes. Raises EOFError where it ends too early."""
    line = answer.readline()
    if not line.endswith(b"\n"):
        raise EOFError
    said = json.loads(line)
    if "refused" in said:
        raise DataError(f"{path}: {said['refused']}")
    return {
        wrapper: {name: _array(answer, np.dtype(kind), shape) for name, (kind, shape) in arrays.items()}
        for wrapper, arrays in said["models"].items()
    }


def _array(answer: BinaryIO, dtype: np.dtype, shape: list[int]) -> np.ndarray:
    array = np.empty(shape, dtype)
    if answer.readinto(array.reshape(-1).view(np.uint8)) < array.nbytes:
        raise EOFError
    return array
