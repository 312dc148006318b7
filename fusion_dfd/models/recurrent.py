"""Recurrent layers for padded sequences, over ``lax.scan``.

The input projection of all steps is one matrix product before the scan, all gates of a step and a direction are one
product inside it, and the two directions of a bidirectional layer advance together in one scan; the gradients of both
kernels are one product after it. Beyond a sequence's length the carry stands still and the output is zero, so the
backward direction starts at the last valid step. No random state.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

Step = Callable[[tuple[Array, ...], Array, Array], tuple[Array, ...]]
"""The carry after one step, hidden state [b, d, units] first, from the carry, what the input gives to the step
[b, d, e], and the product of hidden state and ``recurrent`` [b, d, g * units], added to the first columns of it."""

_INPUT_INIT = nnx.initializers.xavier_uniform()
_RECURRENT_INIT = nnx.initializers.orthogonal()


class _Recurrent(nnx.Module):
    """What LSTM and GRU share. Sub-classes give ``gates``, ``carries`` and ``step``.

    Parameters, for ``d`` directions (0 forward, 1 backward) and ``g`` gates: ``kernel`` [inputs, d, g * units],
    ``recurrent`` [d, units, g * units], ``bias`` [d, g * units].
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
        self.recurrent = nnx.Param(jnp.stack([self._orthogonal(rngs) for _ in range(self.directions)]))
        self.bias = nnx.Param(jnp.zeros((self.directions, self.gates * units)))

    def _orthogonal(self, rngs: nnx.Rngs) -> Array:
        """One orthogonal matrix per gate, side by side (Saxe et al. 2014)."""
        square = (self.units, self.units)
        return jnp.concatenate([_RECURRENT_INIT(rngs.params(), square) for _ in range(self.gates)], axis=1)

    def _begin(self, rows: Float[Array, "t b d g"]) -> Float[Array, "t b d e"]:
        """What ``step`` reads of the projected inputs ``rows``."""
        return rows

    def __call__(self, x: Float[Array, "b t c"], length: Int[Array, " b"]) -> Float[Array, "b t d"]:
        """Hidden states, forward then backward along the last axis; 0 at and beyond ``length``."""
        inputs = self._begin(_project(x, self.kernel[...]) + self.bias[...])
        valid = jnp.arange(x.shape[1])[:, None] < length[None, :]
        valid = jnp.stack([valid] * self.directions, axis=-1)[..., None]
        hidden = _scan(type(self).step, self.carries, self._face(inputs), self._face(valid), self.recurrent[...])
        return jnp.moveaxis(self._face(hidden), 0, 1).reshape(*x.shape[:2], self.features)

    def _face(self, rows: Array) -> Array:
        """Turn direction 1 of [t, b, d, g] around in time; its own inverse."""
        if self.directions == 1:
            return rows
        return jnp.concatenate([rows[:, :, :1], jnp.flip(rows[:, :, 1:], axis=0)], axis=2)


def _project(x: Float[Array, "b t c"], kernel: Float[Array, "c d g"]) -> Float[Array, "t b d g"]:
    """The inputs of all gates. One plain matrix product: XLA on CPUs takes up to three times as long for an einsum."""
    rows = jnp.dot(x.reshape(-1, x.shape[-1]), kernel.reshape(kernel.shape[0], -1))
    return jnp.swapaxes(rows.reshape(*x.shape[:2], *kernel.shape[1:]), 0, 1)


def _advance(hidden: Float[Array, "b d u"], recurrent: Float[Array, "d u g"]) -> Float[Array, "b d g"]:
    """What the state gives to all gates. A product per direction: XLA's CPU library has none for a batch of them."""
    return jnp.stack([jnp.dot(hidden[:, place], recurrent[place]) for place in range(len(recurrent))], axis=1)


# Compiled as one, so that code that runs operation by operation compiles it once a shape and not once a call.
@functools.partial(jax.jit, static_argnums=(0, 1))
def _walk(step: Step, carries: int, inputs: Array, valid: Array, recurrent: Array) -> Array:
    """Hidden states [t, b, d, units] of ``inputs`` [t, b, d, ...]; where not valid the carry stands still."""

    def advance(carry, now):
        row, keep = now
        new = step(carry, row, _advance(carry[0], recurrent))
        carry = tuple(jnp.where(keep, fresh, old) for fresh, old in zip(new, carry, strict=True))
        return carry, jnp.where(keep, new[0], 0.0)

    # Made from the inputs rather than from shapes, so that the carry inherits their sharding.
    start = jnp.zeros_like(inputs[0, :, :, : recurrent.shape[1]])
    return jax.lax.scan(advance, (start,) * carries, (inputs, valid))[1]


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _scan(step: Step, carries: int, inputs: Array, valid: Array, recurrent: Array) -> Array:
    """As ``_walk``; the gradient of ``recurrent`` is one product over all steps, and not a sum of one in each."""
    return _walk(step, carries, inputs, valid, recurrent)


