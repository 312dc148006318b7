"""Running a compiled network over any number of pictures."""

from __future__ import annotations

import numpy as np


def in_chunks(network, weights, images: np.ndarray, chunk: int) -> list[np.ndarray]:
    """``network`` over all images, always ``chunk`` of them at a time, so that it is compiled for one shape only."""
    outputs = []
    for start in range(0, len(images), chunk):
        part = images[start : start + chunk]
        full = np.zeros((chunk, *images.shape[1:]), np.uint8)
        full[: len(part)] = part
        outputs.append(network(weights, full))
    return [np.concatenate([np.asarray(part) for part in parts])[: len(images)] for parts in zip(*outputs, strict=True)]
