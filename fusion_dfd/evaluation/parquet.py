"""Tables of scores as Parquet files, where pyarrow is installed (the extra ``parquet``); CSV is always written."""

from __future__ import annotations

import dataclasses
import importlib.util
import os
from collections.abc import Sequence

from fusion_dfd import atomic
from fusion_dfd.evaluation.scores import Row
from fusion_dfd.types import DataError, Score

_INSTALL = "pip install 'fusion-dfd[parquet]'"

ABSENT = f"The scores were written as CSV alone: for Parquet files as well, {_INSTALL}."

_TYPES = {"int": int, "float": float, "str": str}


def available() -> bool:
    """Whether pyarrow is installed."""
    return importlib.util.find_spec("pyarrow") is not None


def write(path: str | os.PathLike, rows: Sequence[Row], kind: type[Row] = Score) -> str:
    """Write rows of dataclass ``kind``, one column a field: int64, double or string. Whole or not at all.

    Returns the path. Raises :class:`DataError` where pyarrow is not installed or the file cannot be written.
    """
    pyarrow, files = _pyarrow(path)
    types = {int: pyarrow.int64(), float: pyarrow.float64(), str: pyarrow.string()}
    columns = {
        field.name: pyarrow.array([_TYPES[field.type](getattr(row, field.name)) for row in rows], types[of])
        for field in dataclasses.fields(kind)
        for of in (_TYPES[field.type],)
    }
    with atomic.binary(path) as file:
        files.write_table(pyarrow.table(columns), file)
    return os.fspath(path)


def read_columns(path: str | os.PathLike) -> dict[str, list]:
    """The columns of a file by name. Raises :class:`DataError` where it cannot be read."""
    pyarrow, files = _pyarrow(path)
    try:
        return files.read_table(os.fspath(path)).to_pydict()
    except (OSError, pyarrow.ArrowException) as error:
        raise DataError(f"{path} is not a Parquet table: {str(error).splitlines()[0]}") from error


def _pyarrow(path: str | os.PathLike):
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise DataError(f"{path}: Parquet files want pyarrow, {_INSTALL}, or give a CSV file") from error
    return pyarrow, parquet
