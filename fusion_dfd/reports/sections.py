"""The parts of a report's page, each a function from values to HTML. All text from outside is escaped here."""

from __future__ import annotations

import base64
import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from html import escape

import cv2
import numpy as np
from sklearn import metrics as sk

from fusion_dfd import config
from fusion_dfd.evaluation import metrics
from fusion_dfd.evaluation.scores import VideoScore
from fusion_dfd.evaluation.summary import Summary, headline
from fusion_dfd.reports import plots, terminal
from fusion_dfd.reports.terminal import METHOD_METRICS, remarks
from fusion_dfd.types import LABELS, DataError, Score

_LISTED = 50  # unscored videos named on the page; metrics.json has all


def section(title: str, body: str) -> str:
    return f"<section><h2>{escape(title)}</h2>{body}</section>"


def table(header: Iterable[str], rows: Iterable[Iterable[str]], kind: str = "") -> str:
    """A table; header cells are text, body cells are whole ``<td>`` elements."""
    head = "".join(f"<th>{escape(name).replace(chr(10), '<br>')}</th>" for name in header)
    body = "".join(f"<tr>{''.join(row)}</tr>" for row in rows)
    return (
        f'<div class="scroll"><table class="{kind}"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
    )


def cell(text: object) -> str:
    return f"<td>{escape(str(text))}</td>"


def value(entry: dict, interval: bool = True) -> str:
    """A metric, with its interval if asked for; the reason where it has none shows on hovering."""
    note = f' title="{escape(entry["note"])}"' if entry["note"] else ""
    if entry["value"] is None:
        return f'<td class="undefined"{note}>undefined</td>'
    low, high = entry["low"], entry["high"]
    shown = f' <span class="range">[{low:.3f}, {high:.3f}]</span>' if interval and low is not None else ""
    return f"<td{note}>{entry['value']:.3f}{shown}</td>"


def verdict(summary: Summary, title: str, meta: str, warnings: Sequence[str] = ()) -> str:
    above = "".join(f'<section class="warning"><p>{escape(line)}</p></section>' for line in warnings)
    return (
        f'<h1>{escape(title)}</h1><p class="verdict">{escape(headline(summary))}</p><p class="meta">{escape(meta)}</p>'
        + above
    )


def units(summary: Summary) -> str:
    """Every metric, one column per unit, with the remarks that belong to them."""
    found = summary["units"].values()
    header = ["metric", *(_unit_header(unit) for unit in found)]
    rows = [
        [f'<td title="{escape(metric.definition)}">{escape(metric.title)}</td>']
        + [value(unit["overall"]["metrics"][name]) for unit in found]
        for name, metric in metrics.METRICS.items()
    ]
    notes = "".join(f"<li>{escape(line)}</li>" for line in remarks(summary))
    return section("Metrics with 95 % intervals", table(header, rows, "wide") + (f"<ul>{notes}</ul>" if notes else ""))


def _unit_header(unit: dict) -> str:
    counts = unit["overall"]["counts"]
    return f"{unit['title']}\n{counts['real']} real, {counts['fake']} fake"


def by_method(summary: Summary) -> str:
    """Video metrics and a plot of the AUC per method, and the AUC in the other units."""
    blocks = summary["units"]["video"]["methods"]
    if not blocks:
        return section("By method", "<p>There is no fake among the scored videos.</p>")
    others = [name for name in summary["units"] if name in ("clip", "frame")]
    header = ["method", "fakes", *(f"{metrics.METRICS[name].title}" for name in METHOD_METRICS)]
    header += [f"{summary['units'][unit]['title']} AUC" for unit in others]
    rows = []
    for method, block in blocks.items():
        row = [cell(method), cell(block["counts"]["fake"])]
        row += [value(block["metrics"][name], interval=name == "auc") for name in METHOD_METRICS]
        row += [value(_auc(summary["units"][unit]["methods"].get(method))) for unit in others]
        rows.append(row)
    aucs = {method: _auc(block) for method, block in blocks.items()}
    known = any(entry["value"] is not None for entry in aucs.values())
    plot = plots.methods(aucs, "video AUC") if known else ""
    return section("By method: videos, each method against all reals", plot + table(header, rows, "wide"))


def _auc(block: dict | None) -> dict:
    return block["metrics"]["auc"] if block else {"value": None, "low": None, "high": None, "note": "no rows"}


