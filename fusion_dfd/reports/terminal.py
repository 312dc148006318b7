"""A summary as tables in the terminal."""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.table import Table

from fusion_dfd.evaluation.metrics import METRICS
from fusion_dfd.evaluation.summary import Summary, cell, headline

METHOD_METRICS = ("auc", "ap", "eer", "recall", "tpr_at_5_fpr")
"""What a table per method shows: numbers of one method beside all reals."""

_NARROW = {"box": box.SIMPLE_HEAD, "pad_edge": False, "collapse_padding": True}
"""So that three units with their intervals fit a terminal of 80 columns."""


def print_summary(summary: Summary, console: Console | None = None) -> None:
    """Print the result in one line, every metric per unit, and the video metrics per method."""
    console = console or Console()
    console.print(f"[bold]{headline(summary)}[/bold]", highlight=False)
    console.print(_by_unit(summary))
    if summary["units"]["video"]["methods"]:
        console.print(_by_method(summary))
    for line in remarks(summary):
        console.print(line, highlight=False, markup=False)


def remarks(summary: Summary) -> list[str]:
    """Sentences that must stand beside the numbers: why some are undefined, and which videos have no score."""
    notes: dict[str, list[str]] = {}
    for unit in summary["units"].values():
        for name, entry in unit["overall"]["metrics"].items():
            if entry["note"]:
                notes.setdefault(f"{unit['title']}: {entry['note']}", []).append(METRICS[name].title)
    lines = [f"{where} ({', '.join(names)})" for where, names in notes.items()]
    if summary["units"]["video"]["overall"]["ece_if_right"]:
        lines.append(calibration_error(summary))
    if summary["calibration"]:
        lines += [summary["calibration"]["sentence"], undecided(summary)]
    lines.append(listed(summary))
    if summary["apart"]["windows"]:
        lines.append(
            f"Frames that are not known to be consecutive: {summary['apart']['windows']} windows of "
            f"{summary['apart']['videos']} videos. For them the branches that read motion are switched off, and other "
            "systems that read it are not to be relied on."
        )
    if summary["stretches"]:
        lines.append(stretches(summary["stretches"]))
    unscored = summary["unscored"]
    if unscored["videos"]:
        lines.append(
            f"Videos without a score: {lost(unscored)}; "
            f"'{summary['units']['video_with_unscored']['title']}' counts them at probability 0.5."
        )
    return lines


def listed(summary: Summary) -> str:
    """Which videos the numbers are of, in a sentence."""
    found = summary["list"]
    share = f"{found['scored'] / found['videos']:.1%} of {found['videos']} videos have a score"
    return f"{share}; SHA-256 of their list: {found['digest']}"


def calibration_error(summary: Summary) -> str:
    """What the videos' ECE is to be compared with, in a sentence."""
    block = summary["units"]["video"]["overall"]
    right = block["ece_if_right"]
    return (
        f"Video ECE {block['metrics']['ece']['value']:.3f}; probabilities that are exactly right would show "
        f"{right['mean']:.3f} [{right['low']:.3f}, {right['high']:.3f}] over as many videos."
    )


def stretches(found: dict) -> str:
    """How well the forged stretches of partly forged videos are found, in a sentence."""
    measures = [
        f"{name} AUC {cell(found[key])}"
        for name, key in (("frame", "frame_auc"), ("segment", "segment_auc"))
        if found[key]
    ]
    if found["known"] is not None:
        measures += [f"average precision {found[f'ap_{at}']:.3f} at a temporal IoU of .{at}" for at in (50, 75)]
    known = "" if found["known"] is None else f" with {found['known']} forged stretches"
    return (
        f"Forged stretches: {found['partial']} fake videos{known}, {found['found']} found in all videos; "
        f"{', '.join(measures)}."
    )


def undecided(summary: Summary) -> str:
    """How many videos lie in the abstention band, in a sentence."""
    found = summary["undecided"]
    wrong = "" if found["wrong"] is None else f"; of the others {found['wrong']:.1%} are called wrong"
    rest = "Windows and frames are not calibrated: their threshold is 0.5."
    return f"Undecided videos: {found['real']} real, {found['fake']} fake{wrong}. {rest}"


def lost(unscored: dict) -> str:
    """Videos without a score, counted by class and kind."""
    kinds = {"failed": "unreadable", "faceless": "without a face"}
    return "; ".join(
        f"{unscored[kind]['real']} real, {unscored[kind]['fake']} fake {words}"
        for kind, words in kinds.items()
        if any(unscored[kind].values())
    )


def _by_unit(summary: Summary) -> Table:
    table = Table(title=f"Metrics with 95% intervals, threshold {summary['threshold']:.3g}", **_NARROW)
    table.add_column("metric")
    # The report has a column more, of the videos before calibration: the sentence below says what it changed.
    shown = [unit for name, unit in summary["units"].items() if name != "video_uncalibrated"]
    units = [unit["overall"] | {"title": unit["title"]} for unit in shown]
    for unit in units:
        table.add_column(f"{unit['title']}\nn={unit['counts']['rows']}", justify="right")
    for name, metric in METRICS.items():
        table.add_row(metric.title, *(_short(unit["metrics"][name]) for unit in units))
    return table


def _by_method(summary: Summary) -> Table:
    table = Table(title="Videos by method, each against all reals", **_NARROW)
    table.add_column("method")
    table.add_column("fakes", justify="right")
    for name in METHOD_METRICS:
        table.add_column(METRICS[name].title, justify="right")
    for method, block in summary["units"]["video"]["methods"].items():
        values = [_short(block["metrics"][name], interval=name == "auc") for name in METHOD_METRICS]
        table.add_row(method, str(block["counts"]["fake"]), *values)
    return table


def _short(entry: dict, interval: bool = True) -> str:
    """A metric's entry as ``0.962 0.931-0.984``."""
    if entry["value"] is None:
        return "undefined"
    if not interval or entry["low"] is None:
        return f"{entry['value']:.3f}"
    return f"{entry['value']:.3f} {entry['low']:.3f}-{entry['high']:.3f}"
