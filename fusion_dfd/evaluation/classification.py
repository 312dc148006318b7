"""The classification report over videos: precision, recall and F1 of each class."""

from __future__ import annotations

import numpy as np
from sklearn import metrics as sk

from fusion_dfd.evaluation import sections
from fusion_dfd.evaluation.summary import Summary
from fusion_dfd.types import LABELS

COLUMNS = ("precision", "recall", "f1-score", "support")
AVERAGES = ("macro avg", "weighted avg")


def classes(confusion: dict[str, int]) -> dict[str, dict[str, float]]:
    """scikit-learn's ``classification_report`` of counts {tn, fp, fn, tp}: per class, and the two averages.

    NaN where there is nothing to divide by; the averages leave such values out.
    """
    truth, called = np.repeat([[0, 0, 1, 1], [0, 1, 0, 1]], [confusion[name] for name in ("tn", "fp", "fn", "tp")], 1)
    found = sk.classification_report(
        truth, called, labels=[0, 1], target_names=LABELS, output_dict=True, zero_division=np.nan
    )
    return {name: found[name] for name in (*LABELS, *AVERAGES)}


def section(summary: Summary) -> str:
    """HTML of the report at the summary's threshold; empty where the videos have no confusion matrix."""
    confusion = summary["units"]["video"]["overall"]["confusion"]
    if not confusion:
        return ""
    rows = [[sections.cell(name), *map(sections.cell, _texts(row))] for name, row in classes(confusion).items()]
    title = f"Classification report, videos, threshold {summary['threshold']:g}"
    return sections.section(title, sections.table(["", *COLUMNS], rows, "wide"))


def _texts(row: dict[str, float]) -> list[str]:
    values = ["undefined" if np.isnan(row[name]) else f"{row[name]:.3f}" for name in COLUMNS[:-1]]
    return [*values, f"{row['support']:.0f}"]
