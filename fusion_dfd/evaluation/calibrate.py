"""Calibrates video probabilities, and chooses the decision threshold and the abstention band; all on val alone.

The map is monotone: it keeps the order of the videos, and with it every metric of the ROC curve, except that isotonic
regression makes ties. It applies to the probability of a whole video, after aggregation; the probabilities of windows
and frames stay uncalibrated.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from scipy import optimize, special, stats
from sklearn.isotonic import IsotonicRegression

from fusion_dfd import atomic, config
from fusion_dfd.evaluation import metrics
from fusion_dfd.evaluation.scores import VideoScore
from fusion_dfd.types import LABELS, DataError

LEAST = 10
"""Fewest real and fewest fake val videos that calibrate; below them there is a raw score and no verdict."""
RESAMPLES = 300
"""Bootstrap resamples behind the interval of the threshold."""
_TEMPERATURES = 0.02, 50.0


@dataclasses.dataclass(frozen=True)
class FalseAlarms:
    """How many of the real val videos lie above the threshold. It was chosen on them, so other videos give more."""

    count: int
    real: int
    interval: tuple[float, float]
    """95%, of the rate (Clopper and Pearson, Biometrika 1934), as if the videos were independent."""


@dataclasses.dataclass(frozen=True)
class Calibration:
    """What was learnt on val about a run's probabilities. A video is called fake above ``threshold``."""

    kind: str
    temperature: float
    offset: float
    """A calibrated logit is logit / temperature + offset."""
    knots: tuple[tuple[float, ...], tuple[float, ...]]
    """Of isotonic regression: probabilities, ascending, and their calibrated values; two empty tuples otherwise."""
    threshold: float
    """On the calibrated probability, 0..1."""
    target: str
    abstain: tuple[float, float]
    """Bounds of the abstention band, on the calibrated probability; equal where every video gets a verdict."""
    aggregate: str
    tracks: str
    """``aggregate`` and ``tracks``: how the probabilities it was fitted to were aggregated. It holds for no others."""
    step: int
    """Of the checkpoint that scored val; -1 if unknown."""
    data: str
    """Where val came from."""
    val: dict[str, Any]
    """``videos real fake``, ``before`` and ``after`` (``ece brier log_loss``, of the videos it was fitted to),
    ``undecided`` and ``wrong`` (shares, of all and of the decided), ``real_logits`` (mean and standard deviation of the
    calibrated logits of the real videos), ``interval`` (95%, of the threshold; None where it was not fitted),
    ``false_alarms`` (real videos above the threshold; earlier versions did not write it)."""

    @property
    def few(self) -> bool:
        """Whether val held too few videos of a class for any verdict."""
        return min(self.val.get("real", LEAST), self.val.get("fake", LEAST)) < LEAST

    @property
    def false_alarms(self) -> FalseAlarms | None:
        """On val, before the abstention band takes its share; None where no threshold was chosen or it is not known."""
        count, real = self.val.get("false_alarms"), self.val.get("real")
        if count is None or not real or self.few:
            return None
        low, high = stats.binomtest(count, real).proportion_ci(0.95, "exact")
        return FalseAlarms(count, real, (float(low), float(high)))

    def apply(self, probabilities) -> np.ndarray:
        """Calibrated probabilities [n] of videos' ``probabilities`` [n] in 0..1; NaN stays NaN."""
        p = np.asarray(probabilities, dtype=np.float64)
        if self.kind == "isotonic":
            return np.interp(p, *map(np.asarray, self.knots))
        return special.expit(logit(p) / self.temperature + self.offset)

    def videos(self, rows: Sequence[VideoScore]) -> list[VideoScore]:
        """The rows with calibrated probabilities."""
        values = self.apply([row.probability for row in rows])
        return [dataclasses.replace(row, probability=float(p)) for row, p in zip(rows, values, strict=True)]

    def verdict(self, probability: float) -> str:
        """``fake``, ``real`` or ``uncertain``, of a calibrated probability."""
        low, high = self.abstain
        if self.few or (low < high and low <= probability <= high):
            return "uncertain"
        return LABELS[int(probability > self.threshold)]

    def for_people(self, people: int) -> Calibration:
        """With the threshold for each person of a video of ``people`` whose most suspicious one decides.

        The more people, the likelier it is that one of them looks forged by chance. So the threshold rises until the
        video's rate of false alarms is that of a video of one person: each person's rate becomes
        1 - (1 - rate)^(1 / people) (Sidak, JASA 1967). The rates are those of a normal distribution of the real
        videos' logits, because val holds too few videos for the tail. The band moves along. Calibrations of earlier
        versions lack the distribution and stay as they are.
        """
        mean, deviation = self.val.get("real_logits", (0.0, 0.0))
        if people < 2 or deviation <= 0:
            return self
        one = stats.norm.sf((float(logit(self.threshold)) - mean) / deviation)
        if one < np.finfo(float).tiny:
            return self
        raised = mean + deviation * stats.norm.isf(-np.expm1(np.log1p(-one) / people)) if one < 1 else mean
        shift = max(float(raised - logit(self.threshold)), 0.0)
        moved = tuple(
            bound if bound in (0, 1) else float(special.expit(logit(bound) + shift)) for bound in self.abstain
        )
        return dataclasses.replace(self, threshold=float(special.expit(logit(self.threshold) + shift)), abstain=moved)

    def sentence(self) -> str:
        """What it is and where it comes from, for a report."""
        if self.few:
            return (
                f"Not calibrated: val holds {self.val['real']} real and {self.val['fake']} fake videos, {LEAST} of "
                "each are needed. Probabilities rank videos, and none gets a verdict."
            )
        number = {
            "temperature": f" {self.temperature:.3f}",
            "affine": f" {self.temperature:.3f} and {self.offset:+.3f}",
            "isotonic": f" of {len(self.knots[0])} knots",
        }[self.kind]
        val = self.val
        low, high = self.abstain
        interval = val.get("interval")
        sure = f" (95% interval {interval[0]:.3f} to {interval[1]:.3f})" if interval else ""
        undecided = f"undecided from {low:.3f} to {high:.3f}" if low < high else "no video is left undecided"
        return (
            f"Calibrated by {config.CALIBRATIONS[self.kind]}{number}, fitted on val ({val['real']} real, {val['fake']} "
            f"fake videos): ECE there {val['before']['ece']:.3f} before, {val['after']['ece']:.3f} after. Threshold "
            f"{self.threshold:.3f}{sure}, chosen on val for {config.TARGETS[self.target]}; {undecided}."
        )


