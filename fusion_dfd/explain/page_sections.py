"""The parts of a video's page, each a function from evidence to HTML; ``""`` where there is nothing to show."""

from __future__ import annotations

import base64
import datetime
import os
from collections.abc import Sequence
from html import escape

import numpy as np

import fusion_dfd
from fusion_dfd import config
from fusion_dfd.evaluation import face_regions as regional
from fusion_dfd.explain import annotated_video, charts
from fusion_dfd.explain import sentences as words
from fusion_dfd.explain.evidence import Effect, Evidence, Pace, Seen
from fusion_dfd.faces.video import VideoInfo
from fusion_dfd.predict.detector import DeepfakeDetector
from fusion_dfd.predict.verdict import THRESHOLD, Face, ScoredVideo, Verdict, Window
from fusion_dfd.reports import evaluation_page
from fusion_dfd.reports.sections import cell, section, table

CLEARLY = 1.1
"""How much more of the attention than the picture's average a part must have to be named."""
_LONG = "overflow-wrap: anywhere"
_FILM = "display: block; max-width: 100%; max-height: 80vh; margin: 0 auto"
COLOURS = {"fake": "--fake", "real": "--real", "uncertain": "--fifth", "none": "--muted"}


def head(title: str, verdict: Verdict, warnings: Sequence[str]) -> str:
    now = datetime.datetime.now(datetime.UTC)
    above = "".join(f'<section class="warning"><p>{escape(line)}</p></section>' for line in warnings)
    return (
        f'<h1>{escape(title)}</h1><p class="verdict" style="color: var({COLOURS[verdict.verdict]})">'
        f"{escape(words.headline(verdict))}</p>"
        f'<p class="meta">{escape(os.path.basename(verdict.path))} · {now:%Y-%m-%d %H:%M} UTC</p>{above}'
    )


def unscored(verdict: Verdict) -> str:
    return section(
        "Why there is no verdict",
        f"<p>{escape(verdict.reason or 'nothing could be scored')}.</p>"
        "<p>No verdict is no hint in either direction.</p>",
    )


def summary(sentences: Sequence[str]) -> str:
    return section("What was seen", f"<p>{escape(' '.join(sentences))}</p>")


def film(data: bytes, info: VideoInfo) -> str:
    seconds = info.frames / info.fps if info.fps else 0
    shown = "The whole video, without sound."
    if info.frames > annotated_video.SECONDS * (info.fps or annotated_video.UNKNOWN):
        shown = (
            f"Of {seconds:.0f} s only the stretches that were looked at, at most {annotated_video.SECONDS} s of them, without "
            "sound; the time stands at the white line."
        )
    uri = "data:video/mp4;base64," + base64.b64encode(data).decode()
    return section(
        "The video, as the detector followed it",
        f'<video controls loop muted style="{_FILM}" src="{uri}"></video>'
        f'<p class="small">{shown} A box stands where a face was scored. Above the picture, by second: orange bars '
        "look more forged than not, blue ones less; where there is no bar, nobody looked.</p>",
    )


def timeline(faces: Sequence[Face], speaks: Face) -> str:
    if not any(face.timeline for face in faces):
        return ""
    body = charts.timeline([face for face in faces if face.timeline])
    if len(faces) > 1:
        rows = [
            [
                cell(f"face {face.track}{' (speaks for the video)' if face is speaks else ''}"),
                cell(words.SAID[face.verdict].lower()),
                cell(f"{face.probability:.2f}"),
                cell(face.frames),
                cell(face.reason or ""),
            ]
            for face in faces
        ]
        body += table(["person", "verdict", "probability", "frames", "why so"], rows, "text wide")
    return section(
        "Second by second" + (", person by person" if len(faces) > 1 else ""),
        body + '<p class="small">0: nothing forged is seen; 1: it looks forged; dotted: neither. These are the '
        "model's own numbers for each second, before the whole video is weighed and calibrated.</p>",
    )


