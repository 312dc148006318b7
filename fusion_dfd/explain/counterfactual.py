"""What the model would have said without a branch, or without a part of the face.

Such inputs lie outside the training distribution: in training, no branch was missing and no part of a face was blurred.
The answers say what this model leans on, not what is forged.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence

import cv2
import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Bool, Float, Int, UInt8

from fusion_dfd.evaluation import face_regions
from fusion_dfd.explain import true_gradient
from fusion_dfd.predict.detector import DeepfakeDetector
from fusion_dfd.predict.verdict import Window

HIDDEN = ("eyes", "nose", "mouth", "cheeks", face_regions.OUTER, face_regions.BACKGROUND)
"""Parts that are hidden, names of ``face_regions.masks``; the background for comparison."""
BLUR = 1 / 8
"""Standard deviation of the blur that fills a hidden part, in sides of the frame."""
EDGE = 1 / 64
"""The same of a hidden part's soft edge."""


def without_branches(detector: DeepfakeDetector, windows: Sequence[Window]) -> dict[str, np.ndarray]:
    """Logits [n] of at most BATCH windows without each branch in turn; empty for systems with fewer than two.

    The branch's token is out of the fusion, and the weights of the others are renormalised to sum to 1. Where it is the
    only one that is on, the ones that were switched off answer.
    """
    names = detector.config.model.branches
    if detector.config.model.system != "fusion" or len(names) < 2:
        return {}
    found = true_gradient.on_windows(fused_without, detector, windows)
    return {name: found[k, : len(windows)] for k, name in enumerate(names)}


class Recorder(nnx.Module):
    """A fusion that reports the tokens it is given, and which branches are on, to ``record``."""

    def __init__(self, inner: nnx.Module, record):
        self.inner, self.record = inner, record

    def __call__(self, tokens, on, rngs):
        self.record((tokens, on))
        return self.inner(tokens, on, rngs)


class AllBut(nnx.Module):
    """In the place of ``BranchDropout``: the fusion sees all branches but one."""

    def __init__(self, hidden: int):
        self.hidden = hidden

    def __call__(self, on: Bool[Array, "b k"], rngs: None) -> Bool[Array, "b k"]:
        others = jnp.arange(on.shape[1]) != self.hidden
        seen = on & others
        return jnp.where(jnp.any(seen, axis=1, keepdims=True), seen, others)


@functools.partial(jax.jit, static_argnums=0)
def fused_without(
    graph: nnx.GraphDef,
    weights: dict,
    frames: UInt8[Array, "b t h w 3"],
    landmarks: Float[Array, "b t p 2"],
    length: Int[Array, " b"],
    contiguous: Bool[Array, " b"],
) -> Float[Array, "k b"]:
    """Logits without the branch k; the branches themselves run once."""
    model, seen = true_gradient.merged(graph, weights), []
    fusion = model.fusion
    model.fusion = Recorder(fusion, seen.append)
    model(frames, landmarks, length, contiguous)
    logits = []
    for hidden in range(len(model.branches)):
        fusion.branch_dropout = AllBut(hidden)
        fused, _ = fusion(*seen[0], None)
        logits.append(model.head(fused, None))
    return jnp.stack(logits)


def without_regions(detector: DeepfakeDetector, windows: Sequence[Window]) -> dict[str, np.ndarray]:
    """Logits [n] of at most BATCH windows with each of HIDDEN hidden in turn, without parts that no frame shows."""
    found = [face_regions.masks(window.landmarks[:, :5], window.frames.shape[1]) for window in windows]
    logits = {}
    for name in HIDDEN:
        if any(masks[name].any() for masks in found):
            changed = [
                dataclasses.replace(window, frames=hide(window.frames, masks[name]))
                for window, masks in zip(windows, found, strict=True)
            ]
            logits[name] = np.array([float(outputs.logit) for outputs in detector.outputs(changed)])
    return logits


def hide(frames: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The frames uint8 [t, s, s, 3] with ``mask`` bool [t, s, s] filled with the blurred average of the window.

    The average over time removes the motion, the blur removes the part's appearance; the edge is soft. A frame with an
    empty mask stays as it is.
    """
    size = frames.shape[1]
    fill = cv2.GaussianBlur(frames.mean(0, dtype=np.float32), (0, 0), BLUR * size)
    hidden = frames.copy()
    for t in np.flatnonzero(mask.any((1, 2))):
        share = cv2.GaussianBlur(mask[t].astype(np.float32), (0, 0), max(EDGE * size, 0.5))[..., None]
        hidden[t] = np.rint(share * fill + (1 - share) * frames[t]).astype(np.uint8)
    return hidden