def logit(probabilities) -> np.ndarray:
    """The logits [n] of ``probabilities`` [n], finite also at 0 and 1."""
    p = np.asarray(probabilities, dtype=np.float64)
    return special.logit(np.clip(p, np.finfo(np.float64).tiny, 1 - np.finfo(np.float64).epsneg))


def fit(rows: Sequence[VideoScore], options: config.Evaluate, data: str = "", step: int = -1) -> Calibration:
    """Fit map, threshold and abstention band to the videos of a val split.

    ``temperature`` (Guo et al., ICML 2017) and ``affine`` (Platt 1999) minimise the log loss against Platt's softened
    labels (n1 + 1) / (n1 + 2) and 1 / (n0 + 2), which keep the fit finite where val is separated perfectly.

    Args:
      rows: uncalibrated; the caller must see to it that they are of val.
      options: aggregation of the rows; calibration, target and abstain.
      data: where they come from; stored in the calibration.
      step: of the checkpoint.

    Raises :class:`DataError` when the rows lack a class or a score is NaN.
    """
    y, p = metrics.checked([row.label for row in rows], [row.probability for row in rows])
    if why := metrics.undefined(y, p).get("auc"):
        raise DataError(f"val cannot calibrate: {why}; prepare a val split with real and fake videos")
    few = min((y == 0).sum(), (y == 1).sum()) < LEAST
    soft = np.where(y == 1, (y.sum() + 1) / (y.sum() + 2), 1 / ((1 - y).sum() + 2))
    kind = "temperature" if few else options.calibration
    temperature, offset, knots = (1.0, 0.0, ((), ())) if few else _FITS[kind](p, y, soft)
    fitted = Calibration(
        kind=kind,
        temperature=temperature,
        offset=offset,
        knots=knots,
        threshold=0.5,
        target=options.target,
        abstain=(0.5, 0.5),
        aggregate=options.aggregate,
        tracks=options.tracks,
        step=step,
        data=data,
        val={},
    )
    q = fitted.apply(p)
    interval = None if few else threshold_interval(y, q, [row.group for row in rows], options.target)
    by_chance = interval is not None and interval[0] <= 0.5 <= interval[1] and not options.target.startswith("fpr")
    at = 0.5 if few or by_chance else threshold(y, q, options.target)
    band = (0.0, 1.0) if few else abstention_band(y, q, at, options.abstain)
    decided = (q < band[0]) | (q > band[1]) | (band[0] == band[1])
    val = {
        "videos": len(y),
        "real": int((y == 0).sum()),
        "fake": int((y == 1).sum()),
        "before": _quality(y, p),
        "after": _quality(y, q),
        "undecided": float(1 - decided.mean()),
        "wrong": float(((q > at) != (y == 1))[decided].mean()) if decided.any() else 0.0,
        "interval": interval,
        "false_alarms": int((q > at)[y == 0].sum()),
        "real_logits": [float(logit(q[y == 0]).mean()), float(logit(q[y == 0]).std())],
    }
    return dataclasses.replace(fitted, threshold=at, abstain=band, val=val)


