"""The detector as a whole: each branch alone, all together, and the shapes of every non-empty subset."""

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

RUN = [*((branch,) for branch in config.BRANCHES), config.BRANCHES]
"""Each branch alone, and all: a branch does not know of the others. What all share is compiled by the first ones."""
SUBSETS = [s for n in (1, 2, 3) for s in itertools.combinations(config.BRANCHES, n)]
LENGTH = np.array([3, 4, 2])
PER_FRAME = ("frame_logits", "frame_attention", "spatial_attention", "motion_attention", "micro_frame_attention")
EVALUATE = {"deterministic": True, "use_running_average": True, "raise_if_not_found": False}


def options(branches=config.BRANCHES, **changes) -> config.Model:
    model = config.Model(
        branches=branches,
        backbone=config.Backbone("resnet18", width=4, stages=1),
        micro=config.Micro(size=24, widths=(4,)),
        recurrent=(4,),
        dense=(6,),
        head=(6,),
        token=6,
    )
    return dataclasses.replace(model, **changes)


def clips(length=LENGTH, frames=4, seed=0):
    rng = np.random.default_rng(seed)
    template = np.array([[10, 12], [22, 12], [16, 18], [12, 24], [20, 24]])
    landmarks = template + rng.normal(size=(len(length), frames, 5, 2))
    images = rng.integers(0, 256, (len(length), frames, 32, 32, 3), dtype=np.uint8)
    return jnp.asarray(images), jnp.asarray(landmarks, jnp.float32), jnp.asarray(length, jnp.int32)


def garbage(batch, extra=0, seed=9):
    """The same clips, longer by ``extra`` frames, and nonsense wherever a frame is padding."""
    rng = np.random.default_rng(seed)
    images, landmarks, length = (np.array(x) for x in batch)
    images, landmarks = (np.concatenate([x, x[:, :extra]], axis=1) for x in (images, landmarks))
    for row, valid in enumerate(length):
        images[row, valid:] = rng.integers(0, 256, images[row, valid:].shape)
        landmarks[row, valid:] = rng.normal(0, 1e3, landmarks[row, valid:].shape)
    landmarks[0, length[0] :] = np.nan
    return jnp.asarray(images), jnp.asarray(landmarks), jnp.asarray(length)


@functools.cache
def split(model_key, training: bool):
    """Graph, parameters and statistics as pure dicts, in the given mode."""
    detector = fusion.FusionDetector(options(*model_key), rngs=nnx.Rngs(0))
    if not training:
        detector = nnx.view(detector, **EVALUATE)
    graph, params, stats = nnx.split(detector, nnx.Param, ...)
    return graph, nnx.to_pure_dict(params), nnx.to_pure_dict(stats)


def train(graph, params, stats, batch, key):
    """As a training step does it: outputs, new statistics, gradients of all the logits.

    Not compiled as a whole: operation by operation, the subsets of branches share what is compiled.
    """

    def loss(params):
        model = nnx.merge(graph, params, jax.tree.map(jnp.copy, stats))
        outputs = model(*batch, rngs=nnx.Rngs(dropout=key))
        weight = jnp.arange(1.0, 1 + len(outputs.logit))
        total = sum(jnp.vdot(weight, jnp.sin(x)) for x in (outputs.logit, *outputs.branch_logits.values()))
        return total, (outputs, nnx.to_pure_dict(nnx.state(model, nnx.Not(nnx.Param))))

    (_, (outputs, stats)), grads = jax.value_and_grad(loss, has_aux=True)(params)
    return outputs, stats, grads


def evaluate(graph, params, stats, batch):
    return nnx.merge(graph, params, stats)(*batch)


def close(one, two, atol):
    paths = jax.tree_util.tree_flatten_with_path(one)[0]
    for (path, a), b in zip(paths, jax.tree.leaves(two), strict=True):
        np.testing.assert_allclose(a, b, atol=atol, rtol=1e-3, err_msg=jax.tree_util.keystr(path))


@pytest.mark.parametrize("branches", SUBSETS, ids="+".join)
def test_every_subset_can_be_built(branches):
    detector = nnx.eval_shape(lambda: fusion.FusionDetector(options(branches), rngs=nnx.Rngs(0)))
    outputs = nnx.eval_shape(lambda d, *batch: d(*batch, rngs=nnx.Rngs(0)), detector, *clips())
    assert outputs.logit.shape == (3,)
    assert {name: logit.shape for name, logit in outputs.branch_logits.items()} == dict.fromkeys(branches, (3,))
    assert outputs.branch_weights.shape == (3, len(branches))


