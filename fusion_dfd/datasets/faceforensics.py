"""FaceForensics++ (Rössler et al., ICCV 2019): four or five manipulations of 1000 YouTube videos, with official splits.

    root/original_sequences/youtube/<compression>/videos/NNN.mp4
    root/manipulated_sequences/<method>/<compression>/videos/TTT_SSS.mp4      background and pose of TTT, face of SSS
    root/manipulated_sequences/<method>/masks/videos/TTT_SSS.mp4              binary, which pixels were manipulated
    root/{train,val,test}.json, or in root/splits/                            lists of pairs of ids

A pair (a, b) of a split gives the real videos a and b and, of every method, the fakes a_b and b_a. No pair shares an id
with another, so a pair is a group.

Folders that ``fusion-dfd forge`` wrote are laid out likewise, with these additions. ``root/sources.csv`` gives the
group of each id, and marks such a folder: its methods are the names of forgers, and a fake is listed where it exists.
``root/original_sequences/<method>/<compression>/videos/TTT_SSS.mp4`` is the real half of a fake whose forger made one;
the fake's source is then that video. A pair may name one id twice.
"""

from __future__ import annotations

import collections
import dataclasses
import os
from collections.abc import Sequence

from fusion_dfd.datasets import files
from fusion_dfd.datasets.splits import SPLITS
from fusion_dfd.types import ORIGINAL, DataError, Stretches, Video

NAME = "faceforensics"
METHODS = ("Deepfakes", "Face2Face", "FaceSwap", "NeuralTextures", "FaceShifter")
TEST_ONLY = ("FaceShifter",)
"""Methods that, by convention, are only tested on: they measure generalisation."""

COMPRESSIONS = ("raw", "c23", "c40")
SOURCES = "sources.csv"
"""Of a folder of forged videos: ``id,group,split,path,start,stop,x,y,side``."""

SEGMENTS = "segments.csv"
"""Of a folder of forged or rendered videos: ``video,method,start,stop``, the stretches of frames that are forged."""

_DOWNLOAD = "get it with FaceForensics++'s own download script (-d all -c {})"


def videos(root: str, compression: str = "c23", methods: Sequence[str] | None = None) -> list[Video]:
    """All videos that the split files name, sorted by split, method and id.

    Args:
      root: the folder that holds ``original_sequences`` and ``manipulated_sequences``.
      compression: ``raw``, ``c23`` or ``c40``.
      methods: manipulations to take; None takes all of ``METHODS`` that are there.

    Missing videos stay in the list, so that each is reported when it is read; a warning counts them. Raises
    DataError when the root, a split file, the real videos, a wanted method or all videos of a split are missing.
    """
    files.require(root, "the one that holds original_sequences/ and the split files")
    pairs = {split: read_pairs(root, split) for split in SPLITS}
    reals = folder(root, os.path.join("original_sequences", "youtube"), compression)
    folders = {ORIGINAL: reals, **_methods(root, compression, methods)}
    out = [
        dataclasses.replace(_video(root, place, method, *ids), compression=compression, split=split)
        for split in SPLITS
        for method, place in folders.items()
        if split == "test" or method not in TEST_ONLY
        for pair in pairs[split]
        for ids in dict.fromkeys((pair, pair[::-1]))
    ]
    if _is_forged(root):
        out = _forged(root, out)
    out = _stretched(root, out)
    out.sort(key=lambda video: (SPLITS.index(video.split), list(folders).index(video.method), video.id))
    files.account(root, out)
    return out


def folder(root: str, place: str, compression: str) -> str:
    """Folder of the videos of ``place`` in one compression, or a DataError that says what there is instead."""
    wanted = os.path.join(root, place, compression, "videos")
    if os.path.isdir(wanted):
        return wanted
    inside = os.path.join(root, place)
    names = sorted(os.listdir(inside)) if os.path.isdir(inside) else []
    there = [name for name in names if os.path.isdir(os.path.join(inside, name, "videos")) and name != "masks"]
    if there:
        raise DataError(f"{wanted} is missing; {place} is here in {', '.join(there)}: choose --compression {there[0]}")
    raise DataError(f"{wanted} is missing ({root} holds {files.inventory(root)}); {_DOWNLOAD.format(compression)}")