def curves(summary: Summary) -> str:
    """ROC, DET, PR, calibration, scores and confusion, side by side; what cannot be drawn says so in words."""
    video = summary["units"]["video"]["overall"]
    blocks = {
        unit["title"]: unit["overall"]
        for name, unit in summary["units"].items()
        if name in ("video", "clip") and unit["overall"]["roc"]
    }
    drawn = {title: (block["roc"], block["metrics"]["auc"]["value"]) for title, block in blocks.items()}
    rates = {title: (block["roc"]["fpr"], block["roc"]["tpr"]) for title, block in blocks.items()}
    precise = {title: (*precision(block), block["metrics"]["ap"]["value"]) for title, block in blocks.items()}
    chance = video["counts"]["fake"] / max(video["counts"]["rows"], 1)
    none = "<p>Not drawn: {}.</p>".format(escape(video["metrics"]["auc"]["note"] or video["metrics"]["brier"]["note"]))
    threshold = summary["threshold"]
    parts = [
        section("ROC", plots.roc(drawn) if drawn else none),
        section("DET", plots.det(rates) if rates else none),
        section("Precision and recall", plots.precision_recall(precise, chance) if precise else none),
        *_reliability(summary, none),
        section("Scores, videos", plots.histogram(video["histogram"], threshold) if video["histogram"] else none),
        section("Confusion, videos", confusion(video["confusion"], threshold) if video["confusion"] else none),
    ]
    return f'<div class="columns">{"".join(parts)}</div>'


def precision(block: dict) -> tuple[np.ndarray, np.ndarray]:
    """Recall and precision [m] at the thresholds of a block's ROC curve, from low to high; precision ends at 1."""
    recall, counts = np.array(block["roc"]["tpr"])[::-1], block["counts"]
    found, alarms = recall * counts["fake"], np.array(block["roc"]["fpr"])[::-1] * counts["real"]
    return recall, np.divide(found, found + alarms, out=np.ones_like(found), where=found + alarms > 0)


def _reliability(summary: Summary, none: str) -> list[str]:
    """The reliability curve, and where there is a calibration that from before it."""
    titles = {"video": "Calibration, videos", "video_uncalibrated": "Calibration, videos, before it was fitted"}
    found = {titles[name]: unit["overall"] for name, unit in summary["units"].items() if name in titles}
    return [
        section(title, plots.reliability(block["reliability"], f"reliability{turn}") if block["reliability"] else none)
        for turn, (title, block) in enumerate(found.items())
    ]


def confusion(counts: Mapping[str, int], threshold: float) -> str:
    def square(count: int, total: int, kind: str) -> str:
        share = f"{count / total:.1%}" if total else "no rows"
        return f'<td class="count {kind}">{count}<span class="small">{share}</span></td>'

    real, fake = counts["tn"] + counts["fp"], counts["fn"] + counts["tp"]
    rows = [
        [cell(f"is real ({real})"), square(counts["tn"], real, "right"), square(counts["fp"], real, "wrong")],
        [cell(f"is fake ({fake})"), square(counts["fn"], fake, "wrong"), square(counts["tp"], fake, "right")],
    ]
    note = f'<p class="small">Called fake: probability above {threshold:.3g}. Shares are of a row.</p>'
    return table(["", "called real", "called fake"], rows, "confusion") + note


def learning(history: Sequence[Mapping] | None) -> str:
    plot = plots.learning(history or ())
    return section("Learning curves", plot) if plot else ""


def mistakes(found: Sequence[Mistake], thumbnails: Thumbnails | None, total: int) -> str:
    """The contact sheet: the videos that the model was surest about and wrong."""
    if not found:
        return section("Most confident mistakes", "<p>No video is on the wrong side of the threshold.</p>")
    told = f"<p>{len(found)} of {total} mistakes, the surest first; of each, its most misleading clip.</p>"
    return section("Most confident mistakes", told + "".join(_mistake(one, thumbnails) for one in found))


def _mistake(one: Mistake, thumbnails: Thumbnails | None) -> str:
    video = one.video
    uri = picture(one, thumbnails) if thumbnails else None
    image = f'<img src="{uri}" alt="frames of {escape(video.video)}">' if uri else ""
    missing = "" if uri else " (frames not available)"
    text = (
        f"<b>{escape(LABELS[video.label])}, probability of fake {video.probability:.3f}</b>: {escape(video.video)}, "
        f"clip {one.clip.clip} at frame {one.clip.start}{missing}"
    )
    return f"<figure>{image}<figcaption>{text}</figcaption></figure>"


def unscored(summary: Summary) -> str:
    """Videos without a score, counted per class and named."""
    lost = summary["unscored"]
    counted = f"<p>{lost['real']} real and {lost['fake']} fake videos of this split have no score"
    counted += f": {escape(terminal.lost(lost))}." if lost["videos"] else "."
    if not lost["videos"]:
        return section("Videos without a score", counted + "</p>")
    rows = [[cell(row["video"]), cell(LABELS[row["label"]]), cell(row["reason"])] for row in lost["videos"][:_LISTED]]
    more = len(lost["videos"]) - len(rows)
    rest = f'<p class="small">and {more} more, listed in metrics.json</p>' if more > 0 else ""
    body = f"{counted} The metrics are also given with each of them counted at probability 0.5.</p>"
    return section("Videos without a score", body + table(["video", "label", "reason"], rows, "text") + rest)


def origin(command: str | None, config_json: str | None, versions: Mapping[str, str], note: str = "") -> str:
    """How to get these numbers again; ``note`` is a sentence about the files."""
    body = f"<p>Command</p><pre>{escape(command)}</pre>" if command else ""
    body += table(["", "version"], [[cell(name), cell(text)] for name, text in versions.items()], "text")
    body += f'<p class="small">{escape(note)}</p>' if note else ""
    if config_json:
        body += f"<details><summary>Configuration</summary><pre>{escape(config_json)}</pre></details>"
    return section("How this was made", body)


