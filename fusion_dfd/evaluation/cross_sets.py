"""Several data sets scored by one system, compared with one another: what hides behind one AUC for each.

An AUC within a data set compares its fakes with its own real videos, which were recorded, cropped and compressed alike.
Two questions remain that a user of the system has. Do the fakes of one set score above the real videos of *another*
(cross-AUC)? Does a threshold that was chosen on one set hold on another (threshold transfer)? A system whose scores
shift from set to set can have a high AUC on each and fail both.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from sklearn import metrics as sk

from fusion_dfd.evaluation import calibrate
from fusion_dfd.evaluation.scores import VideoScore

OWN = "its own, from val"
"""Name of the threshold that a system came with."""


@dataclasses.dataclass(frozen=True)
class Rates:
    """What a threshold does to the videos of a set."""

    false_alarms: float | None
    """Share of the real videos that are called fake, 0..1; None where there is none."""
    recall: float | None
    """Share of the fakes that are called fake, 0..1; None where there is none."""

    @property
    def text(self) -> str:
        return f"{_number(self.false_alarms, '-')} / {_number(self.recall, '-')}"


@dataclasses.dataclass(frozen=True)
class CrossSets:
    sets: list[str]
    """Names, ``dataset compression``, in the order of their first video."""
    auc: dict[tuple[str, str], float]
    """By (set of the real videos, set of the fakes); absent where one of them is empty. Equal names: the usual AUC."""
    thresholds: dict[str, float]
    """By where it comes from: :data:`OWN`, or the set that it was chosen on, if that has both classes."""
    rates: dict[tuple[str, str], Rates]
    """By (where the threshold comes from, set that it is applied to)."""

    def tables(self) -> list[tuple[str, list[str], list[list[str]]]]:
        """Heading, header and cells of the two tables."""
        auc = [[real, *(_number(self.auc.get((real, fake)), "") for fake in self.sets)] for real in self.sets]
        rates = [
            [origin, f"{at:.3f}", *(self.rates[origin, name].text for name in self.sets)]
            for origin, at in self.thresholds.items()
        ]
        return [
            ("AUC of the real videos of a row against the fakes of a column", ["real videos of", *self.sets], auc),
            (
                "False alarms / recall of a threshold (row) on a set (column)",
                ["threshold of", "value", *self.sets],
                rates,
            ),
        ]

    def as_json(self) -> dict:
        """The same numbers as lists of objects."""
        return {
            "auc": [{"real": real, "fake": fake, "auc": value} for (real, fake), value in self.auc.items()],
            "thresholds": self.thresholds,
            "rates": [
                {"threshold_of": origin, "set": name, **dataclasses.asdict(rates)}
                for (origin, name), rates in self.rates.items()
            ],
        }


def compare(videos: Sequence[VideoScore], target: str, own: float) -> CrossSets:
    """All pairs of sets.

    Args:
      videos: of known label; rows with a score that is NaN are left out.
      target: which threshold is chosen on a set, one of :data:`fusion_dfd.config.TARGETS`.
      own: threshold of the system, 0..1.
    """
    found: dict[str, tuple[list[float], list[float]]] = {}
    for row in videos:
        if not np.isnan(row.probability):
            name = " ".join(filter(None, (row.dataset, row.compression)))
            found.setdefault(name, ([], []))[row.label].append(row.probability)
    scores = {name: (np.array(reals), np.array(fakes)) for name, (reals, fakes) in found.items()}
    auc = {
        (a, b): _auc(reals, fakes)
        for a, (reals, _) in scores.items()
        for b, (_, fakes) in scores.items()
        if len(reals) and len(fakes)
    }
    thresholds = {OWN: own} | {
        name: calibrate.threshold(*_rows(reals, fakes), target)
        for name, (reals, fakes) in scores.items()
        if len(reals) and len(fakes)
    }
    rates = {
        (origin, name): Rates(*(_above(part, at) for part in parts))
        for origin, at in thresholds.items()
        for name, parts in scores.items()
    }
    return CrossSets(list(scores), auc, thresholds, rates)


def _rows(reals: np.ndarray, fakes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return np.repeat([0, 1], [len(reals), len(fakes)]), np.concatenate([reals, fakes])


def _auc(reals: np.ndarray, fakes: np.ndarray) -> float:
    return float(sk.roc_auc_score(*_rows(reals, fakes)))


def _above(probabilities: np.ndarray, at: float) -> float | None:
    return float((probabilities > at).mean()) if len(probabilities) else None


def _number(value: float | None, absent: str) -> str:
    return absent if value is None else f"{value:.3f}"
