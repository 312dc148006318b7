"""Runs: stopped and continued is the same run; selection is on val alone; other configurations are refused."""

import contextlib
import dataclasses
import errno
import gc
import json
import os
import pathlib
import resource
import signal
import subprocess
import sys
import time
import types

import jax
import numpy as np
import pytest

from fusion_dfd import atomic
from fusion_dfd import config as c
from fusion_dfd.runs.run import Run
from fusion_dfd.shards import clip_index
from fusion_dfd.training import checkpoint, logger, loop, optim, state
from fusion_dfd.types import DataError

ROOT = pathlib.Path(__file__).parents[2]


def fit(config: c.Config, workdir: str | None = None, **given) -> loop.Fitted:
    train, val = (clip_index.open_split(config.data.dir, split) for split in ("train", "val"))
    return loop.fit(config, train, val, workdir or config.workdir, **given)


def last_state(config: c.Config, workdir: str):
    kept = checkpoint.Checkpoints(workdir, config)
    blank = state.create(
        config.model, optim.build(config.optim, config.train.steps), 1, state.shardings(state.data_mesh())[0]
    )
    restored = kept.restore_last(blank)
    kept.close()
    return restored


def assert_equal(left, right):
    jax.tree.map(lambda a, b: np.testing.assert_array_equal(np.asarray(a), np.asarray(b)), left, right)


def stop_before(step: int):
    """The orderly stop of a signal, at a known step."""
    calls = iter(range(step + 1))
    return lambda: contextlib.nullcontext(lambda: next(calls, None) == step)


@pytest.mark.slow
@pytest.mark.parametrize("options", [{}, {"sam": 0.05, "alternate": 2, "groups": ("backbone:norm=0.5",)}])
def test_a_stopped_run_continued_is_the_same_run(tiny, tmp_path, options):
    tiny.optim = dataclasses.replace(tiny.optim, **options)
    if "alternate" in options:
        tiny.model.branches = ("spatial", "micro")
    whole, parts = str(tmp_path / "whole"), str(tmp_path / "parts")
    assert fit(tiny, whole).finished
    seen = []
    stopped = fit(tiny, parts, stop_signal=stop_before(3), after_evaluation=lambda *found: seen.append(found))
    assert (stopped.step, stopped.finished) == (3, False)
    assert fit(tiny, parts, after_evaluation=lambda *found: seen.append(found)).finished
    assert [step for step, _ in seen] == [2, 2, 4], "what continues a run is told of its evaluations, too"
    assert seen[0] == seen[1]
    (one, progress_one), (two, progress_two) = last_state(tiny, whole), last_state(tiny, parts)
    assert int(one.step) == int(two.step) == 4
    assert_equal(one, two)
    assert progress_one == progress_two
    losses = [[row["loss"] for row in logger.read_log(run) if "loss" in row] for run in (whole, parts)]
    assert losses[0] == losses[1]
    assert len(losses[0]) == 4


def test_best_checkpoint_holds_the_averaged_weights_of_the_best_step(tiny):
    fitted = fit(tiny)
    best = Run(tiny.workdir).best()
    assert best.step == fitted.progress.best_step
    assert best.config == tiny
    assert best.metrics["auc"] == fitted.progress.best_auc
    if best.step == 4:
        assert_equal(best.weights, last_state(tiny, tiny.workdir)[0].average)


@pytest.mark.parametrize(
    ("aucs", "steps"),
    [
        ([0.9, 0.995, 0.9, 1.0], []),
        ([0.9, 0.995, 0.996, 1.0], [3]),
        ([1.0, 1.0, 0.9, 1.0, 1.0], [2, 5]),
        ([0.7, 0.7, 0.8, 0.7], []),
        ([0.8, 0.7, 0.7, 0.7, 0.7], [4]),
        ([1.0, None, 1.0], []),
    ],
)
def test_the_log_says_once_when_val_can_no_longer_rank(tiny, aucs, steps):
    said, at = [], 0
    training = loop._Loop(
        config=tiny,
        train_step=None,
        validate=lambda auc: {"auc": auc, "loss": 0.5},
        schedule=None,
        checkpoints=types.SimpleNamespace(save_best=lambda *_: None),
        writer=types.SimpleNamespace(log=lambda *_: None, say=lambda text: said.append((at, text))),
        progress=loop.Progress(),
        after_evaluation=None,
        any_asks=None,
    )
    for at, auc in enumerate(aucs, start=1):
        training._evaluate(types.SimpleNamespace(average=auc), at)
        training.progress = loop.Progress(**json.loads(json.dumps(dataclasses.asdict(training.progress))))  # resumed
    assert [at for at, text in said if "val can no longer rank checkpoints: its AUC was" in text] == steps


def test_a_finished_run_is_not_trained_again(tiny):
    fit(tiny)
    log = logger.read_log(tiny.workdir)
    assert fit(tiny).finished
    assert logger.read_log(tiny.workdir) == log


@pytest.mark.slow
def test_early_stopping_ends_the_run_and_stays_ended(tiny):
    tiny.train.patience = 1
    tiny.optim.lr, tiny.optim.ema, tiny.train.steps = 0.0, 0.0, 20  # nothing is learned; statistics alone move
    tiny.model.dropout = 0.0
    first = fit(tiny)
    assert first.finished
    assert first.step < 20
    assert fit(tiny).step == first.step


