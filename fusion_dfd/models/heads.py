"""Dense layers, and the way from the summary of a clip to its logit."""

from __future__ import annotations

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float


class Readout(nnx.Module):
    """Dropout, dense layers with ReLU, then one number: the logit. ``widths`` may be empty.

    One logit is what a softmax over two classes comes to: the difference of its two.
    """

    def __init__(self, inputs: int, widths: tuple[int, ...], dropout: float, *, rngs: nnx.Rngs):
        self.dropout = nnx.Dropout(dropout)
        self.dense = Dense(inputs, widths, rngs=rngs)
        self.logit = nnx.Linear(self.dense.features, 1, rngs=rngs)

    def __call__(self, x: Float[Array, "b c"], rngs: nnx.Rngs | None) -> Float[Array, " b"]:
        x = self.dropout(x.astype(jnp.float32), rngs=rngs)
        return self.logit(self.dense(x))[:, 0]


class Dense(nnx.Module):
    """Linear layers with ReLU, frame by frame."""

    def __init__(self, inputs: int, widths: tuple[int, ...], *, rngs: nnx.Rngs):
        self.layers = nnx.List([])
        for width in widths:
            self.layers.append(nnx.Linear(inputs, width, kernel_init=nnx.initializers.he_normal(), rngs=rngs))
            inputs = width
        self.features = inputs

    def __call__(self, x: Float[Array, "*n c"]) -> Float[Array, "*n d"]:
        for layer in self.layers:
            x = nnx.relu(layer(x))
        return x
