"""All statistics of an evaluation as one JSON-able value, per unit and per method.

Layout of a summary::

    threshold, rule, tracks, bootstrap {n, seed, level, over}
    apart        {windows, videos}: with frames that are not known to be consecutive
    stretches    None, or how well forged stretches are found: :func:`fusion_dfd.evaluation.segments.measure`
    calibration  None, or its fields and ``sentence``: it and its threshold hold for whole videos
    list         {digest, videos, scored}: SHA-256 of the list of all videos, with or without a score
                 (:mod:`fusion_dfd.datasets.listing`), their number, and how many have a score
    by           {attribute: {value: {real, fake, false_alarms, recall}}}: numbers of scored videos, and the shares of
                 them that are called fake (None without any), by what data sets say of their videos
    undecided    {real, fake, wrong}: videos in the abstention band, and the share called wrong of the others;
                 None without calibration
    units    {unit: {title, threshold, overall: block, methods: {method: block without curves}}}
             units: video; video_uncalibrated, where there is a calibration; video_with_unscored (videos that
             could not be scored, counted at 0.5); window (until 0.1 called clip); frame
    unscored {real, fake, failed: {real, fake}, faceless: {real, fake},
              videos: [{video, method, group, label, kind, reason}]}

    block    counts {rows, real, fake, groups}
             metrics {name: {value, low, high, note}}    value None = undefined, low None = no interval; note says why
             confusion {tn, fp, fn, tp}, roc {fpr, tpr}, reliability [{low, high, count, probability, fakes}],
             histogram {edges, real, fake}               each None where it cannot be drawn
             ece_if_right {mean, low, high}              the ECE over as many rows of a model whose probabilities are
                                                         exactly right; None where the others are
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fusion_dfd.datasets import listing
from fusion_dfd.evaluation import metrics, segments
from fusion_dfd.evaluation.bootstrap import LEVEL, intervals
from fusion_dfd.evaluation.calibrate import Calibration
from fusion_dfd.evaluation.scores import FrameScore, VideoFacts, VideoScore, probability, videos
from fusion_dfd.types import LABELS, DataError, Score, Stretches

Summary = dict[str, Any]

TITLES = {
    "video": "Video",
    "video_uncalibrated": "Video, uncalibrated",
    "video_with_unscored": "Video, unscored at 0.5",
    "window": "Window",
    "frame": "Frame",
}

_CURVE = 400  # points of a ROC curve that a summary keeps
_HISTOGRAM = 20
_DRAWS = 200  # behind the calibration error of an ideal model


@dataclasses.dataclass(frozen=True, slots=True)
class Unscored(VideoFacts):
    """A video of the split without a score."""

    kind: str
    """``failed``: it could not be read or scored. ``faceless``: no face was found in it."""
    reason: str


UNSCORED = ("failed", "faceless")
_NAMED = ("video", "method", "group", "label", "kind", "reason")


@dataclasses.dataclass(frozen=True)
class _Rows:
    """Rows of one unit as equally long columns [n]."""

    labels: np.ndarray
    probabilities: np.ndarray
    groups: np.ndarray
    sets: np.ndarray
    """(dataset, compression) of a row, joined: the reals that a fake is compared with have the same."""
    methods: np.ndarray

    def __getitem__(self, keep: np.ndarray) -> _Rows:
        return _Rows(*(getattr(self, field.name)[keep] for field in dataclasses.fields(self)))


def summarise(
    scores: Sequence[Score],
    frame_scores: Sequence[FrameScore] | None = None,
    unscored: Sequence[Unscored] = (),
    bootstrap: int = 1000,
    threshold: float = 0.5,
    rule: str = "mean_probability",
    seed: int = 0,
    tracks: str = "first",
    calibration: Calibration | None = None,
    stretches: Mapping[str, Stretches] | None = None,
    attributes: Mapping[str, Mapping[str, str]] | None = None,
) -> Summary:
    """Statistics by window, by video and, with ``frame_scores``, by frame; the module's docstring gives the layout.

    Each fake method is measured against all real rows of its data set and compression. Of windows and frames only
    those of track 0 count: data sets do not say which further faces of a fake video were manipulated. Windows and
    frames outside of the forged stretches of a fake are left out of these two; the block ``stretches`` has them.

    Args:
      scores: one row per window.
      frame_scores: one row per frame, where there are any.
      unscored: videos of the same split that have no score.
      bootstrap: resamples over groups behind each interval.
      threshold: above it a row is called fake. With a calibration, its threshold is used for videos, 0.5 for the rest.
      rule: one of :data:`fusion_dfd.config.RULES`.
      seed: of the resamples.
      tracks: one of :data:`fusion_dfd.config.TRACKS`.
      calibration: of the videos' probabilities, fitted on val.
      stretches: in frames, of the fakes that state them, by the key of the video.
      attributes: of videos, by key, such as ``{"language": "es"}``.

    Raises :class:`DataError` for no scores, for scores of unknown label, for a calibration of another aggregation, and
    as :func:`scores.videos` does.
    """
    if not scores:
        raise DataError("there are no scores to evaluate: the split holds no window")
    raw = videos(scores, rule, tracks)
    scored, at, rest = raw, threshold, threshold
    if calibration:
        _agrees(calibration, rule, tracks)
        scored, at, rest = calibration.videos(raw), calibration.threshold, 0.5
    units = {"video": (_video_rows(scored), at)}
    if calibration:
        units["video_uncalibrated"] = (_video_rows(raw), rest)
    if unscored:
        units["video_with_unscored"] = (_video_rows(scored, unscored), at)
    units["window"] = (_rows(scores), rest)
    if frame_scores:
        units["frame"] = (_rows(frame_scores), rest)
    options = {"n": bootstrap, "seed": seed}
    return {
        "threshold": at,
        "rule": rule,
        "tracks": tracks,
        "calibration": calibration
        and {**json.loads(json.dumps(dataclasses.asdict(calibration))), "sentence": calibration.sentence()},
        "list": _listed(raw, unscored),
        "by": _by_attribute(scored, at, attributes or {}),
        "undecided": calibration and _undecided(scored, calibration),
        "bootstrap": {"n": bootstrap, "seed": seed, "level": LEVEL, "over": "groups"},
        "apart": _apart(scores),
        "stretches": segments.measure(scores, frame_scores, stretches or {}, bootstrap, seed),
        "units": {
            name: {"title": TITLES[name], "threshold": limit, **_unit(rows, options | {"threshold": limit})}
            for name, (rows, limit) in units.items()
        },
        "unscored": _lost(unscored),
    }


def _agrees(calibration: Calibration, rule: str, tracks: str) -> None:
    if (calibration.aggregate, calibration.tracks) != (rule, tracks):
        raise DataError(
            f"the calibration is of evaluate.aggregate={calibration.aggregate}, tracks={calibration.tracks}, but the "
            f"scores are aggregated by {rule}, {tracks}: fit it again with fusion-dfd calibrate"
        )


def _apart(scores: Sequence[Score]) -> dict[str, int]:
    apart = [row.video for row in scores if not row.contiguous]
    return {"windows": len(apart), "videos": len(set(apart))}


def _undecided(scored: Sequence[VideoScore], calibration: Calibration) -> dict:
    calls = [(row.label, calibration.verdict(row.probability)) for row in scored]
    mistaken = [LABELS[label] != call for label, call in calls if call != "uncertain"]
    return {
        **{name: calls.count((label, "uncertain")) for label, name in enumerate(LABELS)},
        "wrong": sum(mistaken) / len(mistaken) if mistaken else None,
    }


def _listed(scored: Sequence[VideoScore], unscored: Sequence[Unscored]) -> dict:
    labels = {row.video: row.label for row in (*unscored, *scored)}
    return {"digest": listing.digest(labels.items()), "videos": len(labels), "scored": len(scored)}


def _by_attribute(scored: Sequence[VideoScore], threshold: float, attributes: Mapping) -> dict:
    called: dict[tuple[str, str], tuple[list[bool], list[bool]]] = {}
    for row in scored:
        for pair in attributes.get(row.video, {}).items():
            called.setdefault(pair, ([], []))[row.label].append(row.probability > threshold)
    found: dict[str, dict] = {}
    for (name, value), (reals, fakes) in sorted(called.items()):
        shares = {"false_alarms": _share(reals), "recall": _share(fakes)}
        found.setdefault(name, {})[value] = {"real": len(reals), "fake": len(fakes), **shares}
    return found


def _share(calls: list[bool]) -> float | None:
    return sum(calls) / len(calls) if calls else None


def _lost(unscored: Sequence[Unscored]) -> dict:
    def count(rows: list[Unscored]) -> dict[str, int]:
        return {name: sum(row.label == label for row in rows) for label, name in enumerate(LABELS)}

    return {
        **count(list(unscored)),
        **{kind: count([row for row in unscored if row.kind == kind]) for kind in UNSCORED},
        "videos": [{name: getattr(row, name) for name in _NAMED} for row in unscored],
    }


def _video_rows(scored: Sequence[VideoScore], unscored: Sequence[Unscored] = ()) -> _Rows:
    lost = [(row.label, 0.5, row) for row in unscored]
    return _columns([(row.label, row.probability, row) for row in scored] + lost)


def _rows(scores: Sequence[Score]) -> _Rows:
    kept = [row for row in scores if row.track == 0 and not (row.label == 1 and row.forged == 0)]
    probabilities = probability([row.logit for row in kept])
    return _columns([(row.label, p, row) for row, p in zip(kept, probabilities, strict=True)])


def _columns(rows: list[tuple[int, float, Any]]) -> _Rows:
    labels, probabilities, facts = zip(*rows, strict=True) if rows else ((), (), ())
    return _Rows(
        np.array(labels, dtype=int),
        np.array(probabilities, dtype=np.float64),
        np.array([f"{row.dataset}/{row.group}" for row in facts], dtype=str),
        np.array(["/".join(filter(None, (row.dataset, row.compression))) for row in facts], dtype=str),
        np.array([row.method for row in facts], dtype=str),
    )


def _unit(rows: _Rows, options: dict) -> dict:
    several = len(set(rows.sets.tolist())) > 1
    fakes = rows[rows.labels == 1]
    pairs = sorted(set(zip(fakes.sets.tolist(), fakes.methods.tolist(), strict=True)))
    blocks = {}
    for where, method in pairs:
        keep = (rows.sets == where) & ((rows.labels == 0) | (rows.methods == method))
        blocks[f"{where}/{method}" if several else method] = _block(rows[keep], options)
    return {"overall": _block(rows, options) | _curves(rows, options["threshold"]), "methods": blocks}


def _block(rows: _Rows, options: dict) -> dict:
    y, p, threshold = rows.labels, rows.probabilities, options["threshold"]
    groups = len(set(rows.groups.tolist()))
    values, why = metrics.compute(y, p, threshold), metrics.undefined(y, p, threshold)
    ranges = intervals(y, p, rows.groups, **options)
    return {
        "counts": {"rows": len(y), "real": int((y == 0).sum()), "fake": int((y == 1).sum()), "groups": groups},
        "metrics": {
            name: _entry(value, ranges[name], why.get(name), _no_interval(groups, options["n"]))
            for name, value in values.items()
        },
    }


def _entry(value: float | None, interval: tuple[float, float] | None, undefined: str | None, no_interval: str) -> dict:
    low, high = interval or (None, None)
    note = undefined or (no_interval if interval is None else "")
    return {"value": value, "low": low, "high": high, "note": note}


def _no_interval(groups: int, n: int) -> str:
    if n == 0:
        return "no interval: no resamples were asked for"
    return f"no interval: {groups} group{'s' * (groups != 1)}, too few to resample for this metric"


def _curves(rows: _Rows, threshold: float) -> dict:
    y, p = rows.labels, rows.probabilities
    if not len(p) or np.isnan(p).any():
        return dict.fromkeys(("confusion", "roc", "reliability", "histogram", "ece_if_right"))
    called = p > threshold
    counts = {(label, call): int(((y == label) & (called == call)).sum()) for label in (0, 1) for call in (0, 1)}
    edges = np.linspace(0, 1, _HISTOGRAM + 1)
    return {
        "confusion": {"tn": counts[0, 0], "fp": counts[0, 1], "fn": counts[1, 0], "tp": counts[1, 1]},
        "roc": _roc(y, p),
        "ece_if_right": dict(zip(("mean", "low", "high"), metrics.expected_calibration_error(p, _DRAWS), strict=True)),
        "reliability": [_bin(y, p, number) for number in range(metrics.BINS)],
        "histogram": {
            "edges": edges.tolist(),
            "real": np.histogram(p[y == 0], edges)[0].tolist(),
            "fake": np.histogram(p[y == 1], edges)[0].tolist(),
        },
    }


def _roc(y: np.ndarray, p: np.ndarray) -> dict | None:
    if len(set(y.tolist())) < 2:
        return None
    fpr, tpr = metrics.roc(y, p)
    keep = np.unique(np.linspace(0, len(fpr) - 1, _CURVE).round().astype(int)) if len(fpr) > _CURVE else slice(None)
    return {"fpr": fpr[keep].tolist(), "tpr": tpr[keep].tolist()}


def _bin(y: np.ndarray, p: np.ndarray, number: int) -> dict:
    inside = metrics.bin_of(p) == number
    count = int(inside.sum())
    return {
        "low": number / metrics.BINS,
        "high": (number + 1) / metrics.BINS,
        "count": count,
        "probability": float(p[inside].mean()) if count else None,
        "fakes": float(y[inside].mean()) if count else None,
    }


def headline(summary: Summary) -> str:
    """The result in one sentence: the AUC over videos with its interval and what it is over."""
    block = summary["units"]["video"]["overall"]
    auc, counts = block["metrics"]["auc"], block["counts"]
    over = f"{counts['rows']} videos ({counts['real']} real, {counts['fake']} fake) in {counts['groups']} groups"
    if auc["value"] is None:
        return f"Video AUC undefined over {over}: {auc['note']}"
    known = auc["low"] is not None
    interval = f", 95% interval {auc['low']:.3f} to {auc['high']:.3f}" if known else f" ({auc['note']})"
    return f"Video AUC {auc['value']:.3f}{interval}, over {over}"


def cell(entry: dict) -> str:
    """A metric's entry as text: ``0.962 [0.931, 0.984]``, ``0.962`` without interval, or ``undefined``."""
    if entry["value"] is None:
        return "undefined"
    interval = "" if entry["low"] is None else f" [{entry['low']:.3f}, {entry['high']:.3f}]"
    return f"{entry['value']:.3f}{interval}"
