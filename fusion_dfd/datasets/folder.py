"""Any collection of videos: a folder of real and fake ones, a .zip of such a folder, or a table of paths and labels.

A *folder* says what its videos are by the names of the folders in it, in any usual spelling: ``real/ fake/``,
``REAL/ FAKE/``, ``0_real/ 1_fake/``, ``DFD_REAL/ DFD_FAKE/``, ``original_sequences/ manipulated_sequences/``. Of the
folders on the way to a video the outermost that says real or fake decides. Where every video also lies in a folder
``train``, ``val`` or ``test`` (or ``valid``, ``validation``, ``dev``), those are the splits; else they are drawn.

A folder does not say who is in a video, so groups follow names: a fake belongs to the real video whose name its own
begins with (``a.mp4``, ``a_fake.mp4``), and to the one whose name the rest is (``071_054.mp4`` is made of ``071.mp4``
and ``054.mp4``); names in the style of Celeb-DF and DFD tell the people. Videos of equal content are a group, too.
**Other videos of one person are not recognised**: for those, list the videos in a table, with their groups.

A *table* is a CSV file whose first line names its columns: ``path`` (or ``file``, ``filename``, ``video``; relative to
the table) and ``label`` (real, fake, 0, 1), and if wanted ``group``, ``method``, ``compression``, ``split``, ``id``.
"""

from __future__ import annotations

import collections
import dataclasses
import logging
import os
import re
from collections.abc import Sequence

from fusion_dfd.datasets import archive, disk, kinship, table
from fusion_dfd.datasets.draw import FRACTIONS, draw
from fusion_dfd.datasets.splits import SPLITS
from fusion_dfd.types import LABELS, ORIGINAL, DataError, Video

NAME = "folder"
METHOD = "fake"
"""``method`` of the fakes where nobody says how they were made."""
WORDS = (
    frozenset({"real", "reals", "original", "originals", "pristine", "genuine"}),
    frozenset({"fake", "fakes", "manipulated", "deepfake", "deepfakes", "forged", "synthesis", "synthetic"}),
)
"""Words in the name of a folder of real videos, and of fake ones."""
SKIPPED = ("masks", "__MACOSX")
"""Folders that hold no videos of anybody: FaceForensics++'s masks, and what macOS puts into archives."""

_log = logging.getLogger(__name__)


def videos(root: str, seed: int = 0, fractions: Sequence[float] = FRACTIONS) -> list[Video]:
    """The videos of a folder, archive or table, sorted by split, label, method and id.

    Args:
      root: the folder, or the .zip (unpacked beside itself), or the .csv.
      seed: of the draw of the splits, where none are given.
      fractions: of train, val, test in that draw.

    Raises DataError when no video is found, one of the labels is said by nothing, two videos have one name, one file
    lies among the real and among the fake ones, only some videos have a split, or a row of the table is not as above.
    """
    kind = os.path.splitext(root)[1].lower() if os.path.isfile(root) else ""
    if kind == ".csv":
        found = table.read(root, NAME, METHOD)
    else:
        found = _tree(archive.unpack(root) if kind == ".zip" else root)
    _check(found)
    found = kinship.by_content(_grouped(found))
    found = found if found[0].split else draw(found, seed, fractions)
    found.sort(key=lambda video: (SPLITS.index(video.split), video.label, video.method, video.id))
    disk.account(os.path.dirname(os.path.abspath(root)) if os.path.isfile(root) else root, found)
    return found


def _check(found: list[Video]) -> None:
    for what, key in (("name", lambda video: video.key), ("path", lambda video: os.path.abspath(video.path))):
        count = collections.Counter(map(key, found))
        if twice := sorted(video.path for video in found if count[key(video)] > 1):
            raise DataError(
                f"{disk.some(twice)} have one {what}, so that they cannot be told apart; rename or remove one"
            )
    if len({bool(video.split) for video in found}) > 1:
        first = next(video.path for video in found if not video.split)
        raise DataError(f"some videos have a split, but {first} has none; give one to all or to none")


def _grouped(found: list[Video]) -> list[Video]:
    """Groups as the table says them; else by names. A video without a group is one."""
    named = kinship.by_name(found)
    if not any(video.group for video in found):
        return named
    return [
        dataclasses.replace(other, group=video.group or f"{video.method}/{video.id}")
        for video, other in zip(found, named, strict=True)
    ]


def _tree(root: str) -> list[Video]:
    disk.require(root, "a folder that holds real/ and fake/, a .zip of one, or a .csv with the columns path,label")
    found, unsaid, seen = [], [], set()
    for folder, inner, names in os.walk(root, followlinks=True):
        if os.path.realpath(folder) in seen:  # a link that leads back would lead around for ever
            inner.clear()
            continue
        seen.add(os.path.realpath(folder))
        inner[:] = sorted(name for name in inner if not name.startswith(".") and name not in SKIPPED)
        parts = [] if folder == root else os.path.relpath(folder, root).split(os.sep)
        place = next((place for place, part in enumerate(parts) if _says(part) is not None), None)
        for name in filter(disk.is_video, sorted(names)):
            path = os.path.join(folder, name)
            if place is None:
                unsaid.append(os.path.relpath(path, root))
            else:
                found.append(_video(path, parts, place))
    for label, name in enumerate(LABELS):
        if not any(video.label == label for video in found):
            raise DataError(
                f"no folder under {root} is named for {name} videos ({root} holds {disk.inventory(root)}); name the "
                f"two folders {' and '.join(LABELS)}"
            )
    if unsaid:
        _log.warning(
            "%d videos lie in no folder named real or fake and are left out: %s", len(unsaid), disk.some(unsaid)
        )
    return found


def _says(name: str) -> int | None:
    """The label in the name of a folder, None where it says none. Raises DataError when it says both."""
    words = set(re.findall(r"[a-z]+", name.lower()))
    labels = [label for label, known in enumerate(WORDS) if words & known]
    if len(labels) > 1:
        raise DataError(f"folder {name!r} says both real and fake; rename it to the one that it holds")
    return labels[0] if labels else None


def _video(path: str, parts: list[str], place: int) -> Video:
    """A video by the folders it lies in; the one at ``place`` says its label and is no part of its id."""
    label, name = _says(parts[place]), "/".join([*parts[:place], *parts[place + 1 :], disk.stem(path)])
    split = next((table.SPLIT_NAMES[part.lower()] for part in parts if part.lower() in table.SPLIT_NAMES), "")
    return Video(name, path, label, NAME, METHOD if label else ORIGINAL, "", split, group="", source="")
