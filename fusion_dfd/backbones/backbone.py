"""What every backbone is: blocks in stages, called on images, and what comes out of them."""

from __future__ import annotations

import flax
import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float


@flax.struct.dataclass
class Features:
    """All that a backbone knows about its images. What is not read costs nothing under ``jax.jit``."""

    maps: jax.Array
    """[n, h', w', c] in the arithmetic's dtype: what ``backbone(images, valid)`` gives."""
    pooled: jax.Array
    """float32 [n, c], what the published classifier reads: the maps' mean, of a transformer the class token."""
    taps: dict[str, jax.Array]
    """The map [n, h_k, w_k, c_k] after each stage, as ``stage1`` .. ``stage<k>``; before what follows the last one."""


class Backbone(nnx.Module):
    """Images -> a stem -> stages of blocks -> a head; every block is called as ``block(x, valid)``.

    A family sets ``stages``, ``channels`` (of the maps) and ``remat``, and may have a stem and a head.
    """

    stages: nnx.List
    channels: int
    remat: bool

    def __call__(
        self, images: Float[Array, "n h w 3"], valid: Bool[Array, " n"] | None = None
    ) -> Float[Array, "n h2 w2 c"]:
        """Maps of normalised images. ``valid`` [n] names the images that enter the statistics, None means all.

        Raises ConfigError where a map becomes smaller than the kernel that reads it.
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

    def run(self, block: nnx.Module, x: Array, valid: Array | None) -> Array:
        """One block; with ``remat`` its activations are computed again in the backward pass."""
        # Block by block, so that only one block's activations are ever recomputed at a time.
        call = nnx.remat(type(block).__call__) if self.remat else type(block).__call__
        return call(block, x, valid)
