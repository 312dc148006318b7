"""Grad-CAM (Selvaraju et al., ICCV 2017): where in a frame the backbone's last maps push the logit up.

Of every frame, with its maps ``A_k`` (k over channels) and the window's logit ``y``::

    weight_k = mean over positions of dy / dA_k          map = ReLU(sum over k of weight_k A_k)

The gradient is that of the logit of the whole window. So the map of a frame also shows, through the branches that
relate frames, what the frame contributes to its sequence. It does not include what bypasses the backbone, the
micro-expression branch.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Bool, Float, Int, UInt8

from fusion_dfd import config as c
from fusion_dfd.backbones import registry
from fusion_dfd.backbones.backbone import Features
from fusion_dfd.explain import true_gradient
from fusion_dfd.predict.detector import DeepfakeDetector
from fusion_dfd.predict.verdict import Window


class Tap(nnx.Module):
    """A part of the model whose maps are given to ``record``, and to which ``delta`` is added to take the gradient.

    If the part returns more than its maps, the maps come first.
    """

    def __init__(self, inner: Callable, delta: Array | None, record: Callable[[Array], None]):
        self.inner, self.delta, self.record = inner, delta, record

    def features(self, *inputs) -> Features:
        """Of a backbone whose pooled feature is the mean of its maps."""
        found = self.inner.features(*inputs)
        self.record(found.maps)
        if self.delta is None:
            return found
        return found.replace(maps=found.maps + self.delta, pooled=found.pooled + jnp.mean(self.delta, axis=(1, 2)))

    def __call__(self, *inputs):
        found = self.inner(*inputs)
        maps, *rest = found if isinstance(found, tuple) else (found,)
        self.record(maps)
        moved = maps if self.delta is None else maps + self.delta
        return (moved, *rest) if isinstance(found, tuple) else moved


def has_maps(model: c.Model) -> bool:
    """Whether a system has spatial maps before its logit, on which the logit depends."""
    if model.system == "fusion":
        return bool({"spatial", "temporal"} & set(model.branches))
    if model.system == "frame":
        return not registry.get(model.backbone.name).token
    return model.system != "timesformer"


def maps(detector: DeepfakeDetector, windows: Sequence[Window]) -> list[np.ndarray]:
    """Grad-CAM of at most BATCH windows: float32 [t, h', w'] >= 0 of each, in units of the logit.

    In a system with flow, the map of a frame is that of the motion into it, and the first map is 0. In a system that
    strides over time, neighbouring frames share a map. Only for systems that :func:`has_maps`.
    """
    found = true_gradient.on_windows(heat, detector, windows)
    count = detector.config.data.frames
    return [_on_frames(found[i], count)[: len(window.frames)] for i, window in enumerate(windows)]


@functools.partial(jax.jit, static_argnums=0)
def heat(
    graph: nnx.GraphDef,
    weights: dict,
    frames: UInt8[Array, "b t h w 3"],
    landmarks: Float[Array, "b t p 2"],
    length: Int[Array, " b"],
    contiguous: Bool[Array, " b"],
) -> Float[Array, "b u i j"]:
    """The maps of a batch; u is the number of moments that the tapped part has."""

    def logit(delta):
        seen = []
        model = true_gradient.merged(graph, weights)
        if hasattr(model, "backbone"):
            model.backbone = Tap(model.backbone, delta, seen.append)
        else:
            model.stages[-1][-1] = Tap(model.stages[-1][-1], delta, seen.append)
        # Rows do not interact, so the gradient of the sum is the gradient of each.
        return jnp.sum(model(frames, landmarks, length, contiguous).logit), seen[0]

    shape = jax.eval_shape(lambda: logit(None)[1])
    gradient, maps = jax.grad(logit, has_aux=True)(jnp.zeros(shape.shape, shape.dtype))
    gradient, maps = (x.astype(jnp.float32).reshape(len(frames), -1, *x.shape[-3:]) for x in (gradient, maps))
    importance = jnp.mean(gradient, axis=(2, 3), keepdims=True)
    return jax.nn.relu(jnp.sum(importance * maps, axis=-1))


def _on_frames(found: np.ndarray, frames: int) -> np.ndarray:
    """[u, h, w] -> [frames, h, w]."""
    moments = len(found)
    if moments == frames - 1:
        return np.concatenate([np.zeros_like(found[:1]), found])
    return found[np.arange(frames) * moments // frames]
