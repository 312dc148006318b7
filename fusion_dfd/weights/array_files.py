"""Arrays by name in ``.safetensors`` files (https://github.com/huggingface/safetensors) and NumPy's ``.npz`` files."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping

import numpy as np
import safetensors
import safetensors.numpy

from fusion_dfd import atomic
from fusion_dfd.types import DataError


def write_safetensors(path: str, arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str]) -> str:
    """Write arrays and metadata; returns the path. Raises :class:`DataError` if the file cannot be written."""
    with atomic.binary(path) as file:
        file.write(safetensors.numpy.save(dict(arrays), dict(metadata)))
    return path


def read_safetensors(path: str) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """The arrays of a file and its metadata. Raises :class:`DataError` for a missing or damaged file."""
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (the file is no mapping)
            metadata = dict(file.metadata() or {})
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error}), check the path") from error
    except (safetensors.SafetensorError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise DataError(f"{path}: no whole safetensors file, take it from its source again") from error
    if not arrays:
        raise DataError(f"{path}: holds no arrays, take it from its source again")
    return arrays, metadata


def read_npz(path: str) -> dict[str, np.ndarray]:
    """The arrays of a file. Raises :class:`DataError` for a missing or damaged file, and for pickled objects."""
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