def _forward(step: Step, carries: int, inputs: Array, valid: Array, recurrent: Array):
    hidden, back = jax.vjp(lambda inputs: _walk(step, carries, inputs, valid, recurrent), inputs)
    return hidden, (back, hidden, recurrent)


def _backward(step: Step, carries: int, kept: tuple, slope: Array) -> tuple[Array, None, Array]:
    back, hidden, recurrent = kept
    (inputs,) = back(slope)
    # The state before a step is what the layer returned a step earlier: 0 before the first valid one, as the carry is.
    return inputs, None, _outer(hidden[:-1], inputs[1:, ..., : recurrent.shape[-1]])


@jax.jit
def _outer(states: Float[Array, "t b d u"], slope: Float[Array, "t b d g"]) -> Float[Array, "d u g"]:
    """Sum of outer products over steps and sequences, for each direction."""

    def rows(values: Array, place: int) -> Array:
        return values[:, :, place].reshape(-1, values.shape[-1])

    return jnp.stack([jnp.dot(rows(states, place).T, rows(slope, place)) for place in range(slope.shape[2])])


_scan.defvjp(_forward, _backward)


def last(hidden: Float[Array, "b t d"], length: Int[Array, " b"], directions: int) -> Float[Array, "b d"]:
    """The state a layer ends in: of the forward direction at the last valid step, of the backward one at the first.

    ``hidden`` is what the layer returned; 0 for a sequence without steps.
    """
    forward, *backward = jnp.split(hidden, directions, axis=-1)
    end = jnp.maximum(length - 1, 0)[:, None, None]
    return jnp.concatenate([jnp.take_along_axis(forward, end, axis=1)[:, 0], *(part[:, 0] for part in backward)], -1)


class LSTM(_Recurrent):
    """Long short-term memory (Hochreiter & Schmidhuber 1997), gates in the order input, forget, cell, output.

    The forget gate starts with bias 1 (Jozefowicz et al. 2015).
    """

    gates = 4
    carries = 2

    def __init__(self, inputs: int, units: int, *, bidirectional: bool = True, rngs: nnx.Rngs):
        super().__init__(inputs, units, bidirectional=bidirectional, rngs=rngs)
        self.bias[...] = self.bias[...].at[:, units : 2 * units].set(1.0)

    @staticmethod
    def step(carry: tuple[Array, ...], inputs: Array, heard: Array) -> tuple[Array, ...]:
        i, f, g, o = jnp.split(inputs + heard, 4, axis=-1)
        cell = jax.nn.sigmoid(f) * carry[1] + jax.nn.sigmoid(i) * jnp.tanh(g)
        return jax.nn.sigmoid(o) * jnp.tanh(cell), cell


class GRU(_Recurrent):
    """Gated recurrent unit (Cho et al. 2014) in cuDNN's form, gates in the order reset, update, new:

    ``new = tanh(W x + b + r * (U h + c))``, where ``c`` is ``hidden_bias``.
    """

    gates = 3
    carries = 1

    def __init__(self, inputs: int, units: int, *, bidirectional: bool = True, rngs: nnx.Rngs):
        super().__init__(inputs, units, bidirectional=bidirectional, rngs=rngs)
        self.hidden_bias = nnx.Param(jnp.zeros((self.directions, units)))

    def _begin(self, rows: Float[Array, "t b d g"]) -> Float[Array, "t b d e"]:
        """``c`` in the place of the new gate's inputs, which come last: ``r`` comes between them."""
        heard, new = jnp.split(rows, [2 * self.units], axis=-1)
        return jnp.concatenate([heard, jnp.broadcast_to(self.hidden_bias[...], new.shape), new], axis=-1)

    @staticmethod
    def step(carry: tuple[Array, ...], inputs: Array, heard: Array) -> tuple[Array, ...]:
        xr, xz, c, xn = jnp.split(inputs, 4, axis=-1)
        hr, hz, hn = jnp.split(heard, 3, axis=-1)
        update = jax.nn.sigmoid(xz + hz)
        new = jnp.tanh(xn + jax.nn.sigmoid(xr + hr) * (hn + c))
        return (update * carry[0] + (1 - update) * new,)


class Stack(nnx.Module):
    """Bidirectional LSTMs one on the other, ``units`` per direction from the first to the last."""

    def __init__(self, inputs: int, units: tuple[int, ...], *, rngs: nnx.Rngs):
        self.layers = nnx.List([])
        for width in units:
            self.layers.append(LSTM(inputs, width, rngs=rngs))
            inputs = 2 * width
        self.features = inputs

    def __call__(self, x: Float[Array, "b t c"], length: Int[Array, " b"]) -> Float[Array, "b t d"]:
        for layer in self.layers:
            x = layer(x, length)
        return x
