"""Statistics of tables of scores, of this detector or any other, from CSV or Parquet.

One table is reported, several are compared with the first or, where they are seeds of one system, averaged.
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
    start        optional first frame of the clip
    reason       optional, why a video has no score

A score file of dfwb (columns ``key`` and ``status``) is read too. A folder stands for a report of this package: its
``scores.csv``, and the videos without a score of ``metrics.json``.
"""

from __future__ import annotations

import collections
import csv
import dataclasses
import json
import os
import statistics
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.markdown import Markdown

from fusion_dfd import atomic, config
from fusion_dfd.evaluation.bootstrap import DeLong, Difference, delong, differences, same_videos
from fusion_dfd.evaluation.calibrate import logit
from fusion_dfd.evaluation.metrics import METRICS
from fusion_dfd.evaluation.scores import VideoScore, from_dfwb, read_parquet, videos, write_dfwb
from fusion_dfd.evaluation.summary import Summary, Unscored, summarise
from fusion_dfd.reports import comparison, evaluation_page, tables
from fusion_dfd.reports.evaluation_page import AboutRun
from fusion_dfd.reports.terminal import print_summary
from fusion_dfd.runs import protocols
from fusion_dfd.types import LABELS, ORIGINAL, DataError, Score

SCORES = ("logit", "score", "probability")
_LABELS = {"0": 0, "1": 1, **{name: label for label, name in enumerate(LABELS)}}


def rescore(
    paths: Sequence[str],
    out: str,
    options: config.Evaluate,
    protocol: str | None = None,
    of_seeds: bool = False,
    dfwb: bool = False,
) -> list[str]:
    """Evaluate tables of scores, print and write the reports; returns their paths.

    Args:
      paths: the tables; the first is what others are compared with.
      out: folder of the reports, made if missing.
      options: aggregation and number of resamples.
      protocol: fill the table of this protocol instead, of :data:`fusion_dfd.runs.protocols.PROTOCOLS`.
      dfwb: also write the videos of each table as a score file of dfwb.
      of_seeds: the tables are seeds of one system: mean and spread instead of comparisons.

    Raises :class:`DataError` for tables that cannot be used.
    """
    if protocol:
        return [by_protocol(paths, out, options, protocol)]
    tables = {name: read_table(path) for name, path in _names(paths).items()}
    made, written = {}, []
    for name, table in tables.items():
        made[name] = summarise(
            table.scores,
            unscored=table.unscored,
            bootstrap=options.bootstrap,
            rule=options.aggregate,
            tracks=options.tracks,
        )
        folder = os.path.join(out, name)
        written.append(
            evaluation_page.write(
                folder, made[name], table.scores, about=AboutRun(command=" ".join(sys.argv), warnings=table.remarks)
            )
        )
        if dfwb:
            lost = [(row, {"failed": "error", "faceless": "missing"}[row.kind]) for row in table.unscored]
            scored = videos(table.scores, options.aggregate, options.tracks)
            written.append(write_dfwb(os.path.join(folder, f"{name}.scores.csv"), scored, lost))
        Console().rule(name)
        print_summary(made[name])
        for line in table.remarks:
            Console().print(line, highlight=False, markup=False)
    if len(tables) > 1:
        rows = {name: videos(table.scores, options.aggregate, options.tracks) for name, table in tables.items()}
        written.append(_publish_seeds(made, out) if of_seeds else _compare(rows, out, options.bootstrap))
    return written


def by_protocol(paths: Sequence[str], out: str, options: config.Evaluate, protocol: str) -> str:
    """Fill the table of a protocol from tables of scores, print and write it; returns its path."""
    tables = {name: read_table(path) for name, path in _names(paths).items()}
    runs = [protocols.Submission(name, table.scores, table.unscored, options=options) for name, table in tables.items()]
    return protocols.publish(out, protocol, runs)


def _names(paths: Sequence[str]) -> dict[str, str]:
    names = protocols.short_names([os.path.splitext(path)[0] for path in paths])
    return dict(zip(names, paths, strict=True))


@dataclasses.dataclass(frozen=True)
class PairedTest:
    """The second of two tables against the first."""

    videos: int
    """Videos that both tables have."""
    left_out: tuple[int, int]
    """Videos that only the first has, and that only the second has."""
    groups: int
    delong: DeLong | None
    note: str
    """Why there is no DeLong test; ``""`` where there is."""
    differences: dict[str, Difference]


def compare(first: Sequence[VideoScore], second: Sequence[VideoScore], resamples: int, seed: int = 0) -> PairedTest:
    """Both tests over the videos that both tables have; differences are second minus first."""
    one, other = same_videos(first, second)
    labels, groups = [row.label for row in one], [f"{row.dataset}/{row.group}" for row in one]
    p, q = ([row.probability for row in rows] for rows in (one, other))
    try:
        test, note = delong(labels, p, q), ""
    except DataError as error:
        test, note = None, str(error)
    return PairedTest(
        len(one),
        (len(first) - len(one), len(second) - len(one)),
        len(set(groups)),
        test,
        note,
        differences(labels, p, q, groups, resamples, seed),
    )


def _compare(rows: Mapping[str, Sequence[VideoScore]], out: str, resamples: int) -> str:
    first, *others = rows
    pairs = {name: compare(rows[first], rows[name], resamples) for name in others}
    tables = [(f"{name} against {first}", _sentence(first, name, pair), _lines(pair)) for name, pair in pairs.items()]
    paragraphs = [_markdown(*table) for table in tables]
    if len(others) > 1:
        paragraphs.append(f"{len(others)} comparisons were made: no p-value is corrected for that.")
    atomic.write_text(os.path.join(out, "paired.html"), comparison.paired_page(rows, tables))
    values = {"first": first, "pairs": {name: dataclasses.asdict(pair) for name, pair in pairs.items()}}
    return _write(out, "paired", "\n\n".join(paragraphs), values)


