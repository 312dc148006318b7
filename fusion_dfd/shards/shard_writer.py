"""Making one shard: idempotent, and the same bytes whoever makes it, whenever."""

from __future__ import annotations

import contextlib
import os
import types
from collections.abc import Callable, Iterator, Mapping
from typing import Protocol

from fusion_dfd import config
from fusion_dfd.shards import clip_index, plan, tfrecord
from fusion_dfd.shards import records as example
from fusion_dfd.types import DataError, FaceTrack, Video


class Cut(Protocol):
    """What an extraction returns, see :class:`fusion_dfd.faces.extract.Extraction`."""

    clips: list[FaceTrack]
    damaged: int
    """Packets that did not decode."""
    reason: str
    """Why there is no clip."""
    unmasked: str | None
    """Why the mask did not say which face counts."""


Extract = Callable[[str, config.Faces, object, str], Cut]
"""``extract(path, options, detector, mask)``, where ``mask`` is a path or ``""``."""


def valid(entry: plan.ShardPlan) -> dict | None:
    """The sidecar of a shard that is there whole and was made by exactly this plan, else None."""
    index = clip_index.believed(entry.path)
    return index if index and index["about"].get("fingerprint") == entry.fingerprint else None


def write_shard(
    entry: plan.ShardPlan,
    cut: Callable[[str, str], Cut],
    report: Callable[[str, dict | None], None] = lambda key, found: None,
    deadly: Mapping[str, str] = types.MappingProxyType({}),
) -> dict:
    """Make a shard and its sidecar, unless they are there.

    Args:
      entry: what to make.
      cut: ``(path, mask) -> Cut``, the mask a path or ``""``. Any exception it raises is recorded as the reason for
        that video; the others go on.
      report: called with each video's key and None before it is read, and with what was found after.
      deadly: reason by key of videos that must not be read at all.

    Returns the sidecar's ``about``: ``fingerprint`` and, for each video of the plan, ``clips``, ``faces``, ``frames``,
    ``damaged``, ``reason``, ``error``, ``unmasked``. Raises DataError when the shard cannot be written.
    """
    if index := valid(entry):
        for video, found in zip(entry.videos, index["about"]["videos"], strict=True):
            report(video.key, found)
        return index["about"]
    with contextlib.suppress(FileNotFoundError):
        os.remove(entry.path + clip_index.SUFFIX)  # an old sidecar must never vouch for a new shard
    about, rows = {"fingerprint": entry.fingerprint, "videos": []}, []
    written = tfrecord.write(entry.path, _records(entry, cut, report, deadly, about, rows))
    clip_index.write_index(entry.path, written, rows, about)
    return about


def _records(entry: plan.ShardPlan, cut, report, deadly, about: dict, rows: list) -> Iterator[bytes]:
    for video in entry.videos:
        report(video.key, None)
        records, found = _clips(video, entry, cut, deadly.get(video.key))
        about["videos"].append(found)
        for record in records:
            rows.append(clip_index.describe(record))
            yield record
        report(video.key, found)


def _clips(video: Video, entry: plan.ShardPlan, cut, deadly: str | None) -> tuple[list[bytes], dict]:
    """The records of one video, and the report on it. Never raises for what is the video's own fault."""
    found = {"clips": 0, "faces": 0, "frames": 0, "damaged": 0, "reason": "", "error": deadly or "", "unmasked": ""}
    if deadly:
        return [], found
    named = plan.relative(video, entry.root)
    try:
        result = cut(video.path, video.mask)
        faces = result.clips
        records = [example.encode(named, i, face, entry.detector, plan.QUALITY) for i, face in enumerate(faces)]
    except DataError as error:
        return [], {**found, "error": _renamed(str(error), video, named)}
    except Exception as error:  # whatever a broken file does to a decoder, it must not take the others along
        return [], {**found, "error": _renamed(f"{video.path}: {type(error).__name__}: {error}", video, named)}
    found |= {"clips": len(faces), "faces": len({face.track for face in faces}), "damaged": result.damaged}
    found |= {"frames": sum(map(len, faces)), "reason": "" if faces else result.reason or "no face was found"}
    found["unmasked"] = _renamed(result.unmasked or "", video, named)
    return records, found


def _renamed(text: str, video: Video, named: Video) -> str:
    """A message about a file, with the name that the records have for it; its mask has none."""
    text = text.replace(os.path.abspath(video.mask), "mask").replace(video.mask, "mask") if video.mask else text
    return text.replace(os.path.abspath(video.path), named.path).replace(video.path, named.path)
