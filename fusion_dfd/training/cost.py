"""What a model costs to run: parameters, arithmetic, and time on this machine."""

from __future__ import annotations

import statistics
import time

import jax
import numpy as np

from fusion_dfd import config as c
from fusion_dfd.evaluation.comparison import Cost
from fusion_dfd.training import state, step
from fusion_dfd.training.loop import divisible
from fusion_dfd.types import Batch

CALLS = 5
"""Timed calls; their median counts."""


def measure(config: c.Config) -> Cost:
    """Cost of the evaluation program of ``config``, with fresh weights, on batches of its evaluation.

    FLOPs are XLA's own count of the program before the compiler's optimisation, so they do not depend on the device. It
    counts the body of a loop once: of recurrent layers it holds the products with the inputs, not those of each
    step with the state. Clips per second are of the compiled program alone, without reading or decoding.
    """
    replicated, split = state.shardings(state.data_mesh())
    made = jax.jit(lambda: state.variables(config.model, 0), out_shardings=replicated)()
    weights = dict(zip(("params", "stats"), made, strict=True))
    size = divisible(config.evaluate.batch_size)
    batch = jax.device_put(_batch(size, config.data), split)
    lowered = step.make_predict(state.graphs(config.model), replicated).lower(weights, batch)
    program = lowered.compile()
    jax.block_until_ready(program(weights, batch))
    seconds = []
    for _ in range(CALLS):
        begun = time.perf_counter()
        jax.block_until_ready(program(weights, batch))
        seconds.append(time.perf_counter() - begun)
    flops = lowered.cost_analysis()["flops"] / size
    return Cost(state.count(weights["params"]), flops, size / statistics.median(seconds))


def _batch(size: int, data: c.Data) -> Batch:
    """Whole clips of noise: what a program takes does not depend on what it sees."""
    rng = np.random.default_rng(0)
    shape = (size, data.frames)
    return Batch(
        frames=rng.integers(0, 256, (*shape, data.size, data.size, 3), np.uint8),
        landmarks=rng.uniform(0, data.size, (*shape, 5, 2)).astype(np.float32),
        length=np.full(size, data.frames, np.int32),
        label=np.zeros(size, np.int32),
        weight=np.ones(size, np.float32),
        row=np.zeros(size, np.int32),
    )