def test_a_run_of_another_configuration_is_refused(tiny):
    tiny.train.steps = 2
    fit(tiny)
    for section, name, value in (
        ("model", "dropout", 0.1),
        ("optim", "lr", 0.5),
        ("data", "size", 16),
        ("train", "batch_size", 32),
    ):
        other = c.from_json(c.to_json(tiny))
        setattr(getattr(other, section), name, value)
        with pytest.raises(DataError, match=rf"{section}\.{name}.*another --config\.workdir"):
            fit(other)


def test_a_loss_that_stays_not_finite_ends_the_run_with_a_sentence(tiny):
    tiny.train.steps, tiny.train.eval_every, tiny.optim.lr = 20, 20, 1.0
    with pytest.raises(DataError, match="not finite for 10 steps"):
        fit(tiny, make_train_step=lambda *_: _broken_step)


def _broken_step(now, batch, key):
    terms = {"loss": np.float32(np.nan), "accuracy": 0.0, "skipped": 1.0, "grad_norm": np.float32(np.nan)}
    return now.replace(step=now.step + 1), terms


def test_a_second_training_in_the_same_folder_is_refused(tiny):
    with atomic.locked(tiny.workdir, "training in"), pytest.raises(DataError, match="another process is training in"):
        fit(tiny)
    assert not pathlib.Path(tiny.workdir, "config.json").exists()


def test_the_error_of_the_work_is_told_and_not_that_of_closing(tiny, monkeypatch):
    def full(self):
        raise OSError(errno.ENOSPC, "No space left on device", "tensorboard")

    monkeypatch.setattr(logger.Writer, "close", full)
    with pytest.raises(DataError, match="the first"):
        fit(tiny, make_train_step=_failing)
    with pytest.raises(OSError, match="tensorboard"):
        fit(tiny, stop_signal=stop_before(0))


def _failing(*_):
    def step(now, batch, key):
        raise DataError("the first")

    return step


def test_no_checkpoint_yet_is_a_sentence(tmp_path):
    with pytest.raises(DataError, match="holds no checkpoints/best"):
        Run(tmp_path).best()


def test_a_damaged_checkpoint_is_a_sentence(tiny):
    tiny.train.steps = 2
    fit(tiny)
    for path in pathlib.Path(tiny.workdir, "checkpoints").glob("*.sha256.json"):  # an earlier version wrote none
        path.unlink()
    for path in pathlib.Path(tiny.workdir, "checkpoints", "best").rglob("*"):
        if path.is_file() and path.stat().st_size > 500:
            path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(DataError, match="cannot be read"):
        Run(tiny.workdir).best()


# Orbax's event loop is closed before the tasks that could not write; Python says so when it collects them.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_disk_that_fills_up_leaves_the_checkpoint_before(tiny):
    weights = {"w": jax.numpy.zeros(100_000)}
    kept = checkpoint.Checkpoints(tiny.workdir, tiny)
    blank = state.TrainState(jax.numpy.int32(0), weights, {}, (), {"params": weights, "stats": {}})
    kept.save_last(blank, {})
    noise = jax.numpy.asarray(np.random.default_rng(0).normal(size=100_000))  # does not compress
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with pytest.raises(DataError, match=r"could not be written under .* the previous one is whole"):
            kept.save_last(blank.replace(step=jax.numpy.int32(1), params={"w": noise}), {})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    kept.close()
    again = checkpoint.Checkpoints(tiny.workdir, tiny)
    assert again.last_step == 0
    assert_equal(again.restore_last(blank)[0], blank)
    again.close()
    gc.collect()  # here, not in the test after this one


def test_a_batch_that_does_not_fit_the_devices_is_refused(tiny):
    tiny.train.batch_size = 10
    with pytest.raises(DataError, match="use a multiple of 4"):
        fit(tiny)


@pytest.mark.slow
def test_sigterm_saves_and_exits_zero(tiny, tmp_path):
    config = dataclasses.replace(tiny, train=dataclasses.replace(tiny.train, steps=100000, eval_every=100000))
    file = tmp_path / "config.json"
    file.write_text(c.to_json(config))
    code = (
        "import sys; from fusion_dfd import config as c; from fusion_dfd.runs import experiment\n"
        "if __name__ == '__main__': experiment.run(c.from_json(open(sys.argv[1]).read()))"
    )
    script = tmp_path / "run.py"
    script.write_text(code)
    environment = os.environ | {"JAX_NUM_CPU_DEVICES": "1", "FUSION_DFD_CACHE": str(tmp_path / "cache")}
    process = subprocess.Popen([sys.executable, str(script), str(file)], cwd=ROOT, env=environment)
    try:
        until = time.monotonic() + 200
        while not logger.read_log(config.workdir):
            assert process.poll() is None, "the run ended by itself"
            assert time.monotonic() < until, "no step in 200 s"
            time.sleep(0.1)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=100) == 0
    finally:
        process.kill()
    kept = checkpoint.Checkpoints(config.workdir, config)
    assert kept.last_step > 0
    kept.close()