def frames(seen: Sequence[Seen], fps: float) -> str:
    """Rows of frames with what was attended to and what pushed the score up."""
    shown = []
    for one in seen:
        piece = one.piece
        at = charts.spread(len(piece.frames))
        rows = [("the frames", charts.strip(piece.frames[at]))]
        if piece.outputs.spatial_attention is not None:
            rows.append(
                ("where it looks (attention)", charts.strip(piece.frames[at], piece.outputs.spatial_attention[at]))
            )
        if one.heat is not None:
            named = "what pushes the score towards forged (Grad-CAM)"
            none = "" if one.heat[at].max() > 0 else ": nothing in these frames"
            rows.append((named + none, charts.strip(piece.frames[at], one.heat[at])))
        if len(rows) > 1:
            body = "".join(_picture(uri, text) for text, uri in rows)
            shown.append(f"<h3>{escape(_when(piece, fps))}: {_opinion(piece)}</h3>{body}")
    if not shown:
        return ""
    return section(
        "Frames, and what in them counted",
        '<p class="small">The most suspicious stretch of each part of the video, some frames of each. '
        "Bright: much, grey: none; each row has its own scale. The maps are coarse, a few cells across the face, and "
        "show what the model used: no outline of a forgery.</p>" + "".join(shown),
    )


def attention(explained: Sequence[Window], fps: float) -> str:
    """The weight of the frames of the explained pieces."""
    curves = {}
    for name, text in (("frame_attention", words.branch("temporal")), ("micro_frame_attention", words.branch("micro"))):
        weights = [getattr(piece.outputs, name) for piece in explained]
        if weights and weights[0] is not None:
            curves[text] = [
                (piece.indices / (fps or 1), np.asarray(weight)[: len(piece.indices)] * len(piece.indices))
                for piece, weight in zip(explained, weights, strict=True)
            ]
    if not curves:
        return ""
    return section(
        "When it looked",
        charts.attention(curves, "second" if fps else "frame")
        + f'<p class="small">Of the {len(explained)} stretches looked into: how much each frame counts among those of '
        "its stretch. Peaks are moments that the branch picked out, forged or not.</p>",
    )


def motion(seen: Sequence[Seen], fps: float) -> str:
    """The motion the model saw, at the moment it looked at most."""
    shown = []
    for one in seen:
        found = one.motion
        if found is None:
            continue
        place = "at no part of the face more than at others"
        if found.part and found.part[1] > CLEARLY:
            place = f"most at the {found.part[0]}"
        text = f"{_at(found.index, fps)}. Over this stretch the model looked {place}."
        shown.append(_picture(charts.motion(found), text))
    if not shown:
        return ""
    return section(
        "Fine motion",
        '<p class="small">From left to right: the face, held still where the model does so; motion to the right (red) '
        "and left (blue); down (red) and up (blue); how much the skin is stretched (yellow: much); where the model "
        "looks for motion. White or dark means none. The colours are saturated where the model's own input is.</p>"
        + "".join(shown),
    )


def pace(found: Pace | None, lacks: str | None) -> str:
    """The motion beside that of real videos, or why it is not compared; nothing where there is no motion."""
    title = "Motion beside that of real videos"
    if found is None:
        return section(title, f"<p>{escape(lacks)}</p>") if lacks else ""
    rarity = found.reference.rarity(np.array([distance for _, distance in found.seconds]))
    rarest = max(range(len(rarity)), key=lambda k: found.seconds[k][1])
    second, distance = found.seconds[rarest]
    count = len(found.reference.usual)
    return section(
        title,
        charts.pace(found)
        + f"<p>The most unusual is second {second}, at a distance of {distance:.2f}: {_share(rarity[rarest], count)} "
        f"of {count} real stretches lie as far.</p>"
        '<p class="small">How fast, how abruptly and with how much strain each part of the face moves, compared with '
        "the real videos of the training and validation data (no forged one takes part, and neither does the model). "
        "It is no verdict: of a genuine video 1 second in 20 lies above the line by chance, and videos of another kind "
        "than those (camera, compression, speech) lie above it for that reason alone.</p>",
    )


