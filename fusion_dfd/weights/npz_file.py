"""Arrays out of NumPy's ``.npz`` files, without pickled objects."""

from __future__ import annotations

import zipfile

import numpy as np

from fusion_dfd.types import DataError


def read(path: str) -> dict[str, np.ndarray]:
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
