"""A whole experiment: data, training, evaluation on the test split, report."""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from rich.console import Console
from rich.markdown import Markdown
from rich.progress import Progress

from fusion_dfd import atomic, cache
from fusion_dfd import config as c
from fusion_dfd.evaluation import (
    appearance,
    calibrate,
    evaluate,
    familiarity,
    perturb,
    real_motion,
    scores,
    training_data,
)
from fusion_dfd.evaluation.scores import FrameScore
from fusion_dfd.evaluation.summary import Unscored, summarise
from fusion_dfd.input import augment, pipeline
from fusion_dfd.reports import evaluation_page, model_card, terminal
from fusion_dfd.reports.evaluation_page import AboutRun
from fusion_dfd.runs import perturbed_split, protocols, robustness
from fusion_dfd.shards import clip_index, records, synthetic
from fusion_dfd.training import checkpoint, cost, distributed, loop, state, step
from fusion_dfd.training.logger import read_log
from fusion_dfd.types import Batch, DataError, Outputs, Score


@dataclasses.dataclass(frozen=True)
class Result:
    workdir: str
    report: str | None
    """Path of the HTML page; None when the run was stopped before its end, and in other processes than the first."""
    summary: dict[str, Any] | None
    finished: bool = True
    """False when the run was stopped; the same command continues it."""


def run(config: c.Config) -> Result:
    """Train by ``config``, calibrate on val, then score test with the best-by-val weights and write the report.

    Everything lies in ``config.workdir`` (default ``runs/<name>``); a stopped run continues from there. With
    ``config.data.dir`` unset the embedded data set is made and prepared first, under ``data/``. Several processes
    (:mod:`fusion_dfd.training.distributed`) train and score together; the first one fits, writes and tells.

    Raises:
      DataError, ConfigError: one sentence for the user.
    """
    config.validate()
    cache.keep_programs()
    workdir = config.workdir or os.path.join("runs", config.name)
    distributed.agree(c.to_json(config), workdir)
    console = Console(quiet=not distributed.is_first())
    data = config.data.dir or _embedded(config)
    train, val = (
        clip_index.without(clip_index.open_split(data, split), config.data.exclude_methods)
        for split in ("train", "val")
    )
    cost.show(config, console)
    fitted = loop.fit(config, train, val, workdir)
    facts = training_data.facts(train.table, val.table, config.data.exclude_methods)
    distributed.first("provenance", lambda: training_data.save(facts, workdir))
    if not fitted.finished:
        console.print(f"stopped at step {fitted.step}, saved; the same command continues {workdir}")
        return Result(workdir, None, None, finished=False)
    console.print(f"best val step {fitted.progress.best_step}; calibrating on val", highlight=False)
    trained = load(workdir)
    videos = _val_videos(trained, data)
    try:
        console.print(_calibrate(trained, videos, workdir, data).sentence(), highlight=False)
    except DataError as error:
        console.print(f"not calibrated: {error}", highlight=False)
    domain_run(workdir, data)
    try:
        motion_run(workdir, data)
    except DataError as error:
        console.print(f"no reference of real motion: {error}", highlight=False)
    console.print("scoring the test split")
    return evaluate_run(workdir, data, "test", os.path.join(workdir, "report"))


def _embedded(config: c.Config) -> str:
    """Shards of the embedded data set, which the first process makes where they are missing."""
    made = distributed.first(
        "the embedded data set", lambda: synthetic.synthetic_shards(config.synthetic, config.faces)
    )
    return made or synthetic.synthetic_shards(config.synthetic, config.faces)


def load(workdir: str) -> checkpoint.Trained:
    """The best weights of a run, on every device."""
    cache.keep_programs()
    replicated, _ = state.shardings(state.data_mesh())
    return checkpoint.load_best(workdir, replicated)


@dataclasses.dataclass(frozen=True)
class Scored:
    """A split as a run scored it."""

    split: clip_index.Split
    scores: list[Score]
    frames: list[FrameScore] | None
    unscored: list[Unscored]


def score(trained: checkpoint.Trained, split: clip_index.Split) -> tuple[list[Score], list[FrameScore] | None]:
    """Rows of every window of an opened split, and of every frame where the model judges frames."""
    config = trained.config
    replicated, split_batch = state.shardings(state.data_mesh())
    predict = predictor(trained, replicated)
    size = loop.divisible(config.evaluate.batch_size)
    batches, windows = pipeline.eval_batches(
        split,
        config.data,
        size,
        config.evaluate.clips,
        split_batch,
        every_track=config.evaluate.tracks == "max",
    )
    with Progress(console=Console(stderr=True), transient=True, disable=not distributed.is_first()) as bar:
        return evaluate.score_clips(predict, batches, windows, split.table, bar)


def score_folder(trained: checkpoint.Trained, data: str, split: str) -> Scored:
    """Rows of a split of the shards in ``data``, and its videos without a score."""
    opened = clip_index.open_split(data, split)
    return Scored(opened, *score(trained, opened), evaluate.unscored(data, split))


