"""Whether a window resembles those that a run was trained on: a verdict on any other is a guess.

A window is described by its appearance (:mod:`fusion_dfd.evaluation.appearance`). Its distance is the Mahalanobis
distance to the nearer of the two classes' means, with the covariance that both share. Lee et al. (NeurIPS 2018)
detect unfamiliar inputs in this way, from a network's features; those of our branches did not separate real footage
from rendered faces. Means and covariance are fitted on train; distances are in units of what is usual on val.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from fusion_dfd.evaluation import whitening
from fusion_dfd.types import DataError

USUAL = 0.99
"""Share of val's windows that count as usual."""


@dataclasses.dataclass(frozen=True)
class Familiarity:
    """What windows look like that a run was trained on."""

    means: np.ndarray
    """float64 [2, d], appearance of real and of fake windows."""
    whiten: np.ndarray
    """float64 [d, d]; ``x @ whiten`` has unit covariance within the classes."""
    limit: float
    """The USUAL quantile of the distances of val's windows."""

    def distances(self, appearances: np.ndarray) -> np.ndarray:
        """float64 [n] >= 0 of windows' ``appearances`` [n, d]; 1 is the farthest that is usual.

        Raises :class:`DataError` where the run has another number of features than this version.
        """
        if appearances.shape[1] != self.means.shape[1]:
            raise DataError(
                f"domain.npz of the run holds {self.means.shape[1]} features per window, this version has "
                f"{appearances.shape[1]}; delete it to do without, or train again"
            )
        return _nearest(appearances, self.means, self.whiten) / self.limit


def fit(train: np.ndarray, labels: np.ndarray, val: np.ndarray) -> Familiarity:
    """Fit means and covariance to ``train`` [n, d] with ``labels`` [n] in {0, 1}, the limit to ``val`` [m, d].

    Raises :class:`DataError` where a class or val is missing, or a number is not finite.
    """
    if not (np.isfinite(train).all() and np.isfinite(val).all()):
        raise DataError("windows whose appearance is not finite cannot be compared; prepare the data set again")
    if set(np.unique(labels)) != {0, 1} or not len(val):
        raise DataError("train needs windows of both classes, val at least one; prepare a data set that has them")
    train, val = np.asarray(train, np.float64), np.asarray(val, np.float64)
    means = np.stack([train[labels == label].mean(0) for label in (0, 1)])
    whiten = whitening.matrix(train - means[labels])
    return Familiarity(means, whiten, float(np.quantile(_nearest(val, means, whiten), USUAL)))


def _nearest(appearances: np.ndarray, means: np.ndarray, whiten: np.ndarray) -> np.ndarray:
    away = (np.asarray(appearances, np.float64)[:, None] - means) @ whiten
    return np.sqrt(np.square(away).sum(-1)).min(-1)


def load(path: str) -> Familiarity | None:
    """What :func:`fusion_dfd.evaluation.whitening.save` wrote; None where there is no file.

    Raises :class:`DataError` where the file cannot be read.
    """
    what = "record of familiar windows"
    found = whitening.load(path, ("means", "whiten", "limit"), what)
    if found is None:
        return None
    means, whiten, limit = found
    if means.shape != (2, means.shape[-1]) or whiten.shape != 2 * means.shape[-1:] or limit.shape or limit <= 0:
        raise whitening.outdated(path, what, "arrays of other shapes, or no distance that is usual")
    return Familiarity(means, whiten, float(limit))
