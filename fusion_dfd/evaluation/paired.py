"""Two systems on the same videos: is one better, or were the videos kind to it?

DeLong's test takes every video for independent of the others and knows the AUC alone; the paired bootstrap draws whole
groups, as the intervals do, and knows every metric. Where videos share people or source clips, believe the bootstrap.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
from scipy import special, stats

from fusion_dfd.evaluation import bootstrap, metrics
from fusion_dfd.evaluation.scores import VideoScore
from fusion_dfd.types import DataError


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
    """95 % interval over groups; None where there is none."""
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
            "wants the same videos, named alike"
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
    smaller share of resamples on one side of 0, each counted with one more that lies there (Davison and Hinkley,
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
    copies = bootstrap.drawn(count, n, seed)
    before = bootstrap.resampled(y, p, member, copies, thresholds[0])
    after = bootstrap.resampled(y, q, member, copies, thresholds[1])
    return {name: _difference(value, after[name] - before[name]) for name, value in values.items()}


def _difference(value: float | None, resampled: np.ndarray) -> Difference:
    interval = None if value is None else bootstrap.percentiles(resampled)
    if interval is None:
        return Difference(value, None, None, None)
    known = resampled[~np.isnan(resampled)]
    one_side = min((known <= 0).sum(), (known >= 0).sum())
    return Difference(value, *interval, min(1.0, 2 * (int(one_side) + 1) / (len(known) + 1)))
