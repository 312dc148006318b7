"""What a run learns beside its weights, from train and val alone: calibration, familiar windows, how real faces move.

Manipulations that were excluded from the training are excluded here too, and test is never opened. The results are
saved in the run.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator

import numpy as np

from fusion_dfd import config as c
from fusion_dfd.evaluation import appearance, calibrate, familiarity, real_motion, scores
from fusion_dfd.forge import degrade
from fusion_dfd.input import pipeline, selection
from fusion_dfd.runs.run import Run
from fusion_dfd.runs.score import load, score_split
from fusion_dfd.shards import clip_index
from fusion_dfd.training import distributed
from fusion_dfd.training.checkpoint import TrainedModel
from fusion_dfd.types import DataError, Score


def learn_all(run: Run, data: str, say: Callable[[str], None]) -> None:
    """All of it, from the shards in ``data``; ``say`` gets a sentence on the calibration and on each failure.

    Raises DataError where val cannot be scored, or familiarity cannot be learnt.
    """
    trained = load(run)
    rows = _val_scores(trained, data)
    try:
        say(_calibrate(run, trained, rows, data).sentence())
    except DataError as error:
        say(f"not calibrated: {error}")
    learn_familiarity(run, data)
    try:
        learn_motion(run, data)
    except DataError as error:
        say(f"no reference of real motion: {error}")


def calibrate_run(run: Run, data: str) -> calibrate.Calibration:
    """Fit a run's calibration and threshold to the val split of the shards in ``data``; nothing else is opened.

    Raises DataError where val cannot be scored, or cannot calibrate.
    """
    trained = load(run)
    return _calibrate(run, trained, _val_scores(trained, data), data)


def _val_scores(trained: TrainedModel, data: str) -> list[Score]:
    rows, _ = score_split(trained, _open_split(data, "val", trained.config))
    return rows


def _calibrate(run: Run, trained: TrainedModel, rows: list[Score], data: str) -> calibrate.Calibration:
    """Fitted to the videos of val; with ``evaluate.aggregate`` ``val`` the rule of aggregation is chosen first."""
    options = trained.config.evaluate
    if options.aggregate == c.CHOSEN:
        options = dataclasses.replace(options, aggregate=scores.choose_rule(rows, options.tracks))
    fitted = calibrate.fit(scores.videos(rows, options.aggregate, options.tracks), options, data, trained.step)
    distributed.first("calibration", lambda: run.save_calibration(fitted))
    return fitted


def learn_familiarity(run: Run, data: str) -> familiarity.Familiarity | None:
    """Learn the appearance of the windows that a run was trained on, from train and val of the shards in ``data``.

    One window of every video of train is used, and all windows of val. They are degraded as often as in training, so
    that a video is not outside for its compression alone. None in other processes than the first.
    """
    config = run.config

    def learn() -> familiarity.Familiarity:
        known, labels = _appearances(_open_split(data, "train", config), config, windows=1)
        usual, _ = _appearances(_open_split(data, "val", config), config, windows=0)
        fitted = familiarity.fit(known, labels, usual)
        run.save_familiarity(fitted)
        return fitted

    return distributed.first("familiarity", learn)


def learn_motion(run: Run, data: str) -> real_motion.Reference | None:
    """Learn how real faces move, from the real videos of train and val of the shards in ``data``.

    A few windows of every video of train are used, and all windows of val. No fake video is read. None in other
    processes than the first.

    Raises DataError where train or val has no real video, or their frames are sparsely sampled.
    """
    config = run.config
    if config.faces.sampling == "uniform":
        raise DataError("sparsely sampled frames (faces.sampling=uniform) show no motion to learn from")

    def learn() -> real_motion.Reference:
        train, val = (clip_index.real(clip_index.open_split(data, split)) for split in ("train", "val"))
        fitted = real_motion.fit(_motions(train, config, windows=4), _motions(val, config, windows=0))
        run.save_motion(fitted)
        return fitted

    return distributed.first("motion", learn)


def _open_split(data: str, split: str, config: c.Config) -> clip_index.Split:
    """A split without the manipulations that were excluded from the training."""
    return selection.open_split(data, split, config.data, config.seed)


def _appearances(split: clip_index.Split, config: c.Config, windows: int) -> tuple[np.ndarray, np.ndarray]:
    """Appearance [n, d] and label [n] of the windows of a split, at most ``windows`` of a video; 0 takes all."""
    rng, often = np.random.default_rng(config.seed), config.data.augment.degrade
    rows = [
        (appearance.statistics(degrade.apply(frames, degrade.draw(rng, often))), label)
        for frames, _, label in _windows(split, config, windows)
    ]
    return tuple(np.array(column) for column in zip(*rows, strict=True))


def _motions(split: clip_index.Split, config: c.Config, windows: int) -> np.ndarray:
    """Motions [n, d] of the windows of a split, at most ``windows`` of a video; 0 takes all."""
    seen = _windows(split, config, windows, contiguous=True)
    rows = [real_motion.motion(frames, landmarks) for frames, landmarks, _ in seen]
    return np.array(rows).reshape(-1, real_motion.FEATURES)


def _windows(
    split: clip_index.Split, config: c.Config, count: int, contiguous: bool = False
) -> Iterator[tuple[np.ndarray, np.ndarray, int]]:
    """Frames [t, s, s, 3], landmarks [t, 5, 2] and label of the windows of a split, at most ``count`` of a video.

    With ``contiguous``, only of those whose frames are known to be consecutive.
    """
    if not len(split):
        return
    batches, _ = pipeline.eval_batches(split, config.data, config.evaluate.batch_size, count)
    for batch in batches:
        for i in np.flatnonzero(batch.weight * (batch.contiguous if contiguous else 1)):
            length = batch.length[i]
            yield batch.frames[i, :length], batch.landmarks[i, :length, :5], int(batch.label[i])
