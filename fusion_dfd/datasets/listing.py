"""Lists of videos that can be compared by one number.

A list is a CSV file ``video,label``: keys (data set, method, compression, id) in order, with 0 for real and 1 for fake.
Its digest is the SHA-256 of that file, so ``sha256sum`` gives it too. It says nothing of folders or of the machine, so
two people whose digests are equal speak of the same videos.
"""

from __future__ import annotations

import csv
import hashlib
import io
import os
from collections.abc import Iterable

from fusion_dfd import atomic
from fusion_dfd.datasets import files
from fusion_dfd.types import DataError

HEADER = ("video", "label")


def text(videos: Iterable[tuple[str, int]]) -> str:
    """The file of videos, each once, given by key and label in any order."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(HEADER)
    writer.writerows(sorted(set(videos)))
    return out.getvalue()


def digest(videos: Iterable[tuple[str, int]]) -> str:
    """SHA-256 of :func:`text`, hexadecimal."""
    return hashlib.sha256(text(videos).encode()).hexdigest()


def write(path: str | os.PathLike, videos: Iterable[tuple[str, int]]) -> str:
    """Write the file, whole or not at all; returns its path."""
    return atomic.write_text(path, text(videos))


def read(path: str) -> dict[str, int]:
    """Label by key. Raises :class:`DataError` for a file of another form, and for a video that is listed twice."""
    found: dict[str, int] = {}
    for row in files.read_csv(path, HEADER):
        if row["label"] not in ("0", "1"):
            raise DataError(f"{path}: {row['video']} has label {row['label']!r}, want 0 (real) or 1 (fake)")
        if row["video"] in found:
            raise DataError(f"{path} lists {row['video']} twice; list each once")
        found[row["video"]] = int(row["label"])
    return found