def _quality(y: np.ndarray, p: np.ndarray) -> dict[str, float]:
    values = metrics.compute(y, p)
    return {name: values[name] for name in ("ece", "brier", "log_loss")}


def _loss(z: np.ndarray, soft: np.ndarray) -> float:
    """Mean cross-entropy of logits ``z`` against labels in 0..1."""
    return float(np.mean(np.logaddexp(0, z) - soft * z))


def _temperature(p: np.ndarray, y: np.ndarray, soft: np.ndarray):
    z = logit(p)
    found = optimize.minimize_scalar(
        lambda log: _loss(z / np.exp(log), soft), bounds=tuple(np.log(_TEMPERATURES)), method="bounded"
    )
    return float(np.exp(found.x)), 0.0, ((), ())


def _affine(p: np.ndarray, y: np.ndarray, soft: np.ndarray):
    z = logit(p)
    least, most = (1 / temperature for temperature in reversed(_TEMPERATURES))
    found = optimize.minimize(
        lambda x: _loss(x[0] * z + x[1], soft), [1.0, 0.0], method="L-BFGS-B", bounds=[(least, most), (-20, 20)]
    )
    return float(1 / found.x[0]), float(found.x[1]), ((), ())


def _isotonic(p: np.ndarray, y: np.ndarray, soft: np.ndarray):
    # n videos make nothing certain: the lowest and highest step are Platt's softened labels.
    stairs = IsotonicRegression(y_min=soft.min(), y_max=soft.max(), out_of_bounds="clip").fit(p, y)
    return 1.0, 0.0, (tuple(stairs.X_thresholds_.tolist()), tuple(stairs.y_thresholds_.tolist()))


_FITS: dict[str, Callable] = {"temperature": _temperature, "affine": _affine, "isotonic": _isotonic}


def threshold(y: np.ndarray, p: np.ndarray, target: str) -> float:
    """The threshold, 0..1, that serves ``target`` best on rows ``y`` [n], ``p`` [n]; a row above it is called fake.

    It lies midway between two neighbouring probabilities; of equally good ones the nearest to 0.5 is taken. Both
    classes must occur. With fewer than 100 real rows, ``fpr_1`` allows no false alarm at all.
    """
    levels = np.unique(p)
    between = np.concatenate([[levels[0] / 2], (levels[1:] + levels[:-1]) / 2, [(levels[-1] + 1) / 2]])
    reals, fakes = np.sort(p[y == 0]), np.sort(p[y == 1])
    fpr = 1 - np.searchsorted(reals, between, side="right") / len(reals)
    tpr = 1 - np.searchsorted(fakes, between, side="right") / len(fakes)
    cost = {
        "eer": lambda: np.abs(fpr - (1 - tpr)),
        "youden": lambda: fpr - tpr,
        "fpr_1": lambda: np.where(fpr <= 0.01 + 1e-12, -tpr, np.inf),
        "fpr_5": lambda: np.where(fpr <= 0.05 + 1e-12, -tpr, np.inf),
    }[target]()
    best = between[cost <= cost.min() + 1e-12]
    return float(best[np.argmin(np.abs(best - 0.5))])


def threshold_interval(y: np.ndarray, p: np.ndarray, groups: Sequence[str], target: str) -> list[float] | None:
    """The 95% interval of :func:`threshold`, by a bootstrap over ``groups`` [n]; None where no resample has both
    classes."""
    rng, names = np.random.default_rng(0), np.unique(groups, return_inverse=True)[1]
    members = [np.flatnonzero(names == name) for name in range(names.max() + 1)]
    found = []
    for _ in range(RESAMPLES):
        rows = np.concatenate([members[name] for name in rng.integers(0, len(members), len(members))])
        if 0 < y[rows].sum() < len(rows):
            found.append(threshold(y[rows], p[rows], target))
    return np.quantile(found, (0.025, 0.975)).tolist() if found else None


