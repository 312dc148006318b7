"""Anchors: the boxes relative to which a single-shot detector speaks, and what its numbers mean.

Conventions of https://github.com/biubug6/Pytorch_Retinaface: layers/functions/prior_box.py, utils/box_utils.py.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from fusion_dfd.faces.boxes import overlap

CENTRE_UNIT, SIZE_UNIT = 0.1, 0.2
"""What an offset of one means: tenths of an anchor's side, fifths of a natural logarithm."""


def lay(height: int, width: int, strides: tuple[int, ...], sides: tuple[int, ...]) -> np.ndarray:
    """Square anchors float32 [a, 3]: centre x, centre y, side, in pixels of a picture of height x width.

    ``sides`` holds as many for each of the ``strides``, finest first. Order: stride, row, column, side.
    """
    parts = []
    for stride, own in zip(strides, np.reshape(sides, (len(strides), -1)), strict=True):
        rows, columns = -(-height // stride), -(-width // stride)
        y, x, side = np.meshgrid(np.arange(rows), np.arange(columns), own, indexing="ij")
        parts.append(np.stack([(x + 0.5) * stride, (y + 0.5) * stride, side], -1).reshape(-1, 3))
    return np.concatenate(parts).astype(np.float32)


def decode(anchors: jax.Array, offsets: jax.Array, points: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Boxes [..., a, 4] and landmarks [..., a, 5, 2] in pixels.

    Args:
      anchors: [..., a, 3].
      offsets: [..., a, 4], of the box's centre and size.
      points: [..., a, 5, 2], of the landmarks.
    """
    centre, side = anchors[..., :2], anchors[..., 2:]
    middle = centre + CENTRE_UNIT * side * offsets[..., :2]
    half = side * jnp.exp(SIZE_UNIT * offsets[..., 2:]) / 2
    landmarks = centre[..., None, :] + CENTRE_UNIT * side[..., None, :] * points
    return jnp.concatenate([middle - half, middle + half], -1), landmarks


def suppress(boxes: jax.Array, threshold: float) -> jax.Array:
    """Bool [m]: which of the boxes [m, 4], most confident first, greedy non-maximum suppression keeps.

    A box goes when one that was kept before it overlaps it by more than ``threshold`` (intersection over union).
    """
    covers = jnp.triu(overlap(boxes, boxes) > threshold, k=1)

    def step(number, kept):
        return kept & ~(kept[number] & covers[number])

    return jax.lax.fori_loop(0, len(boxes), step, jnp.ones(len(boxes), bool))
