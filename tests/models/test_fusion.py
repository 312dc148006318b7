"""The detector as a whole, over every non-empty subset of its branches."""

import dataclasses
import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from fusion_dfd import config
from fusion_dfd.models import fusion

SUBSETS = [s for n in (1, 2, 3) for s in itertools.combinations(config.BRANCHES, n)]
LENGTH = np.array([3, 4, 2])
EVALUATE = {"deterministic": True, "use_running_average": True, "raise_if_not_found": False}


def options(branches=config.BRANCHES, **changes) -> config.Model:
    model = config.Model(
        branches=branches,
        backbone=config.Backbone("resnet18", width=4, stages=1),
        micro=config.Micro(size=24, widths=(4, 6)),
        recurrent=(5, 3),
        dense=(8, 6),
        head=(8, 6),
        token=6,
    )
    return dataclasses.replace(model, **changes)


def clips(length=LENGTH, frames=4, seed=0):
    rng = np.random.default_rng(seed)
    template = np.array([[10, 12], [22, 12], [16, 18], [12, 24], [20, 24]])
    landmarks = template + rng.normal(size=(len(length), frames, 5, 2))
    images = rng.integers(0, 256, (len(length), frames, 32, 32, 3), dtype=np.uint8)
    return jnp.asarray(images), jnp.asarray(landmarks, jnp.float32), jnp.asarray(length, jnp.int32)


def pad(images, landmarks, length, extra=2):
    """Garbage in, and longer by, padded frames."""
    rng = np.random.default_rng(9)
    images, landmarks = (np.concatenate([x, x[:, :extra]], axis=1) for x in (images, landmarks))
    for row, valid in enumerate(length):
        images[row, valid:] = rng.integers(0, 256, images[row, valid:].shape)
        landmarks[row, valid:] = rng.normal(0, 1e3, landmarks[row, valid:].shape)
    landmarks[0, -1] = np.nan
    return jnp.asarray(images), jnp.asarray(landmarks), length


@functools.cache
def split(model_key, training: bool):
    """Graph, parameters and statistics as pure dicts, in the given mode."""
    detector = fusion.build(options(*model_key), rngs=nnx.Rngs(0))
    if not training:
        detector = nnx.view(detector, **EVALUATE)
    graph, params, stats = nnx.split(detector, nnx.Param, ...)
    return graph, nnx.to_pure_dict(params), nnx.to_pure_dict(stats)


@functools.partial(jax.jit, static_argnums=0)
def run(graph, params, stats, batch, key):
    """As a training step does it: outputs, new statistics, gradients of all the logits."""

    def loss(params):
        model = nnx.merge(graph, params, stats)
        outputs = model(*batch, rngs=nnx.Rngs(dropout=key))
        weight = jnp.arange(1.0, 1 + len(outputs.logit))
        total = sum(jnp.vdot(weight, jnp.sin(x)) for x in (outputs.logit, *outputs.branch_logits.values()))
        return total, (outputs, nnx.to_pure_dict(nnx.state(model, nnx.Not(nnx.Param))))

    (_, (outputs, stats)), grads = jax.value_and_grad(loss, has_aux=True)(params)
    return outputs, stats, grads


def close(one, two, atol):
    paths = jax.tree_util.tree_flatten_with_path(one)[0]
    for (path, a), b in zip(paths, jax.tree.leaves(two), strict=True):
        np.testing.assert_allclose(a, b, atol=atol, rtol=1e-3, err_msg=jax.tree_util.keystr(path))


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("branches", SUBSETS, ids="+".join)
def test_padding_reaches_nothing(branches, training):
    state, key = split((branches,), training), jax.random.key(1)
    outputs, stats, grads = run(*state, clips(), key)
    padded, padded_stats, padded_grads = run(*state, pad(*clips()), key)
    close(outputs.logit, padded.logit, 1e-5 if not training else 1e-4)
    close(outputs.branch_logits, padded.branch_logits, 1e-5 if not training else 1e-4)
    close(stats, padded_stats, 1e-4)
    close(grads, padded_grads, 2e-3)
    for name in ("frame_logits", "frame_attention", "spatial_attention", "motion_attention", "micro_frame_attention"):
        short, long = getattr(outputs, name), getattr(padded, name)
        assert (short is None) == (long is None)
        if short is not None:
            close(short, long[:, :4], 1e-4)
            beyond = np.arange(6)[None, :] >= LENGTH[:, None]
            np.testing.assert_array_equal(np.asarray(long)[beyond], 0)


