"""Partial training: what is frozen stays, what is slowed moves in proportion, what waits begins on time."""

import jax
import numpy as np
import optax
import pytest
from flax import nnx

from fusion_dfd import config as c
from fusion_dfd.backbones import registry as backbones
from fusion_dfd.backbones.layers import BatchNorm
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


def test_norm_selects_the_norm_layers_below_the_prefix():
    layer = {"conv": {"kernel": 0, "bias": 0}, "bn": {"scale": 0, "bias": 0}}
    params = {"backbone": {"a": layer, "b": layer}, "head": layer}
    groups = c.Optim(groups=("backbone=0", "backbone:norm=1", "backbone/b=0.5")).parsed_groups
    factors = jax.tree.map(lambda one: one.factor, optim.assign(groups, params))
    assert factors == {
        "backbone": {
            "a": {"conv": {"kernel": 0, "bias": 0}, "bn": {"scale": 1, "bias": 1}},
            "b": jax.tree.map(lambda _: 0.5, layer),
        },
        "head": jax.tree.map(lambda _: 1, layer),
    }


@pytest.mark.parametrize("name", ["resnet18", "vit_small"])
def test_only_the_norm_layers_of_a_backbone_learn(name):
    backbone = backbones.build(c.Backbone(name, width=24, stages=1), rngs=nnx.Rngs(0))
    params = {"backbone": nnx.to_pure_dict(nnx.state(backbone, nnx.Param))}
    tx = optim.build(c.Optim(groups=("backbone=0", "backbone:norm=1"), warmup=0), 10)
    updates, _ = tx.update(jax.tree.map(np.ones_like, params), tx.init(params), params)
    moved = {jax.tree_util.keystr(path, simple=True, separator="/") for path, one in leaves(updates) if np.any(one)}
    norms = {
        f"backbone/{'/'.join(map(str, path))}/{name}"
        for path, node in nnx.iter_modules(backbone)
        if isinstance(node, nnx.LayerNorm | BatchNorm)
        for name in ("scale", "bias")
    }
    assert moved == norms != set()


def leaves(tree: dict) -> list:
    return jax.tree_util.tree_flatten_with_path(tree)[0]


def test_a_norm_group_without_norm_layers_is_refused():
    with pytest.raises(c.ConfigError, match="no parameter below head:norm"):
        optim.check(c.Optim(groups=("head:norm=0.5",)), PARAMS)


HALVES = {
    part: {"kernel": np.ones((2, 2), np.float32)} for part in ("backbone", "spatial", "temporal", "micro", "head")
}


def moving(options: c.Optim, steps: int) -> list[set[str]]:
    """The parts that move at each step."""
    tx = optim.build(options, 100)
    params, state, found = HALVES, tx.init(HALVES), []
    for _ in range(steps):
        updates, state = tx.update(jax.tree.map(np.ones_like, params), state, params)
        found.append({part for part, one in updates.items() if np.any(one["kernel"])})
    return found


def test_halves_take_turns():
    spatial, temporal = {"backbone", "spatial", "head"}, {"temporal", "micro", "head"}
    assert moving(c.Optim(alternate=2, warmup=0), 5) == [temporal, temporal, spatial, spatial, temporal]


def test_frozen_parts_do_not_take_a_turn():
    found = moving(c.Optim(alternate=1, warmup=0, groups=("backbone=0",)), 2)
    assert found == [{"temporal", "micro", "head"}, {"spatial", "head"}]


def test_a_half_that_waits_keeps_its_moments():
    """Its next step is the one that it would take if it alone had been trained."""
    options = c.Optim(alternate=1, warmup=0, weight_decay=0.0)
    tx, plain = optim.build(options, 100), optax.scale_by_adam()
    params, own = {"temporal": np.ones(2, np.float32)}, {"temporal": np.ones(2, np.float32)}
    state, alone = tx.init(params), plain.init(own)
    for at, gradient in enumerate([0.01, 5.0, 0.02, -7.0, -0.03]):  # below the clip where it learns
        updates, state = tx.update({"temporal": np.full(2, gradient, np.float32)}, state, params)
        if at % 2:
            np.testing.assert_array_equal(updates["temporal"], 0)
            continue
        expected, alone = plain.update({"temporal": np.full(2, gradient, np.float32)}, alone, own)
        rate = optim.schedule(options, 100)(at)
        np.testing.assert_allclose(updates["temporal"], -rate * expected["temporal"], rtol=1e-5)


def test_nothing_to_alternate_is_refused():
    with pytest.raises(c.ConfigError, match="no spatial part learns"):
        optim.check(c.Optim(alternate=5, groups=("backbone=0", "spatial=0")), HALVES)


def test_alternation_of_another_system_is_refused():
    config = c.Config(model=c.Model(system="sequence"), optim=c.Optim(alternate=5))
    with pytest.raises(c.ConfigError, match=r"optim\.alternate=5: want model\.system=fusion"):
        config.validate()


def test_what_is_frozen_has_no_optimiser_state():
    tx = optim.restrict(c.Optim(groups=("backbone=0",)).parsed_groups, optax.adam(1.0))
    held = [leaf.size for leaf in jax.tree.leaves(tx.init(PARAMS)) if leaf.ndim]
    assert held == [PARAMS["head"].size] * 2


def test_a_group_that_fits_nothing_is_refused():
    with pytest.raises(c.ConfigError, match="below backbon; its parts are backbone, head"):
        optim.check(c.Optim(groups=("backbon=0", "head=1")), PARAMS)


def test_nothing_left_to_learn_is_refused():
    with pytest.raises(c.ConfigError, match="freezes every parameter"):
        optim.check(c.Optim(groups=("backbone=0", "head=0")), PARAMS)


@pytest.mark.parametrize(
    "entry", ["backbone", "backbone:norm", "backbone:bias=0", "backbone=-1", "backbone=x", "=0", "backbone=1@", "a=1@b"]
)
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


def test_what_waits_is_not_moved_to_look_for_the_worst():
    """Sharpness-aware minimisation perturbs what learns at the step, by its radius."""
    tx = optim.build(c.Optim(sam=0.5, alternate=1, groups=("head=1@1",), warmup=0), 100)
    state, seen = tx.init(HALVES), []
    for _ in range(2):
        _, state = tx.update(
            jax.tree.map(np.ones_like, HALVES), state, HALVES, grad_fn=lambda params, _: seen.append(params) or params
        )
    moved = [{part for part, one in params.items() if np.any(one["kernel"] != 1)} for params in seen]
    assert moved == [{"temporal", "micro"}, {"backbone", "spatial", "head"}]
    for params in seen:
        distance = optax.tree.norm(jax.tree.map(np.subtract, params, HALVES))
        np.testing.assert_allclose(distance, 0.5, rtol=1e-6)
