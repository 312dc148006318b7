"""Verdicts for people and for programs: a table, lines of JSON, CSV; and progress while they come."""

from __future__ import annotations

import csv
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Column, Table
from rich.text import Text

from fusion_dfd.predict.detector import Told
from fusion_dfd.predict.verdict import Verdict

COLOURS = {"fake": "red", "real": "green", "uncertain": "yellow", "none": "dim"}
BLOCKS = "▁▂▃▄▅▆▇█"
WIDEST = 24
"""Most characters of a timeline in the table; longer ones are squeezed."""
ALL_REAL, SOME_FAKE, SOME_OPEN = 0, 10, 11
"""Exit codes: every video is called real; at least one fake; no fake, but at least one without a verdict."""


class Judging(Protocol):
    """What scores files: a detector, or what makes pages of its answers."""

    def predict_many(self, paths: Sequence[str], told: Told | None = None) -> Iterator[Verdict]: ...


def report(detector: Judging, paths: Sequence[str], form: str = "table") -> int:
    """Score files and print what is found on standard output, progress on standard error. Returns an exit code.

    ``json``: one object a line, as soon as it is known. ``csv``: a header, then a line a video, likewise. ``table``:
    for people, at the end.
    """
    verdicts = _progress(detector, paths)
    seen = []
    write = {"json": _write_json, "csv": _write_csv, "table": _write_table}[form]
    write(_kept(verdicts, seen))
    return code(seen)


def code(verdicts: Sequence[str]) -> int:
    """The exit code that stands for some verdicts."""
    if "fake" in verdicts:
        return SOME_FAKE
    return ALL_REAL if set(verdicts) <= {"real"} else SOME_OPEN


def _kept(verdicts: Iterator[Verdict], seen: list[str]) -> Iterator[Verdict]:
    for verdict in verdicts:
        seen.append(verdict.verdict)
        yield verdict


def _progress(detector: Judging, paths: Sequence[str]) -> Iterator[Verdict]:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        # The share of the video in work counts too, so that one long video has an ETA as well.
        task = bar.add_task("scoring", total=len(paths))
        done = 0

        def told(path: str, window: int, windows: int) -> None:
            bar.update(
                task, completed=min(done + window / windows, len(paths)), description=f"{done} of {len(paths)} videos"
            )

        for verdict in detector.predict_many(paths, told):
            done += 1
            bar.update(task, completed=done, description=f"{done} of {len(paths)} videos")
            yield verdict


def _write_json(verdicts: Iterator[Verdict]) -> None:
    for verdict in verdicts:
        print(verdict.to_json(), flush=True)


def _write_csv(verdicts: Iterator[Verdict]) -> None:
    writer = None
    for verdict in verdicts:
        row = verdict.row()
        if writer is None:
            writer = csv.DictWriter(sys.stdout, list(row))
            writer.writeheader()
        writer.writerow(row)
        sys.stdout.flush()


def _write_table(verdicts: Iterator[Verdict]) -> None:
    started = time.monotonic()
    # Names are folded, not cut: their ends tell files of one folder apart.
    table = Table(Column("video", overflow="fold"), "verdict", "P(fake)", "over time", "branches", "note")
    length = 0.0
    for verdict in verdicts:
        length += verdict.seconds or 0.0
        _add(table, verdict)
    console = Console()
    console.print(table)
    took = time.monotonic() - started
    if length:
        console.print(f"{length:.0f} s of video in {took:.0f} s", style="dim", highlight=False)


def _add(table: Table, verdict: Verdict) -> None:
    if not verdict.faces:
        table.add_row(Text(verdict.path), _coloured(verdict.verdict), "-", "", "", Text(verdict.reason or ""))
    several = len(verdict.faces) > 1
    for face in verdict.faces:
        first = face.track == 0
        name = verdict.path if first else ""
        label = f"face {face.track}: " if several else ""
        note = verdict.reason if first else face.reason
        branches = "  ".join(f"{name} {value:.2f}" for name, value in face.branches.items())
        shown = Text(label).append_text(_coloured(face.verdict))
        table.add_row(
            Text(name),
            shown,
            f"{face.probability:.3f}",
            spark([p for _, p in face.timeline]),
            branches,
            Text(note or ""),
        )


def _coloured(verdict: str) -> Text:
    return Text(verdict, COLOURS[verdict])


def spark(values: Sequence[float]) -> str:
    """Probabilities 0..1 as a line of blocks, at most WIDEST; of several that share a block, the highest counts."""
    count = min(len(values), WIDEST)
    parts = [values[k * len(values) // count : (k + 1) * len(values) // count] for k in range(count)]
    return "".join(BLOCKS[min(int(max(part) * len(BLOCKS)), len(BLOCKS) - 1)] for part in parts)
