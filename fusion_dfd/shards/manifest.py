"""``manifest.json``: what a prepared folder holds, how it was made, and why some videos gave no clip."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import hashlib
import json
import os
import platform
from importlib import metadata as packages

from fusion_dfd import atomic
from fusion_dfd.shards import clip_index
from fusion_dfd.shards.plan import Plan, relative
from fusion_dfd.types import LABELS, DataError

_PACKAGES = ("fusion-dfd", "av", "jax", "numpy", "opencv-python-headless")


@dataclasses.dataclass(frozen=True)
class Manifest:
    """Content of ``manifest.json``. Counts are dictionaries with ``videos``, ``empty`` (videos without a clip),
    ``clips``, ``faces`` (tracks) and ``frames``; with ``faces.mesh`` also ``meshes``, the frames that have one."""

    name: str
    root: str
    """Folder the videos' paths are relative to; ``""`` where names are hashed."""
    options: dict
    detector: str
    versions: dict[str, str]
    content: str
    """SHA-256 over the SHA-256 of all shards, in order: equal means equal bytes."""
    counts: dict
    """``{"total": counts, "splits": {split: counts + {"bytes", "shards", "labels", "methods"}}}``."""
    failed: list[dict]
    """``video`` (its key), ``path`` and ``reason`` of each video that could not be read."""
    faceless: list[dict]
    """The same for each video that was read but gave no clip."""
    damaged: list[dict]
    """``video``, ``path``, ``packets`` of each that was used although some of its packets did not decode."""
    unmasked: list[dict]
    """``video``, ``path``, ``reason`` of each with several faces whose mask could not decide which is the main one; the
    face with the longest track, then the largest, was taken."""

    gapped: list[dict] = dataclasses.field(default_factory=list)
    """``video``, ``path``, ``gaps`` of each folder of frames that are not known to be consecutive (-1: no numbers)."""
    attributes: dict[str, dict[str, str]] = dataclasses.field(default_factory=dict)
    """``Video.attributes`` of each video that has some, by its key."""

    def summary(self) -> str:
        """One line for the terminal."""
        total = self.counts["total"]
        lost = f"; {len(self.failed)} videos failed, {len(self.faceless)} without a face" if total["empty"] else ""
        size = sum(split["bytes"] for split in self.counts["splits"].values())
        if self.unmasked:
            lost += f"; {len(self.unmasked)} masks not used"
        if "meshes" in total:
            lost += f"; {total['frames'] - total['meshes']} frames without a face mesh"
        if self.gapped:
            lost += f"; {len(self.gapped)} folders of frames that are not known to be consecutive"
        return (
            f"{total['clips']} clips ({total['frames']} frames, {size / 1e6:.0f} MB) of {total['videos']} videos{lost}"
        )


def gather(plan: Plan) -> Manifest:
    """The manifest of a finished plan, from the sidecars of all its shards."""
    groups, sizes, content = collections.defaultdict(_zero), collections.Counter(), hashlib.sha256()
    lists = {"failed": [], "faceless": [], "damaged": [], "unmasked": [], "gapped": []}
    for shard in plan.shards:
        index = clip_index.valid_index(shard.path)
        if index is None or index["about"].get("fingerprint") != shard.fingerprint:
            raise DataError(f"{shard.path} changed while the folder was prepared; run the same command again")
        content.update(index["sha256"].encode())
        sizes[shard.split, "bytes"] += index["bytes"]
        sizes[shard.split, "shards"] += 1
        for video, about in zip(shard.videos, index["about"]["videos"], strict=True):
            keys = (), (shard.split,), (shard.split, "labels", LABELS[video.label])
            for key in (*keys, (shard.split, "methods", video.method)):
                _add(groups[key], about)
            named = {"video": video.key, "path": relative(video, plan.root).path}
            _note(lists, {**named, "split": video.split, "label": video.label, "group": video.group}, about)
    attributes = {video.key: dict(video.attributes) for shard in plan.shards for video in shard.videos}
    splits = {key[0]: {**value, "labels": {}, "methods": {}} for key, value in groups.items() if len(key) == 1}
    for key, value in groups.items():
        if len(key) == 3:
            splits[key[0]][key[1]][key[2]] = value
    for (split, what), size in sizes.items():
        splits[split][what] = size
    return Manifest(
        name=plan.options["name"],
        root=plan.root,
        options=plan.options,
        detector=plan.options["faces"]["detector"],
        versions=_versions(),
        content=content.hexdigest(),
        counts={"total": groups[()], "splits": splits},
        attributes={key: facts for key, facts in attributes.items() if facts},
        **lists,
    )


def save(manifest: Manifest, out: str) -> None:
    """Write ``manifest.json`` atomically."""
    atomic.write_text(os.path.join(out, clip_index.MANIFEST), json.dumps(dataclasses.asdict(manifest), indent=2))


def load(out: str) -> Manifest | None:
    """The manifest of a folder; None when there is none or it is of another version."""
    try:
        with open(os.path.join(out, clip_index.MANIFEST), encoding="utf-8") as file:
            return Manifest(**json.load(file))
    except (OSError, ValueError, TypeError):
        return None


def _versions() -> dict[str, str]:
    versions = {"python": platform.python_version()}
    for name in _PACKAGES:
        with contextlib.suppress(packages.PackageNotFoundError):  # OpenCV comes under several names
            versions[name] = packages.version(name)
    return versions


def _zero() -> dict:
    return {"videos": 0, "empty": 0, "clips": 0, "faces": 0, "frames": 0}


def _add(counts: dict, about: dict) -> None:
    counts["videos"] += 1
    counts["empty"] += not about["clips"]
    for name in ("clips", "faces", "frames"):
        counts[name] += about[name]
    if "meshes" in about:
        counts["meshes"] = counts.get("meshes", 0) + about["meshes"]


def _note(lists: dict, video: dict, about: dict) -> None:
    if about["error"]:
        lists["failed"].append({**video, "reason": about["error"]})
    elif not about["clips"]:
        lists["faceless"].append({**video, "reason": about["reason"]})
    elif about["damaged"]:
        lists["damaged"].append({**video, "packets": about["damaged"]})
    if about["unmasked"]:
        lists["unmasked"].append({**video, "reason": about["unmasked"]})
    if about.get("gaps"):
        lists["gapped"].append({**video, "gaps": about["gaps"]})
