"""Splits in a file that can be kept: a CSV table ``split,video`` of video keys, without any folder in it."""

from __future__ import annotations

import csv
import dataclasses
import io
import os
from collections.abc import Sequence

from fusion_dfd import atomic
from fusion_dfd.datasets import disk
from fusion_dfd.datasets.splits import SPLITS, audit
from fusion_dfd.types import DataError, Video


def keep(videos: Sequence[Video], path: str) -> list[Video]:
    """The videos as the file splits them; where there is no file, as they are, and the file is written.

    Raises DataError when the file and the list do not name the same videos, when the file's splits leak, or when it
    cannot be read or written.
    """
    if os.path.exists(path):
        return _apply(videos, path)
    audit(videos)
    _write(videos, path)
    return list(videos)


def _apply(videos: Sequence[Video], path: str) -> list[Video]:
    rows = disk.read_csv(path, ("split", "video"))
    if odd := sorted({row["split"] for row in rows} - set(SPLITS)):
        raise DataError(f"{path} has split {odd[0]!r}, which is none of {', '.join(SPLITS)}; mend it")
    split = {row["video"]: row["split"] for row in rows}
    if len(split) < len(rows):
        raise DataError(f"{path} lists {len(rows) - len(split)} videos twice; list each once")
    keys = {video.key for video in videos}
    new, gone = sorted(keys - split.keys()), sorted(split.keys() - keys)
    if new or gone:
        parts = (f"lacks {disk.some(new, 2)}" if new else "", f"names {disk.some(gone, 2)}, not found" if gone else "")
        raise DataError(
            f"{path} is of another list of videos: it {' and '.join(filter(None, parts))}; name another file to have "
            "new splits written"
        )
    kept = [dataclasses.replace(video, split=split[video.key]) for video in videos]
    audit(kept)
    return sorted(kept, key=lambda video: SPLITS.index(video.split))


def _write(videos: Sequence[Video], path: str) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("split", "video"))
    writer.writerows((video.split, video.key) for video in videos)
    atomic.write_text(path, text.getvalue())
