"""Rows of scores: from windows to videos, CSV in and out, and Parquet where pyarrow is installed (extra ``parquet``).

Scores come first, statistics after: a model is run once, and every number of a report is a function of these rows.
"""

from __future__ import annotations

import csv
import dataclasses
import importlib.util
import io
import os
from collections.abc import Iterable, Sequence
from typing import TypeVar

import numpy as np
from scipy import special

from fusion_dfd import atomic, config
from fusion_dfd.evaluation import metrics
from fusion_dfd.types import DataError, Score


@dataclasses.dataclass(frozen=True, slots=True)
class FrameScore(Score):
    """One scored frame: a row of the table of frames. ``logit`` is the opinion of that frame alone, ``forged`` is 0 or
    1 (-1 unknown), and ``start`` and ``stop`` are those of its window."""

    frame: int = 0
    """Number of the frame in the source video, in decode order from 0; where the frames of a clip are
    spread over the video (``config.Faces.sampling``), ``start`` plus the frame's position in the window."""


@dataclasses.dataclass(frozen=True, slots=True)
class VideoFacts:
    """What is known of a video whatever its score."""

    video: str
    """``Video.key``."""
    dataset: str
    method: str
    compression: str
    group: str
    label: int
    """0 or 1; -1 if unknown."""


@dataclasses.dataclass(frozen=True, slots=True)
class VideoScore(VideoFacts):
    """One scored video: its windows, aggregated."""

    windows: int
    """Number of windows behind the probability; 0 for a video that could not be scored."""
    probability: float
    """Probability of fake, 0..1; NaN if that of a window is."""


Row = TypeVar("Row", bound=Score | VideoScore)

_CONVERT = {"int": int, "float": float, "str": str}
"""By the annotation of a row's field."""

_INSTALL = "pip install 'fusion-dfd[parquet]'"

PARQUET_ABSENT = f"The scores were written as CSV only. For Parquet files as well: {_INSTALL}"


def probability(logits) -> np.ndarray | float:
    """float64 in 0..1, the sigmoid of one logit or of ``logits`` [n]; NaN stays NaN."""
    return special.expit(np.asarray(logits, dtype=np.float64))


def soft_maximum(logits: np.ndarray, sharpness: float) -> float:
    """``log(mean(exp(r x))) / r`` of ``logits`` x [n] with sharpness r: their mean as r goes to 0, the largest as it
    grows (log-sum-exp pooling: Pinheiro and Collobert, CVPR 2015, equation 6)."""
    return float((special.logsumexp(sharpness * np.asarray(logits)) - np.log(len(logits))) / sharpness)


def face_probability(logits: np.ndarray, rule: str) -> float:
    """Probability 0..1 of a face of the ``logits`` [n] of its windows, by a rule of :data:`fusion_dfd.config.RULES`."""
    match rule:
        case "mean_probability":
            return float(probability(logits).mean())
        case "mean_logit":
            return float(probability(logits.mean()))
        case "max":
            return float(probability(logits).max())
        case "top_2" | "top_4":
            most = np.sort(probability(logits))[-int(rule[-1]) :]  # NaN sorts last
            return float(most.mean())
        case "soft_1" | "soft_4":
            return float(probability(soft_maximum(logits, int(rule[-1]))))
        case "attention":
            # Ilse et al., ICML 2018, equation 8; a window's score is its logit, and nothing is learnt.
            return float(special.softmax(np.asarray(logits, np.float64)) @ probability(logits))
    raise DataError(f"no aggregation rule {rule!r}: choose one of {', '.join(config.RULES)}")


def choose_rule(scores: Sequence[Score], tracks: str) -> str:
    """That of :data:`fusion_dfd.config.RULES` by which the videos of ``scores``, those of val, have the highest AUC.

    Of equal ones the first, and the first of all where there is no AUC.
    """
    found = {}
    for rule in config.RULES:
        rows = videos(scores, rule, tracks)
        auc = metrics.compute([row.label for row in rows], [row.probability for row in rows])["auc"]
        found[rule] = -1.0 if auc is None else round(auc, 12)
    return max(found, key=found.__getitem__)


