"""Several runs side by side.

:func:`comparison` is a table with one row per run: overall, per method, and what each costs. :func:`paired_page` lays
the curves of several tables of scores over each other, over the videos that all of them have.
"""

from __future__ import annotations

import csv
import dataclasses
import io
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple
from urllib.parse import quote

import numpy as np
from markupsafe import Markup
from sklearn import metrics as sk

from fusion_dfd.evaluation import metrics
from fusion_dfd.evaluation.bootstrap import Difference
from fusion_dfd.evaluation.metrics import METRICS
from fusion_dfd.evaluation.scores import VideoScore
from fusion_dfd.evaluation.summary import Summary, cell
from fusion_dfd.reports import pages, plots, tables


class Cost(NamedTuple):
    """What a model costs to run."""

    parameters: int
    flops: float
    """Floating-point operations per window."""
    windows_per_second: float


class Comparison(NamedTuple):
    table: dict[str, Any]
    """JSON-able::

        {unit, metric, also, methods, rows: {run: {overall: entry, also: {metric: entry},
        methods: {method: entry or None}, cost: {...} or None, against: {...} or None}}}
    """
    header: list[str]
    rows: list[list[str]]
    """Cells as text, the name of the run first, its overall value second."""
    best: set[str]
    """Names of the runs whose overall value is best; empty where there is nothing to compare."""

    @property
    def markdown(self) -> str:
        """A table; the best overall value is bold."""
        rows = [[name, f"**{overall}**" if name in self.best else overall, *rest] for name, overall, *rest in self.rows]
        return tables.markdown(self.header, rows)

    @property
    def csv(self) -> str:
        """One line per run, numbers in full precision; a cell is empty where there is no number."""
        metric, also, methods = (self.table[name] for name in ("metric", "also", "methods"))
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        interval = [f"{metric}_low", f"{metric}_high"]
        against = [f"{metric}_minus_first", "minus_first_low", "minus_first_high", "minus_first_p"]
        writer.writerow(["run", metric, *interval, *also, *against, *Cost._fields, *(f"{metric}/{m}" for m in methods)])
        for name, row in self.table["rows"].items():
            whole = [row["overall"][part] for part in ("value", "low", "high")]
            parts = [row["also"][one]["value"] for one in also]
            cost = row["cost"] or dict.fromkeys(Cost._fields)
            per = [entry and entry["value"] for entry in row["methods"].values()]
            difference = row["against"] or dict.fromkeys(("value", "low", "high", "p"))
            writer.writerow([name, *whole, *parts, *difference.values(), *cost.values(), *per])
        return text.getvalue()


def comparison(
    summaries: Mapping[str, Summary],
    unit: str = "video",
    metric: str = "auc",
    also: Sequence[str] = (),
    costs: Mapping[str, Cost] | None = None,
    against: Mapping[str, Difference] | None = None,
) -> Comparison:
    """One metric of several runs, in the order given: over all rows with its interval, and per method.

    A run that lacks a method has a dash there; an undefined value says ``undefined``.

    Args:
      summaries: by name of the run.
      unit: one of the summary's units.
      metric: the metric that is given with its interval and per method.
      also: further metrics, given over all rows only.
      costs: by name of the run; columns for them appear where this is not None.
      against: by name of the run, its difference from the first one; a column appears where this is not None.
    """
    methods = list(dict.fromkeys(m for summary in summaries.values() for m in summary["units"][unit]["methods"]))
    rows = {
        name: _row(summary["units"][unit], metric, also, methods, (costs or {}).get(name), (against or {}).get(name))
        for name, summary in summaries.items()
    }
    table = {"unit": unit, "metric": metric, "also": list(also), "methods": methods, "rows": rows}
    header = ["run", f"{unit} {METRICS[metric].title} [95% interval]", *(METRICS[name].title for name in also)]
    header += ["minus the first [95% interval], p"] if against is not None else []
    header += ["parameters", "GFLOPs per window", "windows per second"] if costs is not None else []
    lines = []
    for name, row in rows.items():
        line = [name, cell(row["overall"]), *(cell({**entry, "low": None}) for entry in row["also"].values())]
        line += [_difference_cell(row["against"])] if against is not None else []
        line += _cost_cells(row["cost"]) if costs is not None else []
        line += ["-" if entry is None else cell({**entry, "low": None}) for entry in row["methods"].values()]
        lines.append(line)
    return Comparison(table, header + methods, lines, _best(rows, METRICS[metric].higher_is_better))


