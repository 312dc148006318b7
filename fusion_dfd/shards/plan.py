"""Which video goes into which shard: a pure function of the list of videos and the options.

The plan does not depend on the machine (cores, folders), so a run that is continued elsewhere makes the same files.
With a salt, shards, tables and reports name the videos by hashes and say nothing of the source files.
"""

from __future__ import annotations

import collections
import dataclasses
import hashlib
import hmac
import json
import math
import os
from collections.abc import Iterable, Sequence

from fusion_dfd import config
from fusion_dfd.datasets import splits
from fusion_dfd.faces import detector, frame_folder, mesh
from fusion_dfd.shards import clip_index, tfds_metadata
from fusion_dfd.types import DataError, Video

QUALITY = 95
"""JPEG quality of the stored frames."""

_FACTS = ("id", "path", "label", "dataset", "method", "compression", "split", "group", "source")
"""Fields of a video that its shard's fingerprint holds. Of a mask it has the size, because its path may be anywhere."""


@dataclasses.dataclass(frozen=True)
class ShardPlan:
    """Everything that determines the bytes of one shard."""

    path: str
    split: str
    videos: tuple[Video, ...]
    """``path`` as the adapter gave it."""
    root: str
    """Folder that the paths in the records are relative to; ``""`` where records have the file name only."""
    faces: config.Faces
    detector: str
    """:func:`fusion_dfd.faces.detector.identity` of it."""
    fingerprint: str
    """Hash of everything above except the folders, and of the sizes of the video and mask files."""


@dataclasses.dataclass(frozen=True)
class Plan:
    shards: tuple[ShardPlan, ...]
    options: dict
    """Options that must not change in a folder: the content of ``plan.json``."""
    root: str


