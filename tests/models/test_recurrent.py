"""LSTM and GRU against plain loops over one sequence at a time."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from fusion_dfd.models.recurrent import GRU, LSTM, Stack

LENGTHS = np.array([5, 1, 3, 0])


def lstm_loop(x, kernel, recurrent, bias):
    hidden = cell = jnp.zeros(recurrent.shape[0])
    out = []
    for row in x:
        i, f, g, o = jnp.split(row @ kernel + hidden @ recurrent + bias, 4)
        cell = nnx.sigmoid(f) * cell + nnx.sigmoid(i) * jnp.tanh(g)
        hidden = nnx.sigmoid(o) * jnp.tanh(cell)
        out.append(hidden)
    return jnp.array(out)


def gru_loop(x, kernel, recurrent, bias, hidden_bias):
    hidden = jnp.zeros(recurrent.shape[0])
    out = []
    for row in x:
        xr, xz, xn = jnp.split(row @ kernel + bias, 3)
        hr, hz, hn = jnp.split(hidden @ recurrent, 3)
        new = jnp.tanh(xn + nnx.sigmoid(xr + hr) * (hn + hidden_bias))
        hidden = nnx.sigmoid(xz + hz) * hidden + (1 - nnx.sigmoid(xz + hz)) * new
        out.append(hidden)
    return jnp.array(out)


LOOPS = {LSTM: lstm_loop, GRU: gru_loop}


def filled(state, weights):
    flat = nnx.to_flat_state(state)
    return nnx.from_flat_state({path: variable.replace(weights[path[0]]) for path, variable in flat})


def by_loops(kind, weights, x):
    """What the layer gives, one sequence and direction at a time."""
    out = []
    for row, length in enumerate(LENGTHS):
        parts = [jnp.zeros((len(x[row]), 0))]
        for d in range(weights["bias"].shape[0]):
            mine = {name: value[:, d] if name == "kernel" else value[d] for name, value in weights.items()}
            turn = slice(None, None, 1 if d == 0 else -1)
            hidden = LOOPS[kind](x[row, :length][turn], **mine)[turn] if length else jnp.zeros((0, 4))
            parts.append(jnp.pad(hidden, ((0, len(x[row]) - length), (0, 0))))
        out.append(jnp.concatenate(parts, axis=1))
    return jnp.stack(out)


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("kind", LOOPS)
def test_values_and_gradients_are_those_of_a_plain_loop(kind, bidirectional, rng):
    layer = kind(3, 4, bidirectional=bidirectional, rngs=nnx.Rngs(0))
    graph, state = nnx.split(layer)
    weights = {path[0]: variable[...] for path, variable in nnx.to_flat_state(state)}
    weights = {name: jnp.asarray(rng.normal(size=value.shape), jnp.float32) for name, value in weights.items()}
    x = rng.normal(size=(4, 5, 3)).astype(np.float32)
    x[1, 1:] = 1e3
    slope = rng.normal(size=(4, 5, 4 * layer.directions)).astype(np.float32)

    def ours(weights, x):
        return nnx.merge(graph, filled(state, weights))(x, jnp.asarray(LENGTHS))

    def both(layer):
        def loss(weights, x):
            out = layer(weights, x)
            return jnp.sum(out * slope), out

        return jax.value_and_grad(loss, argnums=(0, 1), has_aux=True)(weights, jnp.asarray(x))

    got, want = both(ours), both(functools.partial(by_loops, kind))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), got, want)


def test_initial_values():
    layer = LSTM(3, 4, rngs=nnx.Rngs(0))
    np.testing.assert_array_equal(layer.bias[...], np.tile(np.repeat([0, 1, 0, 0], 4), (2, 1)))
    for direction in range(2):
        for gate in np.split(np.asarray(layer.recurrent[...][direction]), 4, axis=1):
            np.testing.assert_allclose(gate @ gate.T, np.eye(4), atol=1e-5)


def test_gradient_does_not_see_padding(rng):
    stack = Stack(3, (4, 2), rngs=nnx.Rngs(0))
    x = jnp.asarray(rng.normal(size=(4, 5, 3)), jnp.float32)
    slope = jax.jit(jax.grad(lambda x: jnp.sum(stack(x, jnp.asarray(LENGTHS)) ** 2)))(x)
    for row, length in enumerate(LENGTHS):
        assert np.abs(slope[row, length:]).max(initial=0) == 0
        assert length == 0 or np.abs(slope[row, :length]).min() > 0
