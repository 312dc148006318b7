"""Two processes take the steps of one, read each other's checkpoints, and end together, whatever happens."""

import contextlib
import dataclasses
import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys

import jax
import numpy as np
import pytest
from jax.sharding import AxisType

from fusion_dfd import config as c
from fusion_dfd.config import ConfigError
from fusion_dfd.input import pipeline
from fusion_dfd.runs.run import Run
from fusion_dfd.shards import clip_index
from fusion_dfd.training import distributed, logger, loop, optim, state, step

pytestmark = pytest.mark.timeout(900)  # no haste decides; five pairs of processes on a busy machine take minutes

ROOT = pathlib.Path(__file__).parents[2]
STEPS, EVERY = 6, 2
TRAINING = """
import functools, os, signal, sys
from fusion_dfd import config
from fusion_dfd.runs import experiment
from fusion_dfd.training import distributed, loop
from fusion_dfd.training.step import make_train_step

place, file, last = sys.argv[1], sys.argv[2], int(sys.argv[3])

def mortal(*given):
    step = make_train_step(*given)
    calls = iter(range(last))
    return lambda *values: step(*values) if next(calls, None) is not None else os.kill(os.getpid(), signal.SIGKILL)

loop.fit = functools.partial(loop.fit, make_train_step=mortal)
with distributed.joined(place):
    experiment.run(config.from_json(open(file).read()))
"""
ALONE = """
import os, signal, sys
from fusion_dfd.training import distributed, state
from fusion_dfd.types import DataError
with distributed.joined(sys.argv[1]):
    import jax
    me = jax.process_index()
"""


def start(code: str, *words: str) -> list[subprocess.Popen]:
    """Two processes with a device each; what they say stays apart."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{one.getsockname()[1]}"
    environment = os.environ | {"JAX_NUM_CPU_DEVICES": "1", "PYTHONPATH": str(ROOT)}
    return [
        subprocess.Popen(
            [sys.executable, "-c", code, f"{index}/2@{address}", *(word[index] for word in words)],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for index in range(2)
    ]


def finish(running: list[subprocess.Popen]) -> tuple[list[int], list[str], list[str]]:
    """Exit codes, standard outputs and standard errors."""
    try:
        said = [one.communicate(timeout=800) for one in running]
    finally:
        for one in running:
            one.kill()
    return [one.returncode for one in running], *map(list, zip(*said, strict=True))


def fit(config: c.Config, workdir: pathlib.Path, devices: int, **given) -> None:
    """Train in this process on some of its devices."""
    with pytest.MonkeyPatch.context() as patch:
        mesh = jax.make_mesh((devices,), ("data",), axis_types=(AxisType.Auto,), devices=jax.devices()[:devices])
        patch.setattr(state, "data_mesh", lambda: mesh)
        train, val = (clip_index.open_split(config.data.dir, split) for split in ("train", "val"))
        loop.fit(config, train, val, str(workdir), **given)


def stop_before(step: int):
    calls = iter(range(step + 1))
    return lambda: contextlib.nullcontext(lambda: next(calls, None) == step)


def rows(workdir: pathlib.Path, name: str) -> list[float]:
    return [row[name] for row in logger.read_log(str(workdir)) if name in row]


@dataclasses.dataclass(frozen=True)
class Story:
    """A run begun by one process, continued by two of which one is killed, finished by two, and once by one."""

    config: c.Config
    run: pathlib.Path
    killed: tuple[list[int], list[str], list[str]]
    by_one: pathlib.Path
    finished: tuple[list[int], list[str], list[str]]


@pytest.fixture(scope="module")
def story(configured, tmp_path_factory) -> Story:
    root = tmp_path_factory.mktemp("story")
    run, by_one, file = root / "run", root / "by_one", root / "config.json"
    config = configured(run)
    # With seed 0 states that differ by 1e-6 lie on two sides of a kink, where one and the same program gives gradient
    # norms a thousandth apart. Seed 0 has the test below, in which every step begins at one state.
    config.train.steps, config.train.eval_every, config.seed = STEPS, EVERY, 1
    file.write_text(c.to_json(config))
    fit(config, run, 1, stop_signal=stop_before(1))
    # From step 1, process 1 dies in the place of its fifth step, the sixth of the run: step 4 has been saved.
    killed = finish(start(TRAINING, [str(file)] * 2, ["99", "4"]))
    shutil.copytree(run, by_one)
    fit(config, by_one, 2)
    finished = finish(start(TRAINING, [str(file)] * 2, ["99", "99"]))
    return Story(config, run, killed, by_one, finished)


@pytest.mark.slow
@pytest.mark.parametrize("devices", [1, 2])
def test_two_processes_take_the_steps_of_one(story, tmp_path, devices):
    fit(story.config, tmp_path, devices)
    assert story.finished[0] == [0, 0], story.finished
    for name in ("loss", "grad_norm", "val/loss"):
        found = rows(story.run, name)
        assert len(found) == (STEPS // EVERY if name == "val/loss" else STEPS)
        np.testing.assert_allclose(found, rows(tmp_path, name), atol=1e-5)


@pytest.mark.slow
def test_every_step_from_one_state_is_that_of_one_device(configured, tmp_path):
    config = configured(tmp_path)
    one, two = (taking(config, devices) for devices in (1, 2))
    now = None
    for number in range(STEPS):
        _, found = two(now, number)
        now, wanted = one(now, number)
        assert wanted["grad_norm"] > 0.01
        for name, value in wanted.items():
            np.testing.assert_allclose(found[name], value, atol=1e-5, err_msg=f"{name} of step {number}")


def taking(config: c.Config, devices: int):
    """Function (state, None for the first; steps taken) -> state and terms of one more step, on so many devices."""
    mesh = jax.make_mesh((devices,), ("data",), axis_types=(AxisType.Auto,), devices=jax.devices()[:devices])
    replicated, split = state.shardings(mesh)
    tx = optim.build(config.optim, STEPS)
    run = step.make_train_step(state.graphs(config.model), tx, config.optim, replicated)
    train = clip_index.open_split(config.data.dir, "train")

    def take(now, number):
        batches = pipeline.train_batches(train, config.data, config.train.batch_size, config.seed, split, start=number)
        now = (
            state.create(config.model, tx, config.seed, replicated) if now is None else jax.device_put(now, replicated)
        )
        return jax.device_get(run(now, next(iter(batches)), jax.random.key(config.seed)))

    return take


@pytest.mark.slow
def test_one_process_continues_what_two_have_saved(story):
    assert Run(story.by_one).config == story.config
    np.testing.assert_allclose(rows(story.by_one, "loss"), rows(story.run, "loss"), atol=1e-5)


@pytest.mark.slow
def test_a_killed_process_ends_the_other_by_one_sentence_and_the_run_continues(story):
    codes, _, errors = story.killed
    assert codes == [1, -9]
    assert errors[0].splitlines()[-1].startswith("error: process 1 of 2 is dead or out of reach")
    assert "continuing" in story.finished[1][0]
    assert "from step 4" in story.finished[1][0].replace("\n", " ")


@pytest.mark.slow
def test_the_first_process_alone_writes_and_tells(story):
    said = story.finished[1]
    assert "scoring the test split" in said[0]
    assert not [line for line in said[1].splitlines() if "Gloo" not in line]
    steps = [row["step"] for row in logger.read_log(str(story.run)) if "loss" in row]
    assert steps == list(range(1, STEPS + 1))
    # One file of events for each start of process 0: by one, and twice by two.
    assert len(list((story.run / "tensorboard").iterdir())) == 3
    assert (story.run / "report" / "report.html").is_file()
    metrics = json.loads((story.run / "report" / "metrics.json").read_text())
    assert metrics["units"]["video"]["overall"]["metrics"]["auc"]["value"] is not None
    assert Run(story.run).calibration.val["videos"] == 12


@pytest.mark.slow
def test_all_stop_at_the_same_call_and_an_error_is_told_to_all():
    codes, said, errors = finish(
        start(
            ALONE
            + """
    split, replicated = reversed(state.shardings(state.data_mesh()))
    any_asks = distributed.AnyAsks(split, replicated)
    print("stopped at", [any_asks(me == 1 and call == 3) for call in range(6)].index(True))
    print("made by", distributed.first("work", lambda: me), flush=True)
    if me == 1:
        raise DataError("the disk is full")
    distributed.meet("the end of the work")
