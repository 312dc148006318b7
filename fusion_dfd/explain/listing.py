"""A page that lists verdicts, the most suspicious first."""

from __future__ import annotations

import collections
import heapq
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import quote

from fusion_dfd import atomic
from fusion_dfd.explain import sentences
from fusion_dfd.predict.verdict import VERDICTS, Verdict
from fusion_dfd.reports import pages

INDEX = "index.html"
OFTEN = 2.0
"""Least seconds between two lists while verdicts come in."""
MOST = 1000
"""Rows of a page; the others are counted."""
CELLS = ("verdict", "probability", "seconds", "reason")
TITLE = "Deepfake checks"


def write(
    path: str, verdicts: Iterable[Mapping[str, Any]], page_of: Callable[[str], str] | None = None, detector: str = ""
) -> str:
    """Write the page to ``path`` and return it.

    Args:
      verdicts: as JSON values; only the rows that are shown are held.
      page_of: where the page of a video would be; None if videos have none.
      detector: what is said of the detector on top.
    """
    counts: collections.Counter[str] = collections.Counter()
    warnings: dict[str, None] = {}

    def counted() -> Iterable[tuple[tuple, list[str], Mapping[str, Any]]]:
        for number, verdict in enumerate(verdicts):
            counts[verdict["verdict"]] += 1
            warnings.update(dict.fromkeys(verdict["warnings"]))
            yield (*_suspicion(verdict), -number), verdict["path"], _cells(verdict)

    shown = heapq.nlargest(MOST, counted(), key=lambda row: row[0])
    folder = os.path.dirname(os.path.abspath(path))
    rows = []
    for _, video, cells in shown:
        page = page_of and page_of(video)
        link = quote(os.path.relpath(page, folder)) if page and os.path.exists(page) else None
        rows.append((link, video, cells))
    whole = pages.render(
        "explanations",
        TITLE,
        counts=[(sentences.SAID[name].lower(), counts[name]) for name in VERDICTS],
        detector=detector,
        left=counts.total() - len(rows),
        rows=rows,
        warnings=list(warnings),
    )
    return atomic.write_text(path, pages.printable(whole))


def keep(verdicts: Iterable[Verdict], path: str, page_of: Callable[[str], str], detector: str) -> Iterator[Verdict]:
    """The verdicts; the list is written again and again while they come in, and at the end."""
    rows, due = [], 0.0
    for verdict in verdicts:
        # What the list shows: verdicts hold timelines, and there may be thousands.
        rows.append({name: getattr(verdict, name) for name in ("path", *CELLS, "warnings")})
        if time.monotonic() > due:
            write(path, rows, page_of, detector)
            due = time.monotonic() + OFTEN
        yield verdict
    write(path, rows, page_of, detector)


def _suspicion(verdict: Mapping[str, Any]) -> tuple[bool, float]:
    """Called fake first, then by probability; what could not be scored last."""
    number = verdict["probability"]
    return verdict["verdict"] == "fake", -1.0 if number is None or number != number else number


def _cells(verdict: Mapping[str, Any]) -> list[str]:
    number, seconds = verdict["probability"], verdict["seconds"]
    return [
        sentences.SAID[verdict["verdict"]].lower(),
        "-" if number is None else f"{number:.2f}",
        "-" if seconds is None else f"{seconds:.1f}",
        verdict["reason"] or "",
    ]
