"""An evaluation on disk: one HTML page that opens offline, and the numbers and scores beside it.

Files::

    folder/report.html     everything, self-contained: no request leaves the page
    folder/metrics.json    the summary (layout: :mod:`fusion_dfd.evaluation.summary`)
    folder/scores.csv      one row per window; frames.csv per frame; videos.csv per video, calibrated where the run is;
                           each of them also as .parquet where pyarrow is installed
"""

from __future__ import annotations

import dataclasses
import datetime
import json
import os
from collections.abc import Mapping, Sequence

from markupsafe import Markup

from fusion_dfd import atomic
from fusion_dfd.evaluation.calibrate import Calibration
from fusion_dfd.evaluation.metrics import METRICS
from fusion_dfd.evaluation.scores import (
    PARQUET_ABSENT,
    FrameScore,
    VideoScore,
    parquet_available,
    videos,
    write_csv,
    write_parquet,
)
from fusion_dfd.evaluation.summary import Summary, headline
from fusion_dfd.reports import pages, plots, sections
from fusion_dfd.reports.terminal import remarks
from fusion_dfd.reports.versions import versions
from fusion_dfd.types import LABELS, Score

TITLE = "Deepfake video detection: evaluation"
MISTAKES = 12
"""At most this many videos are shown on the contact sheet of mistakes."""


@dataclasses.dataclass(frozen=True)
class RobustnessTable:
    """What a robustness suite found, as pages show it."""

    about: str
    """What was perturbed and scored how."""
    plot: Markup | str
    """The AUC over levels, or a sentence that says why it is not drawn."""
    header: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclasses.dataclass(frozen=True)
class AboutRun:
    """What is known of the run whose scores are reported; of a table of someone else's scores, little."""

    command: str = ""
    """The command line that made the report."""
    config_json: str = ""
    """The configuration."""
    history: Sequence[Mapping] = ()
    """Rows of the training log with ``step`` and numbers such as ``loss``, ``lr``, ``val/auc``."""
    calibration: Calibration | None = None
    """What the summary was made with."""
    warnings: Sequence[str] = ()
    """Sentences shown at the top of the page."""
    robustness: Sequence[RobustnessTable] = ()
    thumbnails: sections.Thumbnails | None = None
    """Gives the frames of a window; where it raises :class:`DataError`, the window is listed without a picture."""


def write(
    folder: str | os.PathLike,
    summary: Summary,
    scores: Sequence[Score],
    frame_scores: Sequence[FrameScore] | None = None,
    about: AboutRun | None = None,
) -> str:
    """Write scores, report and metrics into ``folder`` (made if missing); returns the path of ``report.html``.

    ``metrics.json`` is written last: where it lies, the report is complete.

    Args:
      folder: older files of the same names are replaced, each whole.
      summary: of ``scores``, from :func:`fusion_dfd.evaluation.summary.summarise`.
      scores: one row per window.
      frame_scores: one row per frame, where there are any.
      about: the run behind the scores.

    Raises :class:`DataError` when a file cannot be written.
    """
    folder, about = os.fspath(folder), about or AboutRun()
    scored = videos(scores, summary["rule"], summary["tracks"])
    scored = about.calibration.videos(scored) if about.calibration else scored
    files = {"scores": (scores, Score), "videos": (scored, VideoScore), "frames": (frame_scores or (), FrameScore)}
    for name, (rows, kind) in files.items():
        if rows:
            write_csv(os.path.join(folder, f"{name}.csv"), rows, kind)
            if parquet_available():
                write_parquet(os.path.join(folder, f"{name}.parquet"), rows, kind)
    page = atomic.write_text(os.path.join(folder, "report.html"), _page(summary, scores, scored, about))
    atomic.write_text(os.path.join(folder, "metrics.json"), json.dumps(summary, indent=2, allow_nan=False) + "\n")
    return page


def _page(summary: Summary, scores: Sequence[Score], scored: Sequence[VideoScore], about: AboutRun) -> str:
    counted = [row for row in scores if row.track == 0 or summary["tracks"] == "max"]
    wrong = sections.find_mistakes(counted, scored, summary["threshold"])
    return pages.render(
        "evaluation",
        TITLE,
        about=about,
        attributes=sections.by_attribute(summary),
        classification=sections.classification(summary),
        confusion=summary["units"]["video"]["overall"]["confusion"],
        curves=sections.curves(summary),
        files_note="" if parquet_available() else PARQUET_ABSENT,
        headline=headline(summary),
        labels=LABELS,
        learning=plots.learning(about.history),
        meta=_meta(scores),
        methods=sections.by_method(summary),
        metrics=METRICS,
        mistaken=len(wrong),
        mistakes=[(one, sections.picture(one, about.thumbnails)) for one in wrong[:MISTAKES]],
        not_drawn=sections.not_drawn(summary),
        notes=sections.notes(summary),
        remarks=remarks(summary),
        summary=summary,
        unscored=sections.unscored(summary),
        versions=versions(),
    )


def _meta(scores: Sequence[Score]) -> str:
    sets = sorted({" ".join(filter(None, (row.dataset, row.compression))) for row in scores})
    now = datetime.datetime.now(datetime.UTC)
    return f"{', '.join(sets)} · {now:%Y-%m-%d %H:%M} UTC"
