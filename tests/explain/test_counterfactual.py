"""A dropped branch is a model without it; a hidden part that is not there changes nothing."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from fusion_dfd.explain import counterfactual as module
from fusion_dfd.explain import true_gradient
from fusion_dfd.predict import detector as predict


def smaller(params: dict, names: tuple[str, ...], dropped: str, token: int) -> dict:
    """The parameters of a fusion without one of its branches."""
    gone = names.index(dropped)
    kept = [k for k in range(len(names)) if k != gone]
    fusion = {
        part: {place: params["fusion"][part][k] for place, k in enumerate(kept)} for part in ("projections", "norms")
    }
    fusion |= {part: params["fusion"][part] for part in ("hidden", "score")}
    rows = np.concatenate([np.arange(k * token, (k + 1) * token) for k in kept])
    first = params["head"]["layers"][0]
    head = {**params["head"], "layers": {**params["head"]["layers"], 0: {**first, "kernel": first["kernel"][rows]}}}
    return {name: part for name, part in params.items() if name != dropped} | {"fusion": fusion, "head": head}


def test_a_dropped_branch_is_a_model_that_never_had_it(build, window):
    dropped, detector = "temporal", build("fusion")
    windows = [window(), window(6)]
    found = module.without_branches(detector, windows)
    assert list(found) == ["spatial", "temporal", "micro"]

    config, weights = detector.config, detector.trained.weights
    names = config.model.branches
    kept = tuple(name for name in names if name != dropped)
    other = dataclasses.replace(config, model=dataclasses.replace(config.model, branches=kept))
    params = smaller(weights["params"], names, dropped, config.model.token)
    stats = {name: part for name, part in weights["stats"].items() if name != dropped}

    @jax.jit
    def logits(frames, landmarks, length):
        return nnx.merge(true_gradient.evaluating(other), params, stats)(frames, landmarks, length).logit

    batch = predict.batch(windows, config.data)
    expected = logits(batch.frames, batch.landmarks, batch.length)[:2]
    np.testing.assert_allclose(found[dropped], expected, atol=1e-5)


def test_the_weights_of_the_others_are_renormalised():
    on = jnp.array([[True, True, True], [True, True, False], [False, True, False]])
    shown = module.AllBut(1)(on, None)
    np.testing.assert_array_equal(shown, [[True, False, True], [True, False, False], [True, False, True]])
    assert shown.dtype == jnp.bool_


@pytest.mark.parametrize("variant", ["micro alone", "sequence", "timesformer"])
def test_where_there_is_nothing_to_drop_nothing_is_dropped(build, window, variant):
    assert module.without_branches(build(variant), [window()]) == {}


def test_an_empty_part_changes_nothing(window):
    one = window()
    np.testing.assert_array_equal(module.hide(one.frames, np.zeros((6, 32, 32), bool)), one.frames)
    mask = np.zeros((6, 32, 32), bool)
    mask[2, 10:20, 10:20] = True
    hidden = module.hide(one.frames, mask)
    np.testing.assert_array_equal(hidden[[0, 1, 3, 4, 5]], one.frames[[0, 1, 3, 4, 5]])
    far = np.ones((32, 32), bool)
    far[6:24, 6:24] = False
    np.testing.assert_array_equal(hidden[2][far], one.frames[2][far])
    assert (hidden[2] != one.frames[2]).any()


def test_what_is_hidden_neither_moves_nor_has_detail(window):
    frames = window().frames
    hidden = module.hide(frames, np.ones(frames.shape[:3], bool))
    assert np.ptp(hidden.astype(int), axis=0).max() == 0
    assert hidden[0].std() < 0.2 * frames[0].std()


def test_parts_that_no_frame_shows_have_no_effect(build, window):
    one = window()
    one.landmarks[:] = 5.0  # five equal points are no face
    assert module.without_regions(build("sequence"), [one]) == {}
    one.landmarks[:] = window().landmarks - 500.0  # a face far outside of the picture
    found = module.without_regions(build("sequence"), [one])
    assert set(found) == {"background"}


def test_hiding_what_is_flat_anyway_changes_no_logit(build, window):
    detector, one = build("fusion"), window()
    one.frames[:] = 90
    before = float(detector.outputs([one])[0].logit)
    found = module.without_regions(detector, [one])
    assert set(found) == set(module.HIDDEN)
    for name, logits in found.items():
        np.testing.assert_allclose(logits, before, atol=1e-6, err_msg=name)


def test_hiding_a_part_is_scored_as_the_changed_frames_are(build, window):
    detector, windows = build("fusion"), [window(), window(6)]
    before = [window.frames.copy() for window in windows]
    found = module.without_regions(detector, windows)
    assert any(abs(found["mouth"] - [float(out.logit) for out in detector.outputs(windows)]) > 1e-5)
    for one, frames in zip(windows, before, strict=True):
        np.testing.assert_array_equal(one.frames, frames)
