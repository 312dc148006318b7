"""FaceForensics++ (Rössler et al., ICCV 2019): four or five manipulations of 1000 YouTube videos, with official splits.

    root/original_sequences/youtube/<compression>/videos/NNN.mp4
    root/manipulated_sequences/<method>/<compression>/videos/TTT_SSS.mp4      background and pose of TTT, face of SSS
    root/{train,val,test}.json, or in root/splits/                            lists of pairs of ids

A pair (a, b) of a split gives the real videos a and b and, of every method, the fakes a_b and b_a.
"""

from __future__ import annotations

import collections
import json
import logging
import os
from collections.abc import Sequence

from fusion_dfd.datasets.splits import SPLITS
from fusion_dfd.types import ORIGINAL, DataError, Video

NAME = "faceforensics"
METHODS = ("Deepfakes", "Face2Face", "FaceSwap", "NeuralTextures", "FaceShifter")
TEST_ONLY = ("FaceShifter",)
"""Methods that, by the custom of the field, nobody trains on: they measure generalisation."""

_DOWNLOAD = "get it with FaceForensics++'s own download script (-d all -c {})"
_log = logging.getLogger(__name__)


def videos(root: str, compression: str = "c23", methods: Sequence[str] | None = None) -> list[Video]:
    """All videos that the split files name, sorted by split, method and id.

    Args:
      root: the folder that holds ``original_sequences`` and ``manipulated_sequences``.
      compression: ``raw``, ``c23`` or ``c40``.
      methods: manipulations to take; None takes all of ``METHODS`` that are there.

    Single videos that are missing stay in the list, so that whoever reads them reports each; they are counted in a
    logged warning. Raises DataError when the root, a split file, the real videos, a wanted method or all videos of a
    split are missing.
    """
    if not os.path.isdir(root):
        raise DataError(f"{root} is no folder; --root wants the one that holds original_sequences/ and the split files")
    pairs = {split: _pairs(root, split) for split in SPLITS}
    reals = _folder(root, os.path.join("original_sequences", "youtube"), compression)
    folders = {ORIGINAL: reals, **_methods(root, compression, methods)}
    out = [
        _video(split, pair, target, source, method, folder, compression)
        for split in SPLITS
        for method, folder in folders.items()
        if split == "test" or method not in TEST_ONLY
        for pair in pairs[split]
        for target, source in (pair, pair[::-1])
    ]
    out.sort(key=lambda video: (SPLITS.index(video.split), list(folders).index(video.method), video.id))
    _account(root, out, folders)
    return out


def _video(split: str, pair: tuple, target: str, source: str, method: str, folder: str, compression: str) -> Video:
    real = method == ORIGINAL
    name = target if real else f"{target}_{source}"
    return Video(
        id=name,
        path=os.path.join(folder, f"{name}.mp4"),
        label=int(not real),
        dataset=NAME,
        method=method,
        compression=compression,
        split=split,
        group="_".join(sorted(pair)),
        source=target,
    )


def _pairs(root: str, split: str) -> list[tuple[str, str]]:
    """The pairs of a split file, ids as zero-padded strings."""
    candidates = [os.path.join(root, name) for name in (f"{split}.json", os.path.join("splits", f"{split}.json"))]
    path = next(filter(os.path.isfile, candidates), None)
    if path is None:
        raise DataError(
            f"neither {candidates[0]} nor {candidates[1]} exists; copy dataset/splits/*.json of the FaceForensics++ "
            f"repository there ({root} holds {_listing(root)})"
        )
    try:
        with open(path, encoding="utf-8") as file:
            pairs = [(a, b) for a, b in json.load(file)]
        if not pairs or not all(isinstance(name, str) and name for pair in pairs for name in pair):
            raise ValueError("ids must be strings such as '071'")
    except (OSError, ValueError, TypeError) as error:
        raise DataError(f'{path} is no list of pairs of ids such as [["071", "054"]]: {error}') from error
    return pairs


def _folder(root: str, place: str, compression: str) -> str:
    """Folder of the videos of ``place`` in one compression, or a DataError that says what there is instead."""
    folder = os.path.join(root, place, compression, "videos")
    if os.path.isdir(folder):
        return folder
    beside = os.path.join(root, place)
    there = [name for name in ("raw", "c23", "c40") if os.path.isdir(os.path.join(beside, name, "videos"))]
    if there:
        raise DataError(f"{folder} is missing; {place} is here in {', '.join(there)}: choose --compression {there[0]}")
    raise DataError(f"{folder} is missing ({root} holds {_listing(root)}); {_DOWNLOAD.format(compression)}")


def _methods(root: str, compression: str, methods: Sequence[str] | None) -> dict[str, str]:
    """Folder of each method: of the wanted ones, or of all that are there."""
    if methods is not None and (odd := sorted(set(methods) - set(METHODS))):
        raise DataError(f"FaceForensics++ has no method {', '.join(odd)}; its methods are {', '.join(METHODS)}")
    base = os.path.join(root, "manipulated_sequences")
    wanted = [name for name in METHODS if (methods is None or name in methods)]
    if methods is None:
        wanted = [name for name in wanted if os.path.isdir(os.path.join(base, name))]
    if not wanted:
        raise DataError(
            f"{base} holds none of {', '.join(METHODS)}, only {_listing(base)}; {_DOWNLOAD.format(compression)}"
        )
    return {name: _folder(root, os.path.join("manipulated_sequences", name), compression) for name in wanted}


def _account(root: str, listed: list[Video], folders: dict[str, str]) -> None:
    """Warn of missing videos; refuse a download in which a split lacks its real or its fake videos altogether."""
    there = {method: set(os.listdir(folder)) for method, folder in folders.items()}
    missing = [video for video in listed if os.path.basename(video.path) not in there[video.method]]
    kinds = collections.Counter((video.split, video.label) for video in listed)
    gone = collections.Counter((video.split, video.label) for video in missing)
    for (split, label), count in kinds.items():
        if gone[split, label] == count:
            kind, example = (
                ("fake", "real")[label == 0],
                next(v for v in missing if (v.split, v.label) == (split, label)),
            )
            raise DataError(
                f"none of the {count} {kind} videos of split {split!r} is under {root} (the first would be "
                f"{example.path}); check --root, or complete the download"
            )
    if missing:
        shown = ", ".join(os.path.relpath(video.path, root) for video in missing[:5])
        more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
        _log.warning("%d of %d videos are missing under %s: %s%s", len(missing), len(listed), root, shown, more)


def _listing(folder: str) -> str:
    names = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
    return ", ".join(names[:6]) + (", ..." if len(names) > 6 else "") if names else "nothing"
