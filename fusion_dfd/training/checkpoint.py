"""Checkpoints: all that continues a run, and all that scores a video, through Orbax.

A run folder holds::

    config.json            the resolved configuration
    checkpoints/last/N/    state and progress: what a stopped run continues from (two are kept)
    checkpoints/best/N/    averaged weights and configuration of the best step on val: what evaluates and predicts

A save goes to a temporary folder that Orbax renames when it is complete, so a killed run leaves the previous one. The
number of steps taken gives the position in the data. Several processes of a run must all save and restore together;
what they wrote can be read by any number of processes.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import logging
import os
import pathlib
import shutil
from collections.abc import Iterator
from typing import Any

import jax
import orbax.checkpoint as ocp
from jax.sharding import Sharding

from fusion_dfd import atomic
from fusion_dfd import config as c
from fusion_dfd.models import old_paths
from fusion_dfd.training.state import TrainState, abstract_variables
from fusion_dfd.types import DataError

FOLDER = "checkpoints"
"""In a run folder."""
DIGESTS = ".sha256.json"
"""Ending of the file beside a checkpoint that holds the SHA-256 of its files. A run of an earlier version has none."""

_log = logging.getLogger(__name__)


class Checkpoints:
    """The checkpoints of one run folder."""

    def __init__(self, workdir: str, config: c.Config):
        self.workdir = os.path.abspath(workdir)
        self.config = config
        if jax.process_index() == 0:
            for leftover in pathlib.Path(self.workdir, FOLDER).glob("*/*-tmp*"):  # of a killed process
                shutil.rmtree(leftover)
        self._last = _manager(self.workdir, "last", keep=2)
        self._best = _manager(self.workdir, "best", keep=1)

    @property
    def last_step(self) -> int | None:
        return self._last.latest_step()

    def save_last(self, state: TrainState, progress: dict[str, Any]) -> None:
        """Save what a stopped run continues from. Of a step that is saved already, only the digests can be missing."""
        step = int(state.step)
        if step == self.last_step:
            if not _digests_path(self.workdir, "last", step).exists():
                _write_digests(self.workdir, "last", step)
            return
        meta = {"config": c.to_json(self.config), "progress": progress, "paths": old_paths.VERSION}
        with _writing(self.workdir):
            self._last.save(step, args=_args(ocp.args.StandardSave(state), ocp.args.JsonSave(meta)), force=True)
            _write_digests(self.workdir, "last", step)

    def save_best(self, state: TrainState, metrics: dict[str, Any]) -> None:
        """Save the averaged weights as the run's best, in place of those of this step or later.

        There are some where a run was killed before its first state was saved, and began anew.
        """
        meta = {"config": c.to_json(self.config), "metrics": metrics, "paths": old_paths.VERSION}
        with _writing(self.workdir):
            self._delete_best(int(state.step))
            args = _args(ocp.args.StandardSave(state.average), ocp.args.JsonSave(meta))
            self._best.save(int(state.step), args=args, force=True)
            _write_digests(self.workdir, "best", int(state.step))

    def restore_last(self, state: TrainState) -> tuple[TrainState, dict[str, Any]]:
        """The newest state that is whole, onto the shardings of ``state``, and the progress.

        Raises:
          DataError: the run was started with another model, optimiser or data configuration, or no state is whole.
        """
        step = self._whole_step()
        self._delete_best(step + 1)  # chosen after this state was saved: those steps will be evaluated again
        meta = self._last.restore(step, args=ocp.args.Composite(meta=ocp.args.JsonRestore()))["meta"]
        _same_run(_saved_config(meta, self.workdir), self.config, self.workdir)
        target = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), state)
        return _restore(self._last, step, target, meta, self.config), meta["progress"]

    def _delete_best(self, first: int) -> None:
        """Those of step ``first`` or later."""
        for step in (step for step in self._best.all_steps() if step >= first):
            self._best.delete(step)
        _drop_digests(self.workdir, "best")

    def _whole_step(self) -> int:
        """The newest step of ``last`` whose files are as they were written; damaged ones after it are deleted."""
        steps = sorted(self._last.all_steps(), reverse=True)
        wrong = {step: _changed(self.workdir, "last", step) for step in steps}
        whole = next((step for step in steps if not wrong[step]), None)
        if whole is None:
            raise DataError(f"{wrong[steps[0]]}; no earlier checkpoint is whole, start a new run")
        for step in (step for step in steps if step > whole):
            _log.warning("%s; training goes on from step %d", wrong[step], whole)
            self._last.delete(step)
        return whole

    def close(self) -> None:
        self._last.close()
        self._best.close()


@dataclasses.dataclass(frozen=True)
class TrainedModel:
    """The best weights of a run, and what belongs to them."""

    config: c.Config
    weights: dict
    """``{"params", "stats"}``."""
    step: int
    metrics: dict[str, Any]
    """The val metrics that chose this step."""


def load_best(folder: str, sharding: Sharding) -> TrainedModel:
    """The best checkpoint of a run folder, its weights on ``sharding``. Of several processes all must call it.

    Raises DataError where there is none yet, it is damaged, or it was written by another version.
    """
    with _reading_best(folder) as (manager, step, meta):
        config = _saved_config(meta, folder)
        target = jax.tree.map(
            lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding), abstract_variables(config.model)
        )
        weights = _restore(manager, step, target, meta, config)
    return TrainedModel(config, weights, step, meta["metrics"])


def describe_best(folder: str) -> tuple[c.Config, int, dict[str, Any]]:
    """Configuration, step and val metrics of the best checkpoint; else as :func:`load_best`."""
    with _reading_best(folder) as (_, step, meta):
        return _saved_config(meta, folder), step, meta["metrics"]


@contextlib.contextmanager
def _reading_best(folder: str) -> Iterator[tuple[ocp.CheckpointManager, int, dict[str, Any]]]:
    """The manager of the best checkpoint, its step, and what was saved beside its weights.

    Errors while it is read become a DataError.
    """
    folder = os.path.abspath(folder)
    if not os.path.isdir(os.path.join(folder, FOLDER, "best")):
        wrong = "holds no checkpoints/best" if os.path.isdir(folder) else "is no folder"
        raise DataError(
            f"{folder} {wrong}; give the folder that fusion-dfd train printed as the run, or one "
            "that fusion-dfd export wrote"
        )
    manager = _manager(folder, "best", keep=1)
    step = None
    try:
        step = manager.latest_step()
        if step is None:
            raise DataError(f"{folder} has no best checkpoint yet: training has not reached its first evaluation")
        if wrong := _changed(folder, "best", step):
            raise DataError(f"{wrong}; copy the run again, or train again")
        meta = manager.restore(step, args=ocp.args.Composite(meta=ocp.args.JsonRestore()))["meta"]
        yield manager, step, meta
    except (ValueError, KeyError, FileNotFoundError, json.JSONDecodeError) as error:
        first = str(error).strip().splitlines()[0][:300]
        raise DataError(f"checkpoint {folder}/checkpoints/best/{step} cannot be read ({first}); train again") from error
    finally:
        manager.close()


def _restore(manager: ocp.CheckpointManager, step: int, target: Any, meta: dict, config: c.Config) -> Any:
    """What was saved, in the form of ``target``. Parameter paths of earlier versions are translated."""
    system, old = config.model.system, meta.get("paths", 1) < old_paths.VERSION
    wanted = old_paths.former(target, system) if old else target
    saved = manager.restore(step, args=ocp.args.Composite(state=ocp.args.StandardRestore(wanted)))["state"]
    return old_paths.current(saved, system) if old else saved


def _saved_config(meta: dict, run: str) -> c.Config:
    try:
        return c.from_json(meta["config"])
    except c.ConfigError as error:
        raise DataError(f"{run} was written by another version of fusion_dfd: {error}") from error


def _manager(run: str, name: str, keep: int) -> ocp.CheckpointManager:
    options = ocp.CheckpointManagerOptions(max_to_keep=keep, create=True, enable_async_checkpointing=False)
    return ocp.CheckpointManager(os.path.join(run, FOLDER, name), options=options)


def _digests(run: str, name: str, step: int) -> dict[str, str]:
    """SHA-256 in hexadecimal of every file of a checkpoint, by its path in the checkpoint's folder."""
    folder = pathlib.Path(run, FOLDER, name, str(step))
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def _digests_path(run: str, name: str, step: int) -> pathlib.Path:
    """Beside the folder of the checkpoints, which Orbax owns."""
    return pathlib.Path(run, FOLDER, f"{name}-{step}{DIGESTS}")


