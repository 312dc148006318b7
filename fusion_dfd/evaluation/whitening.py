"""The whitening matrix behind Mahalanobis distances, and the ``.npz`` files of what was fitted with it."""

from __future__ import annotations

import dataclasses
import zipfile
from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.covariance import ledoit_wolf

from fusion_dfd import atomic
from fusion_dfd.types import DataError


def matrix(centred: np.ndarray) -> np.ndarray:
    """float64 [d, d], such that ``centred @ matrix`` has unit covariance.

    The covariance is that of Ledoit and Wolf (2004), of standardised features: it stays well-conditioned with few rows.

    Args:
      centred: float64 [n, d], rows minus the mean of their class.
    """
    scale = centred.std(0)
    # A feature that never varies would make any other value infinitely far.
    scale = np.maximum(scale, 1e-3 * max(scale.mean(), 1e-9))
    covariance, _ = ledoit_wolf(centred / scale, assume_centered=True)
    values, vectors = np.linalg.eigh(covariance)
    return vectors / np.sqrt(np.maximum(values, 1e-12)) / scale[:, None]


def save(fitted: Any, path: str) -> str:
    """Write the fields of a dataclass of arrays as an ``.npz`` file, whole or not at all; returns its path."""
    with atomic.binary(path) as file:
        np.savez(file, **dataclasses.asdict(fitted))
    return path


def load(path: str, names: Sequence[str], what: str) -> list[np.ndarray] | None:
    """The arrays ``names`` of a file; None where there is no file.

    Raises :class:`DataError` where the file has other content; the message calls the content ``what``.
    """
    try:
        # numpy leaves a damaged archive open that it opened itself.
        with open(path, "rb") as content, np.load(content, allow_pickle=False) as file:
            found = [file[name] for name in names]
            if strange := [name for name, array in zip(names, found, strict=True) if not _finite(array)]:
                raise ValueError(f"{strange[0]} holds something else than finite numbers")
            return found
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise outdated(path, what, error) from error


def _finite(array: np.ndarray) -> bool:
    return array.dtype.kind in "biuf" and bool(np.isfinite(array).all())


def outdated(path: str, what: str, why: Any) -> DataError:
    """The error for a file that this version cannot use."""
    return DataError(f"{path} is no {what} of this version ({why}); delete it to do without, or train again")
