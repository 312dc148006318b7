"""DFD, the deepfake detection data set of Google and Jigsaw (Dufour and Gully, 2019), as it comes with FaceForensics++.

    root/original_sequences/actors/<compression>/videos/NN__scene.mp4
    root/manipulated_sequences/DeepFakeDetection/<compression>/videos/TT_SS__scene__HASH8.mp4
    root/manipulated_sequences/DeepFakeDetection/masks/videos/                binary, which pixels were manipulated

28 actors; a fake shows actor SS's face on the clip ``TT__scene``. There is no official split: by custom all of it is a
test set. Actors were swapped with one another freely, so a group is a connected component of the swap graph, which may
be nearly everybody: then there are too few groups for an interval, and a split for training would be small.
"""

from __future__ import annotations

import os
import re

from fusion_dfd.datasets import faceforensics, files
from fusion_dfd.datasets.grouping import components
from fusion_dfd.types import ORIGINAL, DataError, Video

NAME = "dfd"
METHOD = "DeepFakeDetection"
REALS, FAKES = 363, 3068

_REAL = re.compile(r"(?P<target>\d{2})__(?P<scene>.+)")
_FAKE = re.compile(r"(?P<target>\d{2})_(?P<face>\d{2})__(?P<scene>.+)__[0-9A-Z]{8}")


def videos(root: str, compression: str = "c23") -> list[Video]:
    """All videos that are there, real ones first, by id; all in split ``test``.

    Args:
      root: the folder that holds ``original_sequences`` and ``manipulated_sequences``.
      compression: ``raw``, ``c23`` or ``c40``; results differ by far, so say which with every number.

    A download of fewer than 363 real and 3068 fake videos is used, with a logged warning. Raises DataError when the
    root or a folder is missing or empty, or a file is not named as above.
    """
    files.require(root, "the one that holds original_sequences/actors and manipulated_sequences/DeepFakeDetection")
    reals = _named(faceforensics.folder(root, os.path.join("original_sequences", "actors"), compression), _REAL)
    fakes = _named(faceforensics.folder(root, os.path.join("manipulated_sequences", METHOD), compression), _FAKE)
    people = components(match.groups()[:-1] for match in (reals | fakes).values())  # all but the scene
    listed = [_video(root, path, match, compression, people) for path, match in (reals | fakes).items()]
    files.compare(root, "DFD", listed, REALS, FAKES)
    return listed


def _named(folder: str, pattern: re.Pattern) -> dict[str, re.Match]:
    """What the name of each video of a folder says."""
    found = {path: pattern.fullmatch(files.stem(path)) for path in files.video_files(folder)}
    if odd := [os.path.basename(path) for path, match in found.items() if match is None]:
        example = "01__kitchen_pan.mp4" if pattern is _REAL else "01_02__kitchen_pan__YVGY8LOK.mp4"
        raise DataError(
            f"{folder} holds {files.some(odd)}, which no video of DFD is called (such as {example}); move it elsewhere"
        )
    if not found:
        raise DataError(f"{folder} holds no video, but {files.inventory(folder)}; complete the download")
    return found


def _video(root: str, path: str, match: re.Match, compression: str, people: dict[str, str]) -> Video:
    fake = match.re is _FAKE
    name = files.stem(path)
    return Video(
        id=name,
        path=path,
        label=int(fake),
        dataset=NAME,
        method=METHOD if fake else ORIGINAL,
        compression=compression,
        split="test",
        group=people[match["target"]],
        source=f"{match['target']}__{match['scene']}",
        mask=faceforensics.mask(root, METHOD, name) if fake else "",
    )
