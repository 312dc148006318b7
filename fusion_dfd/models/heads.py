"""Dense layers, and the head that turns the features of a window into its logit."""

from __future__ import annotations

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float


class Dense(nnx.Module):
    """Linear layers with ReLU, applied to each frame alone."""

    def __init__(self, inputs: int, widths: tuple[int, ...], *, rngs: nnx.Rngs):
        self.layers = _linear_layers(inputs, widths, rngs)
        self.features = (inputs, *widths)[-1]

    def __call__(self, x: Float[Array, "*n c"]) -> Float[Array, "*n d"]:
        for layer in self.layers:
            x = nnx.relu(layer(x))
        return x


class LogitHead(nnx.Module):
    """Linear layers with ReLU, then one number: the logit.

    One logit is equivalent to a softmax over two classes: it is the difference of their two logits.

    Args:
      widths: outputs of the linear layers; may be empty.
      dropout: the rate.
      drop_input: drop out the input only, as the published baselines do, instead of the output of every linear layer.
    """

    def __init__(
        self, inputs: int, widths: tuple[int, ...], dropout: float, *, drop_input: bool = False, rngs: nnx.Rngs
    ):
        self.layers = _linear_layers(inputs, widths, rngs)
        self.dropout = nnx.Dropout(dropout)
        self.drop_input = drop_input
        self.logit = nnx.Linear((inputs, *widths)[-1], 1, rngs=rngs)

    def __call__(self, x: Float[Array, "b c"], rngs: nnx.Rngs | None) -> Float[Array, " b"]:
        x = x.astype(jnp.float32)
        if self.drop_input:
            x = self.dropout(x, rngs=rngs)
        for layer in self.layers:
            x = nnx.relu(layer(x))
            if not self.drop_input:
                x = self.dropout(x, rngs=rngs)
        return self.logit(x)[:, 0]


def _linear_layers(inputs: int, widths: tuple[int, ...], rngs: nnx.Rngs) -> nnx.List:
    layers = nnx.List([])
    for width in widths:
        layers.append(nnx.Linear(inputs, width, kernel_init=nnx.initializers.he_normal(), rngs=rngs))
        inputs = width
    return layers
