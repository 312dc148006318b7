"""RetinaFace over batches of frames: one compiled program from pixels to faces, for each class of frame sizes."""

from __future__ import annotations

import functools

import cv2
import jax
import jax.numpy as jnp
import numpy as np

from fusion_dfd.faces import anchors, retinaface_networks
from fusion_dfd.faces.chunks import in_chunks
from fusion_dfd.faces.detector import Detections
from fusion_dfd.faces.retinaface_weights import Recipe, Trained

LONGEST = 640
"""Longest side of the pictures the network sees; larger frames lose their smallest faces rather than cost seconds."""
MULTIPLE, LEAST = 32, 96
"""Sides of those pictures are multiples of this, and no less: videos of similar size share a compiled program, and the
coarsest map stays larger than a kernel."""
BATCH_PIXELS, BATCH = 1 << 20, 8
"""About how many pixels, and at most how many frames, one call of the network takes."""
CANDIDATES = 512
"""Anchors of a frame that are looked at, the most confident."""
NMS_THRESHOLD = 0.4
"""Of the published test (Pytorch_Retinaface, detect.py)."""


class RetinaFace:
    """Finds faces whose box is at least ``min_size`` pixels wide or high, with a confidence of at least ``threshold``.

    In frames wider or higher than LONGEST the faces must, when shrunk to that, still fill the smallest anchors.
    """

    def __init__(self, trained: Trained, min_size: int = 32, threshold: float = 0.6):
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

    Confidence falls; ``kept`` are those that no better box covers.
    """
    offsets, scores, points = retinaface_networks.predict(weights, recipe.slope, images)
    grid = jnp.asarray(anchors.lay(*images.shape[1:3], retinaface_networks.STRIDES, recipe.anchors))
    score, at = jax.lax.top_k(scores, min(CANDIDATES, len(grid)))
    offsets = jnp.take_along_axis(offsets, at[..., None], 1)
    points = jnp.take_along_axis(points, at[..., None, None], 1)
    boxes, landmarks = anchors.decode(grid[at], offsets, points)
    kept = jax.vmap(functools.partial(anchors.suppress, threshold=NMS_THRESHOLD))(boxes)
    return kept, score, boxes, landmarks


def _shrunk(frames: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pictures for the network, and pixels of a frame per pixel of a picture, horizontally and vertically.

    The pictures stand in the upper left corner; beyond them lies what the network sees as nothing.
    """
    height, width = frames.shape[1:3]
    scale = min(1, LONGEST / max(height, width))
    h, w = (max(1, round(side * scale)) for side in (height, width))
    sides = (max(-(-side // MULTIPLE) * MULTIPLE, LEAST) for side in (h, w))
    pictures = np.full((len(frames), *sides, 3), retinaface_networks.MEAN, np.uint8)
    for picture, frame in zip(pictures, frames, strict=True):
        picture[:h, :w] = frame if scale == 1 else cv2.resize(frame, (w, h), interpolation=cv2.INTER_AREA)
    return pictures, np.array([width / w, height / h])
