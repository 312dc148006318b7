"""Where in a video the forged stretches are: those that scores show, and how well they agree with those that are known.

Time is counted in frames of the video. A stretch is found where neighbouring windows look forged: pages show the same
stretches that are measured here. Metrics:

Frame AUC
    over all frames of real videos and of fakes that state their stretches; a frame outside of a stretch is real.
Segment AUC
    the same over windows: a window is fake if any of its frames is forged.
Average precision at a temporal intersection over union
    of all stretches found in all videos, the surest first: one is right if it overlaps a known stretch by at least that
    ratio and no surer one has; precision is interpolated. This is ActivityNet's measure (Heilbron et al., CVPR 2015;
    ``eval_detection.py`` of its toolkit), which AV-Deepfake1M (Cai et al., ACM MM 2024) reports at .5 and .75.

A video of which nothing was scored has no part in any of them. Frames that no window covers are in no AUC, but a
stretch that only they show is one that was not found.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from fusion_dfd.evaluation import metrics
from fusion_dfd.evaluation.bootstrap import intervals
from fusion_dfd.evaluation.scores import FrameScore, probability
from fusion_dfd.types import Score, Stretches

LOOKS_FORGED = 0.5
"""Probability above which a window is part of a stretch."""
OVERLAPS = (0.5, 0.75)
"""Temporal intersections over union."""


class Found(NamedTuple):
    """A stretch that looks forged, from ``begin`` to ``end`` (not included)."""

    begin: float
    end: float
    probability: float
    """Mean over its windows, 0..1."""


def find(windows: Iterable[tuple[float, float, float]]) -> list[Found]:
    """The stretches that windows ``(begin, end, probability)`` of one face show, in the order of time.

    Windows above LOOKS_FORGED are joined as long as no other window lies between them and the gap, which nobody looked
    at, is no longer than a window.
    """
    found: list[list[tuple[float, float, float]]] = []
    joined = False
    for window in sorted(windows):
        begin, end, p = window
        if not p > LOOKS_FORGED:
            joined = False
            continue
        if joined and begin - found[-1][-1][1] <= end - begin:
            found[-1].append(window)
        else:
            found.append([window])
        joined = True
    return [Found(run[0][0], max(end for _, end, _ in run), float(np.mean([p for *_, p in run]))) for run in found]


def overlap(one: Sequence[float], other: Sequence[float]) -> float:
    """Temporal intersection over union, 0..1, of two stretches that begin with begin and end."""
    shared = min(one[1], other[1]) - max(one[0], other[0])
    return max(shared, 0.0) / (max(one[1], other[1]) - min(one[0], other[0])) if shared > 0 else 0.0


def average_precision(
    known: Mapping[str, Sequence[tuple[float, float]]], found: Mapping[str, Sequence[Found]], least: float
) -> float | None:
    """Average precision 0..1 of the stretches ``found``, by video, at an :func:`overlap` of ``least``.

    None where no stretch is known.
    """
    total = sum(map(len, known.values()))
    if not total:
        return None
    ranked = sorted(
        ((one, video) for video, own in found.items() for one in own), key=lambda pair: -pair[0].probability
    )
    taken: set[tuple[str, int]] = set()
    right = []
    for one, video in ranked:
        spans = [(overlap(one, span), number) for number, span in enumerate(known.get(video, ()))]
        free = [pair for pair in spans if pair[0] >= least and (video, pair[1]) not in taken]
        right.append(bool(free))
        if free:
            taken.add((video, max(free)[1]))
    hits = np.cumsum(right)
    precision = np.concatenate([[0.0], hits / np.arange(1, len(hits) + 1), [0.0]])
    recall = np.concatenate([[0.0], hits / total, [1.0]])
    best = np.maximum.accumulate(precision[::-1])[::-1]
    steps = np.flatnonzero(np.diff(recall)) + 1
    return float(((recall[steps] - recall[steps - 1]) * best[steps]).sum())


def measure(
    scores: Sequence[Score],
    frames: Sequence[FrameScore] | None,
    stretches: Mapping[str, Stretches],
    bootstrap: int,
    seed: int,
) -> dict[str, Any] | None:
    """The block ``stretches`` of a summary; None where no scored fake states its stretches.

    ``partial`` counts these fakes, ``known`` their stretches, ``found`` those found in all videos; ``spans`` is
    ``{video: Stretches.text()}`` of these fakes; ``frame_auc`` and ``segment_auc`` are ``{value, low, high, rows}``;
    ``ap_50`` and ``ap_75`` numbers. Only main faces and windows of consecutive frames count. Without ``frames``, a
    frame has the score of its window. Where ``stretches`` lacks one of the fakes, as for a table of scores without its
    shards, what needs them is None.
    """
    rows = _counting(scores)
    partial = {row.video for row in rows if row.label}
    if not partial:
        return None
    by_video: dict[str, list[tuple[float, float, float]]] = {}
    for row, p in zip(rows, probability([row.logit for row in rows]), strict=True):
        by_video.setdefault(row.video, []).append((row.start, row.stop, float(p)))
    found = {video: find(windows) for video, windows in by_video.items()}
    known = {video: stretches[video].spans for video in partial} if partial <= set(stretches) else None
    labelled = [(row.forged, row) for row in _counting(frames or ())]
    if not labelled and known:
        labelled = [(int(label), row) for row in rows for label in _labels(row, stretches)]
    return {
        "partial": len(partial),
        "known": sum(map(len, known.values())) if known else None,
        "found": sum(map(len, found.values())),
        "frame_auc": _auc(labelled, bootstrap, seed) if labelled else None,
        "segment_auc": _auc([(int(row.forged > 0), row) for row in rows], bootstrap, seed),
        "spans": {video: stretches[video].text() for video in sorted(partial)} if known else None,
        **{f"ap_{round(100 * least)}": average_precision(known, found, least) if known else None for least in OVERLAPS},
    }


def _counting(rows: Sequence[Score]) -> list[Score]:
    return [row for row in rows if row.track == 0 and row.contiguous and row.forged >= 0]


def _labels(row: Score, stretches: Mapping[str, Stretches]) -> np.ndarray:
    frames = np.arange(row.start, row.stop)
    return stretches[row.video].marks(frames) if row.label else np.zeros(len(frames), np.uint8)


def _auc(labelled: Sequence[tuple[int, Score]], bootstrap: int, seed: int) -> dict[str, Any]:
    labels, p = np.array([label for label, _ in labelled]), probability([row.logit for _, row in labelled])
    groups = [f"{row.dataset}/{row.group}" for _, row in labelled]
    low, high = intervals(labels, p, groups, bootstrap, seed)["auc"] or (None, None)
    return {"value": metrics.compute(labels, p)["auc"], "low": low, "high": high, "rows": len(labels)}