def branches(effects: Sequence[Effect], baseline: float, pieces: int) -> str:
    if not effects:
        return ""
    names = [f"without {words.branch(effect.name)}" for effect in effects]
    return section(
        "What if it lacked one kind of evidence?",
        charts.effects(baseline, effects, names, "branches")
        + f'<p class="small">The {pieces} stretches looked into, scored again with one branch left out of the fusion. '
        "The model was not trained without its branches, so that this says what it leans on and no more.</p>",
    )


def regions(effects: Sequence[Effect], baseline: float, pieces: int) -> str:
    if not effects:
        return ""
    names = [f"{effect.name} hidden" for effect in effects]
    note = ""
    if any(effect.name == regional.BACKGROUND for effect in effects):
        note = " The background is there for comparison."
    return section(
        "What if a part of the face were hidden?",
        charts.effects(baseline, effects, names, "regions")
        + f'<p class="small">The {pieces} stretches looked into, scored again with one part filled with the clip\'s '
        "blurred average. Blue: hiding it makes the video look less forged. Orange: more, which can mean that the part "
        f"looks genuine, or that the blurred patch itself looks forged.{note}</p>",
    )


def origin(
    detector: DeepfakeDetector, video: ScoredVideo, verdict: Verdict, found: Evidence | None, command: str
) -> str:
    """The facts, for who wants to check or repeat this."""
    judge, rows = detector.rules, [("file", os.path.abspath(verdict.path))]
    if os.path.isfile(verdict.path):
        rows.append(("size", f"{os.path.getsize(verdict.path):,} bytes"))
    if video.scan is not None:
        info = video.scan.info
        rate = f"{info.fps:.3g} frames a second" if info.fps else "frame rate unknown"
        length = f", {verdict.seconds:.1f} s" if verdict.seconds is not None else ""
        rows.append(
            ("video", f"{info.width} x {info.height} pixels, {info.codec}, {info.frames} frames, {rate}{length}")
        )
        rows.append(("damage", f"{video.scan.damaged} packets left out" if video.scan.damaged else "none seen"))
    if found is not None and found.face.distance is not None:
        rows.append(("distance from the training data", f"{found.face.distance:.2f} (up to 1 is usual)"))
    weighed = f"A face's probability is {config.RULES[judge.rule]}; the video's is {config.TRACKS[judge.tracks]}."
    rows += [
        ("command", command),
        ("run", f"{os.path.abspath(detector.run) if detector.run else 'none'}, step {detector.trained.step}"),
        ("system", _system(detector)),
        ("calibration", judge.calibration.sentence() if judge.calibration else "none"),
        ("threshold", f"{judge.calibration.threshold if judge.calibration else THRESHOLD:.3f}"),
        ("weighing", weighed),
        ("scoring took", f"{verdict.took:.1f} s, without the explanations"),
        ("versions", ", ".join(f"{name} {version}" for name, version in _versions().items())),
    ]
    body = table([], [[cell(name), f'<td style="{_LONG}">{escape(text)}</td>'] for name, text in rows], "text wide")
    return section("The facts", body)


def _system(detector: DeepfakeDetector) -> str:
    model = detector.config.model
    return f"{model.system} ({', '.join(model.branches)})" if model.system == "fusion" else model.system


def _versions() -> dict[str, str]:
    return {**evaluation_page.versions(), "fusion-dfd": fusion_dfd.__version__}


def _picture(uri: str, text: str) -> str:
    return f'<figure><img src="{uri}" alt="{escape(text)}"><figcaption>{escape(text)}</figcaption></figure>'


def _at(index: int, fps: float) -> str:
    return f"At {index / fps:.2f} s" if fps else f"Frame {index}"


def _when(piece: Window, fps: float) -> str:
    first, last = int(piece.indices[0]), int(piece.indices[-1])
    return f"{first / fps:.2f} to {(last + 1) / fps:.2f} s" if fps else f"frames {first} to {last}"


def _opinion(piece: Window) -> str:
    return f"the model alone says {float(piece.outputs.probability):.2f}"


def _share(rarity: float, count: int) -> str:
    """Of a conformal p-value, the number of real stretches behind it."""
    return str(round(rarity * (count + 1)) - 1)
