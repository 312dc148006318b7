"""A run's report on a split: scores, metrics, the page and the model card."""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
from rich.console import Console

from fusion_dfd import atomic
from fusion_dfd import config as c
from fusion_dfd.evaluation import evaluate, training_data
from fusion_dfd.evaluation.summary import summarise
from fusion_dfd.input import augment
from fusion_dfd.reports import evaluation_page, model_card, terminal
from fusion_dfd.reports.evaluation_page import AboutRun
from fusion_dfd.runs import robustness
from fusion_dfd.runs.run import Run
from fusion_dfd.runs.score import ScoredSplit, load, score_folder
from fusion_dfd.shards import clip_index, records
from fusion_dfd.training import distributed
from fusion_dfd.types import Score


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """Both None in other processes than the first."""

    report: str | None
    """Path of the HTML page."""
    summary: dict[str, Any] | None
    """See :func:`fusion_dfd.evaluation.summary.summarise`."""


def evaluate_run(
    run: Run, data: str, split: str = "test", out: str | None = None, bootstrap: int | None = None
) -> Evaluation:
    """Score a split with a run's best weights, and write scores, metrics, page and model card.

    The run's calibration is used where it has one. Nothing is chosen here, and no file of the run is changed.

    Args:
      run: a run folder or an exported folder.
      data: folder of shards.
      split: ``train``, ``val`` or ``test``.
      out: folder of the report; None takes ``report-<data>-<split>`` in the run.
      bootstrap: number of resamples; None takes ``evaluate.bootstrap`` of the run's configuration.

    Raises DataError for a run or shards that cannot be read.
    """
    out = out or run.path(f"report-{os.path.basename(os.path.normpath(data))}-{split}")
    scored = score_folder(load(run), data, split)
    written = distributed.first("report", lambda: _write_report(run, scored, split, out, bootstrap))
    return written or Evaluation(None, None)


def _write_report(run: Run, scored: ScoredSplit, split: str, out: str, bootstrap: int | None) -> Evaluation:
    """Write and print what :func:`evaluate_run` says of a scored split."""
    config = run.config
    warnings = training_data.warnings(run.training_data, scored.scores)
    summary = summarise(
        scored.scores,
        frame_scores=scored.frames,
        unscored=scored.unscored,
        bootstrap=config.evaluate.bootstrap if bootstrap is None else bootstrap,
        rule=run.evaluate.aggregate,
        tracks=config.evaluate.tracks,
        calibration=run.calibration,
        stretches=evaluate.stretches(scored.split.table),
        attributes=scored.attributes,
    )
    about = AboutRun(
        command=" ".join(sys.argv),
        config_json=c.to_json(config),
        history=run.log,
        calibration=run.calibration,
        warnings=warnings,
        robustness=robustness.of_run(run.folder, run.step),
        thumbnails=thumbnails(scored.split, config.data),
    )
    sets = sorted({f"{row.dataset} {row.compression}".strip() for row in scored.scores})
    card = model_card.card(config.name, summary, split, sets, run.training_data, warnings)
    atomic.write_text(os.path.join(out, "model_card.md"), card)
    page = evaluation_page.write(out, summary, scored.scores, scored.frames, about)
    terminal.print_summary(summary)
    for line in warnings:
        Console().print(f"warning: {line}", highlight=False, markup=False)
    return Evaluation(page, summary)


def thumbnails(split: clip_index.Split, data: c.Data, count: int = 8) -> Callable[[Score], np.ndarray]:
    """A function from a score to a strip uint8 [h, count * w, 3] of frames of its window, as the model saw them."""
    keys = zip(split.table.video.tolist(), split.table.clip.tolist(), split.table.track.tolist(), strict=True)
    row_of = {key: row for row, key in enumerate(keys)}

    def strip(score: Score) -> np.ndarray:
        row = row_of[score.video, score.clip, score.track]
        clip = records.decode(split.source[row])
        first = score.start - int(split.table.start[row])
        jpegs = clip.frames[first : first + data.frames]
        chosen = np.linspace(0, len(jpegs) - 1, min(count, len(jpegs))).round().astype(int)
        frames = records.decode_frames([jpegs[i] for i in chosen])
        seen, _ = augment.apply(frames, clip.landmarks[first + chosen], augment.Params(), data.size)
        return np.concatenate(list(seen), axis=1)

    return strip
