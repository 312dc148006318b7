"""A CSV table of paths and labels as a data set."""

from __future__ import annotations

import logging
import os

from fusion_dfd.datasets import disk
from fusion_dfd.datasets.splits import SPLITS
from fusion_dfd.types import ORIGINAL, DataError, Video

PATH = ("path", "file", "filename", "video")
"""Names of the column of paths; they are relative to the folder of the table."""
OPTIONAL = ("group", "method", "compression", "split", "id")
LABEL_NAMES = {"real": 0, "0": 0, "fake": 1, "1": 1}
SPLIT_NAMES = {
    **dict.fromkeys(("train", "training"), SPLITS[0]),
    **dict.fromkeys(("val", "valid", "validation", "dev"), SPLITS[1]),
    **dict.fromkeys(("test", "testing"), SPLITS[2]),
}
"""What the splits are called, in lower case, by tables and folders."""

_log = logging.getLogger(__name__)


def read(path: str, dataset: str, method: str) -> list[Video]:
    """The videos of a table, in its order, with empty ``group`` and ``split`` where the table says none.

    Args:
      path: of the table; its first line names the columns.
      dataset: of the videos.
      method: of fakes for which the table says none.

    The id is the path below the folder that holds all videos, without its extension, unless the table says one. In a
    method a slash becomes a hyphen, since slashes part the key of a video. Other columns are ignored and named in a
    logged warning. Raises DataError when path or label is missing, or a label or a split is not known.
    """
    rows = disk.read_csv(path, ("label",))
    column = next((name for name in PATH if name in rows[0]), None)
    if column is None:
        raise DataError(
            f"the first line of {path} has no column path, but {', '.join(rows[0])}; begin it with path,label"
        )
    if odd := [name for name in rows[0] if name not in (column, "label", *OPTIONAL)]:
        _log.warning("%s: columns that mean nothing here: %s", path, ", ".join(odd))
    if empty := [row for row in rows if not row[column]]:
        raise DataError(f"{path}: {len(empty)} rows have no path; fill it in")
    paths = [os.path.join(os.path.dirname(path), row[column].replace("\\", "/")) for row in rows]
    base = os.path.commonpath([os.path.dirname(os.path.abspath(at)) for at in paths])
    return [_video(path, row, at, base, dataset, method) for row, at in zip(rows, paths, strict=True)]


def _video(table: str, row: dict[str, str], path: str, base: str, dataset: str, method: str) -> Video:
    label = LABEL_NAMES.get(row["label"].lower())
    if label is None:
        raise DataError(f"{table}: {path} has label {row['label']!r}, want real or fake, 0 (real) or 1 (fake)")
    split = row.get("split", "").lower()
    if split and split not in SPLIT_NAMES:
        raise DataError(f"{table}: {path} has split {row['split']!r}, want {', '.join(SPLITS)}, or none at all")
    below = os.path.relpath(os.path.abspath(path), base).replace(os.sep, "/")
    return Video(
        id=row.get("id") or os.path.splitext(below)[0],
        path=path,
        label=label,
        dataset=dataset,
        method=(row.get("method") or method).replace("/", "-") if label else ORIGINAL,
        compression=row.get("compression", ""),
        split=SPLIT_NAMES.get(split, ""),
        group=row.get("group", ""),
        source="",
    )
