"""LSTM and GRU, in one direction and in two, equal Keras's and PyTorch's with the same weights, on padded sequences."""

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from fusion_dfd.models.recurrent import GRU, LSTM, final_state
from fusion_dfd.weights.recurrent_layers import from_keras, from_torch

pytestmark = pytest.mark.parity

CELLS = {"lstm": LSTM, "gru": GRU}
LENGTHS = np.array([7, 1, 4])
INPUTS, UNITS = 5, 6


def padded(rng) -> np.ndarray:
    x = rng.normal(size=(3, 7, INPUTS)).astype(np.float32)
    for row, length in enumerate(LENGTHS):
        x[row, length:] = 1e3
    return x


def ours(cell, bidirectional, weights):
    layer = CELLS[cell](INPUTS, UNITS, bidirectional=bidirectional, rngs=nnx.Rngs(0))
    shapes = {name: x.shape for name, x in nnx.to_pure_dict(nnx.state(layer)).items()}
    assert {name: x.shape for name, x in weights.items()} == shapes
    nnx.update(layer, weights)
    return layer


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("cell", CELLS)
def test_keras(cell, bidirectional, rng, monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    keras = pytest.importorskip("keras")
    kind = {"lstm": keras.layers.LSTM, "gru": keras.layers.GRU}[cell]
    x = padded(rng)
    mask = np.arange(7) < LENGTHS[:, None]
    whole, end = kind(UNITS, return_sequences=True), kind(UNITS)
    if bidirectional:
        whole, end = keras.layers.Bidirectional(whole), keras.layers.Bidirectional(end)
    for one in (whole, end):
        one.build(x.shape)
    arrays = [rng.normal(size=w.shape).astype(np.float32) for w in whole.get_weights()]
    whole.set_weights(arrays)
    end.set_weights(arrays)
    layer = ours(cell, bidirectional, from_keras(cell, arrays))
    hidden = layer(jnp.asarray(x), jnp.asarray(LENGTHS))
    np.testing.assert_allclose(np.asarray(hidden)[mask], np.asarray(whole(x, mask=mask))[mask], atol=1e-5)
    state = final_state(hidden, jnp.asarray(LENGTHS), layer.directions)
    np.testing.assert_allclose(state, np.asarray(end(x, mask=mask)), atol=1e-5)


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("cell", CELLS)
def test_torch(cell, bidirectional, rng):
    torch = pytest.importorskip("torch")
    from torch.nn.utils import rnn

    kind = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU}[cell]
    theirs = kind(INPUTS, UNITS, num_layers=2, batch_first=True, bidirectional=bidirectional)
    state = {name: rng.normal(size=w.shape).astype(np.float32) for name, w in theirs.state_dict().items()}
    theirs.load_state_dict({name: torch.from_numpy(w) for name, w in state.items()})
    x = padded(rng)
    packed = rnn.pack_padded_sequence(torch.from_numpy(x), LENGTHS, batch_first=True, enforce_sorted=False)
    with torch.no_grad():
        want, _ = rnn.pad_packed_sequence(theirs(packed)[0], batch_first=True)
    first = ours(cell, bidirectional, from_torch(cell, state))
    second = CELLS[cell](first.features, UNITS, bidirectional=bidirectional, rngs=nnx.Rngs(0))
    nnx.update(second, from_torch(cell, state, layer=1))
    length = jnp.asarray(LENGTHS)
    np.testing.assert_allclose(second(first(jnp.asarray(x), length), length), want.numpy(), atol=1e-5)