def abstention_band(y: np.ndarray, p: np.ndarray, at: float, wrong: float) -> tuple[float, float]:
    """The narrowest band around the threshold ``at`` outside of which at most a share ``wrong`` is called wrong.

    It is symmetric in probability, clipped to 0..1. The criterion is the selective risk of El-Yaniv and Wiener, JMLR
    2010.
    """
    distance = np.abs(p - at)
    mistaken = (p > at) != (y == 1)
    widths = np.concatenate([[0.0], np.unique(distance)])
    outside = [np.ones(len(p), dtype=bool), *(distance > width for width in widths[1:])]
    fine = (not decided.any() or mistaken[decided].mean() <= wrong for decided in outside)
    width = next(width for width, enough in zip(widths, fine, strict=True) if enough)
    return float(max(at - width, 0)), float(min(at + width, 1))


def save(calibration: Calibration, path: str) -> str:
    """Write a JSON file, whole or not at all; returns its path."""
    return atomic.write_text(path, json.dumps(dataclasses.asdict(calibration), indent=2) + "\n")


def load(path: str, step: int) -> Calibration | None:
    """The calibration in a file; None where there is no file.

    Raises :class:`DataError` where the file is not of this version, or belongs to another step than ``step``.
    """
    again = "fit it again with fusion-dfd calibrate --checkpoint RUN --data DIR, or delete it"
    try:
        with open(path, encoding="utf-8") as file:
            values = json.load(file)
        pairs = {"knots": tuple(map(tuple, values["knots"])), "abstain": tuple(values["abstain"])}
        found = Calibration(**values | pairs)
        if wrong := _wrong(found):
            raise ValueError(wrong)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise DataError(f"{path} is no calibration of this version ({error}); {again}") from error
    if found.step != step:
        raise DataError(f"{path} was fitted to step {found.step}, the best checkpoint is of step {step}; {again}")
    return found


def _wrong(found: Calibration) -> str | None:
    """Which field of a calibration read from a file cannot be; None if all can."""
    low, high = _TEMPERATURES
    checks = {
        "kind": found.kind in config.CALIBRATIONS,
        "temperature": _number(found.temperature, 0.99 * low, 1.01 * high),
        "offset": _number(found.offset, -20, 20),
        "knots": len(found.knots) == 2 and _ascending(*found.knots, wanted=found.kind == "isotonic"),
        "threshold": _number(found.threshold, 0, 1),
        "target": found.target in config.TARGETS,
        "abstain": len(found.abstain) == 2
        and all(_number(bound, 0, 1) for bound in found.abstain)
        and found.abstain[0] <= found.abstain[1],
        "aggregate": found.aggregate in config.RULES,
        "tracks": found.tracks in config.TRACKS,
        "step": isinstance(found.step, int) and not isinstance(found.step, bool),
        "data": isinstance(found.data, str),
        "val": isinstance(found.val, dict) and all(_count(found.val.get(name, 0)) for name in ("real", "fake")),
        "val.false_alarms": _count(found.val.get("false_alarms", 0))
        and found.val.get("false_alarms", 0) <= found.val.get("real", LEAST),
        "val.interval": _interval(found.val.get("interval")),
        "val.real_logits": _spread(found.val.get("real_logits", (0.0, 0.0))),
    }
    wrong = next((name for name, holds in checks.items() if not holds), None)
    return wrong and f"its field {wrong} is not what this version writes"


def _number(value: Any, low: float, high: float) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high


def _count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _interval(value: Any) -> bool:
    return value is None or (len(value) == 2 and all(_number(bound, 0, 1) for bound in value))


def _spread(value: Any) -> bool:
    """Mean and standard deviation of logits: those of probabilities that differ from 0 and 1 lie within 800."""
    return len(value) == 2 and _number(value[0], -800.0, 800.0) and _number(value[1], 0, 1600.0)


def _ascending(places: tuple, values: tuple, wanted: bool) -> bool:
    """Whether the knots of a monotone map of 0..1 to itself are given, and only where ``wanted``."""
    inside = len(places) == len(values) and all(_number(value, 0, 1) for value in (*places, *values))
    return inside and bool(places) == wanted and all(list(part) == sorted(part) for part in (places, values))
