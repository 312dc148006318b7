"""A bidirectional LSTM of Flax itself: ``nnx.Bidirectional`` of ``nnx.RNN``."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx


def passes(weights: dict[str, np.ndarray], x: np.ndarray) -> tuple[Callable[[], jax.Array], Callable[[], tuple]]:
    """Forward, and gradients of the mean square, with the weights of our layer (kernel, recurrent_kernel, bias)."""
    inputs, units = weights["kernel"].shape[0], weights["recurrent_kernel"].shape[1]
    rngs = nnx.Rngs(0)
    cells = [nnx.OptimizedLSTMCell(inputs, units, rngs=rngs) for _ in range(2)]
    for direction, cell in enumerate(cells):
        cell.dense_i.kernel[...] = jnp.asarray(weights["kernel"][:, direction])
        cell.dense_h.kernel[...] = jnp.asarray(weights["recurrent_kernel"][direction])
        cell.dense_h.bias[...] = jnp.asarray(weights["bias"][direction])
    model = nnx.Bidirectional(*(nnx.RNN(cell, rngs=rngs) for cell in cells), rngs=rngs)
    graph, params, rest = nnx.split(model, nnx.Param, ...)

    def call(params, rest, x):
        return nnx.merge(graph, params, rest, copy=True)(x)

    forward = jax.jit(call)
    gradient = jax.jit(jax.grad(lambda params, rest, x: jnp.mean(call(params, rest, x) ** 2), argnums=(0, 2)))
    given = jax.device_put((params, rest, x))
    return (lambda: jax.block_until_ready(forward(*given))), (lambda: jax.block_until_ready(gradient(*given)))
