"""Cached features: a frozen backbone encodes every frame once, before training, instead of once per epoch.

The features of all frames of a split are kept in a ``.npy`` file, in the run folder or in one that several runs share;
:class:`FeatureClips` reads windows from it.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator

import jax
import numpy as np
from flax import nnx

from fusion_dfd import atomic, terminal
from fusion_dfd import config as c
from fusion_dfd.config import Data
from fusion_dfd.input import pipeline
from fusion_dfd.input.loader import Frames
from fusion_dfd.input.windows import Seen, WindowRequest
from fusion_dfd.shards.clip_index import ClipTable, Split
from fusion_dfd.training import distributed
from fusion_dfd.training.state import Graphs, TrainState
from fusion_dfd.types import DataError

CHUNK = 64
"""Frames encoded per call."""


def clips(config: c.Config, graphs: Graphs, now: TrainState, split: Split, workdir: str) -> FeatureClips | None:
    """The clips of a split as features of the backbone in ``now``; None unless ``config.data.cache`` is set.

    Their file in ``config.data.cache_dir``, or ``workdir/features``, is named by a hash of weights and shards: a
    continued run uses it again. Of several processes, the first one encodes, on its first device.
    """
    if not config.data.cache:
        return None
    folder = config.data.cache_dir or os.path.join(workdir, "features")
    path = os.path.join(folder, f"{_identity(config, now, split)}.npy")
    distributed.first("features", lambda: os.path.exists(path) or _encode(config, graphs, now, split, path))
    return FeatureClips(split.table, config.data, path)


class FeatureClips:
    """Windows of features: with them, ``Batch.frames`` is float32 [b, t, c]. Nothing is augmented, and contiguity is
    not looked up: the systems that read features do not ask for it.

    Args:
      table: of the split.
      data: says how many frames a window has.
      path: a ``.npy`` file, float32 [frames of all clips in table order, c]; it is memory-mapped.

    Raises :class:`DataError` if the file does not hold as many frames as the table, or if only stretches of a video are
    forged: which frames, the records say.
    """

    def __init__(self, table: ClipTable, data: Data, path: str | os.PathLike):
        self._values = np.load(path, mmap_mode="r")
        self._first = np.concatenate([[0], np.cumsum(table.frames)])
        if len(self._values) != self._first[-1]:
            raise DataError(f"{path} holds {len(self._values)} frames, the shards {self._first[-1]}: delete the file")
        if (np.asarray(table.forged) % np.maximum(table.frames, 1)).any():
            raise DataError("data.cache: only stretches of some videos are forged; train without the cache")
        self._labels = np.asarray(table.forged) > 0
        self.shape = Frames((data.frames, self._values.shape[1]), np.float32)
        self.points = 5

    def read(self, window: WindowRequest, out: np.ndarray) -> Seen:
        first = int(self._first[window.row]) + window.start
        values = self._values[first : min(first + len(out), int(self._first[window.row + 1]))]
        out[: len(values)] = values
        forged = np.full(len(values), self._labels[window.row], np.uint8)
        return Seen(np.zeros((len(values), 5, 2), np.float32), forged)


def _identity(config: c.Config, now: TrainState, split: Split) -> str:
    model = config.model
    digest = hashlib.sha256(f"{config.data.size} {model.system} {model.backbone} {model.bfloat16}".encode())
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
    with terminal.progress("frames") as bar, atomic.binary(path) as file:
        task = bar.add_task("encoding every frame once", total=total)
        header = {"descr": "<f4", "fortran_order": False, "shape": (total, channels)}
        np.lib.format.write_array_header_1_0(file, header)
        for part in _chunks(pipeline.whole_clips(split, config.data)):
            full = np.zeros(shape, np.uint8)
            full[: len(part)] = part
            file.write(np.asarray(encode(params, stats, full), "<f4")[: len(part)].tobytes())
            bar.advance(task, len(part))


def _chunks(clips: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """The frames of all clips, CHUNK at a time; the last chunk may be smaller."""
    rest: list[np.ndarray] = []
    for clip in clips:
        joined = np.concatenate([*rest, clip])
        whole = len(joined) // CHUNK * CHUNK
        yield from np.split(joined[:whole], whole // CHUNK) if whole else ()
        rest = [joined[whole:]]
    if rest and len(rest[0]):
        yield rest[0]
