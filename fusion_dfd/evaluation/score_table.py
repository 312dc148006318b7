"""Tables of scores, of this detector or any other, from CSV or Parquet.

Columns, in any order; others are ignored::

    video        name of the video; unique within its data set, method and compression
    label        0 or real, 1 or fake
    logit        or ``score`` or ``probability`` (both in 0..1, higher for fake), exactly one of the three; empty where
                 the video could not be scored, which counts it at 0.5
    dataset      optional; "scores" without it
    method       optional manipulation; "fake" without it, and "original" for every real video
    compression  optional
    group        optional; videos that share a person or a source clip have the same. Without it each video is its own
                 group, and intervals are too narrow where videos do share any
    clip         optional number of the clip in its video: several rows of a video are its windows, and are aggregated
    track        optional number of the face in its video, 0 without it
    start, stop  optional; the first frame of the window in the video, and the first one after it
    contiguous   optional; 0 where the frames of the window are not known to be consecutive, 1 without it
    forged       optional; how many frames of the window are forged, of a fake of which only stretches are; needs start
                 and stop. -1 without it: only the label of the video is known
    reason       optional, why a video has no score

A score file of dfwb (columns ``key`` and ``status``) is read too. A folder stands for a report of this package: its
``scores.csv``, the videos without a score and the forged stretches of ``metrics.json``, and ``frames.csv`` where there
are forged stretches.
"""

from __future__ import annotations

import collections
import csv
import dataclasses
import json
import os

from fusion_dfd.evaluation.calibrate import logit
from fusion_dfd.evaluation.scores import FrameScore, from_dfwb, read_csv, read_parquet
from fusion_dfd.evaluation.summary import Unscored
from fusion_dfd.types import LABELS, ORIGINAL, DataError, Score, Stretches

SCORES = ("logit", "score", "probability")
_LABELS = {"0": 0, "1": 1, **{name: label for label, name in enumerate(LABELS)}}


@dataclasses.dataclass(frozen=True)
class ScoreTable:
    """What a file of scores holds."""

    path: str
    scores: list[Score]
    unscored: list[Unscored]
    remarks: list[str]
    """Sentences about what the file did not say."""
    stretches: dict[str, Stretches] = dataclasses.field(default_factory=dict)
    """In frames, of the fakes that state them, by key."""
    frames: list[FrameScore] | None = None
    """Rows of frames, where stretches are known and frames were judged."""


def read_table(path: str | os.PathLike) -> ScoreTable:
    """Read a ``.csv`` or ``.parquet`` file of scores, or the folder of a report (columns: see the module).

    Raises :class:`DataError` naming the file, the row and the value: for a missing column or two columns of scores, a
    label or a number that is none, a score outside 0..1, and for a video that occurs twice without a column ``clip``
    (several methods share its name, or its clips are not numbered).
    """
    path = os.fspath(path)
    if os.path.isdir(path):
        return _of_report(read_table(os.path.join(path, "scores.csv")), path)
    columns = read_parquet(path) if path.lower().endswith(".parquet") else _csv_columns(path)
    if {"key", "status"} <= columns.keys() and "video" not in columns:
        columns = from_dfwb(columns)
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
    return ScoreTable(path, scored, [row for row in read_rows if isinstance(row, Unscored)], remarks)


def _of_report(table: ScoreTable, folder: str) -> ScoreTable:
    """A table with what else the folder of its report says."""
    path = os.path.join(folder, "metrics.json")
    try:
        with open(path, encoding="utf-8") as file:
            summary = json.load(file)
        found = [(row["video"].split("/", 3), row) for row in summary["unscored"]["videos"]]
        lost = [
            Unscored(row["video"], *key[:3], row.get("group", row["video"]), row["label"], row["kind"], row["reason"])
            for key, row in found
        ]
        spans = (summary.get("stretches") or {}).get("spans") or {}
        known = {video: Stretches.parse(text) for video, text in spans.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, DataError) as error:
        said = f"{path} does not say which videos have no score, or which stretches are forged ({error!r})"
        raise DataError(f"{said}; give scores.csv itself") from error
    frames = os.path.join(folder, "frames.csv")
    judged = read_csv(frames, FrameScore) if known and os.path.exists(frames) else None
    return dataclasses.replace(table, unscored=lost, stretches=known, frames=judged)


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
    return {name.strip().lower(): [row[column] for row in rows] for column, name in enumerate(header)}


def _kind(path: str, columns: dict) -> str:
    """Which column holds the scores."""
    present = f"it has {', '.join(columns) or 'none'}"
    missing = [name for name in ("video", "label") if name not in columns]
    if missing:
        raise DataError(f"{path} lacks the column {' and '.join(missing)}; {present}")
    found = [name for name in SCORES if name in columns]
    if len(found) != 1:
        raise DataError(f"{path} needs exactly one column of {', '.join(SCORES)}; {present}")
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
    numbers = {name: _number(where, name, row.get(name), int, least) for name, least in _NUMBERS.items()}
    if wrong := _contradiction(label, **numbers):
        raise DataError(f"{where}: {wrong}")
    return Score(**about, **numbers, logit=_logit(where, kind, value))


_NUMBERS = {"clip": 0, "track": 0, "start": 0, "stop": 0, "contiguous": 1, "forged": -1}
"""Columns of whole numbers, and what stands for an empty one."""


def _contradiction(label: int, start: int, stop: int, contiguous: int, forged: int, **_: int) -> str:
    """What cannot be in a row, ``""`` where all can."""
    if contiguous not in (0, 1):
        return f"contiguous is {contiguous}, want 1, or 0 where frames are not consecutive"
    if forged >= 0 and not start < stop:
        return f"forged is {forged}, but start {start} and stop {stop} are no frames; give both, or leave out forged"
    most = stop - start if label else 0
    if not (forged < 0 or forged <= most):
        return f"forged is {forged}, want at most {most}, the frames of the window, and 0 of a real video"
    return ""


def _number(where: str, name: str, value, of: type, empty: int = 0):
    try:
        return of(value) if value not in (None, "") else of(empty)
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
