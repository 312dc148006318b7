"""How a training step and a forward pass grow with one thing at a time. Prints one JSON line.

    python benchmarks/scale.py [--rounds 5] [--plot FILE.svg]

``fusion.py:sample`` at its own size, with one axis changed: clips a batch, frames a clip, pixels a side, devices. The
exponent is the slope of log(time) over log(size) by least squares: 1 is a straight line through the origin, less is a
fixed cost that is shared, more is worse than in proportion. Of pixels a side 2 is in proportion to the area. Devices
share a batch of the same size; on a CPU they are made of the same cores, so that 0 is the best there can be, and 0 is
all that is measured there: what splitting itself costs. On GPUs -1 is the best. The least of the rounds counts. One
point is on every axis, and measured on each: its figures lie apart by what else the machine does, and smaller
differences between axes mean nothing.
"""

import argparse
import dataclasses
import json
import os
import pathlib
import runpy
from collections.abc import Callable

import jax
import numpy as np
from apart import Unavailable, Ways, timed
from jax.sharding import AxisType
from matplotlib.figure import Figure

from fusion_dfd import cache
from fusion_dfd import config as c
from fusion_dfd.training import cost, optim, state, step

CONFIG = pathlib.Path(__file__).parents[1] / "configs" / "fusion.py"
AXES = {"clips": (8, 16, 32), "frames": (6, 12, 24), "pixels": (48, 64, 96), "devices": (1, 2, 4, 8)}
BATCH = 8
STEPS = 2
"""Timed a turn."""
IN_ORDER = "--xla_cpu_enable_concurrency_optimized_scheduler=false"
"""Of XLA on CPUs: a step takes a seventh longer."""


def configure(base: c.Config, axis: str, size: int) -> tuple[c.Config, int, int]:
    """Configuration, clips a batch and devices of a point."""
    fields = {"frames": "frames", "pixels": "size"}
    data = dataclasses.replace(base.data, **{fields[axis]: size}) if axis in fields else base.data
    return (
        dataclasses.replace(base, data=data),
        size if axis == "clips" else BATCH,
        size if axis == "devices" else 1,
    )


def use_devices(count: int) -> None:
    """Have this process's CPU count as several devices; before JAX is first used."""
    jax.config.update("jax_num_cpu_devices", count)
    # Else sums over devices that do not wait for each other take all threads of a pool as large as the cores, and with
    # four devices on two cores none ends. At every size, so that all are compared alike.
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {IN_ORDER}"


def make(config: c.Config, batch: int, devices: int) -> Callable[[], dict[str, float]]:
    """Milliseconds of a step and of a forward pass."""
    use_devices(devices)
    if len(jax.devices()) < devices:
        raise Unavailable(f"{len(jax.devices())} devices")
    cache.keep_programs()  # the same point is part of every axis
    mesh = jax.make_mesh((devices,), ("data",), axis_types=(AxisType.Auto,), devices=jax.devices()[:devices])
    replicated, split = state.shardings(mesh)
    tx = optim.build(config.optim, config.train.steps)
    graphs = state.graphs(config.model)
    current = [state.create(config.model, tx, 0, replicated)]
    run = step.make_train_step(graphs, tx, config.optim, replicated)
    predict = step.make_predict(graphs, replicated)
    clips, key = jax.device_put(cost.noise(batch, config.data), split), jax.random.key(0)

    def train() -> None:
        current[0], _ = jax.block_until_ready(run(current[0], clips, key))

    def forward() -> None:
        jax.block_until_ready(predict(current[0].average, clips))

    train()
    forward()
    return lambda: {name: 1e3 * timed(work, STEPS)[0] for name, work in {"step": train, "forward": forward}.items()}


def measure(base: c.Config, axes: dict[str, tuple[int, ...]], rounds: int) -> dict:
    """Every point in a process of its own; those of an axis take turns."""
    points, growth, missing = [], [], {}
    for axis, sizes in axes.items():
        with Ways({str(size): {size: (make, *configure(base, axis, size))} for size in sizes}) as ways:
            found = ways.rounds(rounds)
            missing |= {f"{axis}, {size}": why for size, why in ways.missing.items()}
        least = {size: {name: min(turn[name] for turn in turns) for name in turns[0]} for size, turns in found.items()}
        points += [
            {"axis": axis, "size": size, "ms_step": round(ms["step"], 1), "ms_forward": round(ms["forward"], 1)}
            for size, ms in least.items()
        ]
        if len(least) > 1:
            slopes = {name: exponent(list(least), [ms[name] for ms in least.values()]) for name in ("step", "forward")}
            growth.append({"axis": axis, **{f"exponent_{name}": round(slope, 2) for name, slope in slopes.items()}})
    return {
        "configuration": "fusion.py:sample",
        "clips": BATCH,
        "frames": base.data.frames,
        "pixels": base.data.size,
        "device": jax.devices()[0].device_kind,
        "points": points,
        "growth": growth,
        "missing": missing,
    }


def exponent(sizes: list[int], values: list[float]) -> float:
    """Slope of log(value) over log(size)."""
    return float(np.polyfit(np.log(sizes), np.log(values), 1)[0])


def plot(found: dict, path: str) -> None:
    """A panel per axis, both scales logarithmic."""
    figure = Figure(figsize=(2.7 * len(found["growth"]), 3), layout="constrained")
    panels = figure.subplots(1, len(found["growth"]), squeeze=False, sharey=True)[0]
    for axes, slopes in zip(panels, found["growth"], strict=True):
        points = [point for point in found["points"] if point["axis"] == slopes["axis"]]
        sizes = [point["size"] for point in points]
        for name, mark in (("step", "o-"), ("forward", "s-")):
            label = f"{name}, exponent {slopes[f'exponent_{name}']}"
            axes.plot(sizes, [point[f"ms_{name}"] for point in points], mark, markersize=4, label=label)
        axes.set(xscale="log", yscale="log", xlabel=slopes["axis"])
        axes.set_xticks(sizes, [str(size) for size in sizes])
        axes.minorticks_off()
        axes.legend(fontsize=7, frameon=False, loc="upper left")
    least, most = (
        end(point[name] for point in found["points"] for name in ("ms_forward", "ms_step")) for end in (min, max)
    )
    # Room for the legends above the highest line.
    panels[0].set(ylabel="milliseconds", ylim=(least / 1.2, 2.5 * most))
    ticks = [
        digit * 10**power for power in range(7) for digit in (1, 2, 5) if least / 1.2 < digit * 10**power < 2.5 * most
    ]
    panels[0].set_yticks(ticks, [str(tick) for tick in ticks])
    figure.savefig(path)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--plot")
    given = parser.parse_args()
    found = measure(runpy.run_path(str(CONFIG))["get_config"](), AXES, given.rounds)
    if given.plot:
        plot(found, given.plot)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
