"""Anyone's table of scores, this detector's or another's: the least that statistics need, from CSV or Parquet.

Columns, in any order; others are ignored::

    video        name of the video; unique within its data set, method and compression
    label        0 or real, 1 or fake
    logit        or ``score`` or ``probability`` (both in 0..1, higher for fake), just one of the three; empty where the
                 video could not be scored, which counts it at .5
    dataset      optional; "scores" without it
    method       optional manipulation; "fake" without it, and "original" for every real video
    compression  optional
    group        optional; videos that share a person or a source clip have the same. Without it each video is its own,
                 and intervals are too narrow where videos do share any
    clip         optional number of the clip in its video: several rows of a video are its clips, and are aggregated
    track        optional number of the face in its video, 0 without it
    start        optional first frame of the clip
    reason       optional, why a video has no score
"""

from __future__ import annotations

import collections
import csv
import dataclasses
import os

from fusion_dfd.evaluation import parquet
from fusion_dfd.evaluation.calibrate import logit
from fusion_dfd.evaluation.summary import Unscored
from fusion_dfd.types import LABELS, ORIGINAL, DataError, Score

SCORES = ("logit", "score", "probability")
_LABELS = {"0": 0, "1": 1, **{name: label for label, name in enumerate(LABELS)}}


@dataclasses.dataclass(frozen=True)
class Table:
    """What a file held."""

    path: str
    scores: list[Score]
    unscored: list[Unscored]
    remarks: list[str]
    """Sentences about what the file did not say."""


def read(path: str | os.PathLike) -> Table:
    """Read a ``.csv`` or ``.parquet`` file of scores, see the module's docstring for its columns.

    Raises :class:`DataError` naming the file, the row and the value: for a missing column or two columns of scores, a
    label or a number that is none, a score outside 0..1, and for a video that occurs twice without a column ``clip``
    (several methods share its name, or its clips are not numbered).
    """
    path = os.fspath(path)
    columns = parquet.read_columns(path) if path.lower().endswith(".parquet") else _csv_columns(path)
    kind = _kind(path, columns)
    rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    read_rows = [_row(path, number, row, kind) for number, row in enumerate(rows, 1)]
    if "clip" not in columns:
        _once(path, read_rows)
    scored = [row for row in read_rows if isinstance(row, Score)]
    if not scored:
        raise DataError(f"{path} holds no row with a score")
    remarks = []
    if "group" not in columns:
        remarks.append(f"{path} has no column group: every video counts as independent of the others")
    return Table(path, scored, [row for row in read_rows if isinstance(row, Unscored)], remarks)


def _csv_columns(path: str) -> dict[str, list[str]]:
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            lines = list(csv.reader(file, strict=True))
    except OSError as error:
        raise DataError(f"cannot read scores from {path}: {error.strerror}") from error
    except (csv.Error, UnicodeDecodeError) as error:
        raise DataError(f"{path} is not a CSV table of scores: {error}") from error
    header, rows = (lines[0] if lines else []), [line for line in lines[1:] if line]
    for number, row in enumerate(rows, 1):
        if len(row) != len(header):
            raise DataError(
                f"{path}, row {number}: {len(row)} values where {len(header)} belong: is the file cut short?"
            )
    return {name.strip().lower(): [row[place] for row in rows] for place, name in enumerate(header)}


def _kind(path: str, columns: dict) -> str:
    """Which column holds the scores."""
    there = f"it has {', '.join(columns) or 'none'}"
    missing = [name for name in ("video", "label") if name not in columns]
    if missing:
        raise DataError(f"{path} lacks the column {' and '.join(missing)}; {there}")
    found = [name for name in SCORES if name in columns]
    if len(found) != 1:
        raise DataError(f"{path} wants just one column of {', '.join(SCORES)}; {there}")
    return found[0]


def _row(path: str, number: int, row: dict, kind: str) -> Score | Unscored:
    where = f"{path}, row {number}"
    label = _LABELS.get(str(row["label"]).strip().lower())
    if label is None:
        raise DataError(f"{where}: label is {row['label']!r}, want 0 or real, 1 or fake")
    text = {name: str(row.get(name) or "").strip() for name in ("dataset", "compression", "method", "group", "reason")}
    dataset, compression = text["dataset"] or "scores", text["compression"]
    method = text["method"] or (LABELS[1] if label else ORIGINAL)
    name = str(row["video"]).strip()
    if not name:
        raise DataError(f"{where}: video is empty")
    opening = f"{dataset}/{method}/{compression}/"
    key = name if name.startswith(opening) else opening + name
    about = {
        "video": key,
        "dataset": dataset,
        "method": method,
        "compression": compression,
        "group": text["group"] or key,
        "label": label,
    }
    value = row[kind]
    if value is None or str(value).strip() == "":
        return Unscored(**about, kind="failed", reason=text["reason"] or f"no score in {os.path.basename(path)}")
    numbers = {name: _number(where, name, row.get(name), int) for name in ("clip", "track", "start")}
    return Score(**about, **numbers, logit=_logit(where, kind, value))


def _number(where: str, name: str, value, of: type):
    try:
        return of(value) if value not in (None, "") else of(0)
    except (ValueError, OverflowError):
        raise DataError(f"{where}: {name} is {value!r}, want {of.__name__}") from None


def _logit(where: str, kind: str, value) -> float:
    number = _number(where, kind, value, float)
    if kind == "logit":
        return number
    if number < 0 or number > 1:
        raise DataError(f"{where}: {kind} is {value}, want 0..1; name the column logit if 0 is the border")
    return float(logit([number])[0])


def _once(path: str, rows: list[Score | Unscored]) -> None:
    counts = collections.Counter(row.video for row in rows)
    twice = [key for key, count in counts.items() if count > 1]
    if twice:
        raise DataError(
            f"{path}: {len(twice)} videos occur more than once (e.g. {twice[0]}): add the column method (or dataset, "
            "compression) if they are different videos of one name, or clip if they are clips of one video"
        )
