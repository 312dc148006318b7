"""Parameter paths that earlier versions saved: every tree of then becomes the tree of now, and nothing is lost."""

import jax
import optax
import pytest

from fusion_dfd import config as c
from fusion_dfd.models import old_paths
from fusion_dfd.training import state

SMALL = {
    "backbone": c.Backbone("resnet18", width=4, stages=1),
    "recurrent": (3,),
    "dense": (4,),
    "head": (4,),
    "token": 4,
}
MODELS = {
    "fusion": c.Model(**SMALL),
    "fusion+transformer": c.Model(temporal="transformer", **SMALL),
    "sequence": c.Model(system="sequence", sequence=c.Sequence(batch_norm=True), **SMALL),
    "flow": c.Model(system="flow", **SMALL),
    "r2plus1d": c.Model(system="r2plus1d", **SMALL),
    "timesformer": c.Model(system="timesformer", timesformer=c.TimeSformer(width=4, depth=1, heads=1), **SMALL),
}

# Written by hand from a checkpoint of the first version: a path of every renamed part, and some that stayed.
THEN_AND_NOW = {
    "fusion": {
        "params/backbone/conv1/kernel": "params/backbone/conv1/kernel",
        "params/fusion/hidden/kernel": "params/fusion/hidden/kernel",
        "params/fusion/norm/0/scale": "params/fusion/norms/0/scale",
        "params/fusion/project/2/kernel": "params/fusion/projections/2/kernel",
        "params/head/layers/0/kernel": "params/head/layers/0/kernel",
        "params/micro/attention/score/kernel": "params/micro/temporal_attention/score/kernel",
        "params/micro/dense/layers/0/kernel": "params/micro/output_dense/layers/0/kernel",
        "params/micro/looking/score/kernel": "params/micro/spatial_attention/score/kernel",
        "params/micro/per_frame/layers/1/bias": "params/micro/input_dense/layers/1/bias",
        "params/micro/recurrent/layers/0/recurrent": "params/micro/recurrent/layers/0/recurrent_kernel",
        "params/micro/recurrent/layers/0/kernel": "params/micro/recurrent/layers/0/kernel",
        "params/micro/relate/norm/scale": "params/micro/self_attention/norm/scale",
        "params/temporal/level/scale": "params/temporal/level_norm/scale",
        "params/temporal/over_time/layers/1/recurrent": "params/temporal/encoder/layers/1/recurrent_kernel",
        "params/temporal/over_time/layers/1/bias": "params/temporal/encoder/layers/1/bias",
        "params/temporal/over_time/project/kernel": "params/temporal/encoder/projection/kernel",
        "params/temporal/over_time/blocks/0/feed/widen/kernel": (
            "params/temporal/encoder/blocks/0/feed_forward/widen/kernel"
        ),
        "stats/temporal/change/mean": "stats/temporal/change_norm/mean",
    },
    "sequence": {
        "params/readout/dense/layers/0/kernel": "params/head/layers/0/kernel",
        "params/readout/logit/kernel": "params/head/logit/kernel",
        "params/summary/layers/0/recurrent": "params/recurrent/layers/0/recurrent_kernel",
        "params/summary/layers/0/hidden_bias": "params/recurrent/layers/0/hidden_bias",
        "stats/summary/norms/0/mean": "stats/recurrent/norms/0/mean",
    },
    "flow": {"params/looking/score/kernel": "params/attention/score/kernel"},
    "r2plus1d": {
        "params/readout/logit/bias": "params/head/logit/bias",
        "params/stages/0/1/conv1/time/kernel": "params/stages/0/1/conv1/time/kernel",
    },
    "timesformer": {
        "params/blocks/0/feed/narrow/bias": "params/blocks/0/feed_forward/narrow/bias",
        "params/blocks/0/norm/bias": "params/blocks/0/feed_forward_norm/bias",
        "params/blocks/0/space/qkv/kernel": "params/blocks/0/space_attention/qkv/kernel",
        "params/blocks/0/space_norm/scale": "params/blocks/0/space_norm/scale",
        "params/blocks/0/time/out/kernel": "params/blocks/0/time_attention/out/kernel",
        "params/blocks/0/time_linear/kernel": "params/blocks/0/time_linear/kernel",
        "params/embed/kernel": "params/patch_embedding/kernel",
        "params/norm/scale": "params/norm/scale",
        "params/place": "params/positions",
        "params/time": "params/time_positions",
        "params/token": "params/class_token",
    },
}


def nested(paths) -> dict:
    tree: dict = {}
    for path in paths:
        *parents, name = (int(step) if step.isdigit() else step for step in path.split("/"))
        node = tree
        for parent in parents:
            node = node.setdefault(parent, {})
        node[name] = path
    return tree


def leaves(tree) -> dict:
    return {jax.tree_util.keystr(path, simple=True, separator="/"): leaf for path, leaf in _flat(tree)}


def _flat(tree):
    return jax.tree_util.tree_flatten_with_path(tree)[0]


@pytest.mark.parametrize("system", THEN_AND_NOW)
def test_a_tree_of_the_first_version_becomes_one_of_today(system):
    table = THEN_AND_NOW[system]
    assert leaves(old_paths.current(nested(table), system)) == {new: old for old, new in table.items()}
    assert {old: old_paths.current_name(old, system) for old in table} == table


@pytest.mark.parametrize("name", MODELS)
def test_a_training_state_survives_the_way_back_and_forth(name):
    model, tx = MODELS[name], optax.adamw(0.1)

    def made():
        params, stats = state.variables(model, 0)
        return params, tx.init(params), {"params": params, "stats": stats}

    now = jax.eval_shape(made)
    then = old_paths.former(now, model.system)
    back = old_paths.current(then, model.system)
    assert leaves(then).keys() != leaves(now).keys()
    assert jax.tree.structure(back) == jax.tree.structure(now)
    assert leaves(back) == leaves(now)
    assert leaves(old_paths.current(now, model.system)) == leaves(now), "paths of today are not renamed again"
