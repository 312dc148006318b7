"""What a model costs to run: parameters, arithmetic, and time on this machine; and the table of its parts."""

from __future__ import annotations

import math
import os
import statistics
import time

import jax
import numpy as np
from jax.extend.core import ClosedJaxpr, Jaxpr
from rich.console import Console
from rich.table import Column, Table

from fusion_dfd import config as c
from fusion_dfd.config import ConfigError
from fusion_dfd.reports.comparison import Cost
from fusion_dfd.training import optim, state, step
from fusion_dfd.training.loop import divisible
from fusion_dfd.training.optim import Group
from fusion_dfd.types import Batch

CALLS = 5
"""Timed calls; the result is their median."""


def measure(config: c.Config) -> Cost:
    """Cost of the evaluation program of ``config``, with fresh weights, on batches of its evaluation.

    Windows per second are those of the compiled program alone, without reading or decoding.
    """
    replicated, split = state.shardings(state.data_mesh())
    made = jax.jit(lambda: state.variables(config.model, 0), out_shardings=replicated)()
    weights = dict(zip(("params", "stats"), made, strict=True))
    size = divisible(config.evaluate.batch_size)
    batch = jax.device_put(noise(size, config.data), split)
    program = step.make_predict(state.graphs(config.model), replicated).lower(weights, batch).compile()
    jax.block_until_ready(program(weights, batch))
    seconds = []
    for _ in range(CALLS):
        begun = time.perf_counter()
        jax.block_until_ready(program(weights, batch))
        seconds.append(time.perf_counter() - begun)
    return Cost(state.count(weights["params"]), flops(config), size / statistics.median(seconds))


def flops(config: c.Config) -> float:
    """FLOPs of one window, forward. Nothing is compiled or run.

    This is XLA's count for the CPU program before optimisation, whatever device will run it: JAX has no such count for
    other devices. It counts the body of a loop once, so for recurrent layers it includes the products with the inputs,
    but not those with the state at each step. NaN if this process may not use its CPU (``JAX_PLATFORMS=cuda``).
    """
    return _flops(_traced(config))


def _traced(config: c.Config) -> jax.stages.Traced:
    """The program that scores one window."""
    batch = jax.tree.map(lambda array: jax.ShapeDtypeStruct(array.shape, array.dtype), noise(1, config.data))
    return step.make_predict(state.graphs(config.model)).trace(state.abstract_variables(config.model), batch)


def _flops(traced: jax.stages.Traced) -> float:
    try:
        (cpu, *_) = jax.local_devices(backend="cpu")
    except RuntimeError:
        return math.nan
    with jax.default_device(cpu):
        return traced.lower().cost_analysis()["flops"]


def check_memory(config: c.Config, traced: jax.stages.Traced) -> None:
    """Raises ConfigError where a training step surely wants more memory than its device has.

    Counted is what no compiler can avoid: the weights, their average, gradient and two moments of AdamW; and for each
    window of a micro-batch the frames and what every convolution and matrix product gives, which the backward pass
    reads. What parts of a model give that do not learn, or are computed again (``model.remat``), is not kept.
    """
    weights = 5 * sum(leaf.size * 4 for leaf in jax.tree.leaves(state.abstract_variables(config.model)["params"]))
    kept = not config.model.remat and not any(group.frozen for group in config.optim.parsed_groups)
    window = config.data.frames * config.data.size**2 * 3 + (_products(traced.jaxpr.jaxpr) if kept else 0)
    windows = config.train.batch_size / config.optim.accumulate / jax.device_count()
    wanted, device = weights + windows * window, state.data_mesh().local_devices[0]
    there = memory(device)
    if wanted > there:
        raise ConfigError(
            f"train.batch_size={config.train.batch_size}: a training step wants more than {wanted / 1e9:.1f} GB, "
            f"{device.device_kind} has {there / 1e9:.1f} GB; lower it, raise optim.accumulate, or set model.remat=True"
        )


def memory(device: jax.Device) -> float:
    """Bytes of a device; of a CPU those of the machine. Infinity where nobody says."""
    if device.platform != "cpu":
        return (device.memory_stats() or {}).get("bytes_limit", math.inf)
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        return math.inf


def _products(jaxpr: Jaxpr) -> int:
    """Bytes of what all convolutions and matrix products give; of a loop at every turn, of branches the largest."""
    total = 0
    for equation in jaxpr.eqns:
        if equation.primitive.name in ("conv_general_dilated", "dot_general"):
            total += sum(out.aval.size * out.aval.dtype.itemsize for out in equation.outvars)
        inner = sum(_products(part.jaxpr) for part in equation.params.values() if isinstance(part, ClosedJaxpr))
        branches = max((_products(part.jaxpr) for part in equation.params.get("branches", ())), default=0)
        total += (inner + branches) * equation.params.get("length", 1)  # of a scan
    return total


def noise(size: int, data: c.Data) -> Batch:
    """Whole windows of noise, as numpy arrays: the time of a program does not depend on the values it reads."""
    rng = np.random.default_rng(0)
    shape = (size, data.frames)
    return Batch(
        frames=rng.integers(0, 256, (*shape, data.size, data.size, 3), np.uint8),
        landmarks=rng.uniform(0, data.size, (*shape, 5, 2)).astype(np.float32),
        length=np.full(size, data.frames, np.int32),
        label=np.zeros(size, np.int32),
        weight=np.ones(size, np.float32),
        row=np.zeros(size, np.int32),
        contiguous=np.ones(size, bool),
        forged=np.zeros(shape, np.uint8),
    )


def print_model_table(config: c.Config, console: Console) -> None:
    """Print the parts of the model that is about to be trained: their parameters and learning rates; and its FLOPs.

    Raises ConfigError for groups that match no parameter or freeze all, and as :func:`check_memory` does.
    """
    chosen = config.optim.parsed_groups
    params = state.abstract_variables(config.model)["params"]
    optim.check(config.optim, params)
    right = {"justify": "right"}
    table = Table("part", Column("parameters", **right), Column("trained", **right), "learning rate", show_footer=True)
    assigned = optim.assign(chosen, params)
    totals = np.zeros(2, np.int64)
    for part in sorted(params):
        sizes = [leaf.size for leaf in jax.tree.leaves(params[part])]
        owners = jax.tree.leaves(assigned[part])
        counts = sum(sizes), sum(size for size, one in zip(sizes, owners, strict=True) if not one.frozen)
        totals += counts
        table.add_row(part, *(f"{count:,}" for count in counts), ", ".join(dict.fromkeys(map(_rate, owners))))
    for column, text in zip(table.columns, ("all", *(f"{count:,}" for count in totals)), strict=False):
        column.footer = text
    console.print(table)
    traced = _traced(config)
    check_memory(config, traced)
    per_window = _flops(traced)
    if not math.isnan(per_window):
        console.print(
            f"{per_window / 1e9:.2f} GFLOPs per window of {config.data.frames} frames, forward", highlight=False
        )


def _rate(group: Group) -> str:
    if group.frozen:
        return "frozen"
    rate = "full" if group.factor == 1 else f"x {group.factor:g}"
    return f"{rate} from step {group.step}" if group.step else rate
