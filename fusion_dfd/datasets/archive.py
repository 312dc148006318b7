"""Unpacking a .zip of videos beside itself, once."""

from __future__ import annotations

import os
import shutil
import zipfile
import zlib

from fusion_dfd import atomic
from fusion_dfd.datasets import disk
from fusion_dfd.types import DataError


def unpack(path: str) -> str:
    """Folder with the videos of a .zip: the archive's path without ``.zip``, made or completed.

    Only video files are unpacked, each whole or not at all, and those that are there in full size are kept. Raises
    DataError when the file is no .zip, damaged or encrypted, a name in it leads out of the folder, or it cannot be
    written.
    """
    folder = os.path.splitext(path)[0]
    try:
        with zipfile.ZipFile(path) as file:
            entries = [entry for entry in file.infolist() if disk.is_video(os.path.basename(entry.filename))]
            if not entries:
                raise DataError(
                    f"{path} holds no video, but {disk.some(file.namelist())}; check that it is the right one"
                )
            for entry in entries:
                _unpack_one(file, entry, folder, path)
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise DataError(f"{path} is no whole .zip ({error}); copy or download it again") from error
    except RuntimeError as error:  # zipfile's for an encrypted entry, or a compression this Python lacks
        raise DataError(f"{path} cannot be unpacked here ({error}); unpack it by hand and give its folder") from error
    except OSError as error:
        raise DataError(
            f"cannot unpack {path} to {folder}: {error.strerror}; unpack it by hand and give its folder"
        ) from error
    return folder


def _unpack_one(file: zipfile.ZipFile, entry: zipfile.ZipInfo, folder: str, path: str) -> None:
    parts = entry.filename.replace("\\", "/").split("/")
    if not all(parts) or ".." in parts or ":" in parts[0]:
        raise DataError(
            f"{path} has an entry {entry.filename!r}, which leads out of its folder; do not trust this file"
        )
    target = os.path.join(folder, *parts)
    if os.path.isfile(target) and os.path.getsize(target) == entry.file_size:
        return
    with file.open(entry) as source, atomic.binary(target) as out:
        shutil.copyfileobj(source, out)
