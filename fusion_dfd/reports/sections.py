"""What the parts of an evaluation's page show: from a summary and its scores to the values of the template."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import cv2
import numpy as np
from markupsafe import Markup
from sklearn import metrics as sk

from fusion_dfd import config
from fusion_dfd.evaluation.metrics import METRICS
from fusion_dfd.evaluation.scores import VideoScore
from fusion_dfd.evaluation.summary import Summary
from fusion_dfd.reports import plots, terminal
from fusion_dfd.reports.pages import data_uri
from fusion_dfd.reports.terminal import METHOD_METRICS
from fusion_dfd.types import LABELS, DataError, Score

_LISTED = 50  # unscored videos named on the page; metrics.json has all
_WIDTH = 1200  # pixels of a strip in the page: readable on a wide screen, and about 100 kB

Thumbnails = Callable[[Score], np.ndarray | None]
"""A window's score -> uint8 [h, w, 3], a strip of its frames, RGB; None where there is nothing to show."""


# By method


def by_method(summary: Summary) -> dict[str, Any] | None:
    """``{plot, header, rows}``: a plot of the video AUC per method, and a table of video metrics per method.

    A row is the method, the number of its fakes, and ``(entry, whether its interval is shown)`` of each metric. None
    where there is no method; ``plot`` is None where no AUC is defined.
    """
    blocks = summary["units"]["video"]["methods"]
    if not blocks:
        return None
    others = [name for name in summary["units"] if name in ("window", "frame")]
    header = ["method", "fakes", *(METRICS[name].title for name in METHOD_METRICS)]
    header += [f"{summary['units'][unit]['title']} AUC" for unit in others]
    rows = []
    for method, block in blocks.items():
        entries = [(block["metrics"][name], name == "auc") for name in METHOD_METRICS]
        entries += [(_auc(summary["units"][unit]["methods"].get(method)), True) for unit in others]
        rows.append((method, block["counts"]["fake"], entries))
    aucs = {method: _auc(block) for method, block in blocks.items()}
    known = any(entry["value"] is not None for entry in aucs.values())
    return {"plot": plots.methods(aucs, "video AUC") if known else None, "header": header, "rows": rows}


def _auc(block: dict | None) -> dict:
    return block["metrics"]["auc"] if block else {"value": None, "low": None, "high": None, "note": "no rows"}


def by_attribute(summary: Summary) -> list[list[str]]:
    """Attribute, value, real videos, false alarms, fakes and recall, by what data sets say of their videos."""
    return [
        [name, value, str(of["real"]), _percent(of["false_alarms"]), str(of["fake"]), _percent(of["recall"])]
        for name, values in summary["by"].items()
        for value, of in values.items()
    ]


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.1%}"


# Curves


def curves(summary: Summary) -> dict[str, Markup | None]:
    """ROC, DET, precision and recall, calibration and scores by title; None for what cannot be drawn."""
    units = summary["units"]
    video = units["video"]["overall"]
    blocks = {
        units[name]["title"]: units[name]["overall"]
        for name in ("video", "window")
        if name in units and units[name]["overall"]["roc"]
    }
    drawn = {title: (block["roc"], block["metrics"]["auc"]["value"]) for title, block in blocks.items()}
    rates = {title: (block["roc"]["fpr"], block["roc"]["tpr"]) for title, block in blocks.items()}
    precise = {title: (*precision(block), block["metrics"]["ap"]["value"]) for title, block in blocks.items()}
    chance = video["counts"]["fake"] / max(video["counts"]["rows"], 1)
    return {
        "ROC": plots.roc(drawn) if drawn else None,
        "DET": plots.det(rates) if rates else None,
        "Precision and recall": plots.precision_recall(precise, chance) if precise else None,
        **_reliability(summary),
        "Scores, videos": plots.histogram(video["histogram"], summary["threshold"]) if video["histogram"] else None,
    }


def not_drawn(summary: Summary) -> str:
    """Why curves of the videos cannot be drawn; empty where they can."""
    metrics = summary["units"]["video"]["overall"]["metrics"]
    return metrics["auc"]["note"] or metrics["brier"]["note"]


def precision(block: dict) -> tuple[np.ndarray, np.ndarray]:
    """Recall and precision [m] at the thresholds of a block's ROC curve, from low to high; precision ends at 1."""
    recall, counts = np.array(block["roc"]["tpr"])[::-1], block["counts"]
    found, alarms = recall * counts["fake"], np.array(block["roc"]["fpr"])[::-1] * counts["real"]
    return recall, np.divide(found, found + alarms, out=np.ones_like(found), where=found + alarms > 0)


