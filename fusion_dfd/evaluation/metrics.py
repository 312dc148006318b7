"""Exact functions of labels and probabilities, and what each of them means.

Every metric reads ``labels`` int [n] (0 = real, 1 = fake) and ``probabilities`` float [n] in 0..1 (1 = surely fake).
Fake is the positive class. A row is *called fake* when its probability is above the threshold. A metric
without a value for the given rows is ``None`` in :func:`compute`, never 0; :func:`undefined` says why.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
from sklearn import metrics as sk

from fusion_dfd.types import LABELS, DataError

BINS = 15
"""Equal-width bins of the probability of fake, for the calibration error and the reliability curve."""


@dataclasses.dataclass(frozen=True)
class Metric:
    """One number about scored rows, as tables and reports present it."""

    title: str
    definition: str
    of: Callable[[np.ndarray, np.ndarray, float], float]
    """(labels [n], probabilities [n], threshold) -> value; called only where it is defined."""
    needs: tuple[int, ...] = ()
    """Labels that must occur among the rows."""
    higher_is_better: bool = True
    least_reals: int = 0
    """Number of real rows below which it has no value."""


def _called(p: np.ndarray, threshold: float) -> np.ndarray:
    return (p > threshold).astype(int)


def roc(labels: np.ndarray, probabilities: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """False and true positive rate [m] at every distinct threshold, from (0, 0) to (1, 1); both classes must occur."""
    fpr, tpr, _ = sk.roc_curve(labels, probabilities, drop_intermediate=False)
    return fpr, tpr


def crossing(fpr: np.ndarray, tpr: np.ndarray) -> float:
    """Equal error rate 0..1: where the linearly interpolated ROC curve [m] meets FNR = FPR."""
    after = int(np.searchsorted(fpr + tpr, 1.0))  # FPR - FNR + 1 rises from 0 to 2
    before = after - 1
    low, high = fpr[before] + tpr[before], fpr[after] + tpr[after]
    return float(fpr[before] + (1 - low) / (high - low) * (fpr[after] - fpr[before]))


def reached(fpr: np.ndarray, tpr: np.ndarray, limit: float) -> float:
    """Largest true positive rate on the ROC curve [m] at a false positive rate of at most ``limit``."""
    return float(tpr[np.searchsorted(fpr, limit, side="right") - 1])


def bin_of(probabilities: np.ndarray) -> np.ndarray:
    """Number of the bin, int [n] in 0 .. BINS - 1, of each probability; the last bin holds 1."""
    return np.minimum((probabilities * BINS).astype(int), BINS - 1)


def calibration_error(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Expected calibration error (Naeini et al., AAAI 2015) of the probability of fake over BINS equal-width bins."""
    gap = np.bincount(bin_of(probabilities), weights=probabilities - labels, minlength=BINS)
    return float(np.abs(gap).sum() / len(labels))


def expected_calibration_error(
    probabilities: Sequence[float] | np.ndarray, n: int = 1000, seed: int = 0
) -> tuple[float, float, float]:
    """Mean, 2.5th and 97.5th percentile of the :func:`calibration_error` if the probabilities were exactly right.

    ``n`` times, labels are drawn by ``probabilities`` [m] (consistency resampling: Bröcker and Smith, Weather and
    Forecasting 2007). Over few rows the error of a perfect model is far from 0; only an error outside of this range
    is evidence of miscalibration.
    """
    p = np.asarray(probabilities, dtype=np.float64)
    rng = np.random.default_rng(seed)
    errors = [calibration_error(rng.random(len(p)) < p, p) for _ in range(n)]
    return float(np.mean(errors)), *(float(q) for q in np.quantile(errors, [0.025, 0.975]))


