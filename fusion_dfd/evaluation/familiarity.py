"""Whether a clip is like those a run was trained on: a verdict on anything else is a guess.

A clip is described by how it looks (:mod:`fusion_dfd.evaluation.appearance`). Its distance is Mahalanobis's to the nearer of the
two classes' means, with the covariance that both share (as Lee et al., NeurIPS 2018, tell strange inputs by a network's
features; those of our branches turned out not to notice real footage after rendered faces). Means and covariance are
fitted on train; distances are in units of what is still usual on val.
"""

from __future__ import annotations

import dataclasses
import zipfile

import numpy as np
from sklearn.covariance import ledoit_wolf

from fusion_dfd import atomic
from fusion_dfd.types import DataError

USUAL = 0.99
"""Share of val's clips that count as usual."""


@dataclasses.dataclass(frozen=True)
class Familiarity:
    """What clips look like that a run was trained on."""

    means: np.ndarray
    """float64 [2, e], of the looks of real and fake clips."""
    whiten: np.ndarray
    """float64 [e, e]; ``x @ whiten`` has unit covariance within the classes."""
    limit: float
    """Distance that the share USUAL of val's clips stay below."""

    def distances(self, looks: np.ndarray) -> np.ndarray:
        """float64 [n] >= 0 of clips' ``looks`` [n, e]; 1 is the farthest that is usual.

        Raises :class:`DataError` where the run counts other looks than this version.
        """
        if looks.shape[1] != self.means.shape[1]:
            raise DataError(
                f"the run's description of the clips it knows holds {self.means.shape[1]} numbers a clip where this version has "
                f"{looks.shape[1]}; delete it to do without, or train again"
            )
        return _nearest(looks, self.means, self.whiten) / self.limit


def fit(train: np.ndarray, labels: np.ndarray, val: np.ndarray) -> Familiarity:
    """Fit means and covariance to ``train`` [n, e] with ``labels`` [n] in {0, 1}, the limit to ``val`` [m, e].

    The covariance is Ledoit and Wolf's (2004), of standardised features: it stays well-conditioned with few clips.

    Raises :class:`DataError` where a class or val is missing, or a look is not finite.
    """
    if not (np.isfinite(train).all() and np.isfinite(val).all()):
        raise DataError("clips whose pixels give no finite numbers cannot be compared; prepare the data set again")
    if set(np.unique(labels)) != {0, 1} or not len(val):
        raise DataError("train needs clips of both classes, val any; prepare a data set that has them")
    train, val = np.asarray(train, np.float64), np.asarray(val, np.float64)
    means = np.stack([train[labels == label].mean(0) for label in (0, 1)])
    within = train - means[labels]
    scale = within.std(0)
    # A feature that never varies in train would make anything infinitely strange.
    scale = np.maximum(scale, 1e-3 * scale.mean())
    covariance, _ = ledoit_wolf(within / scale, assume_centered=True)
    values, vectors = np.linalg.eigh(covariance)
    whiten = vectors / np.sqrt(values) / scale[:, None]
    return Familiarity(means, whiten, float(np.quantile(_nearest(val, means, whiten), USUAL)))


def _nearest(looks: np.ndarray, means: np.ndarray, whiten: np.ndarray) -> np.ndarray:
    away = (np.asarray(looks, np.float64)[:, None] - means) @ whiten
    return np.sqrt(np.square(away).sum(-1)).min(-1)


def save(familiarity: Familiarity, path: str) -> str:
    """Write an ``.npz`` file, whole or not at all; returns its path."""
    with atomic.binary(path) as file:
        np.savez(file, **dataclasses.asdict(familiarity))
    return path


def load(path: str) -> Familiarity | None:
    """What a file holds; None where there is no file.

    Raises :class:`DataError` where the file cannot be read.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            return Familiarity(file["means"], file["whiten"], float(file["limit"]))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(
            f"{path} is no domain of this version ({error}); delete it to do without, or train again"
        ) from error
