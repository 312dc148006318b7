"""A whole experiment, from a configuration to a report on the test split."""

from __future__ import annotations

import dataclasses
import os
from typing import Any

from rich.console import Console

from fusion_dfd import cache
from fusion_dfd import config as c
from fusion_dfd.evaluation import training_data
from fusion_dfd.input import selection
from fusion_dfd.runs import evaluation, references
from fusion_dfd.runs.run import Run
from fusion_dfd.shards import synthetic
from fusion_dfd.training import cost, distributed, loop


@dataclasses.dataclass(frozen=True)
class Result:
    """What an experiment left."""

    workdir: str
    report: str | None
    """Path of the HTML page; None when the run was stopped before its end, and in other processes than the first."""
    summary: dict[str, Any] | None
    finished: bool = True
    """False when the run was stopped; the same command continues it."""


def run(config: c.Config) -> Result:
    """Train by ``config``, calibrate on val, then score test with the best weights by val and write the report.

    ``data.val_dir`` chooses the weights where it is given; calibration reads val of the training's own folder.

    Everything lies in ``config.workdir`` (default ``runs/<name>``); an interrupted run resumes from there. With
    ``config.data.dir`` unset the synthetic data set is made and prepared first, under ``data/``. Several processes
    (:mod:`fusion_dfd.training.distributed`) train and score together; the first one fits, writes and prints.

    Raises:
      DataError, ConfigError: with one sentence for the user.
    """
    config.validate()
    cache.keep_programs()
    workdir = config.workdir or os.path.join("runs", config.name)
    distributed.agree(c.to_json(config), workdir)
    console = Console(quiet=not distributed.is_first())
    # The first process makes the synthetic data set if it is missing; the others then find it.
    data = distributed.first("the data", lambda: synthetic.shards_of(config)) or synthetic.shards_of(config)
    train, val = selection.open_splits(config.data, data, config.seed)
    calibrating = selection.open_split(data, "val", config.data, config.seed)
    if warning := selection.enlarged(data, config.data.size):
        console.print(f"warning: {warning}", highlight=False, markup=False, soft_wrap=True)
    cost.print_model_table(config, console)
    fitted = loop.fit(config, train, val, workdir)
    trained_on = training_data.describe(train.table, (val.table, calibrating.table), config.data.exclude_methods)
    run = Run(workdir)
    distributed.first("training data", lambda: run.save_training_data(trained_on))
    if not fitted.finished:
        console.print(f"stopped at step {fitted.step}, saved; the same command continues {workdir}")
        return Result(workdir, None, None, finished=False)
    console.print(f"best val step {fitted.progress.best_step}; calibrating on val", highlight=False)
    references.learn_all(run, data, lambda text: console.print(text, highlight=False))
    console.print("scoring the test split")
    found = evaluation.evaluate_run(run, data, "test", run.report)
    return Result(workdir, found.report, found.summary)