def calibrate_run(workdir: str, data: str) -> calibrate.Calibration:
    """Fit a run's calibration and threshold to the val split of the shards in ``data``, and keep it in the run.

    Manipulations that the run left out of val are left out here too. Nothing but val is opened.
    """
    trained = load(workdir)
    return _calibrate(trained, _val_videos(trained, data), workdir, data)


def _val_videos(trained: checkpoint.Trained, data: str) -> list[scores.VideoScore]:
    """The videos of val, without the manipulations that the run left out, as a run scores them."""
    options = trained.config.evaluate
    val = clip_index.without(clip_index.open_split(data, "val"), trained.config.data.exclude_methods)
    rows, _ = score(trained, val)
    return scores.videos(rows, options.aggregate, options.tracks)


def _calibrate(
    trained: checkpoint.Trained, videos: list[scores.VideoScore], workdir: str, data: str
) -> calibrate.Calibration:
    """Fit to scored videos and keep it in the run. Raises DataError where they cannot calibrate."""
    fitted = calibrate.fit(videos, trained.config.evaluate, data, trained.step)
    distributed.first("calibration", lambda: calibrate.save(fitted, workdir))
    return fitted


def domain_run(workdir: str, data: str) -> familiarity.Domain | None:
    """Learn what clips look like that a run was trained on, from train and val of ``data``, and keep it in the run.

    One window of every video of train is enough; of val all count. Manipulations that the run left out are left out.
    None in other processes than the first.
    """
    config = checkpoint.load_best(workdir).config

    def learn() -> familiarity.Domain:
        train, val = (
            clip_index.without(clip_index.open_split(data, split), config.data.exclude_methods)
            for split in ("train", "val")
        )
        near, labels = _looks(train, config, clips=1)
        usual, _ = _looks(val, config, clips=0)
        fitted = familiarity.fit(near, labels, usual)
        familiarity.save(fitted, workdir)
        return fitted

    return distributed.first("domain", learn)


def motion_run(workdir: str, data: str) -> real_motion.Reference | None:
    """Learn how real faces move from the real videos of train and val of ``data``, and keep it in the run.

    A few windows of every video of train are enough; of val all count. No fake video is read.
    None in other processes than the first.

    Raises DataError where train or val has no real video, or their frames lie apart.
    """
    config = checkpoint.load_best(workdir).config
    if config.faces.sampling == "uniform":
        raise DataError("between frames that lie apart (faces.sampling=uniform) there is no motion to learn")

    def learn() -> real_motion.Reference:
        train, val = (clip_index.real(clip_index.open_split(data, split)) for split in ("train", "val"))
        fitted = real_motion.fit(_motions(train, config, clips=4), _motions(val, config, clips=0))
        real_motion.save(fitted, workdir)
        return fitted

    return distributed.first("motion", learn)


def _motions(split: clip_index.Split, config: c.Config, clips: int) -> np.ndarray:
    """Motions [n, d] of the windows of a split, at most ``clips`` a video."""
    rows = [real_motion.motion(frames, landmarks) for frames, landmarks, _ in _windows(split, config, clips)]
    return np.array(rows).reshape(-1, real_motion.FEATURES)


def _looks(split: clip_index.Split, config: c.Config, clips: int) -> tuple[np.ndarray, np.ndarray]:
    """Looks [n, d] and labels [n] of the windows of a split, at most ``clips`` a video."""
    rows = [(appearance.looks(frames), label) for frames, _, label in _windows(split, config, clips)]
    return tuple(np.array(column) for column in zip(*rows, strict=True))


def _windows(split: clip_index.Split, config: c.Config, clips: int) -> Iterator[tuple[np.ndarray, np.ndarray, int]]:
    """Frames [t, s, s, 3], landmarks [t, 5, 2] and label of the windows of a split, at most ``clips`` a video."""
    if not len(split):
        return
    batches, _ = pipeline.eval_batches(split, config.data, config.evaluate.batch_size, clips)
    for batch in batches:
        for i in np.flatnonzero(batch.weight):
            length = batch.length[i]
            yield batch.frames[i, :length], batch.landmarks[i, :length], int(batch.label[i])


def evaluate_run(workdir: str, data: str, split: str, folder: str, bootstrap: int | None = None) -> Result:
    """Score ``split`` of the shards in ``data`` with a run's best weights; write scores, metrics, report, model card.

    The run's calibration is used where it has one; nothing is chosen here, and nothing of the run is written to.
    """
    trained = load(workdir)
    found = score_folder(trained, data, split)
    written = distributed.first("report", lambda: _report(trained, workdir, found, split, folder, bootstrap))
    return written or Result(workdir, None, None)


