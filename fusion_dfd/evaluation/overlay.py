"""Several tables of scores on one page: their curves laid over each other, over the videos that all of them have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

import numpy as np
from sklearn import metrics as sk

from fusion_dfd.evaluation import metrics, plots, sections, style
from fusion_dfd.evaluation.scores import VideoScore


def page(rows: Mapping[str, Sequence[VideoScore]], tables: Sequence[tuple[str, str, list[list[str]]]]) -> str:
    """A self-contained HTML page.

    Args:
      rows: videos of each table, by name.
      tables: of the comparisons: title, a sentence, and rows of metric, difference, interval, p-value as text.
    """
    common = set.intersection(*({row.video for row in videos} for videos in rows.values()))
    kept = {name: [row for row in videos if row.video in common] for name, videos in rows.items()}
    parts = [
        f'<h1>Comparison</h1><p class="verdict">{escape(" · ".join(rows))}</p>'
        f'<p class="meta">Curves over the {len(common)} videos that all of them have.</p>',
        _curves(kept),
    ]
    header = ("metric", "difference", "95 % interval", "p")
    for title, told, lines in tables:
        body = sections.table(header, [[sections.cell(text) for text in line] for line in lines])
        parts.append(sections.section(title, f"<p>{escape(told)}</p>{body}"))
    head = f'<meta charset="utf-8"><title>Comparison</title><style>{style.CSS}</style>'
    body = "\n".join(parts)
    return f'<!doctype html>\n<html lang="en"><head>{head}</head>\n<body><main>\n{body}\n</main></body></html>\n'


def _curves(rows: Mapping[str, Sequence[VideoScore]]) -> str:
    """ROC, DET and precision over recall of the tables for which they are defined."""
    roc, precision, fakes = {}, {}, 0.0
    for name, videos in rows.items():
        y, p = metrics.checked([row.label for row in videos], [row.probability for row in videos])
        values = metrics.compute(y, p)
        if values["auc"] is None:
            continue
        fpr, tpr = metrics.roc(y, p)
        roc[name] = ({"fpr": fpr, "tpr": tpr}, values["auc"])
        found, recall, _ = sk.precision_recall_curve(y, p)
        precision[name], fakes = (recall, found, values["ap"]), float(np.mean(y))
    if not roc:
        return sections.section("Curves", "<p>Not drawn: the common videos lack a class, or scores are NaN.</p>")
    drawn = [
        sections.section("ROC", plots.roc(roc)),
        sections.section("DET", plots.det({name: (curve["fpr"], curve["tpr"]) for name, (curve, _) in roc.items()})),
        sections.section("Precision and recall", plots.precision_recall(precision, fakes)),
    ]
    return f'<div class="columns">{"".join(drawn)}</div>'
