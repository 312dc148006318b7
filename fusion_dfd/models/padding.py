"""What lies beyond the end of a clip is made black before anything reads it."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Bool, Int, UInt8


def clear(
    frames: UInt8[Array, "b t h w 3"], length: Int[Array, " b"]
) -> tuple[UInt8[Array, "b t h w 3"], Bool[Array, "b t"]]:
    """The frames with zeros at and beyond ``length``, and which frames are valid."""
    valid = jnp.arange(frames.shape[1])[None, :] < length[:, None]
    return jnp.where(valid[..., None, None, None], frames, 0), valid
