"""A search begins with the given options, continues where it stopped, ends bad trials early, and never sees test."""

import dataclasses
import fcntl
import json
import pathlib
import runpy
import time

import optuna
import pytest

from fusion_dfd import config as c
from fusion_dfd.runs import search as tune
from fusion_dfd.runs.search_space import Choice, Float, Int, applied, current
from fusion_dfd.shards import clip_index
from fusion_dfd.training import loop

SPACE = {
    "optim.lr": Float(1e-3, 1e-1, log=True),
    "optim.warmup": Int(0, 1),
    "model.dropout": Choice((0.0, 0.5)),
}


def search(root, trials: int, **changes) -> tune.Search:
    return tune.Search(trials, f"sqlite:///{root}/study.db", **changes)


def scripted(monkeypatch, value, steps=(2, 4)):
    """Replaces training: a trial's AUC at a step is ``value(config, step)``; returns the configurations trained."""
    trained = []

    def fit(config, train, val, workdir, judge):
        trained.append(config)
        pathlib.Path(workdir, "checkpoints").mkdir(parents=True, exist_ok=True)
        for step in steps:
            judge(step, {"auc": value(config, step)})
        return loop.Fitted(loop.Progress(value(config, steps[-1]), steps[-1]), steps[-1], True)

    monkeypatch.setattr(tune.loop, "fit", fit)
    return trained


def rows(root) -> list[dict]:
    return json.loads((root / "trials.json").read_text())


@pytest.mark.slow
def test_a_real_search_writes_a_configuration_that_can_be_trained(tiny, tmp_path, monkeypatch):
    opened = []
    real = clip_index.open_split
    monkeypatch.setattr(
        clip_index, "open_split", lambda folder, split, *rest: opened.append(split) or real(folder, split, *rest)
    )
    tiny.train.steps, tiny.train.eval_every = 2, 2
    page = tune.run(tiny, SPACE, search(tmp_path, 2), str(tmp_path))
    first, second = rows(tmp_path)
    assert {name: first[name] for name in SPACE} == current(tiny, SPACE)
    assert {name: second[name] for name in SPACE} != current(tiny, SPACE)
    best = runpy.run_path(str(tmp_path / "best.py"))["get_config"]("")
    winner = max((first, second), key=lambda row: row["value"])
    fresh = dataclasses.replace(tiny, workdir=None, name="tiny-tuned")
    assert best == applied(fresh, {name: winner[name] for name in SPACE})
    assert "<td>optim.lr</td>" in pathlib.Path(page).read_text()
    assert set(opened) == {"train", "val"}


@pytest.mark.slow
def test_a_study_continues_and_counts_what_there_was(tiny, tmp_path, monkeypatch):
    trained = scripted(monkeypatch, lambda config, step: 1 - abs(config.optim.lr - 0.03))
    tune.run(tiny, SPACE, search(tmp_path, 3), str(tmp_path))
    tune.run(tiny, SPACE, search(tmp_path, 8), str(tmp_path))
    tune.run(tiny, SPACE, search(tmp_path, 8), str(tmp_path))
    assert len(trained) == len(rows(tmp_path)) == 8
    assert max(row["value"] for row in rows(tmp_path)) > rows(tmp_path)[0]["value"]


def test_what_was_stopped_is_tried_first_when_it_continues(tiny, tmp_path, monkeypatch):
    trained = scripted(monkeypatch, lambda config, step: 0.5)
    finished = tune.loop.fit
    tune.run(tiny, SPACE, search(tmp_path, 1), str(tmp_path))

    def stopped(config, *rest):
        finished(config, *rest)
        return loop.Fitted(loop.Progress(), 1, False)

    monkeypatch.setattr(tune.loop, "fit", stopped)
    tune.run(tiny, SPACE, search(tmp_path, 2), str(tmp_path))
    assert len(rows(tmp_path)) == 1
    monkeypatch.setattr(tune.loop, "fit", finished)
    tune.run(tiny, SPACE, search(tmp_path, 2), str(tmp_path))
    assert len(rows(tmp_path)) == 2
    assert trained[-1] == trained[-2]


def test_a_trial_worse_than_most_ends_early(tiny, tmp_path, monkeypatch):
    asked = []

    def value(config, step):
        asked.append(step)
        return 0.9 if config.optim.lr < 0.02 else 0.5

    scripted(monkeypatch, value, steps=(2, 4, 6))
    tune.run(tiny, SPACE, search(tmp_path, 12, sampler="random"), str(tmp_path))
    states = {row["state"] for row in rows(tmp_path)}
    assert states == {"COMPLETE", "PRUNED"}
    assert all(row["value"] == 0.5 for row in rows(tmp_path) if row["state"] == "PRUNED")


@pytest.mark.parametrize("alone", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_a_killed_trial_is_begun_again(tiny, tmp_path, monkeypatch, alone):
    """At once by the only process at work on the study, after a while where there are others."""
    trained = scripted(monkeypatch, lambda config, step: 0.5)
    monkeypatch.setattr(tune, "HEARTBEAT", 1)
    with tune._database(optuna, search(tmp_path, 1)) as storage:
        study = tune._study(optuna, tiny, search(tmp_path, 1), storage)
        study.enqueue_trial(current(tiny, SPACE))
        lost = study.ask()
        for name, options in SPACE.items():
            tune._suggest(lost, name, options)
        storage.record_heartbeat(lost._trial_id)  # its last sign of life
    with open(tmp_path / "study.db.lock", "ab") as other:
        if not alone:
            fcntl.flock(other, fcntl.LOCK_SH)
            time.sleep(3)
        tune.run(tiny, SPACE, search(tmp_path, 1), str(tmp_path))
    assert current(trained[0], SPACE) == lost.params
    assert len(rows(tmp_path)) == 1


def test_a_search_in_parts_tries_what_it_tries_in_one(tiny, tmp_path, monkeypatch):
    trained = scripted(monkeypatch, lambda config, step: config.optim.lr)
    for root, counts in ((tmp_path / "whole", [4]), (tmp_path / "parts", [1, 3, 4])):
        root.mkdir()
        for count in counts:
            tune.run(tiny, SPACE, search(root, count), str(root))
    values = [current(cell, SPACE) for cell in trained]
    assert values[:4] == values[4:]
    assert len({value["optim.lr"] for value in values}) == 4


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ({"optim.rate": Float(0, 1)}, "optim.rate, which is no option"),
        ({"optim.lr": Float(0.5, 1)}, "optim.lr=0.01, where the search begins, lies outside"),
        ({"optim.warmup": Int(1, 9)}, r"the space of optim\.warmup holds 9, which does not fit: optim\.warmup=9: want"),
        ({"model.dropout": Choice((0.1, 0.2))}, "lies outside"),
    ],
)
def test_a_space_that_does_not_fit_is_refused(tiny, space, message):
    with pytest.raises(c.ConfigError, match=message):
        current(tiny, space)


@pytest.mark.parametrize("changes", [{"sampler": "magic"}, {"pruner": "axe"}])
def test_unknown_ways_are_refused(tiny, tmp_path, changes):
    with pytest.raises(c.ConfigError, match="want one of"):
        tune.run(tiny, SPACE, search(tmp_path, 1, **changes), str(tmp_path))