@pytest.mark.parametrize("branches", SUBSETS, ids="+".join)
def test_outputs_and_gradients(branches):
    outputs, _, grads = run(*split((branches,), True), clips(), jax.random.key(1))
    assert list(outputs.branch_logits) == sorted(branches)
    assert outputs.branch_weights.shape == (3, len(branches))
    np.testing.assert_allclose(outputs.branch_weights.sum(1), 1, atol=1e-6)
    for weights in (outputs.frame_attention, outputs.micro_frame_attention):
        if weights is not None:
            np.testing.assert_allclose(weights.sum(1), 1, atol=1e-5)
    for path, slope in jax.tree_util.tree_flatten_with_path(grads)[0]:
        assert np.isfinite(slope).all(), path
        assert np.abs(slope).max() > 0, path


@pytest.mark.parametrize("branches", SUBSETS, ids="+".join)
def test_rows_do_not_mix(branches):
    state, key = split((branches,), False), jax.random.key(1)
    order = np.array([2, 0, 1])
    outputs, _, _ = run(*state, clips(), key)
    moved, _, _ = run(*state, tuple(x[order] for x in clips()), key)
    close(jax.tree.map(lambda x: x[order], outputs), moved, 1e-5)


def test_order_of_frames_matters_to_the_temporal_but_not_to_the_spatial_branch():
    images, landmarks, length = clips(np.array([4, 4, 4]))
    turned = (images[:, ::-1], landmarks[:, ::-1], length)
    for branch, matters in [("spatial", False), ("temporal", True), ("micro", True)]:
        state = split(((branch,),), False)
        one, two = (run(*state, batch, jax.random.key(0))[0].logit for batch in ((images, landmarks, length), turned))
        assert bool(np.abs(one - two).max() > 1e-4) == matters, branch


def test_a_row_without_frames_stays_finite():
    outputs, stats, grads = run(*split((config.BRANCHES,), True), clips(np.array([0, 4, 1])), jax.random.key(0))
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves((outputs, stats, grads)))


def test_state_is_parameters_and_statistics_without_random_counters():
    detector = fusion.build(options(branch_dropout=0.5), rngs=nnx.Rngs(0))
    kinds = {type(variable) for _, variable in nnx.to_flat_state(nnx.state(detector))}
    assert kinds == {nnx.Param, nnx.BatchStat}
    nnx.split(detector, graph=False)  # raises where a module is shared: the model is a tree


def test_dropout_needs_and_follows_its_key_and_evaluation_has_none():
    graph, params, stats = split((), True)
    with pytest.raises(ValueError, match="rngs"):
        nnx.merge(graph, params, stats)(*clips())
    one, two = (run(graph, params, stats, clips(), jax.random.key(key))[0].logit for key in (1, 2))
    assert np.abs(one - two).max() > 1e-6
    graph, params, stats = split((), False)
    quiet = nnx.merge(graph, params, stats)(*clips())
    np.testing.assert_allclose(quiet.logit, run(graph, params, stats, clips(), jax.random.key(3))[0].logit, atol=1e-5)


def test_evaluation_leaves_the_statistics_alone_and_training_moves_them():
    for training in (False, True):
        state = split((), training)
        _, stats, _ = run(*state, clips(), jax.random.key(0))
        moved = jax.tree.map(lambda a, b: bool(np.any(a != b)), stats, state[2])
        assert all(jax.tree.leaves(moved)) if training else not any(jax.tree.leaves(moved))


