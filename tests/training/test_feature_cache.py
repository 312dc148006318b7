"""Features encoded once train the same model as frames do, and are encoded once."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fusion_dfd import config as c
from fusion_dfd.input import pipeline
from fusion_dfd.shards import clip_index
from fusion_dfd.training import feature_cache, loop, optim, state


@pytest.fixture(params=["sequence", "frame"])
def frozen(tiny, request) -> c.Config:
    tiny.model = c.Model(
        system=request.param,
        backbone=c.Backbone("resnet18", width=4, stages=1, frozen_norm=True),
        recurrent=(4,),
        head=(4,),
        dropout=0.0,
    )
    tiny.optim.groups = ("backbone=0",)
    tiny.data.augment = c.Augment(flip=0, crop=0, colour=0, blur=0, jpeg=0)
    return tiny.validate()


def fit(config: c.Config, workdir: str) -> loop.Fitted:
    train, val = (clip_index.open_split(config.data.dir, split) for split in ("train", "val"))
    return loop.fit(config, train, val, workdir)


def start(config: c.Config):
    replicated, _ = state.shardings(state.data_mesh())
    now = state.create(config.model, optim.build(config.optim, config.train.steps), config.seed, replicated)
    return state.graphs(config.model), now


def test_stored_features_are_those_of_the_frames_the_pipeline_reads(frozen, tmp_path):
    frozen.data.cache = True
    split = clip_index.open_split(frozen.data.dir, "val")
    graphs, now = start(frozen)
    clips = feature_cache.clips(frozen, graphs, now, split, str(tmp_path))
    model = state.nnx.merge(graphs.evaluate, now.params, now.stats)
    plain = dataclasses.replace(frozen.data, cache=False)
    with_frames, _ = pipeline.eval_batches(split, plain, 8)
    with_features, _ = pipeline.eval_batches(split, plain, 8, read=clips)
    for left, right in zip(with_frames, with_features, strict=True):
        expected = np.asarray(model.encode(jnp.asarray(left.frames).reshape(-1, 32, 32, 3))).reshape(8, 4, -1)
        scored = left.weight > 0
        np.testing.assert_allclose(right.frames[scored], expected[scored], atol=1e-5)
        np.testing.assert_array_equal(left.row, right.row)
        np.testing.assert_array_equal(left.label, right.label)


@pytest.mark.slow
def test_training_on_them_comes_to_the_same_weights(frozen, tmp_path):
    from_frames = fit(frozen, str(tmp_path / "frames"))
    frozen.data.cache = True
    from_features = fit(frozen.validate(), str(tmp_path / "features"))
    assert from_frames.progress.best_step == from_features.progress.best_step
    assert from_frames.progress.best_auc == pytest.approx(from_features.progress.best_auc)


def test_a_continued_run_encodes_nothing_again(frozen, tmp_path, monkeypatch):
    frozen.data.cache = True
    split = clip_index.open_split(frozen.data.dir, "val")
    graphs, now = start(frozen)
    feature_cache.clips(frozen, graphs, now, split, str(tmp_path))
    monkeypatch.setattr(feature_cache, "_encode", None)
    assert feature_cache.clips(frozen, graphs, now, split, str(tmp_path)) is not None
    other = jax.tree.map(lambda leaf: leaf + 1, now.params)
    with pytest.raises(TypeError):  # other weights have other features
        feature_cache.clips(frozen, graphs, now.replace(params=other), split, str(tmp_path))


def test_runs_share_what_they_encode_alike(frozen, tmp_path, monkeypatch):
    frozen.data.cache, frozen.data.cache_dir = True, str(tmp_path / "shared")
    split = clip_index.open_split(frozen.data.dir, "val")
    graphs, now = start(frozen.validate())
    feature_cache.clips(frozen, graphs, now, split, str(tmp_path / "one"))
    monkeypatch.setattr(feature_cache, "_encode", None)
    assert feature_cache.clips(frozen, graphs, now, split, str(tmp_path / "other")) is not None
    frozen.model.bfloat16 = True
    with pytest.raises(TypeError):  # other arithmetic has other features
        feature_cache.clips(frozen, graphs, now, split, str(tmp_path / "other"))


def test_a_shared_folder_without_a_cache_is_refused(frozen):
    frozen.data.cache_dir = "somewhere"
    with pytest.raises(c.ConfigError, match=r"data\.cache_dir=somewhere: only with data\.cache"):
        frozen.validate()


def test_chunks_are_all_frames_in_order():
    clips = [np.arange(first, first + count) for first, count in ((0, 5), (5, 200), (205, 1), (206, 50))]
    parts = list(feature_cache._chunks(clips))
    assert [len(part) for part in parts] == [64, 64, 64, 64]
    np.testing.assert_array_equal(np.concatenate(parts), np.arange(256))
    assert [len(part) for part in feature_cache._chunks([np.arange(70)])] == [64, 6]


@pytest.mark.parametrize(
    ("section", "name", "value"),
    [("optim", "groups", ("backbone=0.1",)), ("model", "system", "fusion"), ("data", "augment", c.Augment())],
)
def test_what_would_change_the_features_is_refused(frozen, section, name, value):
    frozen.data.cache = True
    setattr(getattr(frozen, section), name, value)
    with pytest.raises(c.ConfigError, match=r"data\.cache"):
        frozen.validate()


def test_a_backbone_of_which_the_norm_layers_learn_is_not_cached(frozen):
    frozen.data.cache, frozen.optim.groups = True, ("backbone=0", "backbone:norm=1")
    with pytest.raises(c.ConfigError, match=r"data\.cache: want .*nothing of it learning"):
        frozen.validate()
