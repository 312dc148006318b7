"""Prints verdicts as a table, JSON lines or CSV, and shows the progress."""

from __future__ import annotations

import csv
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence

from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from fusion_dfd import terminal
from fusion_dfd.predict.detector import OnProgress
from fusion_dfd.predict.verdict import Verdict

COLOURS = {"fake": "red", "real": "green", "uncertain": "yellow", "none": "dim"}
BLOCKS = "▁▂▃▄▅▆▇█"
WIDEST = 24
"""Most characters of a timeline in the table; longer ones are downsampled to their peaks."""
WIDE = 110
"""Minimum terminal width at which the table shows each branch's probability (--json always includes them)."""
ALL_REAL, SOME_FAKE, SOME_OPEN = 0, 10, 11
"""Exit codes: all videos real; at least one fake; none fake, but at least one without a verdict."""

PredictMany = Callable[[Sequence[str], OnProgress], Iterator[Verdict]]
"""Scores files in order: ``predict_many`` of a detector, or of what also writes pages."""


def report(predict_many: PredictMany, paths: Sequence[str], form: str = "table") -> int:
    """Score files; print verdicts on standard output and progress on standard error. Returns an exit code.

    Args:
      form: ``none`` prints nothing, ``table`` a table at the end, ``json`` one object per line, ``csv`` a header and
        one line per video, each as soon as it is known.
    """
    verdicts = _progress(predict_many, paths)
    seen = []
    write = {"json": _write_json, "csv": _write_csv, "table": _write_table, "none": _write_nothing}[form]
    write(_kept(verdicts, seen))
    return code(seen)


def code(verdicts: Sequence[str]) -> int:
    """The exit code for the verdicts of all videos."""
    if "fake" in verdicts:
        return SOME_FAKE
    return ALL_REAL if set(verdicts) <= {"real"} else SOME_OPEN


def _kept(verdicts: Iterator[Verdict], seen: list[str]) -> Iterator[Verdict]:
    for verdict in verdicts:
        seen.append(verdict.verdict)
        yield verdict


def _progress(predict_many: PredictMany, paths: Sequence[str]) -> Iterator[Verdict]:
    with terminal.progress(count=False) as bar:
        # Counts the part of the current video that is done, so that one long video has an ETA too.
        task = bar.add_task("scoring", total=len(paths))
        done = 0

        def on_progress(path: str, clip: int, clips: int) -> None:
            bar.update(
                task, completed=min(done + clip / clips, len(paths)), description=f"{done} of {len(paths)} videos"
            )

        for verdict in predict_many(paths, on_progress):
            done += 1
            bar.update(task, completed=done, description=f"{done} of {len(paths)} videos")
            yield verdict


def _write_nothing(verdicts: Iterator[Verdict]) -> None:
    for _ in verdicts:
        pass


def _write_json(verdicts: Iterator[Verdict]) -> None:
    for verdict in verdicts:
        print(verdict.to_json(), flush=True)


def _write_csv(verdicts: Iterator[Verdict]) -> None:
    writer = None
    for verdict in verdicts:
        row = verdict.row()
        if writer is None:
            writer = csv.DictWriter(sys.stdout, list(row), lineterminator="\n")
            writer.writeheader()
        writer.writerow(row)
        sys.stdout.flush()


def _write_table(verdicts: Iterator[Verdict]) -> None:
    started = time.monotonic()
    found = list(verdicts)
    took = time.monotonic() - started
    console = Console()
    folder = _shared_folder([verdict.path for verdict in found])
    # Names are folded, not cut: their ends tell files of one folder apart.
    table = Table(Column("video", overflow="fold"), "verdict", "P(fake)", "over time")
    branches = _branches(found) if console.width >= WIDE else []
    for name in [*branches, "note"]:
        table.add_column(name)
    for verdict in found:
        for row in _rows(verdict, branches, folder):
            table.add_row(*row)
    if folder:
        console.print(f"in {folder}", highlight=False, soft_wrap=True)
    console.print(table)
    if any(one.verdict == "uncertain" for verdict in found for one in (verdict, *verdict.faces)):
        console.print("P(fake) in brackets carries no verdict", style="dim", highlight=False)
    if length := sum(verdict.seconds or 0.0 for verdict in found):
        console.print(f"{length:.0f} s of video in {took:.0f} s", style="dim", highlight=False)


def _shared_folder(paths: Sequence[str]) -> str:
    """The folder that several files share, with a trailing slash; empty if they share none but the root."""
    folders = {os.path.dirname(path) for path in paths}
    if len(paths) < 2 or len({os.path.isabs(folder) for folder in folders}) > 1:
        return ""
    shared = os.path.commonpath(folders)
    return os.path.join(shared, "") if shared.strip("/") else ""


def _branches(verdicts: Sequence[Verdict]) -> list[str]:
    return sorted({name for verdict in verdicts for face in verdict.faces for name in face.branches})


def _rows(verdict: Verdict, branches: Sequence[str], folder: str) -> Iterator[list[Text | str]]:
    """A row for the video, and, if it shows several people, one for each of them."""
    name, blank = verdict.path.removeprefix(folder), [""] * len(branches)
    several = len(verdict.faces) > 1
    if several or not verdict.faces:
        number = _number(verdict.verdict, verdict.probability)
        yield [Text(name), _coloured(verdict.verdict), number, "", *blank, Text(verdict.reason or "")]
    for face in verdict.faces:
        label = f"face {face.track}: " if several else ""
        yield [
            Text("" if several else name),
            Text(label).append_text(_coloured(face.verdict)),
            _number(face.verdict, face.probability),
            spark([p for _, p in face.timeline]),
            *(f"{face.branches[branch]:.2f}" if branch in face.branches else "" for branch in branches),
            Text((face.reason if several else verdict.reason) or ""),
        ]


def _number(verdict: str, probability: float | None) -> str:
    """A probability; in brackets where it carries no verdict."""
    if probability is None:
        return "-"
    return f"({probability:.3f})" if verdict == "uncertain" else f"{probability:.3f}"


def _coloured(verdict: str) -> Text:
    return Text(verdict, COLOURS[verdict])


def spark(values: Sequence[float]) -> str:
    """Probabilities 0..1 as a line of at most WIDEST blocks; a block shows the highest of the values it covers."""
    count = min(len(values), WIDEST)
    parts = [values[k * len(values) // count : (k + 1) * len(values) // count] for k in range(count)]
    return "".join(BLOCKS[min(int(max(part) * len(BLOCKS)), len(BLOCKS) - 1)] for part in parts)
