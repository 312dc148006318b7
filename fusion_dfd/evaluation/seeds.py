"""Several trainings of one system that differ in their seed: mean and spread of every metric."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from fusion_dfd.evaluation.metrics import METRICS
from fusion_dfd.evaluation.summary import Summary


def spread(summaries: Sequence[Summary], unit: str = "video") -> dict[str, dict[str, Any]]:
    """``{metric: {n, mean, deviation, low, high}}`` over the runs; ``deviation`` is the sample standard deviation.

    ``n`` counts the runs for which the metric is defined; the rest is None where there is none, ``deviation`` also for
    one alone.
    """
    blocks = [summary["units"][unit]["overall"]["metrics"] for summary in summaries]
    return {name: _spread([block[name]["value"] for block in blocks]) for name in METRICS}


def _spread(values: Sequence[float | None]) -> dict[str, Any]:
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


def cell(entry: Mapping[str, Any]) -> str:
    """An entry of :func:`spread` as text: ``0.962 ± 0.004 (3)``, with the number of runs."""
    if entry["mean"] is None:
        return "undefined"
    deviation = "" if entry["deviation"] is None else f" ± {entry['deviation']:.3f}"
    return f"{entry['mean']:.3f}{deviation} ({entry['n']})"
