"""Search for better options on val: Optuna proposes values, the training loop tries them, a database stores the trials.

Several processes, also on several machines, may work on one study at the same time; they share only the storage.
Another process repeats a trial that was killed. It resumes from the trial's checkpoint if the folder is shared too,
because the folder is named after the trial's values. Test is never opened.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import importlib.util
import json
import os
import shutil
import warnings
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from rich.console import Console

from fusion_dfd import cache
from fusion_dfd import config as c
from fusion_dfd.input import selection
from fusion_dfd.runs import search_page
from fusion_dfd.runs.search_space import Choice, Float, Int, Space, applied, current
from fusion_dfd.shards import synthetic
from fusion_dfd.shards.clip_index import Split
from fusion_dfd.training import checkpoint, loop
from fusion_dfd.types import DataError

if TYPE_CHECKING:
    import optuna

HEARTBEAT = 60
"""Seconds between signs of life of a trial; after twice as many without one another process takes it over."""


@dataclasses.dataclass(frozen=True)
class Search:
    """How a study is run."""

    trials: int
    """Trials of the whole study, including those of earlier calls, of other processes, and those that were pruned."""
    storage: str
    """SQLAlchemy's URL of the database, e.g. ``sqlite:///study.db`` or ``postgresql://...``."""
    sampler: str = "tpe"
    """``tpe``, tree-structured Parzen estimators (Bergstra et al. 2011), or ``gp``, a Gaussian process: both Bayesian
    optimisation; or ``random``."""
    pruner: str = "median"
    """What ends a trial early: ``median``, worse than half of the others at the same step; ``hyperband`` (Li et al.
    2018); ``none``."""
    seed: int = 0


class Stopped(Exception):
    """The process was asked to stop; the trial is enqueued again for the next one that continues the study."""


def run(config: c.Config, space: Space, search: Search, root: str) -> str:
    """Work on a study until it has ``search.trials`` trials.

    The first trial has the values of ``config``; the value of a trial is its best AUC over the videos of val. Writes
    ``root/best.py``, a configuration that ``fusion-dfd train`` takes, and ``root/study.html``, whose path is returned.

    Raises:
      ConfigError: options outside of the space, an unknown sampler or pruner.
      DataError: Optuna, or PyTorch for ``gp``, is not installed; no trial has ended.
    """
    if importlib.util.find_spec("optuna") is None:
        raise DataError("a search needs Optuna: pip install 'fusion-dfd[tune]'")
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    first = current(config.validate(), space)
    with _database(optuna, search) as storage:
        return _search(_study(optuna, config, search, storage), config, space, search, first, root)


def _search(
    study: optuna.Study, config: c.Config, space: Space, search: Search, first: dict[str, Any], root: str
) -> str:
    if not study.trials:
        study.enqueue_trial(first)
    cache.keep_programs()
    data = synthetic.shards_of(config)
    train, val = selection.open_splits(config.data, data, config.seed)

    def objective(trial) -> float:
        cell = applied(config, {name: _suggest(trial, name, options) for name, options in space.items()})
        return _train(trial, cell, train, val, root)

    console = Console()
    try:
        while len(ended := search_page.ended(study)) < search.trials:
            console.rule(f"trial {len(ended) + 1} of {search.trials}")
            study.optimize(objective, n_trials=1)
            console.print(search_page.sentence(study, first), highlight=False)
    except Stopped:
        console.print("stopped; the same command continues the study")
    return search_page.write(study, config, space, first, root)


@contextlib.contextmanager
def _database(optuna, search: Search) -> Iterator[optuna.storages.BaseStorage]:
    """The storage of a study; its connections are closed at the end."""
    if search.storage.startswith("sqlite:///"):
        os.makedirs(os.path.dirname(search.storage.removeprefix("sqlite:///")) or ".", exist_ok=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        storage = optuna.storages.RDBStorage(
            search.storage,
            heartbeat_interval=HEARTBEAT,
            heartbeat_stale_trial_callback=optuna.storages.RetryHeartbeatStaleTrialCallback(),
        )
    try:
        yield storage
    finally:
        storage.remove_session()
        storage.engine.dispose()


def _study(optuna, config: c.Config, search: Search, storage: optuna.storages.BaseStorage) -> optuna.Study:
    every, steps = config.train.eval_every, config.train.steps
    samplers: dict[str, Callable] = {
        # Trials that other processes are running count as bad, so that not all of them try the same values.
        "tpe": lambda: optuna.samplers.TPESampler(seed=search.seed, constant_liar=True),
        "gp": lambda: _gaussian(optuna, search.seed),
        "random": lambda: optuna.samplers.RandomSampler(seed=search.seed),
    }
    pruners: dict[str, Callable] = {
        "median": lambda: optuna.pruners.MedianPruner(n_startup_trials=4, n_warmup_steps=every),
        "hyperband": lambda: optuna.pruners.HyperbandPruner(min_resource=every, max_resource=steps),
        "none": optuna.pruners.NopPruner,
    }
    for name, value, known in [("sampler", search.sampler, samplers), ("pruner", search.pruner, pruners)]:
        if value not in known:
            raise c.ConfigError(f"--{name}={value}: want one of {', '.join(known)}")
    return optuna.create_study(
        storage=storage,
        sampler=samplers[search.sampler](),
        pruner=pruners[search.pruner](),
        study_name=config.name,
        direction="maximize",
        load_if_exists=True,
    )


def _gaussian(optuna, seed: int):
    if importlib.util.find_spec("torch") is None:
        raise DataError("--sampler=gp needs PyTorch: pip install torch, or take --sampler=tpe")
    return optuna.samplers.GPSampler(seed=seed)


def _suggest(trial, name: str, options: Float | Int | Choice) -> Any:
    if isinstance(options, Choice):
        return trial.suggest_categorical(name, options.values)
    kind = trial.suggest_float if isinstance(options, Float) else trial.suggest_int
    return kind(name, options.low, options.high, log=options.log)


def _train(trial, cell: c.Config, train: Split, val: Split, root: str) -> float:
    """Best val AUC of a trial, trained in a folder of its values. Raises Optuna's TrialPruned, and Stopped."""
    import optuna

    text = json.dumps(trial.params, sort_keys=True)
    workdir = os.path.join(root, "trials", hashlib.sha256(text.encode()).hexdigest()[:12])

    def judge(at: int, values: dict[str, Any]) -> None:
        trial.report(values["auc"], at)
        if trial.should_prune():
            raise optuna.TrialPruned

    fitted = loop.fit(cell, train, val, workdir, judge)
    if not fitted.finished:
        trial.study.enqueue_trial(trial.params)
        raise Stopped
    # A study has many trials, and the checkpoints of one that has ended are of no use.
    shutil.rmtree(os.path.join(workdir, checkpoint.FOLDER))
    return fitted.progress.best_auc
