"""UADFV (Yang, Li and Lyu, ICASSP 2019): 49 real videos and 49 face swaps made with FakeApp.

    root/real/NNNN.mp4
    root/fake/NNNN_fake.mp4         made from real/NNNN.mp4

There is no official split, and every fake wears one and the same face [from memory], so no split can be disjoint in
identities: all of it is a test set. A group is a clip and the fake made from it.
"""

from __future__ import annotations

import logging
import os

from fusion_dfd.datasets import files
from fusion_dfd.types import LABELS, ORIGINAL, DataError, Video

NAME = "uadfv"
METHOD = "FakeApp"
EACH = 49

_log = logging.getLogger(__name__)


def videos(root: str) -> list[Video]:
    """All videos that are there, real ones first, by id; all in split ``test``.

    Raises DataError when the root or one of its two folders is missing or holds no video. Other numbers than 49 of
    each are a logged warning.
    """
    files.require(root, "the one that holds real/ and fake/")
    listed = [_video(path, label) for label in range(len(LABELS)) for path in _files(root, LABELS[label])]
    if any(sum(video.label == label for video in listed) != EACH for label in range(len(LABELS))):
        _log.warning("%s holds %d videos, UADFV has %d real and %d fake ones", root, len(listed), EACH, EACH)
    return listed


def _files(root: str, label: str) -> list[str]:
    folder = os.path.join(root, label)
    if not (paths := files.video_files(folder)):
        raise DataError(f"{folder} holds no video ({root} holds {files.inventory(root)}); check --root")
    return paths


def _video(path: str, label: int) -> Video:
    name = files.stem(path)
    clip = name.removesuffix("_fake") if label else name
    return Video(name, path, label, NAME, METHOD if label else ORIGINAL, "", "test", group=clip, source=clip)