@pytest.mark.parametrize("branches", RUN, ids="+".join)
def test_training(branches):
    """What fills the padding changes no logit, statistic or gradient; and every parameter learns."""
    state, key = split((branches,), True), jax.random.key(1)
    outputs, stats, grads = train(*state, clips(), key)
    other, other_stats, other_grads = train(*state, garbage(clips()), key)
    close((outputs.logit, outputs.branch_logits), (other.logit, other.branch_logits), 1e-5)
    close((stats, grads), (other_stats, other_grads), 1e-5)
    for path, slope in jax.tree_util.tree_flatten_with_path(grads)[0]:
        assert np.isfinite(slope).all(), path
        assert np.abs(slope).max() > 0, path
    assert sorted(outputs.branch_logits) == sorted(branches)
    assert outputs.branch_weights.shape == (3, len(branches))
    np.testing.assert_allclose(outputs.branch_weights.sum(1), 1, atol=1e-6)


@pytest.mark.parametrize("branches", RUN, ids="+".join)
def test_evaluation(branches):
    """More padding changes nothing but the length of what is given per frame; rows do not mix."""
    state = split((branches,), False)
    outputs, longer = evaluate(*state, clips()), evaluate(*state, garbage(clips(), extra=2))
    close((outputs.logit, outputs.branch_logits), (longer.logit, longer.branch_logits), 1e-5)
    beyond = np.arange(6)[None, :] >= LENGTH[:, None]
    for name in PER_FRAME:
        short, long = getattr(outputs, name), getattr(longer, name)
        assert (short is None) == (long is None)
        if short is not None:
            close(short, long[:, :4], 1e-5)
            np.testing.assert_array_equal(np.asarray(long)[beyond], 0)
    for weights in (outputs.frame_attention, outputs.micro_frame_attention):
        if weights is not None:
            np.testing.assert_allclose(weights.sum(1), 1, atol=1e-5)
    order = np.array([2, 0, 1])
    moved = evaluate(*state, tuple(x[order] for x in clips()))
    close(jax.tree.map(lambda x: x[order], outputs), moved, 1e-5)


def test_more_padding_changes_no_training_step():
    def forward(batch):
        model = nnx.merge(*split((), True), copy=True)
        outputs = model(*batch, rngs=nnx.Rngs(dropout=jax.random.key(1)))
        return outputs.logit, outputs.branch_logits, nnx.to_pure_dict(nnx.state(model, nnx.BatchStat))

    close(forward(clips()), forward(garbage(clips(), extra=2)), 1e-4)


def test_order_of_frames_matters_to_the_temporal_but_not_to_the_spatial_branch():
    images, landmarks, length = clips(np.array([4, 4, 4]))
    turned = (images[:, ::-1], landmarks[:, ::-1], length)
    outputs, other = (evaluate(*split((), False), batch) for batch in ((images, landmarks, length), turned))
    for branch, matters in [("spatial", False), ("temporal", True), ("micro", True)]:
        change = np.abs(outputs.branch_logits[branch] - other.branch_logits[branch]).max()
        assert bool(change > 1e-5) == matters, branch


def test_step_compiles_from_pure_dicts():
    graph, params, stats = split((("spatial",),), True)
    step = jax.jit(train, static_argnums=0)
    want = train(graph, params, stats, clips(), jax.random.key(1))
    close(want, step(graph, params, stats, clips(), jax.random.key(1)), 1e-3)


def test_a_row_without_frames_stays_finite():
    results = train(*split((), True), clips(np.array([0, 4, 1])), jax.random.key(0))
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(results))


def test_state_is_parameters_and_statistics_without_random_counters():
    detector = fusion.FusionDetector(options(branch_dropout=0.5), rngs=nnx.Rngs(0))
    kinds = {type(variable) for _, variable in nnx.to_flat_state(nnx.state(detector))}
    assert kinds == {nnx.Param, nnx.BatchStat}
    nnx.split(detector, graph=False)  # raises where a module is shared: the model is a tree


def test_dropout_needs_and_follows_its_key():
    state = split((), True)
    with pytest.raises(ValueError, match="rngs"):
        nnx.eval_shape(lambda *batch: nnx.merge(*state)(*batch), *clips())
    one, two = (train(*state, clips(), jax.random.key(key))[0].logit for key in (1, 2))
    assert np.abs(one - two).max() > 1e-6


def test_training_moves_every_statistic_and_evaluation_none():
    graph, params, stats = split((), True)
    _, moved, _ = train(graph, params, stats, clips(), jax.random.key(0))
    assert all(jax.tree.leaves(jax.tree.map(lambda a, b: bool(np.any(a != b)), stats, moved)))
    graph, params, stats = split((), False)

    def quiet(params, stats, batch):
        model = nnx.merge(graph, params, stats)
        model(*batch)
        return nnx.to_pure_dict(nnx.state(model, nnx.BatchStat))

    close(stats, quiet(params, stats, clips()), 0)


def test_branch_dropout_hides_some_never_all_of_those_that_are_on():
    hide = fusion.BranchDropout(0.6)
    seen = np.asarray(hide(jnp.ones((500, 3), bool), nnx.Rngs(dropout=0)))
    assert seen.any(axis=1).all()
    np.testing.assert_allclose(seen.mean(), 0.4 + 0.6**3 / 3, atol=0.05)
    on = jnp.tile(jnp.array([[True, False, False]]), (500, 1))
    np.testing.assert_array_equal(hide(on, nnx.Rngs(dropout=0)), on)
    np.testing.assert_array_equal(nnx.view(hide, deterministic=True)(on, None), on)


