"""The table of a prepared folder: one row per clip, read from small sidecar files, without opening the shards.

Each shard has a sidecar ``<shard>.index.json``, which is written after it. A shard is complete if its sidecar exists
and has the shard's name and size in bytes. A missing sidecar is rebuilt from the shard, and every checksum is checked.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import hashlib
import json
import os
import re
import warnings
from collections.abc import Iterable, Sequence

import numpy as np

from fusion_dfd import atomic
from fusion_dfd.shards import records, tfrecord
from fusion_dfd.types import DataError

SUFFIX = ".index.json"
VERSION = 1
"""Version of the sidecar's format."""
PLAN = "plan.json"
MANIFEST = "manifest.json"
"""Written by :mod:`fusion_dfd.shards.prepare` before the first and after the last shard."""

_FINISH = "run the same prepare again to finish it"

_SHARD = re.compile(r"(?P<name>.+)-(?P<split>[^-]+)\.tfrecord-(?P<shard>\d{5})-of-(?P<total>\d{5})")


@dataclasses.dataclass(frozen=True)
class ClipTable:
    """One row per record of a split, as equally long numpy columns."""

    shard: np.ndarray
    """int64 [n], number of the file in ``TFRecordSource.paths``."""
    offset: np.ndarray
    """int64 [n], first byte of the record in its file."""
    size: np.ndarray
    """int64 [n], bytes of its data."""
    frames: np.ndarray
    """int64 [n], frames of the clip."""
    video: np.ndarray
    """str [n], ``Video.key``."""
    clip: np.ndarray
    """int64 [n], number of the clip in its video."""
    track: np.ndarray
    """int64 [n], which face of the video; 0 is the main one."""
    dataset: np.ndarray
    method: np.ndarray
    compression: np.ndarray
    group: np.ndarray
    source: np.ndarray
    """str [n], as in :class:`fusion_dfd.types.Video`."""
    label: np.ndarray
    """int64 [n], label of the video, 0 = real, 1 = fake. In a fake video it is known to hold for track 0 only."""
    start: np.ndarray
    """int64 [n], first frame of the clip in the source video."""
    forged: np.ndarray
    """int64 [n], how many frames of the clip are forged."""
    stretches: np.ndarray
    """str [n], the forged stretches of the video in frames (:meth:`fusion_dfd.types.Stretches.text`), ``""`` where it
    states none."""

    def __len__(self) -> int:
        return len(self.shard)


COLUMNS = tuple(field.name for field in dataclasses.fields(ClipTable))
_TEXT = ("video", "dataset", "method", "compression", "group", "source", "stretches")
_STORED = COLUMNS[1:]
"""Columns of a sidecar: all but the number of the shard, which depends on its neighbours."""
_WHOLE = ("frames", "label")
"""Their product is ``forged`` where a sidecar is of a version that did not know of stretches."""


@dataclasses.dataclass(frozen=True)
class Split:
    """A split, opened: ``source[row]`` is the record that row ``row`` of ``table`` describes."""

    source: tfrecord.TFRecordSource
    table: ClipTable

    def __len__(self) -> int:
        return len(self.table)


def shard_name(name: str, split: str, shard: int, total: int) -> str:
    """File name in TFDS's scheme, e.g. ``faceforensics-train.tfrecord-00003-of-00079``."""
    return f"{name}-{split}.tfrecord-{shard:05d}-of-{total:05d}"


def describe(record: bytes) -> dict:
    """The row of the table for one serialised clip, without its position in the file."""
    clip = records.decode(record)
    video = clip.video
    return {
        "frames": len(clip),
        "video": video.key,
        "clip": clip.clip,
        "track": clip.track,
        "dataset": video.dataset,
        "method": video.method,
        "compression": video.compression,
        "group": video.group,
        "source": video.source,
        "label": video.label,
        "start": int(clip.indices[0]) if len(clip) else 0,
        "forged": int((len(clip) * video.label) if clip.forged is None else clip.forged.sum()),
        "stretches": video.stretches.text() if video.stretches else "",
    }


