"""Recurrent layers for padded sequences, over ``lax.scan``.

The inputs of all steps are projected by one matrix product before the scan. Inside it, all gates of a step and a
direction are one product, and the two directions of a bidirectional layer advance together. The gradients of both
kernels are one product each, after the scan. Beyond a sequence's length the carry keeps its value and the output is
zero, so the backward direction starts at the last valid step. There is no random state.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Int

from fusion_dfd.backbones.layers import BatchNorm

Step = Callable[[tuple[Array, ...], Array, Array], tuple[Array, ...]]
"""``step(carry, inputs, recurrent) -> carry``.

A carry is the hidden state [b, d, units], then what else the cell keeps. ``inputs`` [b, d, e] are the projected inputs
of the step. ``recurrent`` [b, d, g * units] is the product of hidden state and recurrent kernel. It is added to the
first g * units columns of ``inputs``, so that both have the same gradient."""

_INPUT_INIT = nnx.initializers.xavier_uniform()
_RECURRENT_INIT = nnx.initializers.orthogonal()


class _Recurrent(nnx.Module):
    """What LSTM and GRU share. Subclasses give ``gates``, ``carries`` and ``step``.

    Parameters, for ``d`` directions (0 forward, 1 backward) and ``g`` gates: ``kernel`` [inputs, d, g * units],
    ``recurrent_kernel`` [d, units, g * units], ``bias`` [d, g * units].
    """

    gates: int
    carries: int
    step: Step

    def __init__(self, inputs: int, units: int, *, bidirectional: bool = True, rngs: nnx.Rngs):
        self.units = units
        self.directions = 2 if bidirectional else 1
        self.features = self.directions * units
        kernels = [_INPUT_INIT(rngs.params(), (inputs, self.gates * units)) for _ in range(self.directions)]
        self.kernel = nnx.Param(jnp.stack(kernels, axis=1))
        self.recurrent_kernel = nnx.Param(jnp.stack([self._orthogonal(rngs) for _ in range(self.directions)]))
        self.bias = nnx.Param(jnp.zeros((self.directions, self.gates * units)))

    def _orthogonal(self, rngs: nnx.Rngs) -> Array:
        """One orthogonal matrix per gate, side by side (Saxe et al. 2014)."""
        square = (self.units, self.units)
        return jnp.concatenate([_RECURRENT_INIT(rngs.params(), square) for _ in range(self.gates)], axis=1)

    def _step_inputs(self, rows: Float[Array, "t b d g"]) -> Float[Array, "t b d e"]:
        """The projected inputs ``rows`` as ``step`` reads them."""
        return rows

    def __call__(self, x: Float[Array, "b t c"], length: Int[Array, " b"]) -> Float[Array, "b t d"]:
        """Hidden states, forward then backward along the last axis; 0 at and beyond ``length``."""
        inputs = self._step_inputs(_project(x, self.kernel[...]) + self.bias[...])
        valid = jnp.arange(x.shape[1])[:, None] < length[None, :]
        valid = jnp.stack([valid] * self.directions, axis=-1)[..., None]
        inputs, valid = self._turned(inputs), self._turned(valid)
        hidden = self._turned(_scan(type(self).step, self.carries, inputs, valid, self.recurrent_kernel[...]))
        return jnp.moveaxis(hidden, 0, 1).reshape(*x.shape[:2], self.features)

    def _turned(self, rows: Array) -> Array:
        """[t, b, d, g] with direction 1 reversed in time; its own inverse."""
        if self.directions == 1:
            return rows
        return jnp.concatenate([rows[:, :, :1], jnp.flip(rows[:, :, 1:], axis=0)], axis=2)


def _project(x: Float[Array, "b t c"], kernel: Float[Array | np.ndarray, "c d g"]) -> Float[Array, "t b d g"]:
    """The inputs of all gates, by one plain matrix product: on CPUs, XLA is up to three times slower for an einsum."""
    rows = jnp.dot(x.reshape(-1, x.shape[-1]), kernel.reshape(kernel.shape[0], -1))
    return jnp.swapaxes(rows.reshape(*x.shape[:2], *kernel.shape[1:]), 0, 1)


def _state_product(hidden: Float[Array, "b d u"], kernel: Float[Array, "d u g"]) -> Float[Array, "b d g"]:
    """Hidden state times recurrent kernel, a product per direction: XLA's CPU library has no batched one."""
    return jnp.stack([jnp.dot(hidden[:, place], kernel[place]) for place in range(len(kernel))], axis=1)


