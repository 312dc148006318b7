"""What a user must know about the model that speaks, taken from its run folder."""

from __future__ import annotations

import dataclasses
import os
from importlib import metadata

from fusion_dfd.evaluation import provenance
from fusion_dfd.predict.detector import Detector
from fusion_dfd.predict.judge import THRESHOLD
from fusion_dfd.shards.embedded import NAME as EMBEDDED

EVIDENCE = (
    "A score is evidence, not proof: forgeries of a kind the model has not met can pass, and real videos can be called "
    "fake. Let nobody's good name hang on it alone."
)
RENDERED = (
    "This model was trained on rendered faces, the embedded data set, and on nothing else: what it says is no verdict "
    "on real footage."
)
UNKNOWN = "This run does not say what it was trained on."
UNCALIBRATED = "This run is not calibrated: its numbers rank videos, they are no probabilities."


@dataclasses.dataclass(frozen=True)
class Facts:
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


def gather(run: str, detector: Detector) -> Facts:
    """The facts about a run folder. Raises DataError where its ``data.json`` is damaged."""
    found = provenance.load(run)
    sets = tuple(found["train"]["sets"]) if found else ()
    calibration = detector.judge.calibration
    rendered = bool(sets) and all(name.partition("/")[0] == EMBEDDED for name in sets)
    said = {EVIDENCE: True, RENDERED: rendered, UNKNOWN: not sets, UNCALIBRATED: calibration is None}
    return Facts(
        run=os.path.basename(os.path.abspath(run)),
        version=metadata.version("fusion-dfd"),
        system=detector.config.model.system,
        threshold=calibration.threshold if calibration else THRESHOLD,
        doubt=calibration and tuple(calibration.abstain),
        trained_on=sets,
        notices=tuple(sentence for sentence, holds in said.items() if holds),
    )
