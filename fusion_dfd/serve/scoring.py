"""What a server does with one video: the only place that knows how a verdict and its report are made."""

from __future__ import annotations

import dataclasses
import html
import os
from collections.abc import Callable

from fusion_dfd import __version__, atomic
from fusion_dfd.explain import page, sentences
from fusion_dfd.predict.detector import DeepfakeDetector, OnProgress
from fusion_dfd.predict.verdict import THRESHOLD, Verdict
from fusion_dfd.runs.run import Run

Score = Callable[[str, str, OnProgress], tuple[Verdict, str | None]]
"""``(path, directory, told) -> (verdict, page)``, see :func:`score`."""


def score(detector: DeepfakeDetector, path: str, directory: str, told: OnProgress) -> tuple[Verdict, str]:
    """Score a video and explain the verdict.

    Args:
      detector: a trained one.
      path: of the video.
      directory: an existing folder for what is to be shown about it.
      told: called after every window and every part of the explanation; what it raises ends the work and is passed on.

    Returns the verdict, and the path of an HTML report in ``directory``.
    """
    return page.write(detector, path, directory, told)


def renamed(verdict: Verdict, report: str | None, path: str, name: str) -> Verdict:
    """The verdict on the file at ``path`` as one on ``name``, in its sentences and in its report too.

    The last part of ``path`` must be a word that nothing else in the report can hold.
    """
    if report is not None:
        with open(report, encoding="utf-8") as file:
            text = file.read()
        for word in (path, os.path.basename(path)):
            text = text.replace(html.escape(word), html.escape(name))
        atomic.write_text(report, text)
    reason = verdict.reason and verdict.reason.replace(path, name)
    return dataclasses.replace(verdict, path=name, reason=reason)


# MERGED from serve.facts: What a user must know about the model that speaks, taken from its run folder.
EVIDENCE = (
    "A score is evidence, not proof: forgeries of a kind the model has not met can pass, and real videos can be called "
    "fake. Let nobody's good name hang on it alone."
)


@dataclasses.dataclass(frozen=True)
class ModelFacts:
    """Of a run and the detector made from it."""

    run: str
    """Name of the run's folder."""
    version: str
    """Of this package."""
    system: str
    """Kind of model, a name of ``fusion_dfd.models.registry``."""
    threshold: float
    """Probabilities above it are called fake."""
    doubt: tuple[float, float] | None
    """Probabilities in between get no verdict; None where the run is not calibrated."""
    trained_on: tuple[str, ...]
    """``dataset/compression`` of the training data; empty where the run does not say."""
    notices: tuple[str, ...]
    """Sentences that belong beside every verdict."""


def gather(run: Run, detector: DeepfakeDetector) -> ModelFacts:
    """What a user must know about a run. Raises DataError where its ``data.json`` is damaged."""
    found = run.training_data
    sets = tuple(found["train"]["sets"]) if found else ()
    calibration = detector.rules.calibration
    return ModelFacts(
        run=run.name,
        version=__version__,
        system=detector.config.model.system,
        threshold=calibration.threshold if calibration else THRESHOLD,
        doubt=calibration and tuple(calibration.abstain),
        trained_on=sets,
        notices=(EVIDENCE, *sentences.warnings(detector.rules, found, run)),
    )
