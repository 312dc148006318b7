"""Statistics of tables of scores (:mod:`fusion_dfd.evaluation.score_table`), of this detector or any other.

One table is reported, several are compared with the first or, where they are seeds of one system, averaged.
"""

from __future__ import annotations

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
from fusion_dfd.evaluation.metrics import METRICS
from fusion_dfd.evaluation.score_table import read_table
from fusion_dfd.evaluation.scores import VideoScore, videos, write_dfwb
from fusion_dfd.evaluation.summary import Summary, cell, summarise
from fusion_dfd.reports import comparison, evaluation_page, tables
from fusion_dfd.reports.evaluation_page import AboutRun
from fusion_dfd.reports.terminal import print_summary
from fusion_dfd.runs import protocols
from fusion_dfd.types import DataError


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
            frame_scores=table.frames,
            unscored=table.unscored,
            bootstrap=options.bootstrap,
            rule=options.aggregate,
            tracks=options.tracks,
            stretches=table.stretches,
        )
        folder = os.path.join(out, name)
        about = AboutRun(command=" ".join(sys.argv), warnings=table.remarks)
        written.append(evaluation_page.write(folder, made[name], table.scores, table.frames, about))
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
        written.append(_publish_seeds(made, out) if of_seeds else _compare(rows, made, out, options.bootstrap))
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


def _compare(
    rows: Mapping[str, Sequence[VideoScore]], summaries: Mapping[str, Summary], out: str, resamples: int
) -> str:
    first, *others = rows
    pairs = {name: compare(rows[first], rows[name], resamples) for name in others}
    header = ["metric", "difference", "95% interval", "p"]
    found = [
        (f"{name} against {first}", _sentence(first, name, pair), header, _lines(pair)) for name, pair in pairs.items()
    ]
    found += _of_stretches(summaries)
    paragraphs = [f"### {title}\n\n{text}\n\n{tables.markdown(names, lines)}" for title, text, names, lines in found]
    if len(others) > 1:
        paragraphs.append(f"{len(others)} comparisons were made: no p-value is corrected for that.")
    atomic.write_text(os.path.join(out, "paired.html"), comparison.paired_page(rows, found))
    values = {"first": first, "pairs": {name: dataclasses.asdict(pair) for name, pair in pairs.items()}}
    return _write(out, "paired", "\n\n".join(paragraphs), values)


def _of_stretches(summaries: Mapping[str, Summary]) -> list[tuple[str, str, list[str], list[list[str]]]]:
    """A table of how well each finds forged stretches; none where no table knows of any."""
    blocks = {name: summary["stretches"] for name, summary in summaries.items() if summary["stretches"]}
    if not blocks:
        return []
    text = "Each over all videos of its own table, with the 95% interval. A dash: the table does not say enough."
    header = ["scores", "frame AUC", "segment AUC", "AP at IoU .50", "AP at IoU .75", "stretches found"]
    lines = []
    for name, block in blocks.items():
        areas = [cell(block[key]) if block[key] else "-" for key in ("frame_auc", "segment_auc")]
        precisions = ["-" if block[key] is None else f"{block[key]:.3f}" for key in ("ap_50", "ap_75")]
        lines.append([name, *areas, *precisions, str(block["found"])])
    return [("Forged stretches", text, header, lines)]


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
