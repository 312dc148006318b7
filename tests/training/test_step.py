"""One step: equal on any number of devices, unharmed by a bad batch, exact in what it minimises."""

import itertools
import os
import subprocess
import sys

import jax
import numpy as np
import optax
import pytest
from jax.sharding import AxisType

from fusion_dfd import config as c
from fusion_dfd.config import BRANCHES
from fusion_dfd.input import pipeline
from fusion_dfd.shards import clip_index
from fusion_dfd.training import optim, state, step
from fusion_dfd.types import Batch, Outputs


@pytest.fixture
def batch(tiny) -> Batch:
    split = clip_index.open_split(tiny.data.dir, "train")
    return next(iter(pipeline.train_batches(split, tiny.data, 16, seed=0)))


def one_step(config, batch, devices: int, steps: int = 1):
    mesh = jax.make_mesh((devices,), ("data",), axis_types=(AxisType.Auto,), devices=jax.devices()[:devices])
    replicated, split_batch = state.shardings(mesh)
    tx = optim.build(config.optim, config.train.steps)
    now = state.create(config.model, tx, config.seed, replicated)
    train_step = step.make_train_step(state.graphs(config.model), tx, config.optim, replicated)
    batch = jax.device_put(batch, split_batch)
    for _ in range(steps):
        now, terms = train_step(now, batch, jax.random.key(0))
    return jax.device_get(now), jax.device_get(terms)


def assert_close(left, right, atol):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=atol, rtol=0), left, right)


@pytest.mark.slow
def test_one_device_equals_all(tiny, batch):
    tiny.model.branches = BRANCHES
    devices = len(jax.devices())
    assert devices > 1
    one, terms_one = one_step(tiny, batch, 1)
    all_, terms_all = one_step(tiny, batch, devices)
    assert_close(terms_one, terms_all, 1e-4)
    assert_close(one.stats, all_.stats, 1e-4)
    assert_close(one.params, all_.params, 1e-4)


@pytest.mark.slow
def test_one_device_equals_eight():
    """The test above in a process that has eight."""
    command = [sys.executable, "-m", "pytest", f"{__file__}::{test_one_device_equals_all.__name__}"]
    subprocess.run(command, env=os.environ | {"JAX_NUM_CPU_DEVICES": "8"}, check=True)


def test_a_batch_that_is_not_finite_changes_nothing(tiny, batch):
    after, terms = one_step(tiny, batch.replace(weight=np.full_like(batch.weight, np.nan)), 1)
    assert terms["skipped"] == 1
    assert after.step == 1
    tx = optim.build(tiny.optim, tiny.train.steps)
    before = state.create(tiny.model, tx, tiny.seed, state.shardings(state.data_mesh())[0])
    assert_close(after.params, jax.device_get(before.params), 0)
    assert_close(after.stats, jax.device_get(before.stats), 0)


def test_the_first_step_of_a_known_batch(tiny, batch):
    """Golden numbers. If they change and neither the model, its initialisation, the loss, the data pipeline nor the
    random numbers were meant to change, look for the bug. If one of them was, say so in the commit, check that
    ``make train`` still reaches its AUC, and write the new numbers here."""
    tiny.model.branches = BRANCHES
    _, terms = one_step(tiny, batch, 1)
    golden = {
        "loss": 3.24791,
        "loss/spatial": 1.08025,
        "loss/temporal": 0.62643,
        "loss/micro": 0.84976,
        "grad_norm": 2.64624,
    }
    np.testing.assert_allclose([terms[name] for name in golden], list(golden.values()), rtol=2e-3)


def test_training_lowers_the_loss(tiny, batch):
    tiny.model.dropout = 0.0
    _, first = one_step(tiny, batch, 1)
    _, last = one_step(tiny, batch, 1, steps=8)
    assert last["loss"] < first["loss"]


