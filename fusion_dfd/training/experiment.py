"""A whole experiment: data, training, evaluation on the test split, report."""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from rich.console import Console
from rich.progress import Progress

from fusion_dfd import config as c
from fusion_dfd.evaluation import evaluate, report
from fusion_dfd.input import augment, pipeline
from fusion_dfd.shards import embedded, example, table
from fusion_dfd.training import checkpoint, loop, state, step
from fusion_dfd.training.writer import read_log
from fusion_dfd.types import Batch, Outputs, Score


@dataclasses.dataclass(frozen=True)
class Result:
    workdir: str
    report: str | None
    """Path of the HTML page; None when the run was stopped before its end."""
    summary: dict[str, Any] | None


def run(config: c.Config) -> Result:
    """Train by ``config``, then score the test split with the best-by-val weights and write the report.

    Everything lies in ``config.workdir`` (default ``runs/<name>``); a stopped run continues from there. With
    ``config.data.dir`` unset the embedded data set is made and prepared first, under ``data/``.

    Raises:
      DataError, ConfigError: one sentence for the user.
    """
    config.validate()
    use_compilation_cache()
    workdir = config.workdir or os.path.join("runs", config.name)
    console = Console()
    data = config.data.dir or embedded.embedded_shards(config.sample, config.faces)
    train, val = table.open_split(data, "train"), table.open_split(data, "val")
    fitted = loop.fit(config, train, val, workdir)
    if not fitted.finished:
        console.print(f"stopped at step {fitted.step}, saved; the same command continues {workdir}")
        return Result(workdir, None, None)
    console.print(f"best val step {fitted.progress.best_step}; scoring the test split", highlight=False)
    return evaluate_run(workdir, data, "test", os.path.join(workdir, "report"))


def evaluate_run(workdir: str, data: str, split: str, folder: str, bootstrap: int | None = None) -> Result:
    """Score ``split`` of the shards in ``data`` with a run's best weights; write scores, metrics and report."""
    use_compilation_cache()
    replicated, split_batch = state.shardings(state.data_mesh())
    trained = checkpoint.load_best(workdir, replicated)
    config = trained.config
    opened = table.open_split(data, split)
    predict = predictor(trained, replicated)
    size = loop.divisible(config.evaluate.batch_size)
    batches, windows = pipeline.eval_batches(opened, config.data, size, config.evaluate.clips, split_batch)
    with Progress(console=Console(stderr=True), transient=True) as bar:
        scores, frames = evaluate.score_clips(predict, batches, windows, opened.table, bar)
    summary = evaluate.summarise(
        scores,
        frame_scores=frames,
        unscored=evaluate.unscored(data, split),
        bootstrap=config.evaluate.bootstrap if bootstrap is None else bootstrap,
    )
    page = report.write(
        folder,
        summary,
        scores,
        frame_scores=frames,
        history=read_log(workdir),
        config_json=c.to_json(config),
        command=" ".join(sys.argv),
        thumbnails=thumbnails(opened, config.data),
    )
    evaluate.print_summary(summary)
    return Result(workdir, page, summary)


def predictor(trained: checkpoint.Trained, replicated=None) -> Callable[[Batch], Outputs]:
    """The trained model as a function of a batch."""
    predict = step.make_predict(state.graphs(trained.config.model), replicated)
    return lambda batch: predict(trained.weights, batch)


def thumbnails(split: table.Split, data: c.Data, count: int = 8) -> Callable[[Score], np.ndarray]:
    """A function from a score to a strip uint8 [h, count * w, 3] of frames of its clip, as the model saw them."""
    keys = zip(split.table.video.tolist(), split.table.clip.tolist(), split.table.track.tolist(), strict=True)
    row_of = {key: row for row, key in enumerate(keys)}

    def strip(score: Score) -> np.ndarray:
        row = row_of[score.video, score.clip, score.track]
        clip = example.decode(split.source[row])
        first = score.start - int(split.table.start[row])
        jpegs = clip.frames[first : first + data.frames]
        chosen = np.linspace(0, len(jpegs) - 1, min(count, len(jpegs))).round().astype(int)
        frames = example.decode_frames([jpegs[i] for i in chosen])
        seen, _ = augment.apply(frames, clip.landmarks[first + chosen], augment.Params(), data.size)
        return np.concatenate(list(seen), axis=1)

    return strip


def use_compilation_cache() -> None:
    """Keep compiled programs between runs, in ``$FUSION_DFD_CACHE`` or ``~/.cache/fusion_dfd``."""
    root = os.environ.get("FUSION_DFD_CACHE") or os.path.join(os.path.expanduser("~"), ".cache", "fusion_dfd")
    jax.config.update("jax_compilation_cache_dir", os.path.join(root, "jax"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)  # the face detector's programs are small