def _sentence(first: str, second: str, pair: PairedTest) -> str:
    test = pair.delong
    tested = (
        f"AUC {test.first:.4f} and {test.second:.4f}. DeLong, videos independent: difference {test.difference:+.4f}, "
        f"standard error {test.error:.4f}, p = {test.p:.3g}."
        if test
        else f"{pair.note}."
    )
    return (
        f"{pair.videos} videos in {pair.groups} groups; left out are {pair.left_out[0]} that only {first} has and "
        f"{pair.left_out[1]} that only {second} has. {tested} The table is a bootstrap over groups."
    )


def _lines(pair: PairedTest) -> list[list[str]]:
    """Metric, difference, interval and p-value of each metric, as text."""
    return [
        [
            METRICS[name].title,
            "undefined" if entry.value is None else f"{entry.value:+.4f}",
            "-" if entry.low is None else f"[{entry.low:+.4f}, {entry.high:+.4f}]",
            "-" if entry.p is None else f"{entry.p:.3g}",
        ]
        for name, entry in pair.differences.items()
    ]


def _markdown(title: str, sentence: str, lines: list[list[str]]) -> str:
    return f"### {title}\n\n{sentence}\n\n{tables.markdown(['metric', 'difference', '95% interval', 'p'], lines)}"


def _publish_seeds(summaries: Mapping[str, Summary], out: str) -> str:
    found = spread(list(summaries.values()))
    rows = []
    for name, entry in found.items():
        ends = ["-" if entry[end] is None else f"{entry[end]:.4f}" for end in ("low", "high")]
        rows.append([METRICS[name].title, spread_cell(entry), *ends])
    seeds = f"{len(summaries)} seeds: {', '.join(summaries)}"
    text = f"Mean and sample standard deviation of the videos' metrics over {seeds}."
    table = tables.markdown(["metric", "mean ± deviation (seeds)", "least", "most"], rows)
    return _write(out, "seeds", f"{text}\n\n{table}", {"tables": list(summaries), "metrics": found})


def spread(summaries: Sequence[Summary], unit: str = "video") -> dict[str, dict[str, Any]]:
    """``{metric: {n, mean, deviation, low, high}}`` over the runs; ``deviation`` is the sample standard deviation.

    ``n`` counts the runs for which the metric is defined; the rest is None where there is none, ``deviation`` also for
    one alone.
    """
    blocks = [summary["units"][unit]["overall"]["metrics"] for summary in summaries]
    return {name: _mean_and_deviation([block[name]["value"] for block in blocks]) for name in METRICS}


def _mean_and_deviation(values: Sequence[float | None]) -> dict[str, Any]:
    known = [value for value in values if value is not None]
    if not known:
        return {"n": 0, "mean": None, "deviation": None, "low": None, "high": None}
    deviation = statistics.stdev(known) if len(known) > 1 else None
    return {
        "n": len(known),
        "mean": statistics.fmean(known),
        "deviation": deviation,
        "low": min(known),
        "high": max(known),
    }


def spread_cell(entry: Mapping[str, Any]) -> str:
    """An entry of :func:`spread` as text: ``0.962 ± 0.004 (3)``, with the number of runs."""
    if entry["mean"] is None:
        return "undefined"
    deviation = "" if entry["deviation"] is None else f" ± {entry['deviation']:.3f}"
    return f"{entry['mean']:.3f}{deviation} ({entry['n']})"


def _write(out: str, name: str, text: str, values: dict) -> str:
    Console().print(Markdown(text))
    atomic.write_text(os.path.join(out, f"{name}.json"), json.dumps(values, indent=2) + "\n")
    return atomic.write_text(os.path.join(out, f"{name}.md"), text + "\n")


@dataclasses.dataclass(frozen=True)
class ScoreTable:
    """What a file of scores holds."""

    path: str
    scores: list[Score]
    unscored: list[Unscored]
    remarks: list[str]
    """Sentences about what the file did not say."""


def read_table(path: str | os.PathLike) -> ScoreTable:
    """Read a ``.csv`` or ``.parquet`` file of scores, or the folder of a report (columns: see the module).

    Raises :class:`DataError` naming the file, the row and the value: for a missing column or two columns of scores, a
    label or a number that is none, a score outside 0..1, and for a video that occurs twice without a column ``clip``
    (several methods share its name, or its clips are not numbered).
    """
    path = os.fspath(path)
    if os.path.isdir(path):
        table = read_table(os.path.join(path, "scores.csv"))
        return dataclasses.replace(table, unscored=_unscored(os.path.join(path, "metrics.json")))
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


def _unscored(path: str) -> list[Unscored]:
    """The videos without a score of a report."""
    try:
        with open(path, encoding="utf-8") as file:
            found = [(row["video"].split("/", 3), row) for row in json.load(file)["unscored"]["videos"]]
        return [
            Unscored(row["video"], *key[:3], row.get("group", row["video"]), row["label"], row["kind"], row["reason"])
            for key, row in found
        ]
    except (OSError, ValueError, KeyError, TypeError) as error:
        said = f"{path} does not say which videos have no score ({error!r})"
        raise DataError(f"{said}; give scores.csv itself") from error


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
