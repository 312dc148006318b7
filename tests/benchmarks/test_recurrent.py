"""The layers that are compared do the same."""

import importlib

import numpy as np
import pytest
import recurrent

WANTS = {"nnx.RNN": "flax", "torch.nn.LSTM": "torch", "Keras on JAX": "keras"}
PEERS = [pytest.param(name, marks=[pytest.mark.extras] * (WANTS[name] != "flax")) for name in recurrent.PEERS]
CASE = (3, 5, 4, 6)


@pytest.mark.parametrize("name", PEERS)
def test_peers_give_what_ours_gives(name):
    pytest.importorskip(WANTS[name])
    peer = importlib.import_module(f"peers.{recurrent.PEERS[name]}")
    weights, x = recurrent.problem(CASE)
    rng = np.random.default_rng(1)
    weights = {part: rng.normal(size=values.shape).astype(np.float32) for part, values in weights.items()}
    (ours, _), (theirs, gradient) = recurrent.passes(weights, x), peer.passes(weights, x)
    np.testing.assert_allclose(np.asarray(theirs()), np.asarray(ours()), atol=1e-5)
    gradient()


@pytest.mark.parametrize("name", PEERS)
def test_gradients_of_peers_are_ours(name):
    pytest.importorskip(WANTS[name])
    weights, x = recurrent.problem(CASE)
    (_, ours), (_, theirs) = (
        module.passes(weights, x) for module in (recurrent, importlib.import_module(f"peers.{recurrent.PEERS[name]}"))
    )
    np.testing.assert_allclose(np.asarray(theirs()[1]), np.asarray(ours()[1]), atol=1e-7)


@pytest.mark.slow
def test_every_case_has_a_row_for_every_layer(here):
    found = recurrent.measure({"tiny": CASE}, 1)
    assert {row["layer"] for row in found["layers"]} == {"ours", *recurrent.PEERS}
    measured = [row for row in found["layers"] if row["layer"] not in found["missing"]]
    assert all(row["ms_both"] > 0 and row["times_ours"] > 0 for row in measured)
    assert {row["met"] for row in found["targets"]} <= {True, False, None}