def mask(root: str, method: str, name: str) -> str:
    """Path of the mask video of a fake, ``""`` where there is none."""
    path = os.path.join(root, "manipulated_sequences", method, "masks", "videos", f"{name}.mp4")
    return path if os.path.isfile(path) else ""


def _video(root: str, place: str, method: str, target: str, face: str) -> Video:
    """A video of the pair (target, face), its compression and split left open."""
    real = method == ORIGINAL
    name = target if real else f"{target}_{face}"
    return Video(
        id=name,
        path=os.path.join(place, f"{name}.mp4"),
        label=int(not real),
        dataset=NAME,
        method=method,
        compression="",
        split="",
        group="_".join(sorted((target, face))),
        source=target,
        mask="" if real else mask(root, method, name),
    )


def _is_forged(root: str) -> bool:
    return os.path.isfile(os.path.join(root, SOURCES))


def _forged(root: str, listed: list[Video]) -> list[Video]:
    """The videos of a forged set: those that exist, with their groups, and the real halves of their own."""
    rows = files.read_csv(os.path.join(root, SOURCES), ("id", "group"))
    group = {row["id"]: row["group"] for row in rows}
    out = []
    for video in listed:
        if video.source not in group:
            raise DataError(f"{os.path.join(root, SOURCES)} has no line for {video.source}; forge the folder again")
        video = dataclasses.replace(video, group=group[video.source])
        if video.label and not os.path.isfile(video.path):
            continue
        half = os.path.join("original_sequences", video.method, video.compression, "videos", f"{video.id}.mp4")
        if video.label and os.path.isfile(path := os.path.join(root, half)):
            name = f"{video.method}/{video.id}"
            out.append(dataclasses.replace(video, id=name, path=path, label=0, method=ORIGINAL, source=name, mask=""))
            video = dataclasses.replace(video, source=name)
        out.append(video)
    return out


def _stretched(root: str, listed: list[Video]) -> list[Video]:
    """The videos with their forged stretches, where the folder lists them."""
    path = os.path.join(root, SEGMENTS)
    if not os.path.isfile(path):
        return listed
    pairs = collections.defaultdict(list)
    for row in files.read_csv(path, ("video", "method", "start", "stop")):
        pairs[row["video"], row["method"]].append((row["start"], row["stop"]))
    try:
        known = {key: Stretches.of(spans) for key, spans in pairs.items()}
    except DataError as error:
        raise DataError(f"{path}: {error}") from error
    return [
        dataclasses.replace(video, stretches=known.get((video.id, video.method))) if video.label else video
        for video in listed
    ]


def read_pairs(root: str, split: str) -> list[tuple[str, str]]:
    """The pairs of a split file, ids as zero-padded strings."""
    candidates = [os.path.join(root, name) for name in (f"{split}.json", os.path.join("splits", f"{split}.json"))]
    path = next(filter(os.path.isfile, candidates), None)
    if path is None:
        raise DataError(
            f"neither {candidates[0]} nor {candidates[1]} exists; copy dataset/splits/*.json of the FaceForensics++ "
            f"repository there ({root} holds {files.inventory(root)})"
        )
    return files.read_pairs(path)


def _methods(root: str, compression: str, methods: Sequence[str] | None) -> dict[str, str]:
    """Folder of each method: of the wanted ones, or of all that are there."""
    base = os.path.join(root, "manipulated_sequences")
    known = METHODS
    if _is_forged(root) and os.path.isdir(base):
        known = tuple(sorted(name for name in os.listdir(base) if os.path.isdir(os.path.join(base, name))))
    if methods is not None and (odd := sorted(set(methods) - set(known))):
        owner = root if known is not METHODS else "FaceForensics++"
        raise DataError(f"{owner} has no method {', '.join(odd)}; its methods are {', '.join(known)}")
    wanted = [name for name in known if (methods is None or name in methods)]
    if methods is None:
        wanted = [name for name in wanted if os.path.isdir(os.path.join(base, name))]
    if not wanted:
        raise DataError(
            f"{base} holds none of {', '.join(known) or 'the methods'}, only {files.inventory(base)}; "
            f"{_DOWNLOAD.format(compression)}"
        )
    return {name: folder(root, os.path.join("manipulated_sequences", name), compression) for name in wanted}
