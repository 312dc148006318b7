"""Compares the programs of an exported folder with the live model, on windows of val."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from fusion_dfd import config as c
from fusion_dfd.export import runtime
from fusion_dfd.input import pipeline
from fusion_dfd.runs.run import WEIGHTS, read_weights
from fusion_dfd.shards import clip_index, synthetic
from fusion_dfd.training import checkpoint, state
from fusion_dfd.types import DataError

WINDOWS = 8
"""Most windows that are compared, each of another video."""
TOLERANCE = 1e-3
"""Largest allowed difference of a logit, in float32."""


@dataclasses.dataclass(frozen=True)
class ComparedWindows:
    """Inputs that every program is run on."""

    data: str
    """Name of the folder of shards."""
    batches: list[dict[str, np.ndarray]]
    """Inputs by name, of several batch sizes and lengths."""


def val_windows(config: c.Config, data: str | None) -> ComparedWindows:
    """Windows of val of the shards in ``data``, or of those that ``config`` was trained on.

    Three batches: all windows, one alone, and shortened ones whose frames are not known to be consecutive, so that
    padding, batch sizes and switched-off branches are compared too. Raises DataError if the shards cannot be read.
    """
    folder = data or synthetic.shards_of(config)
    batches, _ = pipeline.eval_batches(clip_index.open_split(folder, "val"), config.data, WINDOWS, most=1)
    first = next(iter(batches))
    real = np.asarray(first.weight) > 0
    whole = {name: array[real] for name, array in runtime.arrays(first, config.model).items()}
    alone = {name: array[:1] for name, array in whole.items()}
    short = {name: array[1:] for name, array in whole.items()} if real.sum() > 1 else dict(alone)
    short["length"] = np.maximum(1, short["length"] // 2).astype(np.int32)
    short["contiguous"] = np.zeros(len(short["length"]), bool)
    return ComparedWindows(os.path.basename(os.path.normpath(folder)), [whole, alone, short])


def compare(trained: checkpoint.TrainedModel, folder: str, windows: ComparedWindows, onnx: bool) -> dict[str, Any]:
    """Read back all artefacts of ``folder``; returns what was compared and each program's largest logit difference.

    Raises DataError if the weights are not bit for bit the same, or if a logit differs by more than TOLERANCE.
    """
    _same_weights(trained, folder)
    live = jax.jit(runtime.function(trained.config.model))
    expected = [jax.device_get(live(trained.weights, *batch.values())) for batch in windows.batches]
    found = {runtime.STABLEHLO: runtime.stablehlo_program(folder)}
    if onnx:
        found[runtime.ONNX] = runtime.onnx_program(folder)
    differences = {name: _largest(run, windows.batches, expected) for name, run in found.items()}
    for name, difference in differences.items():
        if not difference <= TOLERANCE:
            raise DataError(
                f"{os.path.join(folder, name)}: a logit is {difference:.2g} away from the live model's, at most "
                f"{TOLERANCE} is allowed: this model cannot be exported in this format"
            )
    return {
        "data": windows.data,
        "split": "val",
        "batch_sizes": [len(batch["length"]) for batch in windows.batches],
        "lengths": sorted({int(one) for batch in windows.batches for one in batch["length"]}),
        "weights": "bit for bit",
        "tolerance": TOLERANCE,
        "largest_difference_of_a_logit": differences,
    }


def _same_weights(trained: checkpoint.TrainedModel, folder: str) -> None:
    sharding = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    model = trained.config.model
    again = read_weights(folder, state.abstract_variables(model), model.system, sharding)
    same = jax.tree.map(lambda a, b: np.asarray(a).tobytes() == np.asarray(b).tobytes(), trained.weights, again)
    if not all(jax.tree.leaves(same)):
        raise DataError(f"{folder}/{WEIGHTS} does not hold the weights that were written: check the disk")


def _largest(
    run: runtime.LoadedProgram, batches: Sequence[dict[str, np.ndarray]], expected: Sequence[dict[str, np.ndarray]]
) -> float:
    """The largest difference of any logit, those of branches included; infinite if one is NaN."""
    worst = 0.0
    for batch, wanted in zip(batches, expected, strict=True):
        got = run(batch)
        for name in wanted:
            if name == "logit" or name.startswith(runtime.BRANCH):
                difference = np.abs(np.asarray(got[name]) - wanted[name]).max()
                worst = max(worst, float(np.nan_to_num(difference, nan=np.inf)))
    return worst