def test_branch_dropout_hides_some_never_all():
    hide = fusion.BranchDropout(0.6)
    seen = np.asarray(hide((500, 3), nnx.Rngs(dropout=0)))
    assert seen.any(axis=1).all()
    np.testing.assert_allclose(seen.mean(), 0.4 + 0.6**3 / 3, atol=0.05)
    quiet = nnx.view(hide, deterministic=True)
    assert np.asarray(quiet((5, 3), None)).all()


def test_hidden_branches_get_no_weight():
    layer = fusion.Fusion([4, 4, 4], 6, 0.9, rngs=nnx.Rngs(0))
    tokens = [jnp.ones((64, 4)) * k for k in range(3)]
    _, weights = layer(tokens, nnx.Rngs(dropout=1))
    np.testing.assert_allclose(weights.sum(1), 1, atol=1e-6)
    assert (np.asarray(weights) == 0).sum() > 64


@pytest.mark.parametrize("inputs", [("rgb",), ("difference", "flow")])
def test_micro_inputs_choose_the_channels(inputs):
    model = options(("micro",), micro=config.Micro(inputs=inputs, size=24, widths=(4, 6)))
    detector = fusion.build(model, rngs=nnx.Rngs(0))
    assert detector.micro.blocks[0].conv.kernel.shape == (3, 3, 3 * len(inputs), 4)
    assert np.isfinite(nnx.view(detector, **EVALUATE)(*clips()).logit).all()


def test_bfloat16_stays_close():
    detector = fusion.build(options(bfloat16=True), rngs=nnx.Rngs(0))
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(nnx.state(detector)))
    got = nnx.view(detector, **EVALUATE)(*clips())
    graph, params, stats = split((), False)
    want = nnx.merge(graph, params, stats)(*clips())
    assert got.logit.dtype == jnp.float32
    np.testing.assert_allclose(got.logit, want.logit, atol=0.05)


def test_full_size_shapes_without_computing():
    detector = nnx.eval_shape(lambda: fusion.build(config.Model(), rngs=nnx.Rngs(0)))
    batch = (
        jax.ShapeDtypeStruct((2, 16, 224, 224, 3), jnp.uint8),
        jax.ShapeDtypeStruct((2, 16, 5, 2), jnp.float32),
        jax.ShapeDtypeStruct((2,), jnp.int32),
    )
    outputs = nnx.eval_shape(lambda d, *x: d(*x, rngs=nnx.Rngs(0)), detector, *batch)
    assert outputs.logit.shape == (2,)
    assert {name: x.shape for name, x in outputs.branch_logits.items()} == dict.fromkeys(config.BRANCHES, (2,))
    assert outputs.branch_weights.shape == (2, 3)
    assert outputs.frame_logits.shape == outputs.frame_attention.shape == outputs.micro_frame_attention.shape == (2, 16)
    assert outputs.spatial_attention.shape == (2, 16, 7, 7)
    assert outputs.motion_attention.shape == (2, 16, 8, 8)


@pytest.mark.parametrize(
    ("model", "side"),
    [
        (options(("spatial",), backbone=config.Backbone("resnet18", width=4, stages=4)), 64),
        (options(("micro",), micro=config.Micro(size=8, widths=(4, 4, 4))), 32),
    ],
)
def test_maps_smaller_than_their_kernel_are_refused(model, side):
    with pytest.raises(config.ConfigError, match=r"data\.size.*stages.*micro\.size"):
        nnx.eval_shape(
            lambda x, y, z: fusion.build(model, rngs=nnx.Rngs(0))(x, y, z, rngs=nnx.Rngs(0)),
            jax.ShapeDtypeStruct((1, 2, side, side, 3), jnp.uint8),
            jax.ShapeDtypeStruct((1, 2, 5, 2), jnp.float32),
            jax.ShapeDtypeStruct((1,), jnp.int32),
        )