METRICS: dict[str, Metric] = {
    "auc": Metric(
        "AUC",
        "Area under the ROC curve: chance that a fake scores above a real one, ties counting half.",
        lambda y, p, _: sk.roc_auc_score(y, p),
        (0, 1),
    ),
    "ap": Metric(
        "AP",
        "Average precision: precision at each threshold, weighted by the recall gained there. Chance level is the "
        "share of fakes, not 0.5.",
        lambda y, p, _: sk.average_precision_score(y, p),
        (0, 1),
    ),
    "eer": Metric(
        "EER",
        "Equal error rate: where the linearly interpolated ROC curve has as large a miss rate as a false alarm rate.",
        lambda y, p, _: crossing(*roc(y, p)),
        (0, 1),
        higher_is_better=False,
    ),
    "accuracy": Metric(
        "Accuracy",
        "Share of right calls at the threshold. With unequal classes, read balanced accuracy.",
        lambda y, p, t: sk.accuracy_score(y, _called(p, t)),
    ),
    "accuracy_half": Metric(
        "Accuracy at 0.5",
        "Share of right calls at probability 0.5, whatever the threshold is.",
        lambda y, p, _: sk.accuracy_score(y, _called(p, 0.5)),
    ),
    "balanced_accuracy": Metric(
        "Balanced accuracy",
        "Mean of the shares of real and of fake rows that are called right at the threshold.",
        lambda y, p, t: sk.balanced_accuracy_score(y, _called(p, t)),
        (0, 1),
    ),
    "precision": Metric(
        "Precision",
        "Share of the rows called fake that are fake.",
        lambda y, p, t: sk.precision_score(y, _called(p, t)),
    ),
    "recall": Metric(
        "Recall",
        "Share of the fakes that are called fake.",
        lambda y, p, t: sk.recall_score(y, _called(p, t)),
        (1,),
    ),
    "f1": Metric(
        "F1",
        "2 TP / (2 TP + FP + FN), the harmonic mean of precision and recall.",
        lambda y, p, t: sk.f1_score(y, _called(p, t)),
        (1,),
    ),
    "tpr_at_1_fpr": Metric(
        "TPR at 1% FPR",
        "Largest share of fakes found by a threshold that calls at most 1% of the real rows fake: none of "
        "them, if they are fewer than 100.",
        lambda y, p, _: reached(*roc(y, p), 0.01),
        (0, 1),
    ),
    "tpr_at_5_fpr": Metric(
        "TPR at 5% FPR",
        "Largest share of fakes found by a threshold that calls at most 5% of the real rows fake: none of "
        "them, if they are fewer than 20.",
        lambda y, p, _: reached(*roc(y, p), 0.05),
        (0, 1),
    ),
    "tpr_at_01_fpr": Metric(
        "TPR at 0.1% FPR",
        "Largest share of fakes found by a threshold that calls at most 0.1% of the real rows fake. Fewer than 1000 "
        "real rows cannot tell.",
        lambda y, p, _: reached(*roc(y, p), 0.001),
        (0, 1),
        least_reals=1000,
    ),
    "brier": Metric(
        "Brier score",
        "Mean squared difference between probability and label.",
        lambda y, p, _: sk.brier_score_loss(y, p, pos_label=1),
        higher_is_better=False,
    ),
    "ece": Metric(
        "ECE",
        f"Expected calibration error: distance between mean probability and share of fakes in each of {BINS} "
        "equal-width bins of the probability of fake, averaged with the rows in the bin as weights.",
        lambda y, p, _: calibration_error(y, p),
        higher_is_better=False,
    ),
    "log_loss": Metric(
        "Log loss",
        "Mean negative logarithm (base e) of the probability given to the right class.",
        lambda y, p, _: sk.log_loss(y, p, labels=[0, 1]),
        higher_is_better=False,
    ),
}


def checked(labels, probabilities) -> tuple[np.ndarray, np.ndarray]:
    """Both as arrays, int [n] and float64 [n]. Raises :class:`DataError` unless labels are 0 or 1 and probabilities in
    0..1. NaN passes; :func:`undefined` reports it."""
    y, p = np.asarray(labels, dtype=int), np.asarray(probabilities, dtype=np.float64)
    if y.ndim != 1 or y.shape != p.shape:
        raise DataError(f"metrics want one probability per label, got shapes {y.shape} and {p.shape}")
    if not np.isin(y, (0, 1)).all():
        odd = sorted(set(y.tolist()) - {0, 1})
        raise DataError(f"labels {odd} are neither 0 (real) nor 1 (fake): rows of unknown label cannot be evaluated")
    outside = (p < 0) | (p > 1)
    if outside.any():
        raise DataError(f"probability {p[outside][0]} is outside 0..1: pass probabilities, not logits")
    return y, p


def undefined(labels, probabilities, threshold: float = 0.5) -> dict[str, str]:
    """Why each metric that is ``None`` in :func:`compute` has no value for these rows; the others are absent."""
    y, p = checked(labels, probabilities)
    if len(y) == 0:
        return dict.fromkeys(METRICS, "no rows")
    lost = int(np.isnan(p).sum())
    if lost:
        return dict.fromkeys(METRICS, f"{lost} of {len(p)} scores are NaN")
    absent = {label for label in (0, 1) if not (y == label).any()}
    why = {
        name: f"no {LABELS[min(absent.intersection(metric.needs))]} rows"
        for name, metric in METRICS.items()
        if absent.intersection(metric.needs)
    }
    reals = int((y == 0).sum())
    for name, metric in METRICS.items():
        if reals < metric.least_reals:
            why.setdefault(name, f"{reals} real rows, {metric.least_reals} are needed")
    if not _called(p, threshold).any():
        why["precision"] = f"no row is called fake at threshold {threshold:g}"
    return why


def compute(labels, probabilities, threshold: float = 0.5) -> dict[str, float | None]:
    """Every metric of :data:`METRICS` over rows ``labels`` int [n] in {0, 1}, ``probabilities`` float [n] in 0..1.

    ``None`` where undefined (see :func:`undefined`). Raises :class:`DataError` for other labels or probabilities.
    """
    y, p = checked(labels, probabilities)
    why = undefined(y, p, threshold)
    return {name: None if name in why else float(metric.of(y, p, threshold)) for name, metric in METRICS.items()}
