"""Arrays out of ``.safetensors`` files.

Format: https://github.com/huggingface/safetensors, section "Format": eight bytes of length, a JSON header of that
length, then the values of all arrays, little-endian, one after the other.
"""

from __future__ import annotations

import json
import pathlib

import numpy as np

from fusion_dfd.types import DataError

_TYPES = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "<i1", "U8": "<u1",
    "BOOL": "?",
}  # fmt: skip


def read(path: str) -> tuple[dict[str, np.ndarray], dict[str, str]]:
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
