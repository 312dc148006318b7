"""The parts of a video's page: from evidence to the values of the template; None where there is nothing to show."""

from __future__ import annotations

import datetime
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from markupsafe import Markup, escape

from fusion_dfd import config
from fusion_dfd.evaluation import face_regions
from fusion_dfd.explain import annotated_video, charts, sentences
from fusion_dfd.explain.evidence import Effect, Evidence, Pace, Seen
from fusion_dfd.faces.video import VideoInfo
from fusion_dfd.predict.detector import DeepfakeDetector
from fusion_dfd.predict.record import ThresholdFacts
from fusion_dfd.predict.verdict import Face, ScoredVideo, Verdict, Window
from fusion_dfd.reports.pages import bytes_uri

CLEARLY = 1.1
"""Attention of a part, relative to the picture's average, from which on it is named."""
COLOURS = {"fake": "--fake", "real": "--real", "uncertain": "--fifth", "none": "--muted"}
"""Variables of the style sheet."""
Pictures = list[tuple[str, str]]
"""Caption and ``data:`` URI of each."""


def explained(verdict: Verdict) -> dict[str, Any]:
    """What someone who must explain the verdict has to say and to ask, and what the file states of itself."""
    stated = verdict.record.credentials
    rows = (
        []
        if stated is None
        else [
            ("signer", stated.signer),
            ("signed at", stated.time),
            ("made with", stated.tool),
            ("actions", ", ".join(stated.actions)),
            ("kinds of sources", ", ".join(stated.sources)),
            ("C2PA's remarks", ", ".join(stated.problems)),
        ]
    )
    return {
        "checks": sentences.CHECKS,
        "credentials": sentences.CREDENTIALS[stated and stated.state],
        "known": sentences.known(verdict),
        "stated": [(name, escape(value)) for name, value in rows if value],
        "unknown": sentences.unknown(verdict),
    }


def head(verdict: Verdict, warnings: Sequence[str]) -> dict[str, Any]:
    """The top of every page, whether the video was scored or not."""
    now = datetime.datetime.now(datetime.UTC)
    return {
        "colour": COLOURS[verdict.verdict],
        "headline": sentences.headline(verdict),
        "meta": f"{os.path.basename(verdict.path)} · {now:%Y-%m-%d %H:%M} UTC",
        "warnings": warnings,
    }


def evidence(verdict: Verdict, found: Evidence, info: VideoInfo, film: bytes) -> dict[str, Any]:
    """What the page of a scored video shows between its head and the facts; ``film`` is the annotated video."""
    return {
        "attention": attention(found.explained),
        "background": any(effect.name == face_regions.BACKGROUND for effect in found.regions),
        "branches": branches(found.branches, found.baseline),
        "explained": len(found.explained),
        "film": {"uri": bytes_uri(film, "video/mp4"), "extent": extent(info)},
        "frames": frames(found.seen),
        "motion": motion(found.seen),
        "pace": pace(found.pace),
        "pace_lacks": found.lacks,
        "regions": regions(found.regions, found.baseline),
        "timeline": timeline(verdict.faces, found.face),
    }


def extent(info: VideoInfo) -> str:
    """How much of the video the annotated one shows."""
    if info.frames <= annotated_video.SECONDS * (info.fps or annotated_video.UNKNOWN):
        return "The whole video, without sound."
    seconds = info.frames / info.fps if info.fps else 0
    return (
        f"Only the scored windows of the {seconds:.0f} s are shown, at most {annotated_video.SECONDS} s of them, "
        "without sound."
    )


