"""LSTM and GRU against plain loops over one sequence at a time."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from fusion_dfd.models.recurrent import GRU, LSTM, RecurrentStack

LENGTHS = np.array([5, 1, 3, 0])


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def lstm_loop(x, kernel, recurrent, bias):
    hidden = cell = np.zeros(recurrent.shape[0])
    out = []
    for row in x:
        i, f, g, o = np.split(row @ kernel + hidden @ recurrent + bias, 4)
        cell = sigmoid(f) * cell + sigmoid(i) * np.tanh(g)
        hidden = sigmoid(o) * np.tanh(cell)
        out.append(hidden)
    return np.array(out)


def gru_loop(x, kernel, recurrent, bias, hidden_bias):
    hidden = np.zeros(recurrent.shape[0])
    out = []
    for row in x:
        xr, xz, xn = np.split(row @ kernel + bias, 3)
        hr, hz, hn = np.split(hidden @ recurrent, 3)
        new = np.tanh(xn + sigmoid(xr + hr) * (hn + hidden_bias))
        hidden = sigmoid(xz + hz) * hidden + (1 - sigmoid(xz + hz)) * new
        out.append(hidden)
    return np.array(out)


LOOPS = {LSTM: lstm_loop, GRU: gru_loop}


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("kind", LOOPS)
def test_against_a_plain_loop(kind, bidirectional, rng):
    layer = kind(3, 4, bidirectional=bidirectional, rngs=nnx.Rngs(0))
    for _, variable in nnx.to_flat_state(nnx.state(layer)):
        variable[...] = jnp.asarray(rng.normal(size=variable.shape), jnp.float32)
    nnx.update(layer, nnx.state(layer))
    x = rng.normal(size=(4, 5, 3)).astype(np.float32)
    x[1, 1:] = 1e3
    got = layer(jnp.asarray(x), jnp.asarray(LENGTHS))
    want = np.zeros((4, 5, 4 * layer.directions))
    for row, length in enumerate(LENGTHS):
        for d in range(layer.directions if length else 0):
            parts = [layer.kernel[...][:, d], layer.recurrent_kernel[...][d], layer.bias[...][d]]
            if kind is GRU:
                parts.append(layer.hidden_bias[...][d])
            clip = x[row, :length] if d == 0 else x[row, :length][::-1]
            out = LOOPS[kind](clip, *(np.asarray(part, np.float64) for part in parts))
            want[row, :length, 4 * d : 4 * d + 4] = out if d == 0 else out[::-1]
    np.testing.assert_allclose(got, want, atol=1e-5)


@pytest.mark.parametrize("kind", LOOPS)
def test_gradients_are_the_slopes_of_the_values(kind, rng):
    """Of every weight and input, over sequences of all lengths, along a random line: central differences."""
    graph, weights = nnx.split(kind(3, 4, rngs=nnx.Rngs(0)))
    given = jax.tree.map(lambda value: rng.normal(size=value.shape), (nnx.to_pure_dict(weights), np.zeros((4, 5, 3))))
    slope = rng.normal(size=(4, 5, 8))

    with jax.enable_x64(True):

        def loss(given):
            return jnp.sum(nnx.merge(graph, given[0])(jnp.asarray(given[1]), jnp.asarray(LENGTHS)) * slope)

        gradient = jax.tree.leaves(jax.grad(loss)(jax.tree.map(jnp.asarray, given)))
        leaves, tree = jax.tree.flatten(given)
        for place, slopes in enumerate(gradient):
            line = rng.normal(size=slopes.shape)
            ends = [
                loss(jax.tree.unflatten(tree, [*leaves[:place], leaves[place] + step * line, *leaves[place + 1 :]]))
                for step in (1e-5, -1e-5)
            ]
            np.testing.assert_allclose(jnp.sum(slopes * line), (ends[0] - ends[1]) / 2e-5, rtol=1e-6, atol=1e-8)


def test_initial_values():
    layer = LSTM(3, 4, rngs=nnx.Rngs(0))
    np.testing.assert_array_equal(layer.bias[...], np.tile(np.repeat([0, 1, 0, 0], 4), (2, 1)))
    for direction in range(2):
        for gate in np.split(np.asarray(layer.recurrent_kernel[...][direction]), 4, axis=1):
            np.testing.assert_allclose(gate @ gate.T, np.eye(4), atol=1e-5)


def test_gradient_does_not_see_padding(rng):
    stack = RecurrentStack(3, (4, 2), rngs=nnx.Rngs(0))
    x = jnp.asarray(rng.normal(size=(4, 5, 3)), jnp.float32)
    slope = jax.jit(jax.grad(lambda x: jnp.sum(stack(x, jnp.asarray(LENGTHS)) ** 2)))(x)
    for row, length in enumerate(LENGTHS):
        assert np.abs(slope[row, length:]).max(initial=0) == 0
        assert length == 0 or np.abs(slope[row, :length]).min() > 0