# Jitted here so that eager callers compile once per shape, not once per call.
@functools.partial(jax.jit, static_argnums=(0, 1))
def _plain_scan(step: Step, carries: int, inputs: Array, valid: Array, kernel: Array) -> Array:
    """Hidden states [t, b, d, units] of ``inputs`` [t, b, d, ...]; where not valid, the carry keeps its value."""

    def advance(carry, now):
        row, keep = now
        new = step(carry, row, _state_product(carry[0], kernel))
        carry = tuple(jnp.where(keep, fresh, old) for fresh, old in zip(new, carry, strict=True))
        return carry, jnp.where(keep, new[0], 0.0)

    # Made from the inputs, not from a shape, so that the carry inherits their sharding.
    start = jnp.zeros_like(inputs[0, :, :, : kernel.shape[1]])
    return jax.lax.scan(advance, (start,) * carries, (inputs, valid))[1]


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _scan(step: Step, carries: int, inputs: Array, valid: Array, kernel: Array) -> Array:
    """As ``_plain_scan``, but the gradient of ``kernel`` is one product over all steps, not a sum of one per step."""
    return _plain_scan(step, carries, inputs, valid, kernel)


def _forward(step: Step, carries: int, inputs: Array, valid: Array, kernel: Array):
    hidden, inputs_vjp = jax.vjp(lambda inputs: _plain_scan(step, carries, inputs, valid, kernel), inputs)
    return hidden, (inputs_vjp, hidden, kernel)


def _backward(step: Step, carries: int, kept: tuple, gradient: Array) -> tuple[Array, None, Array]:
    inputs_vjp, hidden, kernel = kept
    (inputs,) = inputs_vjp(gradient)
    # The state before a step is the output of the step before. Before the first valid step, both are 0.
    return inputs, None, _outer(hidden[:-1], inputs[1:, ..., : kernel.shape[-1]])


@jax.jit
def _outer(states: Float[Array, "t b d u"], gradient: Float[Array, "t b d g"]) -> Float[Array, "d u g"]:
    """Sum of outer products over steps and sequences, for each direction."""

    def rows(values: Array, place: int) -> Array:
        return values[:, :, place].reshape(-1, values.shape[-1])

    return jnp.stack([jnp.dot(rows(states, place).T, rows(gradient, place)) for place in range(gradient.shape[2])])


_scan.defvjp(_forward, _backward)


def final_state(hidden: Float[Array, "b t d"], length: Int[Array, " b"], directions: int) -> Float[Array, "b d"]:
    """The last state of each direction: the forward one at the last valid step, the backward one at the first.

    ``hidden`` is the output of the layer. The state of an empty sequence is 0.
    """
    forward, *backward = jnp.split(hidden, directions, axis=-1)
    end = jnp.maximum(length - 1, 0)[:, None, None]
    return jnp.concatenate([jnp.take_along_axis(forward, end, axis=1)[:, 0], *(part[:, 0] for part in backward)], -1)


