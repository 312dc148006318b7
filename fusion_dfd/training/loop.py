"""The training loop, in one documented order: evaluate, save, fetch, step, log.

The values of a step are read from the device one step later, so that the device never waits for the host. A run that
is stopped (Ctrl-C, SIGTERM) saves and returns. The same command continues it, with the same results bit for bit.
Several processes (:mod:`fusion_dfd.training.distributed`) run the loop together, and stop when one of them is asked to.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
from jax.sharding import Sharding

from fusion_dfd import atomic
from fusion_dfd import config as c
from fusion_dfd.evaluation import evaluate, metrics, scores
from fusion_dfd.input import pipeline
from fusion_dfd.input.windows import WindowSource
from fusion_dfd.shards.clip_index import Split
from fusion_dfd.training import distributed, feature_cache, optim, state, step
from fusion_dfd.training.checkpoint import Checkpoints
from fusion_dfd.training.logger import Silent, Writer, read_log
from fusion_dfd.types import DataError

GIVE_UP = 10
"""Consecutive steps without a finite loss after which training stops."""

SATURATED = 0.995
"""AUC on val from which on a difference between two checkpoints is chance."""
RECENT = 3
"""Evaluations in a row with the same AUC after which val is said not to rank."""
VAL = "val/"
"""Begins the names of metrics of val in the log."""


@dataclasses.dataclass
class Progress:
    """State of the model selection, saved with every checkpoint."""

    best_auc: float | None = None
    best_step: int = 0
    worse: int = 0
    """Evaluations since the best one."""
    recent: list[float] = dataclasses.field(default_factory=list)
    """The AUCs of the last evaluations, as many as :func:`cannot_rank` reads."""


def cannot_rank(aucs: Sequence[float]) -> str:
    """Why val cannot choose between the checkpoints of the last evaluations, of these AUCs; empty where it can."""
    if len(aucs) >= 2 and min(aucs[-2:]) >= SATURATED:
        return f"its AUC was at least {SATURATED} in 2 evaluations in a row"
    if len(aucs) >= RECENT and len(set(aucs[-RECENT:])) == 1:
        return f"its AUC was the same in {RECENT} evaluations in a row"
    return ""


@dataclasses.dataclass(frozen=True)
class Fitted:
    """Where a training ended."""

    progress: Progress
    step: int
    finished: bool
    """False when a signal stopped the run; the same command continues it."""


Validate = Callable[[dict], dict[str, Any]]
AfterEvaluation = Callable[[int, dict[str, Any]], None]
StopSignal = contextlib.AbstractContextManager[Callable[[], bool]]


@contextlib.contextmanager
def signals_as_request() -> Iterator[Callable[[], bool]]:
    """Within it, SIGTERM and Ctrl-C request an orderly stop instead of killing; a second one kills as usual."""
    requested = False

    def request(number, frame):
        nonlocal requested
        requested = True
        restore()

    def restore():
        for kind, handler in before.items():
            signal.signal(kind, handler)

    before = {kind: signal.getsignal(kind) for kind in (signal.SIGTERM, signal.SIGINT)}
    try:
        for kind in before:
            signal.signal(kind, request)
    except ValueError:  # not in the main thread, as in a notebook or a test: the handlers stay as they are
        before = {}
    try:
        yield lambda: requested
    finally:
        restore()


def fit(
    config: c.Config,
    train: Split,
    val: Split,
    workdir: str,
    after_evaluation: AfterEvaluation | None = None,
    *,
    make_train_step: Callable[..., step.TrainStep] = step.make_train_step,
    stop_signal: Callable[[], StopSignal] = signals_as_request,
) -> Fitted:
    """Train on ``train``, select on ``val``, keep everything in ``workdir``. Continues the run in that folder, if any.

    Args:
      after_evaluation: called with the step and the metrics of val after every evaluation and its checkpoint, in a run
        that is continued first with those before. An exception that it raises ends the training orderly and is passed
        on.
      make_train_step: as :func:`fusion_dfd.training.step.make_train_step`.
      stop_signal: a context manager that yields a function, which returns whether a stop has been requested.

    Raises:
      DataError: the folder holds another run, or another process trains in it; the loss was not finite for
        :data:`GIVE_UP` steps; the disk is full.
    """
    lock = contextlib.ExitStack()
    distributed.first("the lock", lambda: lock.enter_context(atomic.locked(workdir, "training in")))
    with lock:
        mesh = state.data_mesh()
        replicated, split_batch = state.shardings(mesh)
        _check_batch_size(config)
        tx = optim.build(config.optim, config.train.steps)
        graphs = state.graphs(config.model)
        checkpoints = Checkpoints(workdir, config)
        optim.check(config.optim, state.abstract_variables(config.model)["params"])
        resumed = checkpoints.last_step is not None
        now = state.create(config.model, tx, config.seed, replicated, start=not resumed)
        progress = Progress()
        if resumed:
            now, saved = checkpoints.restore_last(now)
            progress = Progress(**saved)
        start = int(now.step)
        features = feature_cache.clips(config, graphs, now, train, workdir)
        batches = _train_batches(config, train, features, split_batch, start)
        validate = _validation(config, graphs, val, feature_cache.clips(config, graphs, now, val, workdir))
        _write_config(workdir, config)
        writer = Writer(workdir, start, config.train.steps, resumed) if distributed.is_first() else Silent()
        if resumed:
            writer.say(f"continuing {workdir} from step {start}")
        with _closing(writer, checkpoints):
            for at, values in _evaluated(workdir, start) if resumed and after_evaluation else ():
                after_evaluation(at, values)
            training = _Loop(
                config=config,
                train_step=make_train_step(graphs, tx, config.optim, replicated),
                validate=validate,
                schedule=optim.schedule(config.optim, config.train.steps),
                checkpoints=checkpoints,
                writer=writer,
                progress=progress,
                after_evaluation=after_evaluation or (lambda at, values: None),
                any_asks=distributed.AnyAsks(split_batch, replicated),
            )
            with stop_signal() as stop_requested:
                return training.run(now, iter(batches), stop_requested)


def _evaluated(workdir: str, last: int) -> Iterator[tuple[int, dict[str, Any]]]:
    """Step and metrics of val of the evaluations in the log, up to step ``last``."""
    for row in read_log(workdir):
        values = {name.removeprefix(VAL): value for name, value in row.items() if name.startswith(VAL)}
        if values and row["step"] <= last:
            yield row["step"], values


@contextlib.contextmanager
def _closing(*things: Silent | Checkpoints) -> Iterator[None]:
    """Close them at the end. Where the work failed its error is told, not what closing makes of a full disk."""
    try:
        yield
    except BaseException:
        for thing in things:
            with contextlib.suppress(Exception):
                thing.close()
        raise
    for thing in things:
        thing.close()


def _train_batches(
    config: c.Config, train: Split, clips: WindowSource | None, sharding: Sharding, start: int
) -> pipeline.Batches:
    process = jax.process_index(), jax.process_count()
    return pipeline.train_batches(
        train, config.data, config.train.batch_size, config.seed, sharding, process, clips, start
    )


def _check_batch_size(config: c.Config) -> None:
    multiple = jax.device_count() * 2 * config.optim.accumulate
    if config.train.batch_size % multiple:
        raise DataError(
            f"train.batch_size={config.train.batch_size} cannot be split into real-fake pairs over "
            f"{jax.device_count()} devices x {config.optim.accumulate} micro-batches; use a multiple of {multiple}"
        )


@dataclasses.dataclass
class _Loop:
    """The loop and what it works with; the fields behind an underscore change from step to step."""

    config: c.Config
    train_step: step.TrainStep
    validate: Validate
    schedule: Callable
    checkpoints: Checkpoints
    writer: Silent
    progress: Progress
    after_evaluation: AfterEvaluation
    any_asks: Callable[[bool], bool]
    _pending: tuple[int, dict] | None = None
    _skipped: int = 0
    _clock: tuple[int, float] = (0, 0.0)
    _val_text: str = ""

    def run(self, now: state.TrainState, batches: Iterator, stop_requested: Callable[[], bool]) -> Fitted:
        train = self.config.train
        key = jax.random.key(self.config.seed)
        at = start = int(now.step)
        self._clock = (at, time.monotonic())
        while True:
            if at > start and (at % train.eval_every == 0 or at >= train.steps):
                self._flush()
                values = self._evaluate(now, at)
                self._save(now)
                self.after_evaluation(at, values)
            over = self._over(at)
            if over or self.any_asks(stop_requested()):
                self._flush()
                self._save(now)
                return Fitted(self.progress, at, over)
            batch = next(batches)
            now, terms = self.train_step(now, batch, key)
            at += 1
            self._flush()
            self._pending = (at, terms)

    def _over(self, at: int) -> bool:
        train = self.config.train
        if 0 < train.patience <= self.progress.worse:
            self.writer.say(f"no better val AUC in {train.patience} evaluations: training ends at step {at}")
            return True
        return at >= train.steps

    def _evaluate(self, now: state.TrainState, at: int) -> dict[str, Any]:
        values = self.validate(now.average)
        self.writer.log(at, {f"{VAL}{name}": value for name, value in values.items()})
        auc = values["auc"]
        # Without both classes there is no AUC; then the lowest loss selects.
        score = auc if auc is not None else -values["loss"]
        before, recent = self.progress.recent, [] if auc is None else [*self.progress.recent, auc][-RECENT:]
        better = self.progress.best_auc is None or score > self.progress.best_auc
        if better:
            self.progress = Progress(score, at, 0, recent)
            self.checkpoints.save_best(now, values)
        else:
            self.progress = dataclasses.replace(self.progress, worse=self.progress.worse + 1, recent=recent)
        shown = "undefined" if auc is None else f"{auc:.3f}"
        self._val_text = f"val AUC {shown}"
        self.writer.say(f"step {at:>6}  val AUC {shown}  val loss {values['loss']:.3f}{'  best' if better else ''}")
        if (why := cannot_rank(recent)) and not cannot_rank(before):
            self.writer.say(f"val can no longer rank checkpoints: {why}; give harder videos by data.val_dir")
        self._clock = (at, time.monotonic())
        return values

    def _save(self, now: state.TrainState) -> None:
        self.checkpoints.save_last(now, dataclasses.asdict(self.progress))

    def _flush(self) -> None:
        """Read and log the values of the previous step, while the device computes the next one."""
        if self._pending is None:
            return
        at, terms = self._pending
        self._pending = None
        values = {name: float(value) for name, value in jax.device_get(terms).items()}
        self._guard(at, values)
        if at % self.config.train.log_every:
            return
        begun, since = self._clock
        rate = (at - begun) * self.config.train.batch_size / max(time.monotonic() - since, 1e-9)
        self._clock = (at, time.monotonic())
        self.writer.log(at, values | {"lr": float(self.schedule(at)), "windows_per_second": round(rate, 2)})
        self.writer.show(at, f"loss {values['loss']:.3f}  {self._val_text}  {rate:.0f} windows/s")

    def _guard(self, at: int, values: dict[str, float]) -> None:
        self._skipped = self._skipped + 1 if values["skipped"] else 0
        if values["skipped"]:
            self.writer.say(f"step {at}: loss {values['loss']} or its gradient is not finite; the step was skipped")
        if self._skipped >= GIVE_UP:
            raise DataError(
                f"the loss was not finite for {GIVE_UP} steps up to step {at}; the last checkpoint, at step "
                f"{self.checkpoints.last_step}, is whole: lower optim.lr or optim.clip and continue from a new run"
            )


def _validation(config: c.Config, graphs: state.Graphs, val: Split, read: WindowSource | None) -> Validate:
    replicated, split_batch = state.shardings(state.data_mesh())
    predict = step.make_predict(graphs, replicated)
    size = divisible(config.evaluate.batch_size)

    def validate(weights: dict) -> dict[str, Any]:
        most = config.evaluate.windows
        batches, windows = pipeline.eval_batches(val, config.data, size, most, split_batch, read=read)
        rows, _ = evaluate.score_windows(lambda batch: predict(weights, batch), batches, windows, val.table)
        videos = scores.videos(rows)
        values = metrics.compute([video.label for video in videos], [video.probability for video in videos])
        return {"auc": values["auc"], "loss": values["log_loss"], "accuracy": values["accuracy"], "eer": values["eer"]}

    return validate


def divisible(size: int) -> int:
    """The least multiple of the device count that is at least ``size``."""
    return math.ceil(size / jax.device_count()) * jax.device_count()


def _write_config(workdir: str, config: c.Config) -> None:
    if distributed.is_first():
        atomic.write_text(os.path.join(workdir, "config.json"), c.to_json(config))
