"""What lies beyond the end of a clip is made black before anything reads it."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Bool, Int, Shaped


def clear(
    frames: Shaped[Array, "b t *frame"], length: Int[Array, " b"]
) -> tuple[Shaped[Array, "b t *frame"], Bool[Array, "b t"]]:
    """The frames, or whatever stands for them, with zeros at and beyond ``length``, and which frames are valid."""
    valid = jnp.arange(frames.shape[1])[None, :] < length[:, None]
    return jnp.where(valid.reshape(*valid.shape, *[1] * (frames.ndim - 2)), frames, 0), valid
