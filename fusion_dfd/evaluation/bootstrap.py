"""Bootstrap intervals over groups: videos of one source depend on each other, so whole groups are drawn.

A resample holds a whole number of copies of each group, so every metric is a function of weighted rows: those of the
order of the scores through cumulative weights, the others through sums taken once per group. Percentile method: Efron
and Tibshirani, An Introduction to the Bootstrap, 1993, ch. 13.
"""

from __future__ import annotations

import numpy as np

from fusion_dfd.evaluation import metrics

LEVEL = 0.95
"""Share of the resamples inside an interval."""

MOST_UNDEFINED = 0.05
"""An interval is given up when a larger share of the resamples has no value (a class is missing from them)."""


def intervals(
    labels, probabilities, groups, n: int = 1000, seed: int = 0, threshold: float = 0.5
) -> dict[str, tuple[float, float] | None]:
    """95 % percentile interval (low, high) of every metric, from ``n`` resamples of the distinct ``groups`` [m].

    ``None`` where the metric is undefined for the rows or for more than :data:`MOST_UNDEFINED` of the resamples, where
    there are fewer than two groups, and for ``n = 0``. Equal arguments give equal intervals.
    """
    y, p = metrics.checked(labels, probabilities)
    _, member = np.unique(np.asarray(groups, dtype=str), return_inverse=True)
    count = int(member.max()) + 1 if len(member) else 0
    why = metrics.undefined(y, p, threshold)
    if count < 2 or n == 0 or len(why) == len(metrics.METRICS):
        return dict.fromkeys(metrics.METRICS)
    values = resampled(y, p, member, drawn(count, n, seed), threshold)
    return {name: None if name in why else percentiles(values[name]) for name in metrics.METRICS}


def drawn(count: int, n: int, seed: int) -> np.ndarray:
    """How often each of ``count`` groups lies in each of ``n`` resamples of that many groups, int [n, count]."""
    return np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=n)


def percentiles(values: np.ndarray) -> tuple[float, float] | None:
    """The middle :data:`LEVEL` of ``values`` [n]; None where more than :data:`MOST_UNDEFINED` of them are NaN."""
    known = values[~np.isnan(values)]
    if len(values) - len(known) > MOST_UNDEFINED * len(values):
        return None
    low, high = np.quantile(known, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def resampled(y: np.ndarray, p: np.ndarray, member: np.ndarray, copies: np.ndarray, threshold: float) -> dict:
    """Every metric, float [n], of ``n`` resamples; NaN where undefined.

    Rows have label ``y``, probability ``p`` and the group of number ``member`` in 0..g-1, all [m]; resample i holds
    ``copies[i, j]`` copies of each row of group j, ``copies`` [n, g].
    """
    copies = copies.astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        out = _ranking(y, p, member, copies) | _calls(y, p, member, copies, threshold)
        out |= _calibration(y, p, member, copies)
    return {name: out[name] for name in metrics.METRICS}


def _per_group(values: np.ndarray, member: np.ndarray, count: int) -> np.ndarray:
    """Sums [g, c] of ``values`` [m, c] over the rows of each group."""
    out = np.zeros((count, values.shape[1]))
    np.add.at(out, member, values)
    return out


def _ranking(y, p, member, copies) -> dict[str, np.ndarray]:
    """Metrics of the order of the scores: one ROC curve per resample, its points at the ends of ties."""
    order = np.argsort(-p, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(p[order])), len(p) - 1)
    member, y = member[order], y[order].astype(np.float64)
    out = {name: np.full(len(copies), np.nan) for name in ("auc", "ap", "eer", "tpr_at_1_fpr", "tpr_at_5_fpr")}
    for i, times in enumerate(copies):
        weights = times[member]
        tp, called = np.cumsum(weights * y)[ends], np.cumsum(weights)[ends]
        fakes, reals = tp[-1], called[-1] - tp[-1]
        if fakes == 0 or reals == 0:
            continue
        gained = np.diff(tp, prepend=0.0)
        precision = tp / np.maximum(called, 1)
        fpr, tpr = np.append(0.0, called - tp) / reals, np.append(0.0, tp) / fakes
        out["auc"][i] = _dot(np.diff(fpr), tp - gained / 2) / fakes
        out["ap"][i] = _dot(gained, precision) / fakes
        out["eer"][i] = metrics.crossing(fpr, tpr)
        out["tpr_at_1_fpr"][i] = metrics.reached(fpr, tpr, 0.01)
        out["tpr_at_5_fpr"][i] = metrics.reached(fpr, tpr, 0.05)
    return out


def _calls(y, p, member, copies, threshold: float) -> dict[str, np.ndarray]:
    called = p > threshold
    columns = np.stack([called & (y == 1), called & (y == 0), y == 1, y == 0, (p > 0.5) == (y == 1)], axis=1)
    tp, fp, fakes, reals, right = (copies @ _per_group(columns, member, copies.shape[1])).T
    recall = tp / fakes
    return {
        "accuracy": (tp + reals - fp) / (fakes + reals),
        "accuracy_half": right / (fakes + reals),
        "balanced_accuracy": (recall + (reals - fp) / reals) / 2,
        "precision": tp / (tp + fp),
        "recall": recall,
        "f1": np.where(fakes > 0, 2 * tp / (tp + fp + fakes), np.nan),
    }


def _calibration(y, p, member, copies) -> dict[str, np.ndarray]:
    right = np.clip(np.where(y == 1, p, 1 - p), np.finfo(p.dtype).eps, 1)
    columns = np.zeros((len(p), metrics.BINS + 3))
    columns[:, :3] = np.stack([np.ones(len(p)), (p - y) ** 2, -np.log(right)], axis=1)
    columns[np.arange(len(p)), 3 + metrics.bin_of(p)] = p - y
    sums = copies @ _per_group(columns, member, copies.shape[1])
    total = sums[:, 0]
    return {
        "brier": sums[:, 1] / total,
        "log_loss": sums[:, 2] / total,
        "ece": np.abs(sums[:, 3:]).sum(axis=1) / total,
    }


def _dot(a: np.ndarray, b: np.ndarray) -> float:
    """Inner product by einsum: BLAS would wake a thread per core for each of a thousand long vectors."""
    return np.einsum("i,i", a, b)
