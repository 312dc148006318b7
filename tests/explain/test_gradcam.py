"""Grad-CAM equals its formula with a gradient by finite differences, of the model put together by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fusion_dfd.backbones import registry
from fusion_dfd.explain import gradcam, true_gradient
from fusion_dfd.predict import detector as predict

EPSILON = 0.02


def test_the_maps_are_those_of_finite_differences(build, window):
    """The mean of a channel's gradient over places is the slope along adding a constant to that channel."""
    detector = build("spatial and temporal")
    one = window()
    batch = predict.batch([one], detector.config.data)
    weights = detector.trained.weights

    @jax.jit
    def maps_of(frames):
        model = true_gradient.merged(true_gradient.evaluating(detector.config), weights)
        return model.backbone(registry.get(model.spec_name).normalise(frames), jnp.ones(len(frames), bool))

    @jax.jit
    def logits_of(maps):
        model = true_gradient.merged(true_gradient.evaluating(detector.config), weights)
        valid, length = jnp.ones(maps.shape[:2], bool), jnp.full(len(maps), maps.shape[1])
        tokens = [model.spatial(maps, valid)[0], model.temporal(maps, valid, valid, length)[0]]
        return model.head(model.fusion(tokens, jnp.ones((len(maps), 2), bool), None)[0], None)

    maps = np.asarray(maps_of(batch.frames[0]))
    frames, height, width, channels = maps.shape
    steps = EPSILON * np.eye(frames * channels, dtype=np.float32).reshape(-1, frames, 1, 1, channels)
    slope = (logits_of(maps + steps) - logits_of(maps - steps)) / (2 * EPSILON)
    importance = np.asarray(slope).reshape(frames, 1, 1, channels) / (height * width)
    expected = np.maximum((importance * maps).sum(-1), 0)

    (found,) = gradcam.maps(detector, [one])
    assert expected.max() > 0
    np.testing.assert_allclose(found, expected, atol=0.02 * expected.max())


def test_a_layer_that_reads_one_channel_gives_that_channel():
    """y = sum over places of 3 a_1 - a_2: the weights are 3 and -1, whatever the maps are."""
    maps = jax.random.normal(jax.random.key(0), (2, 4, 4, 2))
    told = []

    def logit(delta):
        tap = gradcam.Tap(lambda x: x, delta, told.append)
        return jnp.sum(tap(maps) * jnp.array([3.0, -1.0]))

    gradient = jax.grad(logit)(jnp.zeros(maps.shape))
    np.testing.assert_array_equal(told[0], maps)
    np.testing.assert_allclose(gradient.mean((1, 2)), [[3, -1]] * 2)


@pytest.mark.parametrize("variant", ["flow", "r2plus1d"])
def test_every_frame_has_a_map_and_padding_changes_none(build, window, variant):
    detector = build(variant)
    assert gradcam.has_maps(detector.config.model)
    whole, short = window(), window()
    short.frames, short.landmarks = short.frames[:4], short.landmarks[:4]
    together, alone = gradcam.maps(detector, [whole, short]), gradcam.maps(detector, [short])
    assert [len(heat) for heat in together] == [6, 4]
    assert all((heat >= 0).all() for heat in together)
    np.testing.assert_allclose(together[1], alone[0], atol=1e-6)
    if variant == "flow":
        assert not together[0][0].any()


@pytest.mark.parametrize("variant", ["micro alone", "timesformer"])
def test_systems_without_maps_say_so(build, variant):
    assert not gradcam.has_maps(build(variant).config.model)
