"""Statistics of tables of scores, whoever made them: one is described, two are compared, seeds are averaged.

out/<name>/report.html ...   of each table, as :mod:`fusion_dfd.evaluation.report` writes it
out/paired.html              their curves over each other, and the differences
out/paired.md paired.json    each further table against the first, over the videos that both have
out/seeds.md seeds.json      mean and spread, where the tables are seeds of one system
"""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.markdown import Markdown

from fusion_dfd import atomic, config
from fusion_dfd.evaluation import anyscores, overlay, paired, protocols, report, seeds
from fusion_dfd.evaluation.console import print_summary
from fusion_dfd.evaluation.metrics import METRICS
from fusion_dfd.evaluation.scores import VideoScore, videos
from fusion_dfd.evaluation.summary import Summary, summarise
from fusion_dfd.types import DataError


def publish(
    paths: Sequence[str], out: str, options: config.Evaluate, protocol: str | None = None, of_seeds: bool = False
) -> list[str]:
    """What ``scripts/evaluate.py`` does with tables: :func:`run`, or the table of a protocol; returns paths."""
    if protocol:
        return [by_protocol(paths, out, options, protocol)]
    return run(paths, out, options, of_seeds)


def run(paths: Sequence[str], out: str, options: config.Evaluate, of_seeds: bool = False) -> list[str]:
    """Evaluate tables of scores (:mod:`fusion_dfd.evaluation.anyscores`), print and write; returns the paths written.

    Args:
      paths: the tables; the first is what others are compared with.
      out: folder of the reports, made if missing.
      options: aggregation and number of resamples.
      of_seeds: the tables are seeds of one system: mean and spread instead of comparisons.

    Raises :class:`DataError` for tables that cannot be used.
    """
    tables = {name: anyscores.read(path) for name, path in _names(paths).items()}
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
            report.write(folder, made[name], table.scores, command=" ".join(sys.argv), warnings=table.remarks)
        )
        Console().rule(name)
        print_summary(made[name])
        for line in table.remarks:
            Console().print(line, highlight=False, markup=False)
    if len(tables) > 1:
        rows = {name: videos(table.scores, options.aggregate, options.tracks) for name, table in tables.items()}
        written.append(_spread(made, out) if of_seeds else _compare(rows, out, options.bootstrap))
    return written


def by_protocol(paths: Sequence[str], out: str, options: config.Evaluate, protocol: str) -> str:
    """Fill the table of a protocol from tables of scores, print and write it; returns its path."""
    tables = {name: anyscores.read(path) for name, path in _names(paths).items()}
    runs = [protocols.Scored(name, table.scores, table.unscored, options=options) for name, table in tables.items()]
    return protocols.publish(out, protocol, runs)


def _names(paths: Sequence[str]) -> dict[str, str]:
    names = protocols.short_names([os.path.splitext(path)[0] for path in paths])
    return dict(zip(names, paths, strict=True))


@dataclasses.dataclass(frozen=True)
class Pair:
    """The second of two tables against the first."""

    videos: int
    """That both have."""
    left_out: tuple[int, int]
    """Videos that only the first, only the second has."""
    groups: int
    delong: paired.DeLong | None
    note: str
    """Why there is no test of DeLong; ``""`` where there is."""
    differences: dict[str, paired.Difference]


def compare(first: Sequence[VideoScore], second: Sequence[VideoScore], bootstrap: int, seed: int = 0) -> Pair:
    """Both tests over the videos that both tables have; differences are second minus first."""
    one, other = paired.same_videos(first, second)
    labels, groups = [row.label for row in one], [f"{row.dataset}/{row.group}" for row in one]
    p, q = ([row.probability for row in rows] for rows in (one, other))
    try:
        test, note = paired.delong(labels, p, q), ""
    except DataError as error:
        test, note = None, str(error)
    return Pair(
        len(one),
        (len(first) - len(one), len(second) - len(one)),
        len(set(groups)),
        test,
        note,
        paired.differences(labels, p, q, groups, bootstrap, seed),
    )


def _compare(rows: Mapping[str, Sequence[VideoScore]], out: str, bootstrap: int) -> str:
    first, *others = rows
    pairs = {name: compare(rows[first], rows[name], bootstrap) for name in others}
    tables = [(f"{name} against {first}", _told(first, name, pair), _lines(pair)) for name, pair in pairs.items()]
    parts = [_markdown(*one) for one in tables]
    if len(others) > 1:
        parts.append(f"{len(others)} comparisons were made: no p-value is corrected for that.")
    atomic.write_text(os.path.join(out, "paired.html"), overlay.page(rows, tables))
    values = {"first": first, "pairs": {name: dataclasses.asdict(pair) for name, pair in pairs.items()}}
    return _write(out, "paired", "\n\n".join(parts), values)


def _told(first: str, second: str, pair: Pair) -> str:
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


def _lines(pair: Pair) -> list[list[str]]:
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


def _markdown(title: str, told: str, lines: list[list[str]]) -> str:
    header = ["| metric | difference | 95 % interval | p |", "|---|---:|---:|---:|"]
    return "\n".join([f"### {title}", "", told, "", *header, *(f"| {' | '.join(line)} |" for line in lines)])


def _spread(summaries: Mapping[str, Summary], out: str) -> str:
    found = seeds.spread(list(summaries.values()))
    lines = [
        f"Mean and sample standard deviation over videos' metrics of {len(summaries)} seeds: {', '.join(summaries)}.",
        "",
        "| metric | mean ± deviation (seeds) | least | most |",
        "|---|---:|---:|---:|",
    ]
    for name, entry in found.items():
        ends = ["-" if entry[end] is None else f"{entry[end]:.4f}" for end in ("low", "high")]
        lines.append(f"| {METRICS[name].title} | {seeds.cell(entry)} | {' | '.join(ends)} |")
    return _write(out, "seeds", "\n".join(lines), {"tables": list(summaries), "metrics": found})


def _write(out: str, name: str, text: str, values: dict) -> str:
    Console().print(Markdown(text))
    atomic.write_text(os.path.join(out, f"{name}.json"), json.dumps(values, indent=2) + "\n")
    return atomic.write_text(os.path.join(out, f"{name}.md"), text + "\n")