def videos(scores: Iterable[Score], rule: str = "mean_probability", tracks: str = "first") -> list[VideoScore]:
    """One row per video key, in order of first appearance: windows to faces by ``rule``, faces to videos by ``tracks``.

    Raises :class:`DataError` where a window occurs twice, where a video's rows disagree about its data set, method,
    compression, group or label, or where a key does not begin with dataset, method and compression (two videos of one
    file name would become one).
    """
    if tracks not in config.TRACKS:
        raise DataError(f"no aggregation over faces {tracks!r}: choose one of {', '.join(config.TRACKS)}")
    of_video: dict[str, list[Score]] = {}
    seen = set()
    for row in scores:
        window = (row.video, row.track, row.clip, row.start)
        if window in seen:
            raise DataError(
                f"clip {row.clip} at frame {row.start} of {row.video} is scored twice: merge no tables of scores"
            )
        seen.add(window)
        if row.track == 0 or tracks == "max":
            of_video.setdefault(row.video, []).append(row)
    return [_video(key, rows, rule) for key, rows in of_video.items()]


def _video(key: str, rows: list[Score], rule: str) -> VideoScore:
    facts = {(row.dataset, row.method, row.compression, row.group, row.label) for row in rows}
    if len(facts) > 1:
        raise DataError(
            f"the windows of {key} disagree about dataset, method, compression, group or label: {sorted(facts)}"
        )
    dataset, method, compression, group, label = facts.pop()
    opening = "/".join((dataset, method, compression, ""))
    if not key.startswith(opening) or key == opening:
        raise DataError(f"video key {key!r} does not read {opening}<id>: a file name alone does not identify a video")
    of_track: dict[int, list[float]] = {}
    for row in rows:
        of_track.setdefault(row.track, []).append(row.logit)
    faces = [face_probability(np.array(logits, dtype=np.float64), rule) for logits in of_track.values()]
    return VideoScore(key, dataset, method, compression, group, label, len(rows), float(np.max(faces)))


def write_csv(path: str | os.PathLike, rows: Sequence[Row], kind: type[Row] = Score) -> str:
    """Write rows of dataclass ``kind`` (:class:`Score`, :class:`FrameScore`, :class:`VideoScore`) with a header line.

    Floats are written so that they read back bit for bit. The file appears whole or not at all; returns its path.
    """
    names = [field.name for field in dataclasses.fields(kind)]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names)
    writer.writerows([_text(getattr(row, name)) for name in names] for row in rows)
    return atomic.write_text(path, text.getvalue())


def _text(value) -> str:
    return repr(float(value)) if isinstance(value, float | np.floating) else str(value)


def read_csv(path: str | os.PathLike, kind: type[Row] = Score) -> list[Row]:
    """Inverse of :func:`write_csv`; columns that have a default may be missing, as in tables of earlier versions.

    Raises :class:`DataError` naming the file, the line and the value that is wrong.
    """
    fields = dataclasses.fields(kind)
    names = [field.name for field in fields]
    needed = {field.name for field in fields if field.default is dataclasses.MISSING}
    convert = {field.name: _CONVERT[field.type] for field in fields}
    try:
        with open(path, encoding="utf-8", newline="") as file:
            reader = csv.reader(file, strict=True)
            header = next(reader, [])
            if header != [name for name in names if name in header] or not needed <= set(header):
                raise DataError(f"{path}: the first line must read {','.join(names)}, not {','.join(header)!r}")
            return [kind(**_values(path, reader.line_num, cells, header, convert)) for cells in reader]
    except OSError as error:
        raise DataError(f"cannot read scores from {path}: {error.strerror}") from error
    except (csv.Error, UnicodeDecodeError) as error:
        raise DataError(f"{path} is not a CSV table of scores: {error}") from error