def make(
    videos: Sequence[Video],
    out: str,
    faces: config.Faces,
    name: str,
    videos_per_shard: int | None = None,
    salt: str = "",
) -> Plan:
    """Spread videos over shards, labels and methods evenly over the shards of each split.

    Args:
      videos: in any order; the plan does not depend on it.
      out: folder of the shards.
      faces: options of the extraction.
      name: of the data set, in the shards' file names.
      videos_per_shard: None chooses 8 .. 64, to make about 32 shards.
      salt: secret that hides the names of the source files (:func:`anonymous`); ``""`` keeps them.

    Raises DataError when there is no video, the name is not usable, two splits share a group, a source or a file, or
    the detector or the face mesh cannot be had.
    """
    tfds_metadata.check_name(name)
    if not videos:
        raise DataError("there is no video to prepare; check the folder and the options of the data set")
    splits.audit(videos)
    size = videos_per_shard or min(max(math.ceil(len(videos) / 32), 8), 64)
    root = os.path.commonpath([os.path.dirname(os.path.abspath(video.path)) for video in videos])
    if salt:
        root, videos = "", [anonymous(video, salt) for video in videos]
    shards, described = [], _described(faces)
    for split in splits.SPLITS:
        mixed = _mix([video for video in videos if video.split == split])
        total = math.ceil(len(mixed) / size)
        for index in range(total):
            members = tuple(mixed[index * len(mixed) // total : (index + 1) * len(mixed) // total])
            path = os.path.join(out, clip_index.shard_name(name, split, index, total))
            fingerprint = _fingerprint(members, root, described)
            shards.append(ShardPlan(path, split, members, root, faces, described["detector"], fingerprint))
    options = {
        "schema": tfds_metadata.VERSION,
        "name": name,
        "faces": described,
        "quality": QUALITY,
        "videos_per_shard": size,
        "videos": len(videos),
        "list": _hash_list(_describe(video, root) for video in sorted(videos, key=lambda video: video.key)),
    }
    if salt:
        options["names"] = "hashed"
    return Plan(tuple(shards), options, root)


def differences(before: dict, now: dict) -> list[str]:
    """Where the options of two plans differ, as ``name=then, now value``; empty where they are equal."""
    before, now = _flatten(before), _flatten(json.loads(json.dumps(now)))
    # A plan has no name for a part that is off, such as the face mesh.
    names = [*(name for name in before if name.startswith("faces.") and name not in now), *now]
    changes = [f"{name}={before.get(name)}, now {now.get(name)}" for name in names if before.get(name) != now.get(name)]
    if changes and changes[-1].startswith("list="):
        changes[-1:] = ["another list of videos"] if len(changes) == 1 else []
    return changes


def relative(video: Video, root: str) -> Video:
    """The video as records and reports name it: by its path relative to ``root``; by its id where ``root`` is empty."""
    if not root:
        path = video.id + os.path.splitext(video.path)[1].lower()
    elif (whole := os.path.abspath(video.path)).startswith(root + os.sep):
        path = whole[len(root) + 1 :]  # what relpath gives, which is slow for a million videos
    else:
        path = os.path.relpath(video.path, root)
    return dataclasses.replace(video, path=path.replace(os.sep, "/"), mask="")


def anonymous(video: Video, salt: str) -> Video:
    """The video with ``id``, ``group`` and ``source`` replaced; ``path`` still says where to read it."""
    names = {field: _salted_hash(getattr(video, field), salt) for field in ("id", "group", "source")}
    return dataclasses.replace(video, **names)


def _mix(videos: list[Video]) -> list[Video]:
    """An order in which any run of consecutive videos has about the same share of each method as the whole list."""
    strata = collections.defaultdict(list)
    for video in videos:
        strata[video.dataset, video.method, video.compression].append(video)
    placed = []
    for members in strata.values():
        # Keys are unique, so their hashes decide and videos are never compared; bytes are in the order of their hex.
        ordered = sorted((bytes.fromhex(_hash(video.key)), video) for video in members)
        placed += [((i + 0.5) / len(ordered), hashed, video) for i, (hashed, video) in enumerate(ordered)]
    placed.sort()
    return [video for *_, video in placed]


def _described(faces: config.Faces) -> dict:
    """The options, with the identity of the detector in place of the path of its weights, and that of the mesh."""
    options = dataclasses.asdict(faces) | {"detector": detector.identity(faces)}
    without = {"weights", "anchors", "slope"}
    if faces.mesh:
        options["mesh"] = mesh.identity()
    else:  # folders that were prepared before the option existed remain valid
        without.add("mesh")
    return {name: value for name, value in options.items() if name not in without}


def _fingerprint(videos: Sequence[Video], root: str, faces: dict) -> str:
    return _hash(
        {
            "schema": tfds_metadata.VERSION,
            "quality": QUALITY,
            "faces": faces,
            "videos": [[*_describe(video, root), *_sizes(video)] for video in videos],
        }
    )


def _describe(video: Video, root: str) -> list:
    named = relative(video, root)
    facts = [getattr(named, name) for name in _FACTS]
    # Folders that were prepared before the field existed remain valid.
    return facts if named.stretches is None else [*facts, dataclasses.asdict(named.stretches)]


def _sizes(video: Video) -> list[int]:
    """Bytes of the video, and of its mask where there is one, because a mask may decide whose face is stored."""
    return [_bytes(path) for path in (video.path, video.mask) if path]


def _bytes(path: str) -> int:
    try:
        return frame_folder.size(path)
    except (OSError, DataError):
        return -1


def _hash(value) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def _hash_list(values: Iterable) -> str:
    """:func:`_hash` of a list of ``values``, of which one is in memory at a time."""
    out = hashlib.sha256(b"[")
    for number, value in enumerate(values):
        out.update((", " if number else "").encode() + json.dumps(value, sort_keys=True).encode())
    out.update(b"]")
    return out.hexdigest()


def _salted_hash(name: str, salt: str) -> str:
    return hmac.new(salt.encode(), name.encode(), hashlib.sha256).hexdigest()[:16]


def _flatten(value: dict, prefix: str = "") -> dict:
    out = {}
    for name, item in value.items():
        out |= _flatten(item, f"{prefix}{name}.") if isinstance(item, dict) else {prefix + name: item}
    return out