class LSTM(_Recurrent):
    """Long short-term memory (Hochreiter & Schmidhuber 1997). Order of gates: input, forget, cell, output.

    The forget gate starts with bias 1 (Jozefowicz et al. 2015).
    """

    gates = 4
    carries = 2

    def __init__(self, inputs: int, units: int, *, bidirectional: bool = True, rngs: nnx.Rngs):
        super().__init__(inputs, units, bidirectional=bidirectional, rngs=rngs)
        self.bias[...] = self.bias[...].at[:, units : 2 * units].set(1.0)

    @staticmethod
    def step(carry: tuple[Array, ...], inputs: Array, recurrent: Array) -> tuple[Array, ...]:
        i, f, g, o = jnp.split(inputs + recurrent, 4, axis=-1)
        cell = jax.nn.sigmoid(f) * carry[1] + jax.nn.sigmoid(i) * jnp.tanh(g)
        return jax.nn.sigmoid(o) * jnp.tanh(cell), cell


class GRU(_Recurrent):
    """Gated recurrent unit (Cho et al. 2014) in cuDNN's form. Order of gates: reset, update, new.

    ``new = tanh(W x + b + r * (U h + c))``, where ``r`` is the reset gate and ``c`` is ``hidden_bias``.
    """

    gates = 3
    carries = 1

    def __init__(self, inputs: int, units: int, *, bidirectional: bool = True, rngs: nnx.Rngs):
        super().__init__(inputs, units, bidirectional=bidirectional, rngs=rngs)
        self.hidden_bias = nnx.Param(jnp.zeros((self.directions, units)))

    def _step_inputs(self, rows: Float[Array, "t b d g"]) -> Float[Array, "t b d e"]:
        """``c`` takes the columns of the gate *new*, whose inputs come last: ``r`` scales ``c``, not the inputs."""
        reset_update, new = jnp.split(rows, [2 * self.units], axis=-1)
        return jnp.concatenate([reset_update, jnp.broadcast_to(self.hidden_bias[...], new.shape), new], axis=-1)

    @staticmethod
    def step(carry: tuple[Array, ...], inputs: Array, recurrent: Array) -> tuple[Array, ...]:
        xr, xz, c, xn = jnp.split(inputs, 4, axis=-1)
        hr, hz, hn = jnp.split(recurrent, 3, axis=-1)
        update = jax.nn.sigmoid(xz + hz)
        new = jnp.tanh(xn + jax.nn.sigmoid(xr + hr) * (hn + c))
        return (update * carry[0] + (1 - update) * new,)


CELLS = {"lstm": LSTM, "gru": GRU}


class RecurrentStack(nnx.Module):
    """Recurrent layers on top of each other.

    Args:
      units: per direction, of each layer.
      cell: ``lstm`` or ``gru``.
      batch_norm: put a BatchNorm over all valid steps between two layers, and one over :meth:`final_state`.
    """

    def __init__(
        self,
        inputs: int,
        units: tuple[int, ...],
        *,
        cell: str = "lstm",
        bidirectional: bool = True,
        batch_norm: bool = False,
        rngs: nnx.Rngs,
    ):
        self.layers, self.norms = nnx.List([]), nnx.List([])
        for width in units:
            layer = CELLS[cell](inputs, width, bidirectional=bidirectional, rngs=rngs)
            inputs = layer.features
            self.layers.append(layer)
            if batch_norm:
                self.norms.append(BatchNorm(inputs))
        self.directions, self.features = layer.directions, inputs

    def __call__(self, x: Float[Array, "b t c"], length: Int[Array, " b"]) -> Float[Array, "b t d"]:
        """Hidden states of the last layer; 0 at and beyond ``length``."""
        valid = jnp.arange(x.shape[1])[None, :] < length[:, None]
        for place, layer in enumerate(self.layers):
            x = layer(x, length)
            if self.norms and place + 1 < len(self.layers):
                x = self.norms[place](x.reshape(-1, x.shape[-1]), valid.reshape(-1)).reshape(x.shape)
        return x

    def final_state(self, x: Float[Array, "b t c"], length: Int[Array, " b"]) -> Float[Array, "b d"]:
        """The state that the last layer ends in, see :func:`final_state`."""
        state = final_state(self(x, length), length, self.directions)
        return self.norms[-1](state, length > 0) if self.norms else state