def _values(path, line: int, cells: list[str], names: list[str], convert: dict[str, type]) -> dict:
    if len(cells) != len(names):
        raise DataError(f"{path}, line {line}: {len(cells)} values where {len(names)} belong: is the file cut short?")
    values = {}
    for name, cell in zip(names, cells, strict=True):
        try:
            value = convert[name](cell)
        except ValueError:
            raise DataError(f"{path}, line {line}: {name} is {cell!r}, want {convert[name].__name__}") from None
        if name == "label" and value not in (-1, 0, 1):
            raise DataError(f"{path}, line {line}: label is {cell}, want 0 (real), 1 (fake) or -1 (unknown)")
        values[name] = value
    return values


def from_dfwb(columns: dict[str, list]) -> dict[str, list]:
    """The columns of a score file of dfwb (deepfake-workbench, contract C5), as ``fusion-dfd rescore`` names them.

    Its key is the video; a row without the status ``ok`` has no score, and the status is the reason.
    """
    methods = columns.get("method") or [""] * len(columns["key"])
    names = [key.removeprefix(f"{method}/") for key, method in zip(columns["key"], methods, strict=True)]
    reasons = ["" if status == "ok" else f"dfwb says {status}" for status in columns["status"]]
    same = ("dataset", "compression", "label", "score", "method")
    return {"video": names, "reason": reasons} | {name: columns[name] for name in same if name in columns}


def write_dfwb(path: str | os.PathLike, scored: Sequence[VideoScore], lost: Sequence[tuple[VideoFacts, str]]) -> str:
    """Write videos as a score file of dfwb; returns its path, which should end in ``.scores.csv``.

    Its key is ``<method>/<id>``, since ids repeat from method to method. The meta file, which names a pack of dfwb, is
    left to ``dfwb eval import``.

    Args:
      path: of the file.
      scored: videos with a score.
      lost: videos without, each with a status, ``missing`` or ``error``.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("dataset", "key", "compression", "label", "score", "status", "method", "n_clips"))
    rows = [(row, repr(row.probability), "ok", row.windows) for row in scored]
    for row, score, status, count in rows + [(row, "", status, "") for row, status in lost]:
        name = row.video.split("/", 3)[3]
        key = f"{row.method}/{name}"
        writer.writerow((row.dataset, key, row.compression, row.label, score, status, row.method, count))
    return atomic.write_text(path, text.getvalue())


def parquet_available() -> bool:
    """Whether pyarrow is installed."""
    return importlib.util.find_spec("pyarrow") is not None


def write_parquet(path: str | os.PathLike, rows: Sequence[Row], kind: type[Row] = Score) -> str:
    """Write rows of dataclass ``kind``, one column a field: int64, double or string. Whole or not at all.

    Returns the path. Raises :class:`DataError` where pyarrow is not installed or the file cannot be written.
    """
    pyarrow, files = parquet_library(path)
    types = {int: pyarrow.int64(), float: pyarrow.float64(), str: pyarrow.string()}
    columns = {
        field.name: pyarrow.array([_CONVERT[field.type](getattr(row, field.name)) for row in rows], types[of])
        for field in dataclasses.fields(kind)
        for of in (_CONVERT[field.type],)
    }
    with atomic.binary(path) as file:
        files.write_table(pyarrow.table(columns), file)
    return os.fspath(path)


def read_parquet(path: str | os.PathLike) -> dict[str, list]:
    """The columns of a file by name. Raises :class:`DataError` where it cannot be read."""
    pyarrow, files = parquet_library(path)
    try:
        return files.read_table(os.fspath(path)).to_pydict()
    except (OSError, pyarrow.ArrowException) as error:
        raise DataError(f"{path} is not a Parquet table: {str(error).splitlines()[0]}") from error


def parquet_library(path: str | os.PathLike):
    """``pyarrow`` and ``pyarrow.parquet``. Raises DataError, which names ``path``, where they are not installed."""
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise DataError(f"{path}: Parquet files need pyarrow ({_INSTALL}); or give a CSV file") from error
    return pyarrow, parquet
