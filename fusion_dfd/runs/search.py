"""Search for better options on val: Optuna proposes values, the training loop tries them, a database stores the trials.

Several processes, also on several machines, may work on one study at the same time; they share only the storage.
A trial that was killed is repeated, by the next start or by another process. It resumes from the trial's checkpoint if
the folder is shared too, because the folder is named after the trial's values. Test is never opened.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import hashlib
import importlib.util
import json
import os
import shutil
import warnings
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
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

SQLITE = "sqlite:///"
INSTEAD_OF = "instead_of"
"""Attribute of a trial: the number of the killed one whose values it tries."""


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
        study = _study(optuna, config, search, storage)
        with _at_work(study, space, search):
            return _search(study, config, space, search, first, root)


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
            study.sampler = _sampler(search, sum(trial.state.name not in ("FAIL", "WAITING") for trial in study.trials))
            study.optimize(objective, n_trials=1)
            console.print(search_page.sentence(study, first), highlight=False)
    except Stopped:
        console.print("stopped; the same command continues the study")
    return search_page.write(study, config, space, first, root)


@contextlib.contextmanager
def _database(optuna, search: Search) -> Iterator[optuna.storages.BaseStorage]:
    """The storage of a study; its connections are closed at the end."""
    if search.storage.startswith(SQLITE):
        os.makedirs(os.path.dirname(search.storage.removeprefix(SQLITE)) or ".", exist_ok=True)
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
    pruners: dict[str, Callable] = {
        "median": lambda: optuna.pruners.MedianPruner(n_startup_trials=4, n_warmup_steps=every),
        "hyperband": lambda: optuna.pruners.HyperbandPruner(min_resource=every, max_resource=steps),
        "none": optuna.pruners.NopPruner,
    }
    return optuna.create_study(
        storage=storage,
        sampler=_sampler(search, 0),
        pruner=_named("pruner", search.pruner, pruners)(),
        study_name=config.name,
        direction="maximize",
        load_if_exists=True,
    )


def _sampler(search: Search, number: int) -> optuna.samplers.BaseSampler:
    """What proposes the values of a trial, given how many trials there were before.

    Each trial has a seed of its own, so that a search that was stopped goes on as if it had not been.
    """
    import optuna

    seed = int(np.random.SeedSequence([search.seed, number]).generate_state(1)[0])
    samplers: dict[str, Callable] = {
        # Trials that other processes are running count as bad, so that not all of them try the same values.
        "tpe": lambda: optuna.samplers.TPESampler(seed=seed, constant_liar=True),
        "gp": lambda: optuna.samplers.GPSampler(seed=seed),
        "random": lambda: optuna.samplers.RandomSampler(seed=seed),
    }
    chosen = _named("sampler", search.sampler, samplers)
    if search.sampler == "gp" and importlib.util.find_spec("torch") is None:
        raise DataError("--sampler=gp needs PyTorch: pip install torch, or take --sampler=tpe")
    return chosen()


def _named(flag: str, name: str, known: dict[str, Callable]) -> Callable:
    if name not in known:
        raise c.ConfigError(f"--{flag}={name}: want one of {', '.join(known)}")
    return known[name]


@contextlib.contextmanager
def _at_work(study: optuna.Study, space: Space, search: Search) -> Iterator[None]:
    """Take part in a study. Whoever finds nobody else at work enqueues again the trials of processes that were killed.

    A lock beside the file of an SQLite database says who is at work. In other databases heartbeats do, more slowly.
    """
    if not search.storage.startswith(SQLITE):
        yield
        return
    with open(f"{search.storage.removeprefix(SQLITE)}.lock", "ab") as lock:
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            for trial in study.trials:
                if trial.state.name == "RUNNING":
                    _enqueue_again(study, trial, space)
        fcntl.flock(lock, fcntl.LOCK_SH)
        yield


def _enqueue_again(study: optuna.Study, trial: optuna.trial.FrozenTrial, space: Space) -> None:
    """Have the values of a killed trial tried next, before it counts as failed: a kill in between loses nothing."""
    import optuna

    if not any(other.user_attrs.get(INSTEAD_OF) == trial.number for other in study.trials):
        whole = trial.params.keys() == space.keys()
        values = trial.params if whole else trial.system_attrs.get("fixed_params", {})
        study.enqueue_trial(values, user_attrs={INSTEAD_OF: trial.number})
    study.tell(trial.number, state=optuna.trial.TrialState.FAIL)


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

    try:
        fitted = loop.fit(cell, train, val, workdir, judge)
    except optuna.TrialPruned:
        _remove_checkpoints(workdir)
        raise
    if not fitted.finished:
        trial.study.enqueue_trial(trial.params)
        raise Stopped
    _remove_checkpoints(workdir)
    return fitted.progress.best_auc


def _remove_checkpoints(workdir: str) -> None:
    """A study has many trials, and the checkpoints of one that has ended are of no use.

    They are renamed first, because a trial that was killed meanwhile must not continue from half of them.
    """
    folder = os.path.join(workdir, checkpoint.FOLDER)
    removed = f"{folder}.removed"
    shutil.rmtree(removed, ignore_errors=True)
    os.rename(folder, removed)
    shutil.rmtree(removed)
