"""Bootstrap intervals over groups, and paired tests of two systems on the same videos.

Videos of one source depend on each other, so whole groups are drawn. A resample holds a whole number of copies of each
group, so every metric is a function of weighted rows: metrics of the order of the scores through cumulative weights,
the others through sums taken once per group. Percentile method: Efron and Tibshirani, An Introduction to the Bootstrap,
1993, ch. 13.

Two systems are compared by :func:`differences`, on the same resamples for both, and by :func:`delong`, which assumes
independent videos.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
from scipy import special, stats

from fusion_dfd.evaluation import metrics
from fusion_dfd.evaluation.scores import VideoScore
from fusion_dfd.types import DataError

LEVEL = 0.95
"""Share of the resamples inside an interval."""

MOST_UNDEFINED = 0.05
"""There is no interval when a larger share of the resamples has no value, because a class is missing from them."""


def intervals(
    labels, probabilities, groups, n: int = 1000, seed: int = 0, threshold: float = 0.5
) -> dict[str, tuple[float, float] | None]:
    """95% percentile interval (low, high) of every metric, from ``n`` resamples of the distinct ``groups`` [m].

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
    limits = {"tpr_at_5_fpr": 0.05, "tpr_at_1_fpr": 0.01, "tpr_at_01_fpr": 0.001}
    out = {name: np.full(len(copies), np.nan) for name in ("auc", "ap", "eer", *limits)}
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
        for name, limit in limits.items():
            if reals >= metrics.METRICS[name].least_reals:
                out[name][i] = metrics.reached(fpr, tpr, limit)
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


@dataclasses.dataclass(frozen=True)
class DeLong:
    """Two correlated AUCs and the test of their equality."""

    first: float
    second: float
    error: float
    """Standard error of their difference."""
    p: float
    """Two-sided p-value; 1 where the difference and its error are both 0."""

    @property
    def difference(self) -> float:
        return self.second - self.first


@dataclasses.dataclass(frozen=True)
class Difference:
    """One metric of the second system minus that of the first."""

    value: float | None
    low: float | None
    high: float | None
    """95% interval over groups; None where there is none."""
    p: float | None
    """Two-sided p-value of the bootstrap; None where there is no interval."""


def same_videos(first: Sequence[VideoScore], second: Sequence[VideoScore]) -> tuple[list[VideoScore], list[VideoScore]]:
    """The videos that both have, in the order of the first.

    Raises :class:`DataError` where they share none, or disagree about a label.
    """
    others = {row.video: row for row in second}
    pairs = [(row, others[row.video]) for row in first if row.video in others]
    if not pairs:
        raise DataError(
            f"no video is in both tables of scores (e.g. {first[0].video} and {second[0].video}): a paired comparison "
            "needs the same videos under the same names"
        )
    for one, other in pairs:
        if one.label != other.label:
            raise DataError(f"{one.video} has label {one.label} in one table of scores and {other.label} in the other")
    return [one for one, _ in pairs], [other for _, other in pairs]


def delong(labels, first, second) -> DeLong:
    """DeLong, DeLong and Clarke-Pearson (Biometrics 1988) for two scores of the same rows.

    The covariance comes from midranks in O(n log n): Sun and Xu, IEEE Signal Processing Letters 2014, algorithm 2.
    Ties count half.

    Args:
      labels: int [n], 0 = real, 1 = fake; at least two rows of each.
      first, second: scores [n] of any scale, higher for fake.

    Raises :class:`DataError` for fewer rows of a class, for other labels and for NaN.
    """
    y, scores = np.asarray(labels), np.stack([np.asarray(first, float), np.asarray(second, float)])
    if min((y == 0).sum(), (y == 1).sum()) < 2 or not np.isin(y, (0, 1)).all():
        raise DataError("DeLong's test wants at least two real and two fake rows, labelled 0 and 1")
    if np.isnan(scores).any():
        raise DataError(f"DeLong's test: {int(np.isnan(scores).any(axis=0).sum())} of {len(y)} rows have a NaN score")
    fakes, reals = scores[:, y == 1], scores[:, y == 0]
    m, n = fakes.shape[1], reals.shape[1]
    of_all = stats.rankdata(np.concatenate([fakes, reals], axis=1), axis=1)
    # Share of the reals that lie below each fake, and of the fakes that lie above each real: the placements.
    below = (of_all[:, :m] - stats.rankdata(fakes, axis=1)) / n
    above = 1 - (of_all[:, m:] - stats.rankdata(reals, axis=1)) / m
    covariance = np.cov(below) / m + np.cov(above) / n
    aucs = below.mean(axis=1)
    error = math.sqrt(max(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1], 0.0))
    return DeLong(float(aucs[0]), float(aucs[1]), error, _p(float(aucs[1] - aucs[0]), error))


def _p(difference: float, error: float) -> float:
    """Two-sided p-value of a normal deviate, precise in the tail."""
    if error <= 1e-12:  # rounding of equal placements
        return 1.0 if abs(difference) <= 1e-12 else 0.0
    return float(2 * special.ndtr(-abs(difference) / error))


def differences(
    labels, first, second, groups, n: int = 1000, seed: int = 0, thresholds: tuple[float, float] = (0.5, 0.5)
) -> dict[str, Difference]:
    """Every metric of the second probabilities minus that of the first, with interval and p-value over groups.

    Both are resampled together: each of the ``n`` resamples holds the same groups for both. The p-value is twice the
    smaller share of resamples on one side of 0, with one added to each count (Davison and Hinkley,
    Bootstrap Methods and their Application, 1997, eq. 4.11), so that it is never 0.

    Args:
      labels, groups: of the rows, [m].
      first, second: probabilities [m] in 0..1.
      n: resamples; 0 gives no interval.
      seed: of the draw.
      thresholds: of the first and of the second.
    """
    y, p = metrics.checked(labels, first)
    _, q = metrics.checked(labels, second)
    _, member = np.unique(np.asarray(groups, dtype=str), return_inverse=True)
    count = int(member.max()) + 1 if len(member) else 0
    one, other = metrics.compute(y, p, thresholds[0]), metrics.compute(y, q, thresholds[1])
    values = {
        name: None if one[name] is None or other[name] is None else other[name] - one[name] for name in metrics.METRICS
    }
    if count < 2 or n == 0 or set(values.values()) == {None}:
        return {name: Difference(value, None, None, None) for name, value in values.items()}
    copies = drawn(count, n, seed)
    before = resampled(y, p, member, copies, thresholds[0])
    after = resampled(y, q, member, copies, thresholds[1])
    return {name: _difference(value, after[name] - before[name]) for name, value in values.items()}


def _difference(value: float | None, resampled: np.ndarray) -> Difference:
    interval = None if value is None else percentiles(resampled)
    if interval is None:
        return Difference(value, None, None, None)
    known = resampled[~np.isnan(resampled)]
    one_side = min((known <= 0).sum(), (known >= 0).sum())
    return Difference(value, *interval, min(1.0, 2 * (int(one_side) + 1) / (len(known) + 1)))
