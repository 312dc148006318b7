"""Arrays out of ``.safetensors`` files, and into them.

Format: https://github.com/huggingface/safetensors, section "Format": eight bytes of length, a JSON header of that
length, then the values of all arrays, little-endian, one after the other.
"""

from __future__ import annotations

import json
import pathlib
import zipfile
from collections.abc import Mapping

import numpy as np

from fusion_dfd import atomic
from fusion_dfd.types import DataError

_TYPES = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "<i1", "U8": "<u1",
    "BOOL": "?",
}  # fmt: skip

_NAMES = {np.dtype(kind): name for name, kind in _TYPES.items()}


def write_safetensors(path: str, arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str]) -> str:
    """Write arrays by name, and texts beside them; returns the path. Raises :class:`DataError` where it cannot."""
    header, end = {"__metadata__": dict(metadata)}, 0
    for name, array in arrays.items():
        start, end = end, end + array.nbytes
        header[name] = {"dtype": _NAMES[array.dtype], "shape": list(array.shape), "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)  # readers map the values into memory: they must start at a multiple of eight
    with atomic.binary(path) as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for array in arrays.values():
            file.write(array.astype(_TYPES[_NAMES[array.dtype]], copy=False).tobytes())
    return path


def read_safetensors(path: str) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """The arrays of a file by name, and its metadata. Raises :class:`DataError` for a missing or damaged file."""
    try:
        content = pathlib.Path(path).read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}), check the path") from error
    try:
        length = int.from_bytes(content[:8], "little")
        header = json.loads(content[8 : 8 + length])
        metadata = {name: str(value) for name, value in header.pop("__metadata__", {}).items()}
        values = memoryview(content)[8 + length :]
        arrays = {name: _array(values, **about) for name, about in header.items()}
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError) as error:
        raise DataError(f"{path}: no whole safetensors file, take it from its source again") from error
    if not arrays:
        raise DataError(f"{path}: holds no arrays, take it from its source again")
    return arrays, metadata


def _array(values: memoryview, dtype: str, shape: list[int], data_offsets: list[int]) -> np.ndarray:
    start, end = data_offsets
    if not 0 <= start <= end <= len(values):
        raise ValueError(data_offsets)
    return np.frombuffer(values[start:end], _TYPES[dtype]).reshape(shape)


# MERGED from weights.npz_file: Arrays out of NumPy's ``.npz`` files, without pickled objects.
def read_npz(path: str) -> dict[str, np.ndarray]:
    """The arrays of a file by name. Raises :class:`DataError` for a missing or damaged file or one with objects."""
    try:
        with zipfile.ZipFile(path), np.load(path, allow_pickle=False) as file:
            arrays = dict(file)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}), check the path") from error
    except (ValueError, zipfile.BadZipFile, EOFError) as error:
        raise DataError(f"{path}: no whole .npz file of plain arrays, take it from its source again") from error
    if not arrays:
        raise DataError(f"{path}: holds no arrays, take it from its source again")
    return arrays
