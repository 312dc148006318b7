"""Every registered system keeps the contract of ``fusion_dfd.models.system``; generic over its names."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from small_systems import EVERY, LENGTH, SIDE, VARIANTS, clips, garbage, options, split

from fusion_dfd import config
from fusion_dfd.models import registry

PER_FRAME = (
    "frame_logits",
    "frame_attention",
    "spatial_attention",
    "motion_attention",
    "motion_anomaly",
    "micro_frame_attention",
)

UNORDERED = ("fusion", "frame", "frame+vit")
"""They see a frame at a time."""


@functools.partial(jax.jit, static_argnums=0)
def train(graph, params, stats, batch, key):
    """As a training step does it: logits, new statistics, gradients."""

    def loss(params):
        model = nnx.merge(graph, params, stats)
        outputs = model(*batch, rngs=nnx.Rngs(dropout=key))
        weight = jnp.arange(1.0, 1 + len(outputs.logit))
        logits = (outputs.logit, outputs.branch_logits)
        total = sum(jnp.vdot(weight, jnp.sin(x)) for x in jax.tree.leaves(logits))
        return total, (logits, nnx.to_pure_dict(nnx.state(model, nnx.Not(nnx.Param))))

    (_, (logits, stats)), grads = jax.value_and_grad(loss, has_aux=True)(params)
    return logits, stats, grads


@functools.partial(jax.jit, static_argnums=0)
def evaluate(graph, params, stats, batch):
    return nnx.merge(graph, params, stats)(*batch)


def close(one, two, atol):
    paths = jax.tree_util.tree_flatten_with_path(one)[0]
    for (path, a), b in zip(paths, jax.tree.leaves(two), strict=True):
        np.testing.assert_allclose(a, b, atol=atol, rtol=1e-3, err_msg=jax.tree_util.keystr(path))


def test_the_names_are_those_of_the_options():
    assert tuple(registry.SYSTEMS) == tuple(config.SYSTEMS)
    with pytest.raises(config.ConfigError, match=r"model\.system=oracle: want one of fusion, sequence"):
        registry.build(config.Model(system="oracle"), rngs=nnx.Rngs(0))


@pytest.mark.parametrize("variant", EVERY)
def test_a_training_step_sees_no_padding_and_moves_everything(variant):
    graph, _, params, stats = split(variant)
    key = jax.random.key(1)
    logits, new, grads = train(graph, params, stats, clips(), key)
    close((logits, new, grads), train(graph, params, stats, garbage(clips()), key), 2e-5)
    assert {leaf.dtype for leaf in jax.tree.leaves((logits, new, grads))} == {jnp.dtype("float32")}
    for path, slope in jax.tree_util.tree_flatten_with_path(grads)[0]:
        assert np.isfinite(slope).all(), path
        assert np.abs(slope).max() > 0, path
    assert all(jax.tree.leaves(jax.tree.map(lambda a, b: bool(np.any(a != b)), stats, new)))
    again = train(graph, params, stats, clips(), key)
    jax.tree.map(np.testing.assert_array_equal, (logits, new, grads), again)


@pytest.mark.parametrize("variant", EVERY)
def test_evaluation_sees_no_padding_and_does_not_mix_rows(variant):
    _, graph, params, stats = split(variant)
    outputs = evaluate(graph, params, stats, clips())
    longer = evaluate(graph, params, stats, garbage(clips(), extra=2))
    close((outputs.logit, outputs.branch_logits), (longer.logit, longer.branch_logits), 2e-5)
    beyond = np.arange(6)[None, :] >= LENGTH[:, None]
    for name in PER_FRAME:
        short, long = getattr(outputs, name), getattr(longer, name)
        assert (short is None) == (long is None)
        if short is not None:
            assert short.shape[:2] == (3, 4)
            close(short, long[:, :4], 2e-5)
            np.testing.assert_array_equal(np.asarray(long)[beyond], 0)
    order = np.array([2, 0, 1])
    moved = evaluate(graph, params, stats, tuple(x[order] for x in clips()))
    close(jax.tree.map(lambda x: x[order], outputs), moved, 2e-5)


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_state_is_parameters_and_statistics(variant):
    detector = nnx.eval_shape(lambda: registry.build(options(variant), rngs=nnx.Rngs(0)))
    assert {type(variable) for _, variable in nnx.to_flat_state(nnx.state(detector))} <= {nnx.Param, nnx.BatchStat}
    nnx.split(detector, graph=False)  # raises where a module is shared: the model is a tree


@pytest.mark.parametrize("variant", [one for one in EVERY if one.values[0] not in UNORDERED])
def test_the_order_of_frames_matters(variant):
    _, graph, params, stats = split(variant)
    images, landmarks, _ = clips()
    length = jnp.full(3, 4)
    ahead = evaluate(graph, params, stats, (images, landmarks, length))
    back = evaluate(graph, params, stats, (images[:, ::-1], landmarks[:, ::-1], length))
    assert np.abs(ahead.logit - back.logit).min() > 1e-6


@pytest.mark.parametrize("variant", EVERY)
def test_a_row_without_frames_stays_finite(variant):
    graph, _, params, stats = split(variant)
    images, landmarks, _ = clips()
    batch = images, landmarks, jnp.asarray([0, 4, 1], jnp.int32)
    results = train(graph, params, stats, batch, jax.random.key(0))
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(results))


def size(model: config.Model) -> int:
    detector = nnx.eval_shape(lambda: registry.build(model, rngs=nnx.Rngs(0)))
    return sum(leaf.size for leaf in jax.tree.leaves(nnx.to_pure_dict(nnx.state(detector, nnx.Param))))


def test_parameters_of_the_published_sizes():
    """By torchvision (31 505 325 with its 400 classes) and, for the sequence, by hand."""
    full = config.Model(system="r2plus1d", head=(), backbone=config.Backbone(width=64, stages=4))
    assert size(full) == 31_505_325 - 400 * 513 + 513
    lstm = 4 * 64 * (512 + 64 + 1)
    tail = 64 * 64 + 64 + 64 + 1
    resnet18 = 11_689_512 - 1000 * 513
    model = config.Model(system="sequence", head=(64,), recurrent=(64,), backbone=config.Backbone("resnet18"))
    assert size(model) == resnet18 + lstm + tail


def test_parameters_of_the_timesformer_by_hand():
    d, block = 768, 12 * 768**2 + 4 * 768**2 + 768**2
    biases = 2 * (3 * d + d) + d + (4 * d + d) + 3 * 2 * d
    embedding = 16 * 16 * 3 * d + d + d + 197 * d + 8 * d
    assert size(config.Model(system="timesformer", head=())) == 12 * (block + biases) + embedding + 2 * d + d + 1


@pytest.mark.parametrize("variant", [one for one in EVERY if one.values[0] in registry.SYSTEMS.keys() - {"fusion"}])
def test_bfloat16_stays_close_with_remat_and_without(variant):
    _, graph, params, stats = split(variant)
    plain = options(variant)
    model = dataclasses.replace(plain, bfloat16=True, remat=not plain.remat)
    half = nnx.view(
        nnx.eval_shape(lambda: registry.build(model, rngs=nnx.Rngs(0))),
        deterministic=True,
        use_running_average=True,
        raise_if_not_found=False,
    )
    got = evaluate(nnx.graphdef(half), params, stats, clips())
    assert {leaf.dtype for leaf in jax.tree.leaves(got)} == {jnp.dtype("float32")}
    np.testing.assert_allclose(got.logit, evaluate(graph, params, stats, clips()).logit, atol=0.05)


@pytest.mark.parametrize(
    ("variant", "frames", "side", "message"),
    [
        ("flow", 1, SIDE, r"data\.frames=1: the flow system needs at least 2"),
        ("timesformer", 7, SIDE, r"7 frames of 32x32 pixels: .* at most 6 of 32x32"),
        ("timesformer", 4, 48, r"4 frames of 48x48 pixels"),
        ("r2plus1d", 2, 4, r"data\.size"),
    ],
)
def test_frames_that_do_not_fit_are_refused(variant, frames, side, message):
    shapes = [(1, frames, side, side, 3), (1, frames, 5, 2), (1,)]
    kinds = [jnp.uint8, jnp.float32, jnp.int32]
    batch = [jax.ShapeDtypeStruct(shape, kind) for shape, kind in zip(shapes, kinds, strict=True)]
    _, graph, params, stats = split(variant)
    with pytest.raises(config.ConfigError, match=message):
        jax.eval_shape(lambda *batch: nnx.merge(graph, params, stats)(*batch), *batch)