def timeline(faces: Sequence[Face], speaks: Face) -> dict[str, Any] | None:
    """The probability by second (``drawing``), where it looks forged (``stretches``), and several ``people``."""
    if not any(face.timeline for face in faces):
        return None
    people = [
        (
            f"face {face.track}{' (speaks for the video)' if face is speaks else ''}",
            sentences.SAID[face.verdict].lower(),
            f"{face.probability:.2f}",
            face.frames,
            face.reason or "",
        )
        for face in faces
    ]
    drawing = charts.timeline([face for face in faces if face.timeline])
    found = [f"{begin:.1f} to {end:.1f} s ({p:.2f})" for begin, end, p in speaks.stretches]
    return {"drawing": drawing, "people": people if len(faces) > 1 else [], "stretches": found}


def frames(seen: Sequence[Seen]) -> list[tuple[str, Pictures]]:
    """For each window its time, and rows of its frames: as they are, with attention, and with Grad-CAM."""
    shown = []
    for one in seen:
        window = one.window
        at = charts.spread(len(window.frames))
        rows = [("the frames", charts.strip(window.frames[at]))]
        if window.outputs.spatial_attention is not None:
            heat = window.outputs.spatial_attention[at]
            rows.append(("where it looks (attention)", charts.strip(window.frames[at], heat)))
        if one.heat is not None:
            named = "what pushes the score towards forged (Grad-CAM)"
            none = "" if one.heat[at].max() > 0 else ": nothing in these frames"
            rows.append((named + none, charts.strip(window.frames[at], one.heat[at])))
        if len(rows) > 1:
            opinion = f"the model alone says {float(window.outputs.probability):.2f}"
            shown.append((f"{_when(window)}: {opinion}", rows))
    return shown


def attention(explained: Sequence[Window]) -> Markup | None:
    """The weight of the frames of the explained windows."""
    curves = {}
    for name, branch in (("frame_attention", "temporal"), ("micro_frame_attention", "micro")):
        weights = [getattr(window.outputs, name) for window in explained]
        if weights and weights[0] is not None:
            curves[sentences.branch(branch)] = [
                (places, np.asarray(weight)[: len(places)] * len(places))
                for places, weight in zip(map(_places, explained), weights, strict=True)
            ]
    return charts.attention(curves, "frame" if explained[0].seconds is None else "second") if curves else None


def motion(seen: Sequence[Seen]) -> Pictures:
    """The motion in the model's input, at the moment with the most attention."""
    shown = []
    for one in seen:
        found = one.motion
        if found is None:
            continue
        place = "at no part of the face more than at others"
        if found.part and found.part[1] > CLEARLY:
            place = f"most at the {found.part[0]}"
        text = f"{_at(found.index, one.window)}. Over this window the model looked {place}."
        shown.append((text, charts.motion(found)))
    return shown


def pace(measured: Pace | None) -> dict[str, Any] | None:
    """The motion compared with that of real videos."""
    if measured is None:
        return None
    rarity = measured.reference.rarity(np.array([distance for _, distance in measured.seconds]))
    rarest = max(range(len(rarity)), key=lambda k: measured.seconds[k][1])
    second, distance = measured.seconds[rarest]
    count = len(measured.reference.usual)
    as_far = round(rarity[rarest] * (count + 1)) - 1  # the number of real windows behind a conformal p-value
    sentence = (
        f"The most unusual is second {second}, at a distance of {distance:.2f}: {as_far} of {count} real windows lie "
        "as far."
    )
    return {"drawing": charts.pace(measured), "sentence": sentence}


def branches(effects: Sequence[Effect], baseline: float) -> Markup | None:
    """The probability without each of the branches."""
    names = [f"without {sentences.branch(effect.name)}" for effect in effects]
    return charts.effects(baseline, effects, names, "branches") if effects else None


def regions(effects: Sequence[Effect], baseline: float) -> Markup | None:
    """The probability with each part of the face hidden."""
    names = [f"{effect.name} hidden" for effect in effects]
    return charts.effects(baseline, effects, names, "regions") if effects else None


