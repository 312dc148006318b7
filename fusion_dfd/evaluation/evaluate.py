"""From a model and batches to rows of scores; and the videos that have no row."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from rich.progress import Progress

from fusion_dfd.evaluation.scores import FrameScore
from fusion_dfd.evaluation.summary import UNSCORED, Unscored
from fusion_dfd.input.sampling import WindowList
from fusion_dfd.shards.clip_index import MANIFEST, ClipTable
from fusion_dfd.types import Batch, DataError, Outputs, Score, Stretches


def score_windows(
    predict: Callable[[Batch], Outputs],
    batches: Iterable[Batch],
    windows: WindowList,
    table: ClipTable,
    progress: Progress | None = None,
) -> tuple[list[Score], list[FrameScore] | None]:
    """Score every window once: a row of each, and of each frame if the model gives ``Outputs.frame_logits``, else None.

    Args:
      predict: the model; may return before the device is done.
      batches: with ``row`` pointing into ``windows``; rows of weight 0 are filling. Any order.
      windows: the row of ``table`` and the first frame in the stored clip of each window.
      table: what is known of each stored clip.
      progress: a running progress display, which gets a bar with the number of windows.

    A NaN logit is kept; the metrics report it. Raises :class:`DataError` when the batches do not hold every window.
    """
    collected = _Collected(len(windows))
    task = progress.add_task("scoring windows", total=len(windows)) if progress else None
    pending = None
    for batch in batches:
        outputs = predict(batch)
        facts = batch.contiguous, batch.forged
        now = batch.row, batch.weight, batch.length, facts, outputs.logit, outputs.frame_logits
        # Read one batch late: the device works on this batch while the host handles the one before.
        count = collected.add(pending)
        pending = now
        if progress:
            progress.advance(task, count)
    count = collected.add(pending)
    if progress:
        progress.advance(task, count)
    if not collected.done.all():
        count = int(collected.done.sum())
        raise DataError(f"the batches hold {count} of {len(windows)} windows: the loader dropped some")
    places = zip(windows.rows.tolist(), windows.starts.tolist(), strict=True)
    rows = [collected.facts(table, row, start, number) for number, (row, start) in enumerate(places)]
    scored = [Score(**row, logit=float(logit)) for row, logit in zip(rows, collected.logits, strict=True)]
    if len(collected.frames) < len(windows):
        return scored, None
    forged, logits = collected.forged, collected.frames
    frames = [one for number, row in enumerate(rows) for one in frame_rows(row, forged.get(number), logits[number])]
    return scored, frames


class _Collected:
    """What batches say, by number of the window."""

    def __init__(self, count: int):
        self.logits = np.full(count, np.nan)
        self.contiguous = np.ones(count, dtype=bool)
        self.lengths = np.zeros(count, dtype=int)
        self.forged: dict[int, np.ndarray] = {}
        self.done = np.zeros(count, dtype=bool)
        self.frames: dict[int, np.ndarray] = {}

    def add(self, pending: tuple | None) -> int:
        """Wait for a batch and keep its rows; returns their number."""
        if pending is None:
            return 0
        row, weight, length, facts, logit, frame_logits = pending
        row, weight, length, logit, frame_logits = map(_on_host, (row, weight, length, logit, frame_logits))
        contiguous, forged = map(_on_host, facts)
        real = weight > 0
        self.logits[row[real]] = logit[real]
        self.done[row[real]] = True
        self.lengths[row[real]] = length[real]
        if contiguous is not None:
            self.contiguous[row[real]] = contiguous[real]
        if forged is not None:
            self.forged |= {int(row[i]): forged[i, : length[i]] for i in np.flatnonzero(real)}
        if frame_logits is not None:
            self.frames |= {int(row[i]): frame_logits[i, : length[i]] for i in np.flatnonzero(real)}
        return int(real.sum())

    def facts(self, table: ClipTable, row: int, start: int, number: int) -> dict[str, Any]:
        """Of the window ``number``, at frame ``start`` of the clip in ``row``."""
        length, contiguous = int(self.lengths[number]), bool(self.contiguous[number])
        return window_facts(table, row, start, length, contiguous, self.forged.get(number))


def _on_host(array: Any) -> np.ndarray | None:
    """A whole array, also when other processes hold parts of it."""
    if isinstance(array, jax.Array) and not (array.is_fully_addressable or array.is_fully_replicated):
        return np.asarray(multihost_utils.process_allgather(array, tiled=True))
    return None if array is None else np.asarray(array)


def window_facts(
    table: ClipTable, row: int, start: int, length: int, contiguous: bool, forged: Sequence[int] | None
) -> dict[str, Any]:
    """The fields of a :class:`Score`, but for its logit, of ``length`` frames from ``start`` of the clip in ``row``.

    ``forged`` [length] is the label of each frame. It counts only if the video is real or states its stretches.
    """
    begin = int(table.start[row]) + start
    known = forged is not None and (int(table.label[row]) == 0 or bool(table.stretches[row]))
    return {
        **{name: str(getattr(table, name)[row]) for name in ("video", "dataset", "method", "compression", "group")},
        **{name: int(getattr(table, name)[row]) for name in ("clip", "track", "label")},
        "start": begin,
        "stop": begin + length,
        "contiguous": int(contiguous),
        "forged": int(np.sum(forged)) if known else -1,
    }


def frame_rows(window: dict[str, Any], forged: Sequence[int] | None, logits: Sequence[float]) -> list[FrameScore]:
    """The frames of a window: what :func:`window_facts` says of it, the label of each frame, and the logit of each."""
    labels = forged if window["forged"] >= 0 else [-1] * len(logits)
    return [
        FrameScore(**window | {"forged": int(label)}, logit=float(logit), frame=window["start"] + t)
        for t, (label, logit) in enumerate(zip(labels, logits, strict=True))
    ]


def stretches(table: ClipTable) -> dict[str, Stretches]:
    """The forged stretches of the videos that state them, in frames, by key."""
    stated = np.flatnonzero(np.asarray(table.stretches) != "")
    return {str(table.video[row]): Stretches.parse(str(table.stretches[row])) for row in stated}


def unscored(folder: str | os.PathLike, split: str) -> list[Unscored]:
    """Videos of ``split`` without a clip in a prepared folder, by its manifest: unreadable, then faceless.

    Raises :class:`DataError` when the manifest is missing, damaged, or does not say split, label and group of each.
    """
    manifest, path = _manifest(folder)
    try:
        found = [(kind, entry) for kind in UNSCORED for entry in manifest[kind]]
        return [_unscored(kind, entry) for kind, entry in found if entry["split"] == split]
    except (ValueError, KeyError, TypeError) as error:
        raise _outdated(path, error) from error


def attributes(folder: str | os.PathLike) -> dict[str, dict[str, str]]:
    """``Video.attributes`` of the videos of a prepared folder, by key; empty where its manifest has none.

    Raises :class:`DataError` when the manifest is missing or damaged.
    """
    return _manifest(folder)[0].get("attributes", {})


def _manifest(folder: str | os.PathLike) -> tuple[dict, str]:
    """The manifest of a prepared folder, and its path."""
    path = os.path.join(folder, MANIFEST)
    try:
        with open(path, encoding="utf-8") as file:
            return dict(json.load(file)), path
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}; prepare the folder again") from error
    except (ValueError, TypeError) as error:
        raise _outdated(path, error) from error


def _outdated(path: str, error: Exception) -> DataError:
    return DataError(f"{path} is not a manifest of this version ({error!r}); prepare the folder again")


def _unscored(kind: str, entry: dict) -> Unscored:
    dataset, method, compression, _ = entry["video"].split("/", 3)
    about = entry["video"], dataset, method, compression, entry["group"], int(entry["label"])
    return Unscored(*about, kind, entry["reason"])