@pytest.mark.slow
def test_accumulation_over_equal_parts_is_the_whole_batch(tiny, batch):
    # The same pair eight times: every part of the batch has the statistics of the whole.
    batch = jax.tree.map(lambda x: np.concatenate([x[:2]] * 8), batch)
    tiny.model.dropout = 0.0
    whole, _ = one_step(tiny, batch, 1)
    tiny.optim.accumulate = 4
    parts, terms = one_step(tiny, batch, 1)
    assert np.isfinite(terms["loss"])
    assert_close(whole.params, parts.params, 1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_sharpness_aware_step_is_two_passes(tiny, batch, accumulate):
    """By hand: the gradient of the same batch at w + rho g / |g|, then the plain optimiser at w."""
    tiny.optim.accumulate, tiny.optim.warmup, rho = accumulate, 0, 0.3
    graphs, (replicated, _) = state.graphs(tiny.model), state.shardings(state.data_mesh())
    plain = optim.build(tiny.optim, tiny.train.steps)
    now = state.create(tiny.model, plain, tiny.seed, replicated)
    key = jax.random.fold_in(jax.random.key(0), 0)

    @jax.jit
    def by_hand(now, batch):
        def gradient(params):
            at = now.replace(params=params)
            return step.accumulated_gradient(at, batch, key, graph=graphs.train, optim=tiny.optim)

        first, stats, terms = gradient(now.params)
        length = jax.numpy.sqrt(sum(jax.numpy.sum(leaf**2) for leaf in jax.tree.leaves(first)))
        second, _, _ = gradient(jax.tree.map(lambda w, g: w + rho * g / length, now.params, first))
        updates, opt_state = plain.update(second, now.opt_state, now.params)
        _, unaware = plain.update(first, now.opt_state, now.params)
        return optax.apply_updates(now.params, updates), stats, terms["loss"], opt_state, unaware

    params, stats, loss, opt_state, unaware = jax.device_get(by_hand(now, batch))
    tiny.optim.sam = rho
    tx = optim.build(tiny.optim, tiny.train.steps)
    train_step = step.make_train_step(graphs, tx, tiny.optim, replicated)
    after, terms = jax.device_get(train_step(now.replace(opt_state=tx.init(now.params)), batch, jax.random.key(0)))
    np.testing.assert_allclose(terms["loss"], loss, rtol=1e-5)
    assert_close(after.stats, stats, 1e-6)
    assert_close(after.opt_state.opt_state, opt_state, 1e-6)
    assert_close(after.params, params, 1e-3)  # a tenth of a step: Adam divides by tiny gradients
    moved = optax.tree.norm(jax.tree.map(np.subtract, opt_state[1][0].mu, unaware[1][0].mu))
    assert moved > 0.01  # the second gradient is another one: the comparison can fail


def test_micro_batches_are_whole_pairs():
    parts = step.split_in_micro_batches(np.arange(16), 4)
    assert parts.shape == (4, 4)
    assert sorted(parts.ravel().tolist()) == list(range(16))
    assert (parts[:, ::2] % 2 == 0).all()
    assert (parts[:, 1::2] == parts[:, ::2] + 1).all()


def test_loss_of_known_logits():
    logit = np.float32([0.0, 2.0, -1.0])
    batch = Batch(None, None, None, label=np.int32([1, 0, 1]), weight=np.float32([1, 1, 0]), row=None)
    outputs = Outputs(logit, branch_logits={"a": logit, "b": 2 * logit})

    def ce(z, y):
        return np.log1p(np.exp(-z)) if y else np.log1p(np.exp(z))

    fused = (ce(0.0, 1) + ce(2.0, 0)) / 2
    doubled = (ce(0.0, 1) + ce(4.0, 0)) / 2
    loss, terms = step.total(outputs, batch, c.Optim(label_smoothing=0.0, auxiliary=0.5))
    np.testing.assert_allclose(loss, fused + 0.5 * (fused + doubled), rtol=1e-6)
    np.testing.assert_allclose(terms["accuracy"], 0.0)  # a logit of 0 does not say fake, 2 wrongly does


def test_a_branch_learns_nothing_from_windows_for_which_it_is_off():
    logit = np.float32([0.0, 2.0])
    batch = Batch(None, None, None, label=np.int32([1, 0]), weight=np.float32([1, 1]), row=None)
    on = {"a": np.array([True, True]), "b": np.array([True, False])}
    outputs = Outputs(logit, branch_logits={"a": logit, "b": logit}, branches_on=on)
    _, terms = step.total(outputs, batch, c.Optim(label_smoothing=0.0, auxiliary=1.0))
    np.testing.assert_allclose(terms["loss/a"], (np.log(2) + np.log1p(np.exp(2))) / 2, rtol=1e-6)
    np.testing.assert_allclose(terms["loss/b"], np.log(2), rtol=1e-6)


def test_smoothing_pulls_the_target_towards_the_middle():
    batch = Batch(None, None, None, label=np.int32([1]), weight=np.float32([1]), row=None)
    expected = optax.sigmoid_binary_cross_entropy(np.float32([3.0]), np.float32([0.95]))[0]
    np.testing.assert_allclose(step.cross_entropy(np.float32([3.0]), batch, 0.1), expected, rtol=1e-6)


def test_only_kernels_decay(tiny):
    tiny.optim.weight_decay, tiny.optim.warmup = 1.0, 0
    tx = optim.build(tiny.optim, 10)
    params = {"kernel": np.ones((2, 2), np.float32), "bias": np.ones(2, np.float32)}
    updates, _ = tx.update(jax.tree.map(np.zeros_like, params), tx.init(params), params)
    assert (np.asarray(updates["kernel"]) < 0).all()
    assert (np.asarray(updates["bias"]) == 0).all()


def test_schedule_warms_up_and_ends_at_zero(tiny):
    tiny.optim.lr, tiny.optim.warmup = 0.1, 5
    rate = optim.schedule(tiny.optim, 20)
    assert [float(rate(at)) for at in (0, 5, 20)] == pytest.approx([0.0, 0.1, 0.0])


def test_schedule_of_gend_falls_from_its_rate_to_a_millionth(tiny):
    tiny.optim.lr, tiny.optim.warmup, tiny.optim.end_lr = 3e-4, 0, 1e-6
    rate = optim.schedule(tiny.optim, 20)
    found = [float(rate(at)) for at in (0, 5, 10, 20)]
    expected = [1e-6 + (3e-4 - 1e-6) * (1 + np.cos(np.pi * at / 20)) / 2 for at in (0, 5, 10, 20)]
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def sphere(rng):
    """Five windows of up to three frames, of which six count, and their embeddings as a list with their labels."""
    embedding = rng.normal(size=(5, 3, 4))
    embedding /= np.linalg.norm(embedding, axis=-1, keepdims=True)
    batch = Batch(
        None,
        None,
        length=np.int32([2, 1, 3, 0, 3]),
        label=np.int32([0, 1, 1, 1, 0]),
        weight=np.float32([1, 1, 1, 1, 0]),
        row=None,
    )
    seen = [(embedding[row, at], batch.label[row]) for row in range(4) for at in range(batch.length[row])]
    return np.float32(embedding), batch, list(itertools.combinations(seen, 2))


def test_uniformity_and_alignment_are_means_over_pairs_of_frames(rng):
    embedding, batch, pairs = sphere(rng)
    distances = [np.sum((x - y) ** 2) for (x, _), (y, _) in pairs]
    alike = [np.sum((x - y) ** 2) for (x, a), (y, b) in pairs if a == b]
    assert (len(distances), len(alike)) == (15, 7)
    expected = np.log(np.mean(np.exp(-2 * np.array(distances)))), np.mean(alike)
    got = step.uniformity(embedding, batch), step.alignment(embedding, batch)
    np.testing.assert_allclose(got, expected, rtol=1e-5)
    outputs = Outputs(np.zeros(5, np.float32), embedding=embedding)
    loss, terms = step.total(outputs, batch, c.Optim(uniformity=0.5, alignment=0.1))
    np.testing.assert_allclose(loss, np.log(2) + 0.5 * expected[0] + 0.1 * expected[1], rtol=1e-5)
    assert (terms["loss/uniformity"], terms["loss/alignment"]) == got


def test_a_single_frame_is_no_pair(rng):
    embedding, batch, _ = sphere(rng)
    batch = batch.replace(weight=np.float32([0, 1, 0, 0, 0]))
    for loss in (step.uniformity, step.alignment):
        value, slope = jax.value_and_grad(loss)(embedding, batch)
        assert value == 0
        np.testing.assert_array_equal(slope, 0)


def test_the_map_loss_is_the_cross_entropy_of_attention_and_forged_cells():
    attention = np.full((2, 2, 4, 4), 0.25, np.float32)
    mask = np.zeros((2, 2, 16, 16), np.uint8)
    mask[1] = 255
    batch = Batch(None, None, length=np.int32([2, 1]), label=None, weight=np.float32([1, 1]), row=None, mask=mask)
    got = step.map_loss(attention, batch)
    # Two frames of the first row, and one of the second: the other is padding.
    np.testing.assert_allclose(got, (-2 * np.log(0.75) - np.log(0.25)) / 3, rtol=1e-5)
    outputs = Outputs(np.zeros(2, np.float32), spatial_attention=attention)
    batch = batch.replace(label=np.int32([0, 1]))
    loss, terms = step.total(outputs, batch, c.Optim(label_smoothing=0.0, map=2.0))
    np.testing.assert_allclose(loss, np.log(2) + 2 * got, rtol=1e-5)
    assert terms["loss/map"] == got
