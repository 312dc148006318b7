"""WildDeepfake (Zi et al., ACM MM 2020): sequences of faces from videos found on the internet, cropped to 224 pixels.

    root/<label>_<split>/<shard>/<label>/<sequence>/<frame>.png        as its archives unpack: real_train/6/real/54/
    root/<label>_<split>_<shard>_<sequence>/<frame>.png                or flat

A sequence is a video here. Numbers of shards repeat: shard 6 of real_train is not that of fake_train. Who is in a
sequence and how it was forged is not published. Sequences of one shard share a group, because they may come from one
video. There is no val: draw it from train (``--splits``). Frames are numbered, with gaps where no face was found.
"""

from __future__ import annotations

import os
import re

from fusion_dfd.datasets import files
from fusion_dfd.datasets.splits import SPLITS
from fusion_dfd.types import LABELS, ORIGINAL, DataError, Video

NAME = "wilddeepfake"
METHOD = "wild"
REALS, FAKES = 3409 + 396, 3099 + 410

_FOLDER = re.compile(r"(real|fake)_(train|test)")
_FLAT = re.compile(r"(real|fake)_(train|test)_(\w+)_(\d+)")


def videos(root: str) -> list[Video]:
    """All sequences that are there, sorted by split, label and id.

    Raises DataError when the root holds none, or when the folder of an archive and the label inside it disagree. Other
    numbers than those of the release are a logged warning.
    """
    files.require(root, "the one that holds real_train/, fake_train/, real_test/ and fake_test/")
    listed = []
    for path in files.subfolders(root):
        if match := _FLAT.fullmatch(os.path.basename(path)):
            listed += [_video(path, *match.groups())] if path in files.frame_folders(root) else []
        elif match := _FOLDER.fullmatch(os.path.basename(path)):
            listed += _archive(path, *match.groups())
    if not listed:
        raise DataError(
            f"{root} holds no sequence such as real_train/6/real/54/0.png, but {files.inventory(root)}; check --root, "
            "or unpack the archives there"
        )
    listed.sort(key=lambda video: (SPLITS.index(video.split), video.label, video.id))
    files.compare(root, "WildDeepfake", listed, REALS, FAKES)
    files.account(root, listed)
    return listed


def _archive(folder: str, label: str, split: str) -> list[Video]:
    found = []
    for shard in files.subfolders(folder):
        for inside in files.subfolders(shard):
            if (other := os.path.basename(inside)) != label:
                raise DataError(f"{inside} lies in {os.path.basename(folder)}, but is named {other}; unpack it anew")
            number = os.path.basename(shard)
            found += [_video(p, label, split, number, os.path.basename(p)) for p in files.frame_folders(inside)]
    return found


def _video(path: str, label: str, split: str, shard: str, sequence: str) -> Video:
    fake, group = LABELS.index(label), f"{label}_{split}_{shard}"
    name = f"{group}_{sequence}"
    return Video(name, path, fake, NAME, METHOD if fake else ORIGINAL, "", split, group=group, source=name)
