"""DeeperForensics-1.0 (Jiang et al., CVPR 2020): 100 actors' faces on the 1000 videos of FaceForensics++.

    root/manipulated_videos/<variant>/TTT_WNNN.mp4          face of actor WNNN (or MNNN) on FaceForensics++'s video TTT
    root/lists/splits/{train,val,test}.txt                  a manipulated video's name on each line
    originals/original_sequences/youtube/c23/videos/        the real half: FaceForensics++, which does not come with it

The official splits keep actors apart. A target has one actor, so an actor and the targets of that actor are a group.
The real videos are those of FaceForensics++: a detector that was trained on FaceForensics++ has seen them, whatever
their split is here.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence

from fusion_dfd.datasets import faceforensics, files
from fusion_dfd.datasets.splits import SPLITS
from fusion_dfd.types import ORIGINAL, DataError, Video

NAME = "deeperforensics"
STANDARD = "end_to_end"
"""The variant without perturbations."""
VARIANTS = (
    STANDARD,
    "reenact_postprocess",
    *(f"end_to_end_level_{level}" for level in range(1, 6)),
    "end_to_end_random_level",
    *(f"end_to_end_mix_{count}_distortions" for count in (2, 3, 4)),
)

_FAKE = re.compile(r"(?P<target>\d{3})_(?P<actor>[MW]\d{3})\.mp4")


def videos(root: str, originals: str = "", methods: Sequence[str] = (STANDARD,)) -> list[Video]:
    """The listed videos of the wanted variants and their targets, sorted by split, method and id.

    Args:
      root: the folder that holds ``manipulated_videos`` and ``lists``.
      originals: root of FaceForensics++, with its real videos in c23.
      methods: variants, of ``VARIANTS``; a variant is the ``method`` of its videos.

    Raises DataError when a folder or list is missing, a line is not as described above, or a variant is unknown.
    """
    files.require(root, "the one that holds manipulated_videos/ and lists/")
    if odd := [name for name in methods if name not in VARIANTS]:
        raise DataError(f"DeeperForensics has no variant {', '.join(odd)}; it has {', '.join(VARIANTS)}")
    lists = {split: _listed(root, split) for split in SPLITS}
    folders = {name: _folder(root, name) for name in VARIANTS if name in methods}
    if not originals:
        raise DataError(f"{root} has no real videos: give --originals, the root of FaceForensics++ with its c23 videos")
    reals = faceforensics.folder(originals, os.path.join("original_sequences", "youtube"), "c23")
    listed = []
    for split, names in lists.items():
        listed += [_video(reals, match["target"], ORIGINAL, split, match) for match in names]
        listed += [_video(at, files.stem(m[0]), name, split, m) for name, at in folders.items() for m in names]
    files.account(root, listed)
    return listed


def _folder(root: str, variant: str) -> str:
    folder = os.path.join(root, "manipulated_videos", variant)
    if not os.path.isdir(folder):
        beside = files.inventory(os.path.dirname(folder))
        raise DataError(
            f"{folder} is missing ({os.path.dirname(folder)} holds {beside}); unpack it, or choose --methods"
        )
    return folder


def _listed(root: str, split: str) -> list[re.Match]:
    """The names of a split's list, by target."""
    path = os.path.join(root, "lists", "splits", f"{split}.txt")
    if not os.path.isfile(path):
        raise DataError(f"{path} is missing; copy lists/ from the download")
    by_target = {}
    for number, line in enumerate(filter(None, map(str.strip, files.read_text(path).splitlines())), 1):
        match = _FAKE.fullmatch(line)
        if match is None:
            raise DataError(f"entry {number} of {path} is {line!r}, want a name such as 000_M101.mp4; restore the file")
        if match["target"] in by_target:
            raise DataError(f"{path} lists target {match['target']} twice; restore the file")
        by_target[match["target"]] = match
    if not by_target:
        raise DataError(f"{path} lists no video; restore the file")
    return [by_target[target] for target in sorted(by_target)]


def _video(folder: str, name: str, method: str, split: str, match: re.Match) -> Video:
    return Video(
        id=name,
        path=os.path.join(folder, f"{name}.mp4"),
        label=int(method != ORIGINAL),
        dataset=NAME,
        method=method,
        compression="",
        split=split,
        group=match["actor"],
        source=match["target"],
    )