def write_index(shard: str, written: tfrecord.Written, rows: Iterable[dict], about: dict) -> None:
    """Write the sidecar of a finished shard.

    Args:
      shard: path of the shard.
      written: what :func:`tfrecord.write` returned for it.
      rows: :func:`describe` of each record, in order.
      about: stored as it is under ``about``; see :func:`fusion_dfd.shards.shard_writer.write_shard`.
    """
    columns = _gather(written.offsets, written.sizes, list(rows))
    whole = {"version": VERSION, "shard": os.path.basename(shard), "bytes": written.bytes, "sha256": written.sha256}
    whole |= {"about": about, "columns": columns}
    atomic.write_text(shard + SUFFIX, json.dumps({**whole, "digest": _digest(whole)}))


def _digest(index: dict) -> str:
    """SHA-256 in hexadecimal of what a sidecar says: a changed bit would give a clip another label in silence."""
    return hashlib.sha256(json.dumps(index, sort_keys=True).encode()).hexdigest()


def read_index(shard: str) -> dict | None:
    """The sidecar of a shard; None if it is missing, damaged, or of another shard. The shard itself is not read."""
    try:
        with open(shard + SUFFIX, encoding="utf-8") as file:
            index = json.load(file)
        if index.pop("digest", "") not in ("", _digest(index)):  # sidecars of earlier versions have none
            return None
        ours = index["version"] == VERSION and index["shard"] == os.path.basename(shard)
        columns = index["columns"]
        columns.setdefault("forged", [count * label for count, label in zip(*map(columns.get, _WHOLE), strict=True)])
        columns.setdefault("stretches", [""] * len(columns["label"]))
        lengths = {len(columns[name]) for name in _STORED}
        return index if ours and len(lengths) == 1 and isinstance(index["bytes"], int) else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def valid_index(shard: str) -> dict | None:
    """The sidecar of a shard that is complete, else None."""
    index = read_index(shard)
    if index is None or not os.path.isfile(shard) or os.path.getsize(shard) != index["bytes"]:
        return None
    return index


def open_split(folder: str, split: str, excluded: Sequence[str] = ()) -> Split:
    """Open ``train``, ``val`` or ``test`` of a prepared folder, without the ``excluded`` manipulations.

    Raises DataError when the folder, the split or one of its shards is missing, when a shard is not as long as its
    sidecar says, when the split holds no clip, and as :func:`without` does.
    """
    shards = find_shards(folder).get(split)
    if not shards:
        raise DataError(f"{folder} has no split {split!r}; it holds {_inventory(folder)}")
    return without(_open(shards, f"split {split!r} of {folder}", folder), excluded)


def open_whole(folder: str) -> Split:
    """All splits of a prepared folder as one. Raises DataError as :func:`open_split` does."""
    return _open([shard for shards in find_shards(folder).values() for shard in shards], folder, folder)


def _open(shards: Sequence[str], what: str, folder: str) -> Split:
    columns, numbers = collections.defaultdict(list), []
    for number, shard in enumerate(shards):
        own = _columns(shard)
        numbers.append(np.full(len(own["offset"]), number, np.int64))
        for name in _STORED:
            columns[name].extend(own[name])
    arrays = {name: np.array(columns[name], str if name in _TEXT else np.int64) for name in _STORED}
    table = ClipTable(shard=np.concatenate(numbers), **arrays)
    if not len(table):
        raise DataError(f"{what} holds no clip; {os.path.join(folder, MANIFEST)} says why")
    index = np.stack([table.shard, table.offset, table.size], axis=1)
    return Split(tfrecord.TFRecordSource(shards, index), table)


def without(split: Split, methods: Sequence[str]) -> Split:
    """The split without the clips of some manipulations.

    Raises DataError where one of them is not in the split, where one is that of the real videos, or where no clip is
    left.
    """
    if not methods:
        return split
    present = sorted(set(split.table.method[split.table.label == 1].tolist()))
    if unknown := sorted(set(methods) - set(present)):
        raise DataError(f"cannot leave out {', '.join(unknown)}: the manipulations there are {', '.join(present)}")
    keep = np.flatnonzero(~np.isin(split.table.method, list(methods)))
    if not len(keep):
        raise DataError(f"without {', '.join(methods)} there is no clip left: leave out fewer manipulations")
    return take(split, keep)