BROKEN = jnp.array([True, False, True])


def test_without_contiguity_the_branches_of_motion_are_off_for_that_window_alone():
    state = split((config.BRANCHES,), False)
    images, landmarks, length = clips(length=np.array([4, 4, 4]))
    whole = evaluate(*state, (images, landmarks, length))
    broken = evaluate(*state, (images, landmarks, length, BROKEN))
    close(whole.logit[BROKEN], broken.logit[BROKEN], 1e-6)
    np.testing.assert_allclose(broken.branch_weights[1], [1, 0, 0], atol=1e-6)
    assert {name: on.tolist() for name, on in broken.branches_on.items()} == {
        "spatial": [True, True, True], "temporal": [True, False, True], "micro": [True, False, True]
    }  # fmt: skip
    order = np.array([2, 0, 3, 1])
    moved = evaluate(*state, (images[:, order], landmarks[:, order], length, BROKEN))
    np.testing.assert_allclose(broken.logit[1], moved.logit[1], atol=1e-7)
    assert (np.abs(broken.logit - moved.logit)[BROKEN] > 1e-6).all()


@pytest.mark.parametrize("branches", [("temporal",), ("micro",), ("temporal", "micro")], ids="+".join)
def test_a_model_of_motion_alone_answers_all_the_same(branches):
    state = split((branches,), False)
    broken = evaluate(*state, (*clips(), BROKEN))
    assert np.isfinite(broken.logit).all()
    close(evaluate(*state, clips()), broken, 1e-6)


def test_windows_that_are_not_contiguous_are_in_no_statistic_of_a_branch_of_motion():
    graph, params, stats = split((("spatial", "micro"),), True)
    images, landmarks, length = clips()

    def counted(landmarks, contiguous):
        model = nnx.merge(graph, params, jax.tree.map(jnp.copy, stats))
        model(images, landmarks, length, contiguous, rngs=nnx.Rngs(0))
        return nnx.to_pure_dict(nnx.state(model.micro, nnx.BatchStat))

    turned = landmarks.at[1].set(landmarks[1, ::-1] + 3.0)
    close(counted(landmarks, BROKEN), counted(turned, BROKEN), 1e-6)
    whole = [jax.tree.leaves(counted(points, ~BROKEN | BROKEN)) for points in (landmarks, turned)]
    assert any(np.abs(a - b).max() > 1e-5 for a, b in zip(*whole, strict=True))


def test_hidden_branches_get_no_weight():
    layer = fusion.Fusion([4, 4, 4], 6, 0.9, rngs=nnx.Rngs(0))
    tokens = [jnp.ones((64, 4)) * k for k in range(3)]
    _, weights = layer(tokens, jnp.ones((64, 3), bool), nnx.Rngs(dropout=1))
    np.testing.assert_allclose(weights.sum(1), 1, atol=1e-6)
    assert (np.asarray(weights) == 0).sum() > 64


@pytest.mark.parametrize("inputs", [("rgb",), ("difference", "flow")])
def test_micro_inputs_choose_the_channels(inputs):
    model = options(("micro",), micro=config.Micro(inputs=inputs, size=24, widths=(4, 6)))
    detector = nnx.eval_shape(lambda: fusion.FusionDetector(model, rngs=nnx.Rngs(0)))
    assert detector.micro.blocks[0].conv.kernel.shape == (3, 3, 3 * len(inputs), 4)
    outputs = nnx.eval_shape(lambda d, *batch: d(*batch, rngs=nnx.Rngs(0)), detector, *clips())
    assert outputs.motion_attention.shape == (3, 4, 6, 6)


def test_bfloat16_stays_close():
    half = nnx.view(fusion.FusionDetector(options(bfloat16=True), rngs=nnx.Rngs(0)), **EVALUATE)
    graph, params, stats = nnx.split(half, nnx.Param, ...)
    got = evaluate(graph, nnx.to_pure_dict(params), nnx.to_pure_dict(stats), clips())
    numbers = jax.tree.leaves((dataclasses.replace(got, branches_on={}), params, stats))
    assert {leaf.dtype for leaf in numbers} == {jnp.dtype("float32")}
    np.testing.assert_allclose(got.logit, evaluate(*split((), False), clips()).logit, atol=0.05)


def test_full_size_shapes_without_computing():
    detector = nnx.eval_shape(lambda: fusion.FusionDetector(config.Model(), rngs=nnx.Rngs(0)))
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
            lambda x, y, z: fusion.FusionDetector(model, rngs=nnx.Rngs(0))(x, y, z, rngs=nnx.Rngs(0)),
            jax.ShapeDtypeStruct((1, 2, side, side, 3), jnp.uint8),
            jax.ShapeDtypeStruct((1, 2, 5, 2), jnp.float32),
            jax.ShapeDtypeStruct((1,), jnp.int32),
        )
