"""RetinaFace over batches of frames: one compiled program from pixels to faces per size class of frames.

The network predicts offsets relative to *anchors*, square boxes on a regular grid; this module lays the grid, decodes
the offsets and suppresses overlapping boxes.
"""

from __future__ import annotations

import functools

import cv2
import jax
import jax.numpy as jnp
import numpy as np

from fusion_dfd.faces import retinaface_networks
from fusion_dfd.faces.boxes import Detections, in_chunks, overlap
from fusion_dfd.faces.retinaface_weights import DetectorWeights, Recipe

LONGEST = 640
"""Longest side of the pictures that the network sees; in larger frames the smallest faces are lost, to save time."""
MULTIPLE, LEAST = 32, 96
"""Sides of those pictures are multiples of this, and no less: videos of similar size share a compiled program, and the
coarsest map stays larger than a kernel."""
BATCH_PIXELS, BATCH = 1 << 20, 8
"""Approximate number of pixels, and maximum number of frames, per call of the network."""
CANDIDATES = 512
"""Number of anchors of a frame that are decoded, the most confident ones."""
NMS_THRESHOLD = 0.4
"""Of the published test (Pytorch_Retinaface, detect.py)."""
CENTRE_UNIT, SIZE_UNIT = 0.1, 0.2
"""Units of the offsets: tenths of an anchor's side, fifths of a natural logarithm (the "variances" of SSD)."""


class RetinaFace:
    """Finds faces whose box is at least ``min_size`` pixels wide or high, with a confidence of at least ``threshold``.

    In frames wider or higher than LONGEST the faces must, when shrunk to that, still fill the smallest anchors.
    """

    def __init__(self, trained: DetectorWeights, min_size: int = 32, threshold: float = 0.6):
        self.min_size, self.threshold = min_size, threshold
        self._weights = jax.device_put(trained.weights)
        self._find = functools.partial(_find, trained.recipe)

    def detect(self, frames: np.ndarray) -> list[Detections]:
        """Faces of each frame of uint8 [n, h, w, 3] RGB; see :class:`fusion_dfd.faces.detector.Detector`."""
        if not len(frames):
            return []
        pictures, ratio = _shrunk(frames)
        chunk = int(np.clip(BATCH_PIXELS // pictures[0, ..., 0].size, 1, BATCH))
        kept, score, boxes, landmarks = in_chunks(self._find, self._weights, pictures, chunk)
        height, width = frames.shape[1:3]
        boxes = np.clip(boxes * np.tile(ratio, 2), 0, np.array([width, height, width, height]) - 1).astype(np.float32)
        landmarks = (landmarks * ratio).astype(np.float32)
        longer = (boxes[..., 2:] - boxes[..., :2]).max(-1)
        good = kept & (score >= self.threshold) & (longer >= self.min_size)
        return [Detections(boxes[k][chosen], score[k][chosen], landmarks[k][chosen]) for k, chosen in enumerate(good)]


@functools.partial(jax.jit, static_argnums=0)
def _find(recipe: Recipe, weights: retinaface_networks.Weights, images: jax.Array) -> tuple[jax.Array, ...]:
    """Of uint8 [n, h, w, 3] the m most confident anchors: kept [n, m], score, boxes [n, m, 4], landmarks [n, m, 5, 2].

    Sorted by falling confidence; ``kept`` marks those that no better box covers.
    """
    offsets, scores, points = retinaface_networks.predict(weights, recipe.slope, images)
    grid = jnp.asarray(make_anchors(*images.shape[1:3], retinaface_networks.STRIDES, recipe.anchors))
    score, at = jax.lax.top_k(scores, min(CANDIDATES, len(grid)))
    offsets = jnp.take_along_axis(offsets, at[..., None], 1)
    points = jnp.take_along_axis(points, at[..., None, None], 1)
    boxes, landmarks = decode_boxes(grid[at], offsets, points)
    kept = jax.vmap(functools.partial(suppress, threshold=NMS_THRESHOLD))(boxes)
    return kept, score, boxes, landmarks


def _shrunk(frames: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pictures for the network, and pixels of a frame per pixel of a picture, horizontally and vertically.

    The frame is in the upper left corner; the rest has the mean colour, which the network sees as zero.
    """
    height, width = frames.shape[1:3]
    scale = min(1, LONGEST / max(height, width))
    h, w = (max(1, round(side * scale)) for side in (height, width))
    sides = (max(-(-side // MULTIPLE) * MULTIPLE, LEAST) for side in (h, w))
    pictures = np.full((len(frames), *sides, 3), retinaface_networks.MEAN, np.uint8)
    for picture, frame in zip(pictures, frames, strict=True):
        picture[:h, :w] = frame if scale == 1 else cv2.resize(frame, (w, h), interpolation=cv2.INTER_AREA)
    return pictures, np.array([width / w, height / h])


def make_anchors(height: int, width: int, strides: tuple[int, ...], sides: tuple[int, ...]) -> np.ndarray:
    """Square anchors float32 [a, 3]: centre x, centre y, side, in pixels of a picture of height x width.

    ``sides`` holds equally many for each of the ``strides``, finest first. Order: stride, row, column, side.
    """
    grids = []
    for stride, own in zip(strides, np.reshape(sides, (len(strides), -1)), strict=True):
        rows, columns = -(-height // stride), -(-width // stride)
        y, x, side = np.meshgrid(np.arange(rows), np.arange(columns), own, indexing="ij")
        grids.append(np.stack([(x + 0.5) * stride, (y + 0.5) * stride, side], -1).reshape(-1, 3))
    return np.concatenate(grids).astype(np.float32)


def decode_boxes(anchors: jax.Array, offsets: jax.Array, points: jax.Array) -> tuple[jax.Array, jax.Array]:
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