def _report(
    trained: checkpoint.Trained, workdir: str, found: Scored, split: str, folder: str, bootstrap: int | None
) -> Result:
    """Write and show what :func:`evaluate_run` says of a scored split."""
    config = trained.config
    calibration = calibrate.load(workdir, trained.step)
    facts = training_data.load(workdir)
    warnings = training_data.warnings(facts, found.scores)
    summary = summarise(
        found.scores,
        frame_scores=found.frames,
        unscored=found.unscored,
        bootstrap=config.evaluate.bootstrap if bootstrap is None else bootstrap,
        rule=config.evaluate.aggregate,
        tracks=config.evaluate.tracks,
        calibration=calibration,
    )
    page = evaluation_page.write(
        folder,
        summary,
        found.scores,
        found.frames,
        AboutRun(
            command=" ".join(sys.argv),
            config_json=c.to_json(config),
            history=read_log(workdir),
            calibration=calibration,
            warnings=warnings,
            robustness=robustness.of_run(workdir, trained.step),
            thumbnails=thumbnails(found.split, config.data),
        ),
    )
    sets = sorted({f"{row.dataset} {row.compression}".strip() for row in found.scores})
    text = model_card.card(config.name, summary, split, sets, facts, warnings)
    atomic.write_text(os.path.join(folder, "model_card.md"), text)
    terminal.print_summary(summary)
    for line in warnings:
        Console().print(f"warning: {line}", highlight=False, markup=False)
    return Result(workdir, page, summary)


def publish(
    runs: Sequence[str], folders: Sequence[str], split: str, out: str | None, protocol: str | None, again: bool
) -> list[str]:
    """What ``fusion-dfd evaluate`` does with runs: a report (``again``: calibrated first), or a protocol's table.

    ``out`` None takes a folder in the first run. Returns the paths of the pages. Raises DataError as those do.
    """
    if protocol:
        return [evaluate_protocol(runs, folders, protocol, out or os.path.join(runs[0], f"report-{protocol}"))]
    (run_folder,), (data,) = runs, folders
    if again:
        Console().print(calibrate_run(run_folder, data).sentence(), highlight=False)
    name = os.path.basename(os.path.normpath(data))
    return [evaluate_run(run_folder, data, split, out or os.path.join(run_folder, f"report-{name}-{split}")).report]


def evaluate_protocol(workdirs: Sequence[str], folders: Sequence[str], name: str, out: str) -> str:
    """Fill a protocol's table from the test splits of several folders of shards, scored by one or more runs.

    Writes the table (:func:`fusion_dfd.runs.protocols.publish`) and each run's rows into ``out``; returns the
    table's path. Raises DataError for a run or a folder that cannot be used.
    """
    runs = []
    for run_name, workdir in zip(protocols.short_names(workdirs), workdirs, strict=True):
        trained = load(workdir)
        parts = [score_folder(trained, folder, "test") for folder in folders]
        rows = [row for part in parts for row in part.scores]
        scores.write_csv(os.path.join(out, f"scores-{run_name}.csv"), rows)
        runs.append(
            protocols.Scored(
                run_name,
                rows,
                [row for part in parts for row in part.unscored],
                training_data.load(workdir),
                calibrate.load(workdir, trained.step),
                trained.config.evaluate,
            )
        )
    return protocols.publish(out, name, runs)


def stress_run(
    workdir: str,
    data: str,
    out: str,
    names: Sequence[str] = tuple(perturb.ALL),
    frames: str = "video",
    root: str | None = None,
    seed: int = 0,
) -> str:
    """Score test under every perturbation of ``names`` with a run's best weights; returns the page's path.

    ``frames`` is ``video``, which perturbs whole frames of the source videos (in ``root``, or where they were when they
    were prepared), or ``crops``, which perturbs the stored crops. Continues what it finds in ``out``.

    Raises DataError for a run, data or videos that cannot be used.
    """
    trained = load(workdir)
    clean = clip_index.open_split(data, "test")
    place, aligned = perturbed_split.origin(data, clean, root) if frames == "video" else (None, False)
    about = {
        "run": os.path.abspath(workdir),
        "step": trained.step,
        "data": os.path.abspath(data),
        "split": "test",
        "perturbed": {"video": "whole frames, then cropped", "crops": "the stored crops, not whole frames"}[frames],
        "seed": seed,
    }

    def rows(name: str, level: int) -> list[Score]:
        split = (
            clean if name == robustness.CLEAN else perturbed_split.perturbed(clean, name, level, place, aligned, seed)
        )
        return score(trained, split)[0]

    cells = robustness.score_cells(out, about, names, rows, Console(stderr=True).print)
    found = robustness.table(cells, trained.config.evaluate)
    page = robustness.write(out, found, about)
    Console().print(Markdown(robustness.as_markdown(found, about)))
    return page


def predictor(trained: checkpoint.Trained, replicated=None) -> Callable[[Batch], Outputs]:
    """The trained model as a function of a batch."""
    predict = step.make_predict(state.graphs(trained.config.model), replicated)
    return lambda batch: predict(trained.weights, batch)


def thumbnails(split: clip_index.Split, data: c.Data, count: int = 8) -> Callable[[Score], np.ndarray]:
    """A function from a score to a strip uint8 [h, count * w, 3] of frames of its clip, as the model saw them."""
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
