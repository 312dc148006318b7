"""FFIW-10K (Zhou et al., CVPR 2021): videos with several faces, of which one or more are swapped.

    root/source/{train,val,test}/<split>_<8 digits>.mp4            real
    root/target/{train,val,test}/<split>_<8 digits>.mp4            forged
    root/target_mask/{train,val,test}/<split>_<8 digits>.mp4       which pixels were manipulated
    root/splits/{train,val,test}.json                              pairs [source, target]

The face that counts is the one under the mask (see ``faces/extract``), so without ``target_mask`` the label of a fake
is that of whichever face is largest; a warning says so. Pairs come from the lists; where a list is missing, the two
files of one name are a pair. Several papers (SBI among them) report val, 250 + 250, as their test: ``--protocol sbi``
is that.
"""

from __future__ import annotations

import logging
import os
import re

from fusion_dfd.datasets import files
from fusion_dfd.datasets.splits import SPLITS
from fusion_dfd.types import ORIGINAL, DataError, Video

NAME = "ffiw"
METHOD = "FFIW"
EACH = {"train": 8000, "val": 250, "test": 1738}
"""Number of real videos, and of fakes, of each split."""
PROTOCOLS = ("official", "sbi")

_NAMED = re.compile(r"(train|val|test)_\d{8}")
_log = logging.getLogger(__name__)


def videos(root: str, protocol: str = "official") -> list[Video]:
    """All videos that are there, sorted by split, label and id.

    Args:
      root: the folder that holds ``source``, ``target`` and ``target_mask``.
      protocol: ``official``, or ``sbi``: the videos of val, as split test.

    Raises DataError when a folder is missing, a file is named for another split than its folder, a list is damaged or
    names a video that is not there, or the protocol is unknown.
    """
    if protocol not in PROTOCOLS:
        raise DataError(f"FFIW-10K has no protocol {protocol!r}; it has {', '.join(PROTOCOLS)}")
    files.require(root, "the one that holds source/, target/ and target_mask/")
    splits = SPLITS if protocol == "official" else ("val",)
    listed = [video for split in splits for video in _split(root, split, split if len(splits) > 1 else "test")]
    if not listed:
        raise DataError(f"{root} holds no video in source/ and target/, but {files.inventory(root)}; check --root")
    each = sum(EACH[split] for split in splits)
    files.compare(root, "FFIW-10K", listed, each, each)
    if any(video.label and not video.mask for video in listed):
        _log.warning("%s has no target_mask/ of some fakes: which of several faces is forged is not known there", root)
    files.account(root, listed)
    return listed


def _split(root: str, split: str, called: str) -> list[Video]:
    reals, fakes = (_files(root, kind, split) for kind in ("source", "target"))
    if bool(reals) != bool(fakes):
        kind = "target" if reals else "source"
        raise DataError(f"{os.path.join(root, kind, split)} holds no video, its counterpart does; unpack it there")
    made_from = _pairs(root, split) if fakes else {}
    if lost := sorted((made_from.keys() - fakes.keys()) | (set(made_from.values()) - reals.keys())):
        _log.warning("%s: %d videos of the list of %s are absent: %s", root, len(lost), split, files.some(lost))
    listed = [Video(name, path, 0, NAME, ORIGINAL, "", called, group=name, source=name) for name, path in reals.items()]
    for name, path in fakes.items():
        mask = os.path.join(root, "target_mask", split, os.path.basename(path))
        mask = mask if os.path.isfile(mask) else ""
        source = made_from.get(name, name)
        listed.append(Video(name, path, 1, NAME, METHOD, "", called, group=source, source=source, mask=mask))
    return listed


def _files(root: str, kind: str, split: str) -> dict[str, str]:
    folder = os.path.join(root, kind, split)
    found = {files.stem(path): path for path in files.video_files(folder)}
    for name, path in found.items():
        match = _NAMED.fullmatch(name)
        if match is None or match[1] != split:
            raise DataError(f"{path} is not named as the videos of {split}, such as {split}_00000001.mp4; move it away")
    return found


def _pairs(root: str, split: str) -> dict[str, str]:
    """The real video that each fake was made from, as the list says; empty where there is no list."""
    path = os.path.join(root, "splits", f"{split}.json")
    if not os.path.isfile(path):
        _log.warning("%s is missing: the two videos of one name are taken for a pair", path)
        return {}
    return {files.stem(target): files.stem(source) for source, target in files.read_pairs(path)}
