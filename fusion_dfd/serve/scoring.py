"""Scores an uploaded video, explains the verdict, and states what users must know about the model."""

from __future__ import annotations

import dataclasses
import html
import os
import tempfile
from collections.abc import Callable

from fusion_dfd import __version__, atomic
from fusion_dfd.config import Synthetic
from fusion_dfd.explain import page
from fusion_dfd.predict import warnings
from fusion_dfd.predict.detector import DeepfakeDetector, OnProgress
from fusion_dfd.predict.verdict import THRESHOLD, Verdict
from fusion_dfd.synthetic import take

EVIDENCE = (
    "A score is evidence, not proof: forgeries of an unknown kind can pass, and real videos can be called fake. Never "
    "accuse anyone on the strength of a score alone."
)

Score = Callable[[str, str, OnProgress], tuple[Verdict, str | None]]
"""``(path, directory, on_progress) -> (verdict, page)``, see :func:`score`."""


@dataclasses.dataclass(frozen=True)
class ModelFacts:
    """What users must know about a run and its detector."""

    name: str
    """What requests call this detector."""
    digest: str
    """SHA-256 of its weights, configuration and calibration: that of its records."""
    run: str
    """Name of the run's folder."""
    version: str
    """Version of this package."""
    system: str
    """Kind of model, a name of ``fusion_dfd.models.registry``."""
    threshold: float
    """Probabilities above it are called fake."""
    abstention: tuple[float, float] | None
    """The abstention band: probabilities in it get no verdict. None if the run is not calibrated."""
    trained_on: tuple[str, ...]
    """``dataset/compression`` of the training data; empty if unknown."""
    notices: tuple[str, ...]
    """Sentences to be shown with every verdict."""


def score(detector: DeepfakeDetector, path: str, directory: str, on_progress: OnProgress) -> tuple[Verdict, str]:
    """Score a video and explain the verdict.

    Args:
      detector: of the run.
      path: of the video.
      directory: an existing folder for the report.
      on_progress: called after every clip and every step of the explanation. An exception it raises ends the work and
        is passed on.

    Returns the verdict, and the path of an HTML report in ``directory``.
    """
    return page.write(detector, path, directory, on_progress, for_others=True)


def renamed(verdict: Verdict, report: str | None, path: str, name: str) -> Verdict:
    """The verdict with ``path`` replaced by ``name``, in its sentences and in the report too.

    The last part of ``path`` must be a random word that does not occur elsewhere in the report.
    """
    if report is not None:
        with open(report, encoding="utf-8") as file:
            text = file.read()
        for word in (path, os.path.basename(path)):
            text = text.replace(html.escape(word), html.escape(name))
        atomic.write_text(report, text)
    reason = verdict.reason and verdict.reason.replace(path, name)
    return dataclasses.replace(verdict, path=name, reason=reason)


def warm(detector: DeepfakeDetector, inside: str) -> None:
    """Compile all programs by scoring and explaining a rendered video, in a temporary folder ``inside`` another."""
    with tempfile.TemporaryDirectory(dir=inside) as folder:
        path = os.path.join(folder, "warm.mp4")
        take.shoot(take.RenderTask(Synthetic(frames=8), 0, 1, {take.ORIGINAL: path}))
        score(detector, path, folder, lambda *_: None)


def gather(name: str, detector: DeepfakeDetector) -> ModelFacts:
    """What a user must know about a detector that requests call ``name``. Raises DataError if its files are damaged."""
    run = detector.run
    found = run.training_data
    sets = tuple(found["train"]["sets"]) if found else ()
    calibration = detector.rules.calibration
    return ModelFacts(
        name=name,
        digest=detector.facts.digest,
        run=run.name,
        version=__version__,
        system=detector.config.model.system,
        threshold=calibration.threshold if calibration else THRESHOLD,
        abstention=calibration and tuple(calibration.abstain),
        trained_on=sets,
        notices=(EVIDENCE, *warnings.of(calibration is not None, found, run)),
    )