def real(split: Split) -> Split:
    """The real videos of a split, which may be none."""
    return take(split, np.flatnonzero(split.table.label == 0))


def take(split: Split, keep: np.ndarray) -> Split:
    """The rows ``keep`` of a split, in that order: numbers, or a bool for each row."""
    columns = {name: getattr(split.table, name)[keep] for name in COLUMNS}
    return Split(tfrecord.TFRecordSource(split.source.paths, split.source.index[keep]), ClipTable(**columns))


def find_shards(folder: str) -> dict[str, list[str]]:
    """Paths of the shards of each split, in order.

    Raises DataError when the folder is missing, holds no shard, lacks some, or was never finished.
    """
    if not os.path.isdir(folder):
        raise DataError(f"{folder} is no folder; make it with fusion-dfd prepare --out {folder}")
    if os.path.exists(os.path.join(folder, PLAN)) and not os.path.exists(os.path.join(folder, MANIFEST)):
        raise DataError(f"preparing {folder} was not finished; {_FINISH}")
    present, totals = collections.defaultdict(set), {}
    for match in filter(None, map(_SHARD.fullmatch, os.listdir(folder))):
        key = match["split"], match["name"], int(match["total"])
        present[key].add(int(match["shard"]))
    if not present:
        raise DataError(f"{folder} holds no shards, but {_inventory(folder)}; make them with fusion-dfd prepare")
    out = collections.defaultdict(list)
    for (split, name, total), numbers in sorted(present.items()):
        if len(numbers) < total or totals.setdefault((split, name), total) != total:
            raise DataError(f"split {split!r} of {folder} has {len(numbers)} of {total} shards; {_FINISH}")
        out[split] += [os.path.join(folder, shard_name(name, split, number, total)) for number in range(total)]
    return dict(out)


def _inventory(folder: str) -> str:
    """What is in a folder, in a few words."""
    names = sorted(name for name in os.listdir(folder) if not name.startswith("."))
    splits = sorted({match["split"] for match in filter(None, map(_SHARD.fullmatch, names))})
    if splits:
        return f"the splits {', '.join(splits)}"
    return (
        f"{len(names)} other files ({', '.join(names[:5])}{', ...' if len(names) > 5 else ''})" if names else "nothing"
    )


def _columns(shard: str) -> dict[str, Sequence]:
    index = read_index(shard) or _rebuild(shard)
    size = os.path.getsize(shard)
    if size != index["bytes"]:
        raise DataError(
            f"{shard} has {size} bytes, its index says {index['bytes']}: it was truncated or changed; delete it and "
            "run the same prepare again"
        )
    return index["columns"]


def _rebuild(shard: str) -> dict:
    """The sidecar's content from the records of the shard; saved when the shard is complete."""
    scanned = tfrecord.scan(shard)
    index = np.stack([np.zeros_like(scanned.offsets), scanned.offsets, scanned.sizes], axis=1)
    source = tfrecord.TFRecordSource([shard], index)
    rows = [describe(source[row]) for row in range(len(source))]
    columns = _gather(scanned.offsets, scanned.sizes, rows)
    if scanned.dropped:
        warnings.warn(
            f"{shard}: the last {scanned.dropped} bytes are an incomplete record and were left out", stacklevel=2
        )
        return {"bytes": os.path.getsize(shard), "columns": columns}
    written = tfrecord.Written(scanned.offsets, scanned.sizes, os.path.getsize(shard), sha256="")
    with contextlib.suppress(DataError):  # a folder that cannot be written can still be read
        write_index(shard, written, rows, about={})
    return {"bytes": written.bytes, "columns": columns}


def _gather(offsets: np.ndarray, sizes: np.ndarray, rows: list[dict]) -> dict[str, list]:
    columns = {name: [row[name] for row in rows] for name in _STORED[2:]}
    return {"offset": offsets.tolist(), "size": sizes.tolist(), **columns}
