"""What every backbone is: stages of blocks that map images to features."""

from __future__ import annotations

import flax
import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float


@flax.struct.dataclass
class Features:
    """All outputs of a backbone. Under ``jax.jit``, those that are not used cost nothing."""

    maps: jax.Array
    """[n, h', w', c] in the dtype of the computation: what ``backbone(images, valid)`` returns."""
    pooled: jax.Array
    """float32 [n, c], the input of the published classifier: the mean of the maps, or a transformer's class token."""
    taps: dict[str, jax.Array]
    """The map [n, h_k, w_k, c_k] after each stage, ``stage1`` .. ``stage<k>``; the last one before the head."""
    attention: jax.Array | None = None
    """float32 [n, h', w'] in 0..1, where a transformer's class token looks in the last block; None of others."""


class Backbone(nnx.Module):
    """Images -> stem -> stages of blocks -> head. Every block is called as ``block(x, valid)``; a transformer's blocks
    as ``block(x, turn)``.

    A family sets ``stages``, ``channels`` (of the maps) and ``remat``. It may override ``stem`` and ``head``.
    """

    stages: nnx.List
    channels: int
    remat: bool

    def __call__(
        self, images: Float[Array, "n h w 3"], valid: Bool[Array, " n"] | None = None
    ) -> Float[Array, "n h2 w2 c"]:
        """Maps of normalised images. ``valid`` [n] selects the images of the batch statistics; None means all.

        Raises ConfigError where a map becomes smaller than the next kernel.
        """
        return self.features(images, valid).maps

    def features(self, images: Float[Array, "n h w 3"], valid: Bool[Array, " n"] | None = None) -> Features:
        """Maps, pooled features and taps of one pass; arguments and errors are those of a call."""
        x, taps = self.stem(images, valid), {}
        for number, blocks in enumerate(self.stages, 1):
            for block in blocks:
                x = self.run(block, x, valid)
            taps[f"stage{number}"] = x
        maps = self.head(x, valid)
        return Features(maps, jnp.mean(maps, axis=(1, 2), dtype=jnp.float32), taps)

    def stem(self, images: Array, valid: Array | None) -> Array:
        """What comes before the first stage."""
        return images

    def head(self, x: Array, valid: Array | None) -> Array:
        """What comes after the last stage."""
        return x

    def run(self, block: nnx.Module, x: Array, other: Array | None) -> Array:
        """One block. With ``remat`` its activations are recomputed in the backward pass."""
        # Per block, so that only one block's activations are recomputed at a time.
        call = nnx.remat(type(block).__call__) if self.remat else type(block).__call__
        return call(block, x, other)
