"""Files that are whole or absent: a reader, or a killed run, never sees half of one."""

from __future__ import annotations

import os
import pathlib
import tempfile

from fusion_dfd.types import DataError


def write_text(path: str | os.PathLike, text: str) -> pathlib.Path:
    """Write ``text`` (UTF-8, newlines as given) to ``path``, making its folder.

    An older file stays until the new one is whole. Raises :class:`DataError` where the file cannot be written.
    """
    path = pathlib.Path(path)
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with open(handle, "w", encoding="utf-8", newline="") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)  # mkstemp makes it private
        os.replace(temporary, path)
    except OSError as error:
        if temporary is not None:
            pathlib.Path(temporary).unlink(missing_ok=True)
        raise DataError(f"cannot write {path}: {error.strerror}; free some space or choose another folder") from error
    return path
