"""Several runs side by side: overall and per method, one row a run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from fusion_dfd.evaluation.metrics import METRICS
from fusion_dfd.evaluation.summary import Summary, cell


class Comparison(NamedTuple):
    markdown: str
    table: dict[str, Any]
    """``{unit, metric, methods, rows: {run: {overall: entry, methods: {method: entry or None}}}}``; JSON-able."""


def comparison(summaries: Mapping[str, Summary], unit: str = "video", metric: str = "auc") -> Comparison:
    """One metric of several runs, in the order given: over all rows with its interval, and per method.

    A run that lacks a method has a dash there; an undefined value says ``undefined``. The best overall value is bold.
    """
    methods = list(dict.fromkeys(m for summary in summaries.values() for m in summary["units"][unit]["methods"]))
    rows = {name: _row(summary["units"][unit], metric, methods) for name, summary in summaries.items()}
    title, table = METRICS[metric].title, {"unit": unit, "metric": metric, "methods": methods, "rows": rows}
    lines = [
        "| " + " | ".join(["run", f"{unit} {title} [95 % interval]", *methods]) + " |",
        "|" + "---|" + "---:|" * (len(methods) + 1),
    ]
    best = _best(rows, METRICS[metric].higher_is_better)
    for name, row in rows.items():
        overall = cell(row["overall"])
        cells = [_escaped(name), f"**{overall}**" if name in best else overall]
        cells += ["-" if entry is None else cell({**entry, "low": None}) for entry in row["methods"].values()]
        lines.append("| " + " | ".join(cells) + " |")
    return Comparison("\n".join(lines), table)


def _row(unit: dict, metric: str, methods: list[str]) -> dict:
    blocks = unit["methods"]
    return {
        "overall": unit["overall"]["metrics"][metric],
        "methods": {m: blocks[m]["metrics"][metric] if m in blocks else None for m in methods},
    }


def _best(rows: dict, higher: bool) -> set[str]:
    known = {name: row["overall"]["value"] for name, row in rows.items() if row["overall"]["value"] is not None}
    if len(rows) < 2 or not known:
        return set()
    top = (max if higher else min)(known.values())
    return {name for name, value in known.items() if value == top}


def _escaped(name: str) -> str:
    return name.replace("|", "\\|")
