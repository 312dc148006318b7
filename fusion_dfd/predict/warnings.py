"""What a reader of any verdict must know first about the detector that gave it."""

from __future__ import annotations

from fusion_dfd.evaluation.training_data import TrainingData
from fusion_dfd.runs.run import STATEMENT, Run
from fusion_dfd.shards import synthetic

RENDERED = "This detector was trained on rendered (drawn) faces only. Its verdicts on real footage mean nothing."
UNKNOWN = "It is not recorded what this detector was trained on."
NO_RUN = "This detector does not belong to a run."
UNCALIBRATED = (
    "This detector is not calibrated: its probabilities may be far too confident. Use them to rank videos, not as odds."
)


def rendered(facts: TrainingData | None) -> bool:
    """Whether a run was trained on nothing but the synthetic, rendered data set."""
    return bool(facts) and {one.split("/")[0] for one in facts["train"]["sets"]} == {synthetic.NAME}


def of(calibrated: bool, facts: TrainingData | None, run: Run | None) -> list[str]:
    """Of a detector of ``run``, trained on ``facts``; every way out shows them: terminal, JSON, CSV, pages, server."""
    known = bool(facts and facts["train"]["sets"])
    said = {RENDERED: rendered(facts), UNKNOWN: run and not known, NO_RUN: not run, UNCALIBRATED: not calibrated}
    stated = (run.verified or {}).get(STATEMENT) if run else None
    return [*filter(None, [stated]), *(sentence for sentence, holds in said.items() if holds)]
