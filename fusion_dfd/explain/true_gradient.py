"""The model as explanations call it: evaluating, and with its true gradient."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence

import jax
import numpy as np
from flax import nnx

from fusion_dfd import config as c
from fusion_dfd.predict.detector import DeepfakeDetector, batch
from fusion_dfd.predict.verdict import Window
from fusion_dfd.training import state


def on_windows(program: Callable, detector: DeepfakeDetector, windows: Sequence[Window]) -> np.ndarray:
    """What ``program(graph, weights, frames, landmarks, length, contiguous)`` returns for at most BATCH windows.

    The result has BATCH rows; the first ones are the windows' in order, the others are padding.
    """
    rows = batch(windows, detector.config.data)
    graph, weights = evaluating(detector.config), detector.trained.weights
    return jax.device_get(program(graph, weights, rows.frames, rows.landmarks, rows.length, rows.contiguous))


def evaluating(config: c.Config) -> nnx.GraphDef:
    """The model's structure without dropout and rematerialisation.

    It is built once per configuration, so that what is compiled for one video serves the next.
    """
    return _built(c.to_json(config))


@functools.lru_cache(maxsize=4)
def _built(text: str) -> nnx.GraphDef:
    return state.graphs(dataclasses.replace(c.from_json(text).model, remat=False)).evaluate


def merged(graph: nnx.GraphDef, weights: dict) -> nnx.Module:
    """The model of ``weights`` ``{"params", "stats"}``, to be called under ``jax.jit``."""
    model = nnx.merge(graph, weights["params"], weights["stats"])
    if hasattr(model, "temporal"):
        model.temporal.damping = 1.0
    return model
