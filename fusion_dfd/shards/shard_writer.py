"""Making one shard: idempotent, and with the same bytes on every machine."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import types
from collections.abc import Callable, Iterator, Mapping
from typing import Protocol, runtime_checkable

import numpy as np

from fusion_dfd import config
from fusion_dfd.shards import clip_index, plan, records, tfrecord
from fusion_dfd.types import DataError, FaceTrack, Video


@runtime_checkable
class Extracted(Protocol):
    """What an extraction returns, see :class:`fusion_dfd.faces.extract.Extraction`."""

    clips: list[FaceTrack]
    damaged: int
    """Packets that did not decode."""
    reason: str
    """Why there is no clip."""
    unmasked: str | None
    """Why the mask could not decide which face is track 0."""


Extract = Callable[[str, config.Faces, object, str], Extracted]
"""``extract(path, options, detector, mask)``, where ``mask`` is a path or ``""``."""


def valid(shard: plan.ShardPlan) -> dict | None:
    """The sidecar of a shard that is complete and was made by exactly this plan, else None."""
    index = clip_index.valid_index(shard.path)
    return index if index and index["about"].get("fingerprint") == shard.fingerprint else None


def write_shard(
    shard: plan.ShardPlan,
    extract: Callable[[str, str], Extracted],
    report: Callable[[str, dict | None], None] = lambda key, about: None,
    deadly: Mapping[str, str] = types.MappingProxyType({}),
) -> dict:
    """Make a shard and its sidecar, unless they are there.

    Args:
      shard: what to make.
      extract: ``(path, mask) -> Extracted``, the mask a path or ``""``. Any exception it raises is recorded as the
        reason for that video; the others go on.
      report: called with each video's key and None before it is read, and with what the sidecar says of it after.
      deadly: reason by key of videos that must not be read at all.

    Returns the sidecar's ``about``: ``fingerprint`` and, for each video of the plan, ``clips``, ``faces``, ``frames``,
    ``damaged``, ``reason``, ``error``, ``unmasked``, and with ``faces.mesh`` ``meshes`` (frames with one).
    Raises DataError when the shard cannot be written.
    """
    if index := valid(shard):
        for video, about in zip(shard.videos, index["about"]["videos"], strict=True):
            report(video.key, about)
        return index["about"]
    with contextlib.suppress(FileNotFoundError):
        os.remove(shard.path + clip_index.SUFFIX)  # an old sidecar must never vouch for a new shard
    about, rows = {"fingerprint": shard.fingerprint, "videos": []}, []
    written = tfrecord.write(shard.path, _records(shard, extract, report, deadly, about["videos"], rows))
    clip_index.write_index(shard.path, written, rows, about)
    return about


def _records(shard: plan.ShardPlan, extract, report, deadly, abouts: list[dict], rows: list) -> Iterator[bytes]:
    """Records of all videos. Appends what the sidecar says of each video to ``abouts``, of each record to ``rows``."""
    for video in shard.videos:
        report(video.key, None)
        encoded, about = _clips(video, shard, extract, deadly.get(video.key))
        abouts.append(about)
        for record in encoded:
            rows.append(clip_index.describe(record))
            yield record
        report(video.key, about)


def _clips(video: Video, shard: plan.ShardPlan, extract, deadly: str | None) -> tuple[list[bytes], dict]:
    """The records of one video, and what the sidecar says of it. Never raises for a fault of the video."""
    about = {
        "clips": 0,
        "faces": 0,
        "frames": 0,
        "damaged": 0,
        "gaps": 0,
        "reason": "",
        "error": deadly or "",
        "unmasked": "",
    }
    if deadly:
        return [], about
    named = plan.relative(video, shard.root)
    try:
        extracted = extract(video.path, video.mask)
        faces = extracted.clips
        if video.stretches:
            named = dataclasses.replace(named, stretches=video.stretches.in_frames(extracted.info.fps))
        encoded = [records.encode(named, i, face, shard.detector, plan.QUALITY) for i, face in enumerate(faces)]
    except DataError as error:
        return [], {**about, "error": _renamed(str(error), video, named)}
    except Exception as error:  # whatever a broken file does to a decoder, it must not take the others along
        return [], {**about, "error": _renamed(f"{video.path}: {type(error).__name__}: {error}", video, named)}
    about |= {"clips": len(faces), "faces": len({face.track for face in faces}), "damaged": extracted.damaged}
    about["gaps"] = extracted.info.gaps
    about |= {"frames": sum(map(len, faces)), "reason": "" if faces else extracted.reason or "no face was found"}
    if meshes := [face.mesh for face in faces if face.mesh is not None]:
        about["meshes"] = sum(int(np.isfinite(points).all((1, 2)).sum()) for points in meshes)
    about["unmasked"] = _renamed(extracted.unmasked or "", video, named)
    return encoded, about


def _renamed(text: str, video: Video, named: Video) -> str:
    """A message with the names that records have, in place of the paths of the video and of its mask."""
    text = text.replace(os.path.abspath(video.mask), "mask").replace(video.mask, "mask") if video.mask else text
    return text.replace(os.path.abspath(video.path), named.path).replace(video.path, named.path)