def notes(summary: Summary) -> str:
    """How each number is defined, and what the numbers do not say."""
    boot = summary["bootstrap"]
    lines = [
        "Fake is the positive class.",
        f"Video: a face's probability is {config.RULES[summary['rule']]}, a video's is {config.TRACKS[summary['tracks']]}. A video "
        "is known by data set, method, compression and file, because data sets use one file name for several methods.",
        "Clip and frame: every clip, every frame of the first face track by itself. Numbers over different units are "
        "not comparable.",
        f"Intervals: {boot['level']:.0%} percentile bootstrap, {boot['n']} resamples of whole groups (videos that "
        f"share an identity or a source clip), seed {boot['seed']}.",
        "By method: the fakes of that method against all reals of the same data set and compression.",
    ]
    terms = "".join(
        f"<dt>{escape(metric.title)}</dt><dd>{escape(metric.definition)} "
        f"{'Higher' if metric.higher_is_better else 'Lower'} is better.</dd>"
        for metric in metrics.METRICS.values()
    )
    choice = "Calibration and threshold come from val" if summary["calibration"] else "The threshold was given"
    limits = [
        "An interval covers the choice of the test videos only: neither another training seed nor another data set. "
        "Where all resamples are perfect its width is 0, which is no certainty.",
        "The numbers hold for the kind of forgery, compression and camera of this split. On other data sets detectors "
        "of deepfakes usually do much worse.",
        f"{choice}; nothing on this page was fitted to this split.",
        "A probability of fake is evidence to weigh, not proof.",
    ]
    items = ("".join(f"<li>{escape(line)}</li>" for line in part) for part in (lines, limits))
    said, unsaid = (f"<ul>{part}</ul>" for part in items)
    folded = f"<details><summary>Definitions of the metrics</summary><dl>{terms}</dl></details>"
    return section("How to read the numbers", said + folded) + section("Limits", unsaid)


# MERGED from evaluation.gallery: The most confident mistakes of a model, with their frames.
Thumbnails = Callable[[Score], np.ndarray | None]
"""A clip's score -> uint8 [h, w, 3], a strip of its frames, RGB; None where there is nothing to show."""

_WIDTH = 1200  # pixels of a strip in the page: readable on a wide screen, and about 100 kB


@dataclasses.dataclass(frozen=True)
class Mistake:
    video: VideoScore
    clip: Score
    """Its most misleading clip."""


def find_mistakes(scores: Sequence[Score], videos: Sequence[VideoScore], threshold: float, count: int) -> list[Mistake]:
    """At most ``count`` videos on the wrong side of ``threshold``, the farthest from it first.

    ``scores``: the clips that ``videos`` were aggregated from.
    """
    clips: dict[str, list[Score]] = {}
    for row in scores:
        clips.setdefault(row.video, []).append(row)
    wrong = [v for v in videos if np.isfinite(v.probability) and (v.probability > threshold) != (v.label == 1)]
    wrong.sort(key=lambda video: (-abs(video.probability - threshold), video.video))
    return [Mistake(v, (min if v.label else max)(clips[v.video], key=lambda row: row.logit)) for v in wrong[:count]]


def picture(mistake: Mistake, thumbnails: Thumbnails) -> str | None:
    """The frames of a mistake's clip as a ``data:`` URI of a JPEG; None where the frames cannot be had."""
    try:
        strip = thumbnails(mistake.clip)
    except DataError:  # a lost shard must not cost the report
        return None
    if strip is None:
        return None
    height, width = strip.shape[:2]
    if width > _WIDTH:
        strip = cv2.resize(strip, (_WIDTH, max(1, round(height * _WIDTH / width))), interpolation=cv2.INTER_AREA)
    return data_uri(strip)


def data_uri(image: np.ndarray) -> str:
    """A picture uint8 [h, w, 3], RGB, as a ``data:`` URI of a JPEG."""
    _, jpeg = cv2.imencode(".jpg", np.ascontiguousarray(image[..., ::-1]), [cv2.IMWRITE_JPEG_QUALITY, 85])
    return "data:image/jpeg;base64," + base64.b64encode(jpeg.tobytes()).decode()


# MERGED from evaluation.classification: The classification report over videos: precision, recall and F1 of each class.
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


def classification(summary: Summary) -> str:
    """HTML of the report at the summary's threshold; empty where the videos have no confusion matrix."""
    confusion = summary["units"]["video"]["overall"]["confusion"]
    if not confusion:
        return ""
    rows = [[cell(name), *map(cell, _texts(row))] for name, row in classes(confusion).items()]
    title = f"Classification report, videos, threshold {summary['threshold']:g}"
    return section(title, table(["", *COLUMNS], rows, "wide"))


def _texts(row: dict[str, float]) -> list[str]:
    values = ["undefined" if np.isnan(row[name]) else f"{row[name]:.3f}" for name in COLUMNS[:-1]]
    return [*values, f"{row['support']:.0f}"]