def _reliability(summary: Summary) -> dict[str, Markup | None]:
    """The reliability curve; where there is a calibration, also the curve before it."""
    titles = {"video": "Calibration, videos", "video_uncalibrated": "Calibration, videos, before it was fitted"}
    found = {titles[name]: unit["overall"] for name, unit in summary["units"].items() if name in titles}
    return {
        title: plots.reliability(block["reliability"], f"reliability{turn}") if block["reliability"] else None
        for turn, (title, block) in enumerate(found.items())
    }


# Classification report

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


def classification(summary: Summary) -> dict[str, Any] | None:
    """``{header, rows}`` of the report at the summary's threshold; None where the videos have no confusion matrix."""
    confusion = summary["units"]["video"]["overall"]["confusion"]
    if not confusion:
        return None
    rows = [[name, *_texts(row)] for name, row in classes(confusion).items()]
    return {"header": ["", *COLUMNS], "rows": rows}


def _texts(row: dict[str, float]) -> list[str]:
    values = ["undefined" if np.isnan(row[name]) else f"{row[name]:.3f}" for name in COLUMNS[:-1]]
    return [*values, f"{row['support']:.0f}"]


# Mistakes


@dataclasses.dataclass(frozen=True)
class Mistake:
    """A video on the wrong side of the threshold."""

    video: VideoScore
    window: Score
    """Its most misleading window."""


def find_mistakes(scores: Sequence[Score], videos: Sequence[VideoScore], threshold: float) -> list[Mistake]:
    """The videos on the wrong side of ``threshold``, the farthest from it first.

    ``scores``: the windows that ``videos`` were aggregated from.
    """
    windows: dict[str, list[Score]] = {}
    for row in scores:
        windows.setdefault(row.video, []).append(row)
    wrong = [v for v in videos if np.isfinite(v.probability) and (v.probability > threshold) != (v.label == 1)]
    wrong.sort(key=lambda video: (-abs(video.probability - threshold), video.video))
    return [Mistake(v, (min if v.label else max)(windows[v.video], key=lambda row: row.logit)) for v in wrong]


def picture(mistake: Mistake, thumbnails: Thumbnails | None) -> str | None:
    """The frames of a mistake's window as a ``data:`` URI of a JPEG; None where the frames cannot be had."""
    try:
        strip = thumbnails(mistake.window) if thumbnails else None
    except DataError:  # a lost shard must not cost the report
        return None
    if strip is None:
        return None
    height, width = strip.shape[:2]
    if width > _WIDTH:
        strip = cv2.resize(strip, (_WIDTH, max(1, round(height * _WIDTH / width))), interpolation=cv2.INTER_AREA)
    return data_uri(strip)


# Words


def unscored(summary: Summary) -> dict[str, Any]:
    """``{words, rows, more}``: videos without a score by kind, the first of them, and how many are not listed."""
    lost = summary["unscored"]
    rows = [(row["video"], LABELS[row["label"]], row["reason"]) for row in lost["videos"]]
    return {"words": terminal.lost(lost), "rows": rows[:_LISTED], "more": max(len(rows) - _LISTED, 0)}


def notes(summary: Summary) -> Mapping[str, list[str]]:
    """``meaning``: how each number is defined; ``limits``: what the numbers do not say."""
    boot = summary["bootstrap"]
    meaning = [
        "Fake is the positive class.",
        f"Video: a face's probability is {config.RULES[summary['rule']]}, a video's is "
        f"{config.TRACKS[summary['tracks']]}. A video "
        "is known by data set, method, compression and file, because data sets use one file name for several methods.",
        "Window and frame: every window, every frame of the first face track by itself. Numbers over different units "
        "are not comparable.",
        f"Intervals: {boot['level']:.0%} percentile bootstrap, {boot['n']} resamples of whole groups (videos that "
        f"share an identity or a source clip), seed {boot['seed']}.",
        "By method: the fakes of that method against all reals of the same data set and compression.",
    ]
    choice = "Calibration and threshold come from val" if summary["calibration"] else "The threshold was given"
    limits = [
        "An interval covers the choice of the test videos only: neither another training seed nor another data set. "
        "If every resample is perfect, the interval has zero width; that is not certainty.",
        "The numbers hold for the kind of forgery, compression and camera of this split. On other data sets, deepfake "
        "detectors usually do much worse.",
        f"{choice}; nothing on this page was fitted to this split.",
        "A probability of fake is evidence to weigh, not proof.",
    ]
    return {"meaning": meaning, "limits": limits}