"""
        )
    )
    assert codes == [1, 1], errors
    assert ["stopped at 4" in text for text in said] == [True, True]
    assert ["made by 0" in text for text in said] == [True, False]
    assert errors[0].splitlines()[-1] == "error: process 1 of 2 ended: the disk is full"
    assert errors[1].splitlines()[-1] == "error: the disk is full"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("config", "folder", "wanted"),
    [
        ("ab", ["shared", "shared"], "process 1 was given another configuration than process 0"),
        ("aa", ["here", "there"], "--config.workdir on a file system that all processes share"),
    ],
)
def test_another_configuration_or_folder_than_the_first_is_refused(tmp_path, config, folder, wanted):
    folders = [str(tmp_path / name) for name in folder]
    codes, _, errors = finish(start(ALONE + "    distributed.agree(*sys.argv[2:])\n", list(config), folders))
    assert codes == [1, 1]
    assert [wanted in text.splitlines()[-1] for text in errors] == [True, True], errors
    assert not [path for name in folders for path in pathlib.Path(name).glob(".*")]


@pytest.mark.slow
@pytest.mark.parametrize("dead", [0, 1])
def test_a_process_that_dies_without_a_word_is_missed(dead):
    codes, _, errors = finish(
        start(
            ALONE
            + f"""
    distributed.meet("all are here")
    if me == {dead}:
        os.kill(os.getpid(), signal.SIGKILL)
    distributed.SILENCE = 3
    distributed.meet("what never comes")
"""
        )
    )
    assert codes[dead] == -9
    assert codes[1 - dead] not in (0, -9)
    # JAX itself ends those whose service died with process 0.
    wanted = ["process 1 of 2 is silent for more than 3 s"] if dead else ["another task died", "dead or out of reach"]
    assert any(text in errors[1 - dead] for text in wanted), errors


@pytest.mark.parametrize("place", ["2/2@host:1", "0/1", "0/2@host", "somewhere"])
def test_a_place_that_is_none_is_one_sentence(place):
    with pytest.raises(ConfigError, match="I/N@HOST:PORT"), distributed.joined(place):
        pytest.fail("joined")


def test_one_process_needs_no_other():
    with distributed.joined(None):
        assert distributed.first("work", lambda: 5) == 5
        assert distributed.is_first()