def _write_digests(run: str, name: str, step: int) -> None:
    if jax.process_index():
        return
    _drop_digests(run, name)
    atomic.write_text(_digests_path(run, name, step), json.dumps(_digests(run, name, step), indent=1) + "\n")


def _drop_digests(run: str, name: str) -> None:
    """Remove those of checkpoints that are gone."""
    if jax.process_index():
        return
    for old in pathlib.Path(run, FOLDER).glob(f"{name}-*{DIGESTS}"):
        if not (old.parent / name / old.name.removeprefix(f"{name}-").removesuffix(DIGESTS)).is_dir():
            old.unlink()


def _changed(run: str, name: str, step: int) -> str | None:
    """Which file of a checkpoint is not as it was written; None if all are, or if that is not known."""
    path = _digests_path(run, name, step)
    try:
        written = json.loads(path.read_text(encoding="utf-8"))
        found = _digests(run, name, step)
    except FileNotFoundError:
        return None  # of an earlier version, or killed between the checkpoint and its digests
    except (OSError, ValueError, RecursionError) as error:
        return f"{path} cannot be read ({error})"
    if not isinstance(written, dict):
        return f"{path} is no list of files"
    other = next((one for one in sorted({*written, *found}) if written.get(one) != found.get(one)), None)
    return other and f"{os.path.join(run, FOLDER, name, str(step), other)} is not as it was written (SHA-256)"


def _args(state, meta) -> ocp.args.Composite:
    return ocp.args.Composite(state=state, meta=meta)


@contextlib.contextmanager
def _writing(workdir: str) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError) as error:
        # TensorStore reports a full disk as a ValueError; whatever it is, the previous checkpoint is untouched.
        first = str(error).strip().splitlines()[0][:300]
        raise DataError(
            f"checkpoint could not be written under {workdir} ({first}); the previous one is whole: "
            "free some space and start the same command again"
        ) from error


def _same_run(saved: c.Config, wanted: c.Config, workdir: str) -> None:
    """Refuses another model, optimiser, data or batch size; evaluation, logging and folders may change."""
    differing = [
        f"{name}: {old!r} there, {new!r} here"
        for (name, old), (_, new) in zip(_identity(saved), _identity(wanted), strict=True)
        if old != new
    ]
    if differing:
        raise DataError(
            f"{workdir} holds a run of another configuration ({'; '.join(differing)}); "
            "give another --config.workdir, or delete that folder"
        )


def _identity(config: c.Config) -> list[tuple[str, Any]]:
    sections = [
        (f"{section}.{name}", value)
        for section in ("model", "optim", "data")
        for name, value in vars(getattr(config, section)).items()
    ]
    free = ("data.dir", "data.threads")
    rest = [("seed", config.seed), ("train.batch_size", config.train.batch_size), ("train.steps", config.train.steps)]
    return [item for item in sections if item[0] not in free] + rest