def facts(
    detector: DeepfakeDetector, video: ScoredVideo, verdict: Verdict, found: Evidence | None, command: str | None
) -> list[tuple[str, str]]:
    """Names and values for readers who want to check or repeat the result.

    Without a ``command`` they name no folder of this machine. Names of files and the like are HTML already: whatever
    they are, they are not translated.
    """
    ours, run = command is not None, detector.run
    file = os.path.abspath(verdict.path) if ours else os.path.basename(verdict.path)
    rules, rows, kept = detector.rules, [("file", escape(file))], verdict.record
    if kept.file.sha256:
        rows += [("size", f"{kept.file.bytes:,} bytes"), ("SHA-256 of the file", escape(kept.file.sha256))]
    if video.scan is not None:
        info = video.scan.info
        rate = f"{info.fps:.3g} frames per second" if info.fps else "frame rate unknown"
        length = f", {verdict.seconds:.1f} s" if verdict.seconds is not None else ""
        held = f"container {info.container}" if info.container else "a folder of frames"
        coded = f"{info.width} x {info.height} pixels, codec {info.codec}, {held}"
        rows.append(("video", f"{coded}, {info.frames} frames, {rate}{length}"))
        rows.append(("damage", f"{video.scan.damaged} packets left out" if video.scan.damaged else "none seen"))
    if found is not None and found.face.distance is not None:
        rows.append(("distance from the training data", f"{found.face.distance:.2f} (up to 1 is usual)"))
    weighed = f"A face's probability is {config.RULES[rules.rule]}; the video's is {config.TRACKS[rules.tracks]}."
    looked = f"{len(kept.windows)} of {detector.config.data.frames} frames each" if kept.windows else "none"
    return [
        *rows,
        ("windows looked at", looked),
        ("scored at", escape(kept.time)),
        *([("command", escape(command))] if ours else []),
        ("run", escape(os.path.abspath(run.folder) if ours else run.name) if run else "none"),
        ("training step", str(detector.trained.step)),
        ("detector", escape(f"{kept.detector.name}, SHA-256 {kept.detector.digest}")),
        ("SHA-256 of its weights", escape(kept.detector.weights)),
        ("SHA-256 of its calibration", escape(kept.detector.calibration) if kept.detector.calibration else "none"),
        ("system", escape(_system(detector))),
        ("calibration", rules.calibration.sentence() if rules.calibration else "none"),
        ("threshold", "-" if verdict.threshold is None else f"{verdict.threshold:.3f}"),
        ("false alarms on val", _false_alarms(kept.threshold)),
        ("weighing", weighed),
        ("scoring took", f"{verdict.took:.1f} s, without the explanations"),
        ("versions", escape(", ".join(f"{name} {version}" for name, version in kept.software.items()))),
        ("signed with", escape(verdict.signature["public_key"]) if verdict.signature else "nothing"),
    ]


def _false_alarms(known: ThresholdFacts) -> str:
    if known.false_alarms is None:
        return "unknown"
    low, high = known.false_alarm_interval
    return (
        f"{known.false_alarms} of {known.real_videos} real videos lie above the threshold for one person (95% interval "
        f"of the rate: {low:.1%} to {high:.1%}); it was chosen on them, so expect more on other videos"
    )


def _system(detector: DeepfakeDetector) -> str:
    model = detector.config.model
    return f"{model.system} ({', '.join(model.branches)})" if model.system == "fusion" else model.system


def _places(window: Window) -> np.ndarray:
    """Of its frames on the axis of time, [t]: seconds, or frame numbers where those are unknown."""
    return window.indices if window.seconds is None else window.seconds


def _at(index: int, window: Window) -> str:
    if window.seconds is None:
        return f"Frame {index}"
    return f"At {float(window.seconds[window.indices == index][0]):.2f} s"


def _when(window: Window) -> str:
    if window.seconds is None:
        return f"frames {int(window.indices[0])} to {int(window.indices[-1])}"
    return f"{window.seconds[0]:.2f} to {window.seconds[-1]:.2f} s"