def page(
    found: Comparison,
    remarks: Sequence[str] = (),
    title: str = "Comparison of runs",
    reports: Mapping[str, str] = MappingProxyType({}),
) -> str:
    """The table as a self-contained HTML page; ``remarks`` stand below it, a line each.

    ``reports``: by name of the run, where its own report lies, relative to the page; its name links there.
    """
    links = {name: quote(path) for name, path in reports.items()}
    return pages.render("comparison", title, found=found, remarks=remarks, reports=links)


def _row(
    unit: dict, metric: str, also: Sequence[str], methods: list[str], cost: Cost | None, against: Difference | None
) -> dict:
    blocks, metrics = unit["methods"], unit["overall"]["metrics"]
    return {
        "overall": metrics[metric],
        "also": {name: metrics[name] for name in also},
        "methods": {m: blocks[m]["metrics"][metric] if m in blocks else None for m in methods},
        "cost": None if cost is None else cost._asdict(),
        "against": None if against is None else dataclasses.asdict(against),
    }


def _difference_cell(entry: dict | None) -> str:
    if entry is None or entry["value"] is None:
        return "-"
    if entry["low"] is None:
        return f"{entry['value']:+.3f}"
    return f"{entry['value']:+.3f} [{entry['low']:+.3f}, {entry['high']:+.3f}], {entry['p']:.3f}"


def _cost_cells(cost: dict | None) -> list[str]:
    if cost is None:
        return ["-"] * len(Cost._fields)
    return [f"{cost['parameters']:,}", f"{cost['flops'] / 1e9:.3g}", f"{cost['windows_per_second']:.3g}"]


def _best(rows: dict, higher: bool) -> set[str]:
    known = {name: row["overall"]["value"] for name, row in rows.items() if row["overall"]["value"] is not None}
    if len(rows) < 2 or not known:
        return set()
    top = (max if higher else min)(known.values())
    return {name for name, value in known.items() if value == top}


def paired_page(
    rows: Mapping[str, Sequence[VideoScore]], tables: Sequence[tuple[str, str, list[str], list[list[str]]]]
) -> str:
    """A self-contained HTML page.

    Args:
      rows: videos of each table, by name.
      tables: title, a sentence, header, and rows of cells as text.
    """
    common = set.intersection(*({row.video for row in videos} for videos in rows.values()))
    kept = {name: [row for row in videos if row.video in common] for name, videos in rows.items()}
    return pages.render(
        "paired",
        "Comparison",
        curves=_curves(kept),
        names=list(rows),
        tables=tables,
        videos=len(common),
    )


def _curves(rows: Mapping[str, Sequence[VideoScore]]) -> dict[str, Markup]:
    """ROC, DET and precision over recall, by title, of the tables for which they are defined; empty without any."""
    roc, precision, fakes = {}, {}, 0.0
    for name, videos in rows.items():
        y, p = metrics.checked([row.label for row in videos], [row.probability for row in videos])
        values = metrics.compute(y, p)
        if values["auc"] is None:
            continue
        fpr, tpr = metrics.roc(y, p)
        roc[name] = ({"fpr": fpr, "tpr": tpr}, values["auc"])
        found, recall, _ = sk.precision_recall_curve(y, p)
        precision[name], fakes = (recall, found, values["ap"]), float(np.mean(y))
    if not roc:
        return {}
    return {
        "ROC": plots.roc(roc),
        "DET": plots.det({name: (curve["fpr"], curve["tpr"]) for name, (curve, _) in roc.items()}),
        "Precision and recall": plots.precision_recall(precision, fakes),
    }
