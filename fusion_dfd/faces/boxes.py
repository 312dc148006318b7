"""What a face detector returns, and what detectors share: arithmetic on boxes, and running a network in chunks.

Boxes are ``x0, y0, x1, y1``, float [m, 4].
"""

from __future__ import annotations

import dataclasses

import jax
import numpy as np


@dataclasses.dataclass(frozen=True, slots=True)
class Detections:
    """The faces of one frame, the most confident first."""

    boxes: np.ndarray
    """float32 [m, 4], x0, y0, x1, y1 in pixels of the frame, inside it."""
    scores: np.ndarray
    """float32 [m] in 0..1, descending."""
    landmarks: np.ndarray
    """float32 [m, 5, 2], x and y in pixels of the frame, ordered as in :mod:`fusion_dfd.types`; may lie outside."""

    def __len__(self) -> int:
        return len(self.boxes)


def overlap(a: np.ndarray | jax.Array, b: np.ndarray | jax.Array, measure: str = "union") -> np.ndarray | jax.Array:
    """Intersection over union [m, n] of boxes a [m, 4] and b [n, 4]; with measure ``min``, over the smaller box.

    Works on arrays of numpy and of JAX.
    """
    xp = a.__array_namespace__()
    low, high = xp.maximum(a[:, None, :2], b[None, :, :2]), xp.minimum(a[:, None, 2:], b[None, :, 2:])
    shared = xp.maximum(high - low, 0).prod(-1)
    area_a, area_b = (a[:, 2:] - a[:, :2]).prod(-1)[:, None], (b[:, 2:] - b[:, :2]).prod(-1)[None]
    whole = xp.minimum(area_a, area_b) if measure == "min" else area_a + area_b - shared
    return shared / xp.maximum(whole, 1e-9)


def covered(boxes: np.ndarray, threshold: float, measure: str = "union") -> np.ndarray:
    """Bool [m]: does any earlier box overlap this one by more than ``threshold``?

    This is non-maximum suppression in one step, where a suppressed box still suppresses others ("Fast NMS" of Bolya et
    al., "YOLACT: Real-time Instance Segmentation", ICCV 2019).
    """
    return np.triu(overlap(boxes, boxes, measure) > threshold, k=1).any(0)


def squared(boxes: np.ndarray) -> np.ndarray:
    """The squares about the boxes' centres whose side is the boxes' longer side; [m, 4]."""
    centre, side = (boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]).max(-1, keepdims=True)
    return np.concatenate([centre - side / 2, centre + side / 2], -1)


def moved(boxes: np.ndarray, offset: np.ndarray) -> np.ndarray:
    """Boxes [m, 4] with their corners moved by ``offset`` [m, 4], given in sides of the box.

    The side includes both border pixels, hence the + 1: MTCNN's regression was trained with that convention.
    """
    side = boxes[:, 2:] - boxes[:, :2] + 1
    return boxes + offset * np.concatenate([side, side], -1)


def in_chunks(network, weights, images: np.ndarray, chunk: int) -> list[np.ndarray]:
    """``network(weights, images)`` over any number of images uint8 [n, ...], ``chunk`` of them at a time.

    The last chunk is filled up with zeros, so that the network is compiled for one shape only. Returns its outputs,
    each [n, ...].
    """
    outputs = []
    for start in range(0, len(images), chunk):
        given = images[start : start + chunk]
        full = np.zeros((chunk, *images.shape[1:]), np.uint8)
        full[: len(given)] = given
        outputs.append(network(weights, full))
    return [np.concatenate([np.asarray(part) for part in parts])[: len(images)] for parts in zip(*outputs, strict=True)]
