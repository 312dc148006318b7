"""Partial training: what is frozen stays, what is slowed moves in proportion, what waits begins on time."""

import jax
import numpy as np
import optax
import pytest

from fusion_dfd import config as c
from fusion_dfd.input import pipeline
from fusion_dfd.shards import clip_index
from fusion_dfd.training import optim, state, step

PARAMS = {"backbone": {"conv1": np.ones((2, 2)), "conv10": np.ones((2, 2))}, "head": np.ones(2)}


def after(entries: tuple[str, ...], steps: int) -> dict:
    """Parameters after steps of gradient 1 at a learning rate of 1."""
    tx = optim.restrict(c.Optim(groups=entries).parsed_groups, optax.sgd(1.0))
    params, state = PARAMS, tx.init(PARAMS)
    for _ in range(steps):
        updates, state = tx.update(jax.tree.map(np.ones_like, params), state, params)
        params = optax.apply_updates(params, updates)
    return jax.tree.map(lambda leaf: float(np.mean(leaf)), params)


def test_without_groups_everything_learns():
    assert after((), 2) == {"backbone": {"conv1": -1, "conv10": -1}, "head": -1}


def test_the_longest_prefix_of_whole_names_counts():
    moved = after(("backbone=0.5", "backbone/conv1=0"), 2)
    assert moved == {"backbone": {"conv1": 1, "conv10": 0}, "head": -1}


def test_a_group_waits_for_its_step():
    assert after(("backbone=1@3",), 3)["backbone"]["conv1"] == 1
    assert after(("backbone=1@3",), 5)["backbone"]["conv1"] == -1


def test_what_is_frozen_has_no_optimiser_state():
    tx = optim.restrict(c.Optim(groups=("backbone=0",)).parsed_groups, optax.adam(1.0))
    held = [leaf.size for leaf in jax.tree.leaves(tx.init(PARAMS)) if leaf.ndim]
    assert held == [PARAMS["head"].size] * 2


def test_a_group_that_fits_nothing_is_refused():
    with pytest.raises(c.ConfigError, match="below backbon; its parts are backbone, head"):
        optim.check(c.Optim(groups=("backbon=0", "head=1")).parsed_groups, PARAMS)


def test_nothing_left_to_learn_is_refused():
    with pytest.raises(c.ConfigError, match="freezes every parameter"):
        optim.check(c.Optim(groups=("backbone=0", "head=0")).parsed_groups, PARAMS)


@pytest.mark.parametrize("entry", ["backbone", "backbone=-1", "backbone=x", "=0", "backbone=1@", "a=1@b"])
def test_an_entry_of_another_form_is_refused(entry):
    config = c.Config(optim=c.Optim(groups=(entry,)))
    with pytest.raises(c.ConfigError, match=r"optim\.groups"):
        config.validate()


def train(config: c.Config, steps: int = 2) -> tuple[state.TrainState, state.TrainState]:
    """State before and after a few steps."""
    batch = next(iter(pipeline.train_batches(clip_index.open_split(config.data.dir, "train"), config.data, 16, seed=0)))
    replicated, _ = state.shardings(state.data_mesh())
    tx = optim.build(config.optim, config.train.steps)
    now = state.create(config.model, tx, config.seed, replicated)
    before = jax.device_get(now)
    one = step.make_train_step(state.graphs(config.model), tx, config.optim, replicated)
    for _ in range(steps):
        now, _ = one(now, batch, jax.random.key(0))
    return before, jax.device_get(now)


def changed(before: dict, after: dict) -> bool:
    equal = jax.tree.map(np.array_equal, before, after)
    return not all(jax.tree.leaves(equal))


def test_a_frozen_backbone_stays_and_the_rest_learns(tiny):
    tiny.optim.groups, tiny.model.backbone.frozen_norm = ("backbone=0",), True
    before, now = train(tiny)
    assert not changed(before.params["backbone"], now.params["backbone"])
    assert not changed(before.stats["backbone"], now.stats["backbone"])
    assert changed(before.params["head"], now.params["head"])


def test_without_frozen_norm_the_statistics_of_a_frozen_backbone_still_follow_the_data(tiny):
    tiny.optim.groups = ("backbone=0",)
    before, now = train(tiny)
    assert not changed(before.params["backbone"], now.params["backbone"])
    assert changed(before.stats["backbone"], now.stats["backbone"])
