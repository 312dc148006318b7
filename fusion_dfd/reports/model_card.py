"""A model card: what a run is, what it was trained on and what it reached, in Markdown with the header that hubs read.

Every number comes from the summary of an evaluation; what was not measured is not on the card.
"""

from __future__ import annotations

import json

from fusion_dfd.evaluation.metrics import METRICS
from fusion_dfd.evaluation.summary import Summary, cell, headline
from fusion_dfd.evaluation.training_data import TrainingData
from fusion_dfd.reports import tables
from fusion_dfd.reports.terminal import listed

SHOWN = {
    "auc": "roc_auc",
    "ap": "average_precision",
    "eer": "eer",
    "balanced_accuracy": "balanced_accuracy",
    "ece": "ece",
}
"""Metrics of the header, with the names that hubs have for them."""


def card(
    name: str, summary: Summary, split: str, sets: list[str], facts: TrainingData | None, warnings: list[str]
) -> str:
    """The whole card.

    Args:
      name: of the run.
      summary: of the evaluation.
      split: that was scored.
      sets: ``dataset compression`` of the scored videos.
      facts: what the run was trained on; None where it does not say.
      warnings: sentences to be shown beside the numbers.
    """
    block = summary["units"]["video"]["overall"]["metrics"]
    rows = [[METRICS[metric].title, cell(entry)] for metric, entry in block.items()]
    methods = [
        [method, str(part["counts"]["fake"]), cell(part["metrics"]["auc"])]
        for method, part in summary["units"]["video"]["methods"].items()
    ]
    parts = [
        _header(name, summary, split, sets),
        f"# {name}",
        "A detector of deepfake videos (fusion_dfd). It gives the probability that the face of a video was forged.",
        f"## Result\n\n{headline(summary)}, {split} split of {', '.join(sets)}. {listed(summary)}.",
        *(f"**{line}**" for line in warnings),
        tables.markdown(["videos", "value [95% interval, over groups]"], rows),
        tables.markdown(["manipulation", "fakes", "AUC against all reals"], methods),
        f"## Training data\n\n{_trained(facts)}",
        f"## Calibration\n\n{summary['calibration']['sentence'] if summary['calibration'] else 'None.'}",
        "## Limits\n\nThe numbers hold for the forgeries, compression and cameras of this split; on others, detectors "
        "of deepfakes usually do much worse. A probability is evidence to weigh, not proof about a person. The code is "
        "Apache-2.0; whether these weights may be passed on depends on the terms of the training data.",
    ]
    return "\n\n".join(parts) + "\n"


def _header(name: str, summary: Summary, split: str, sets: list[str]) -> str:
    """YAML between two lines of dashes; JSON is YAML, so that values are written as such."""
    block = summary["units"]["video"]["overall"]["metrics"]
    values = [
        {"type": kind, "name": f"Video {METRICS[metric].title}", "value": block[metric]["value"]}
        for metric, kind in SHOWN.items()
        if block[metric]["value"] is not None
    ]
    dataset = {"type": sets[0].split()[0], "name": ", ".join(sets), "split": split}
    task = {"type": "video-classification", "name": "Deepfake video detection"}
    index = [{"name": name, "results": [{"task": task, "dataset": dataset, "metrics": values}]}]
    fields = {
        "license": "other",
        "library_name": "fusion_dfd",
        "pipeline_tag": "video-classification",
        "tags": ["deepfake-detection", "jax", "flax"],
        "model-index": index,
    }
    return "\n".join(["---", *(f"{field}: {json.dumps(value)}" for field, value in fields.items()), "---"])


def _trained(facts: TrainingData | None) -> str:
    if facts is None:
        return "The run does not say."
    sets = ", ".join(" ".join(filter(None, one.split("/"))) for one in facts["train"]["sets"])
    left = f" Left out: {', '.join(facts['excluded'])}." if facts["excluded"] else ""
    counts = f"{len(facts['train']['groups'])} groups in train, {len(facts['val']['groups'])} in val"
    return f"{sets}; {', '.join(facts['train']['methods'])}; {counts}.{left}"
