"""An evaluation on disk: one HTML page that opens offline, and the numbers and scores beside it::

folder/report.html     everything, self-contained: no request leaves the page
folder/metrics.json    the summary (layout: :mod:`fusion_dfd.evaluation.summary`)
folder/scores.csv      one row per clip; frames.csv per frame; videos.csv per video, calibrated where the run is;
                       each of them also as .parquet where pyarrow is installed
"""

from __future__ import annotations

import datetime
import json
import os
import platform
from collections.abc import Mapping, Sequence
from importlib import metadata

import jax

from fusion_dfd import atomic
from fusion_dfd.evaluation import scores as parquet
from fusion_dfd.evaluation import scores as tables
from fusion_dfd.evaluation.calibrate import Calibration
from fusion_dfd.evaluation.scores import FrameScore, VideoScore
from fusion_dfd.evaluation.summary import Summary
from fusion_dfd.reports import sections, style
from fusion_dfd.types import Score

_PACKAGES = ("fusion-dfd", "jax", "flax", "numpy", "scikit-learn")


def write(
    folder: str | os.PathLike,
    summary: Summary,
    scores: Sequence[Score],
    frame_scores: Sequence[FrameScore] | None = None,
    history: Sequence[Mapping] | None = None,
    config_json: str | None = None,
    command: str | None = None,
    thumbnails: sections.Thumbnails | None = None,
    mistakes: int = 12,
    title: str = "Deepfake video detection: evaluation",
    calibration: Calibration | None = None,
    warnings: Sequence[str] = (),
    robustness: str = "",
) -> str:
    """Write report, metrics and scores into ``folder`` (made if missing); returns the path of ``report.html``.

    Args:
      folder: older files of the same names are replaced, each whole.
      summary: of ``scores``, from :func:`fusion_dfd.evaluation.summary.summarise`.
      scores: one row per clip.
      frame_scores: one row per frame, where there are any.
      history: rows of the training log with ``step`` and numbers such as ``loss``, ``lr``, ``val/auc``.
      config_json: the configuration, as text.
      command: the command line that made this.
      thumbnails: gives the frames of a clip; a :class:`DataError` of it leaves its place empty.
      mistakes: at most this many videos on the contact sheet.
      title: small heading of the page.
      calibration: what ``summary`` was made with.
      warnings: sentences that must stand on top of the page.
      robustness: parts of the page, from :func:`fusion_dfd.runs.robustness.of_run`.

    Raises :class:`DataError` when a file cannot be written.
    """
    videos = tables.videos(scores, summary["rule"], summary["tracks"])
    videos = calibration.videos(videos) if calibration else videos
    folder = os.fspath(folder)
    files = {"scores": (scores, Score), "videos": (videos, VideoScore), "frames": (frame_scores or (), FrameScore)}
    for name, (rows, kind) in files.items():
        if rows:
            tables.write_csv(os.path.join(folder, f"{name}.csv"), rows, kind)
            if parquet.available():
                parquet.write(os.path.join(folder, f"{name}.parquet"), rows, kind)
    atomic.write_text(os.path.join(folder, "metrics.json"), json.dumps(summary, indent=2, allow_nan=False) + "\n")
    counting = [row for row in scores if row.track == 0 or summary["tracks"] == "max"]
    wrong = sections.find_mistakes(counting, videos, summary["threshold"], len(videos))
    parts = [
        sections.verdict(summary, title, _meta(scores), warnings),
        sections.units(summary),
        sections.by_method(summary),
        sections.curves(summary),
        sections.classification(summary),
        sections.mistakes(wrong[:mistakes], thumbnails, len(wrong)),
        robustness,
        sections.learning(history),
        sections.unscored(summary),
        sections.notes(summary),
        sections.origin(command, config_json, versions(), "" if parquet.available() else parquet.ABSENT),
    ]
    return atomic.write_text(os.path.join(folder, "report.html"), page(title, "\n".join(parts)))


def versions() -> dict[str, str]:
    """Versions of what computes the numbers, and the machine, in words."""
    devices = jax.devices()
    found = {name: metadata.version(name) for name in _PACKAGES}
    return {
        **found,
        "Python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "device": f"{len(devices)} x {devices[0].device_kind}",
    }


def _meta(scores: Sequence[Score]) -> str:
    sets = sorted({" ".join(filter(None, (row.dataset, row.compression))) for row in scores})
    now = datetime.datetime.now(datetime.UTC)
    return f"{', '.join(sets)} · {now:%Y-%m-%d %H:%M} UTC"


def page(title: str, body: str) -> str:
    """A whole HTML page in the look of the reports; ``body`` is HTML."""
    head = (
        '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{sections.escape(title)}</title><style>{style.CSS}</style>"
    )
    return f'<!doctype html>\n<html lang="en"><head>{head}</head>\n<body><main>\n{body}\n</main></body></html>\n'
