"""A frozen backbone encodes every frame once, before training, instead of once an epoch."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator

import jax
import numpy as np
from flax import nnx
from rich.console import Console
from rich.progress import Progress

from fusion_dfd import atomic
from fusion_dfd import config as c
from fusion_dfd.input import pipeline
from fusion_dfd.input.features import FeatureClips
from fusion_dfd.shards.table import Split
from fusion_dfd.training import distributed
from fusion_dfd.training.state import Graphs, TrainState

CHUNK = 64
"""Frames encoded per call."""


def clips(config: c.Config, graphs: Graphs, now: TrainState, split: Split, workdir: str) -> FeatureClips | None:
    """The clips of a split as features of the backbone in ``now``; None unless ``config.data.cache`` asks for them.

    They lie in ``workdir/features``, by a hash of the weights and the shards, and are reused by a continued run. Of
    several processes the first encodes, on its first device.
    """
    if not config.data.cache:
        return None
    path = os.path.join(workdir, "features", f"{_identity(config, now, split)}.npy")
    distributed.first("features", lambda: os.path.exists(path) or _encode(config, graphs, now, split, path))
    return FeatureClips(split.table, config.data, path)


def _identity(config: c.Config, now: TrainState, split: Split) -> str:
    digest = hashlib.sha256(f"{config.data.size} {config.model.backbone}".encode())
    for leaf in jax.tree.leaves((now.params["backbone"], now.stats.get("backbone"))):
        digest.update(np.asarray(leaf).tobytes())
    for column in (split.table.video, split.table.clip, split.table.frames, split.table.size):
        digest.update(np.asarray(column).tobytes())
    return digest.hexdigest()[:16]


def _encode(config: c.Config, graphs: Graphs, now: TrainState, split: Split, path: str) -> None:
    @jax.jit
    def encode(params: dict, stats: dict, frames: jax.Array) -> jax.Array:
        return nnx.merge(graphs.evaluate, params, stats).encode(frames)

    params, stats = jax.device_put(jax.device_get((now.params, now.stats)), jax.local_devices()[0])
    shape = (CHUNK, config.data.size, config.data.size, 3)
    channels = jax.eval_shape(encode, params, stats, jax.ShapeDtypeStruct(shape, np.uint8)).shape[1]
    total = int(np.sum(split.table.frames))
    with Progress(console=Console(stderr=True), transient=True) as bar, atomic.binary(path) as file:
        task = bar.add_task("encoding every frame once", total=total)
        header = {"descr": "<f4", "fortran_order": False, "shape": (total, channels)}
        np.lib.format.write_array_header_1_0(file, header)
        for part in _chunks(pipeline.whole_clips(split, config.data)):
            full = np.zeros(shape, np.uint8)
            full[: len(part)] = part
            file.write(np.asarray(encode(params, stats, full), "<f4")[: len(part)].tobytes())
            bar.advance(task, len(part))


def _chunks(clips: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """The frames of all clips, CHUNK at a time; the last of them may be fewer."""
    held: list[np.ndarray] = []
    for clip in clips:
        joined = np.concatenate([*held, clip])
        whole = len(joined) // CHUNK * CHUNK
        yield from np.split(joined[:whole], whole // CHUNK) if whole else ()
        held = [joined[whole:]]
    if held and len(held[0]):
        yield held[0]
