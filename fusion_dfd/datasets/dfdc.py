"""DFDC, the Deepfake Detection Challenge (Dolhansky et al., 2020): train parts, public sample, and labelled test set::

    root/dfdc_train_part_N/metadata.json            {"x.mp4": {"label": "FAKE", "split": "train", "original": "y.mp4"}}
    root/dfdc_train_part_N/*.mp4                    N = 0..49; root may hold them a folder deeper
    root/train_sample_videos/                       the small sample: such a folder; root may be that folder
    root/labels.csv                                 the test set: filename,label (1 fake); videos beside or in videos/

DFDC publishes no identities: who appears in which clip is not said. A group is a source clip and the fakes made from
it; one actor may well be on both sides of a split, and nothing here can tell. The methods are not published either.
"""

from __future__ import annotations

import collections
import logging
import os
import re
from collections.abc import Sequence

from fusion_dfd.datasets import files
from fusion_dfd.datasets.splits import FRACTIONS, SPLITS, draw_splits
from fusion_dfd.types import ORIGINAL, DataError, Video

NAME, SAMPLE, TEST = "dfdc", "dfdc_sample", "dfdc_test"
METHOD = "undisclosed"
PARTS = {"train": range(35), "val": range(35, 40), "test": range(40, 50)}
"""The customary split: no official one of the train parts exists."""

_PART = re.compile(r"dfdc_train_part_(\d+)")
_METADATA, _LABELS = "metadata.json", "labels.csv"
_log = logging.getLogger(__name__)


def parts(root: str) -> list[Video]:
    """The train parts that are there, split by part: 0-34 train, 35-39 val, 40-49 test; sorted by split, part and id.

    Absent parts are a logged warning. Raises DataError when there is none, one is there twice, or its metadata.json is
    not as described above.
    """
    files.require(root, "the one that holds dfdc_train_part_0, dfdc_train_part_1, ...")
    folders = _parts(root)
    listed = []
    for split, numbers in PARTS.items():
        for number in numbers:
            if number in folders:
                listed += _described(folders[number], os.path.join(folders[number], _METADATA), NAME, split)
    if absent := [split for split, numbers in PARTS.items() if not folders.keys() & set(numbers)]:
        _log.warning("%d of 50 parts are under %s, none of %s", len(folders), root, " or ".join(absent))
    files.account(root, listed)
    return listed


def sample(root: str, seed: int = 0, fractions: Sequence[float] = FRACTIONS) -> list[Video]:
    """The small public sample, split at random by source clip; sorted by split and id.

    Args:
      root: the folder of metadata.json, or the one above (``train_sample_videos`` in it).
      seed: of the draw.
      fractions: of train, val, test.

    Raises DataError when metadata.json is missing or not as described above.
    """
    files.require(root, f"the one that holds train_sample_videos/ or {_METADATA}")
    path = files.find(root, _METADATA, ("", "train_sample_videos"))
    listed = draw_splits(_described(os.path.dirname(path), path, SAMPLE, "train"), seed, fractions)
    listed.sort(key=lambda video: (SPLITS.index(video.split), video.id))
    files.account(root, listed)
    return listed


def test(root: str) -> list[Video]:
    """The test set that labels.csv lists, by id; all in split ``test``, each video a group of its own.

    What a fake was made from is not published. Papers mix subsets of 3215, about 3725 and 5000 videos: say how many.
    Raises DataError when labels.csv is missing, or a label is neither 0 nor 1.
    """
    files.require(root, f"the one that holds {_LABELS}")
    path = files.find(root, _LABELS, ("", "test", "videos", "test_videos"))
    folder = os.path.dirname(path)
    inner = os.path.join(folder, "videos")
    folder = inner if os.path.isdir(inner) else folder
    listed = []
    for row in files.read_csv(path, ("filename", "label")):
        if row["label"] not in ("0", "1"):
            raise DataError(f"{path}: {row['filename']} has label {row['label']!r}, want 0 (real) or 1 (fake)")
        listed.append(_video(folder, row["filename"], int(row["label"]), TEST, "test", source=row["filename"]))
    listed.sort(key=lambda video: video.id)
    files.account(root, listed)
    return listed


def _parts(root: str) -> dict[int, str]:
    """Folder of each part, by its number; at most two folders below the root."""
    folders_by_part, bare = collections.defaultdict(list), []
    for folder, inner, names in os.walk(root):
        match = _PART.fullmatch(os.path.basename(folder))
        if match and _METADATA in names:
            folders_by_part[int(match[1])].append(folder)
        elif match and any(map(files.is_video, names)):
            bare.append(folder)
        deep = os.path.relpath(folder, root).count(os.sep) >= 2
        inner[:] = [] if deep else sorted(name for name in inner if not name.startswith("."))
    if bare:
        raise DataError(
            f"{files.some(sorted(bare))} has videos but no {_METADATA}, which says what is real; unpack the archive "
            "of the part again, or remove the folder"
        )
    if not folders_by_part:
        raise DataError(
            f"{root} holds no dfdc_train_part_N with its {_METADATA}, but {files.inventory(root)}; check --root, or "
            f"choose --dataset {SAMPLE}, {TEST} or dfdc_preview"
        )
    if twice := [folders for folders in folders_by_part.values() if len(folders) > 1]:
        raise DataError(f"one part of DFDC is there twice: {' and '.join(twice[0])}; remove one")
    if odd := [folders[0] for number, folders in folders_by_part.items() if number not in range(50)]:
        raise DataError(f"{odd[0]}: DFDC has parts 0 to 49; rename or remove it")
    return {number: folders[0] for number, folders in folders_by_part.items()}


def _described(folder: str, path: str, dataset: str, split: str) -> list[Video]:
    """The videos that a metadata.json describes, by id."""
    described = []
    for name, entry in sorted(files.read_json(path).items()):
        label, original = entry.get("label"), entry.get("original")
        if label not in ("REAL", "FAKE"):
            raise DataError(f"{path}: {name} has label {label!r}, want REAL or FAKE")
        if label == "FAKE" and not isinstance(original, str):
            raise DataError(f"{path}: {name} is FAKE, but its original is {original!r}; copy the file again")
        fake = label == "FAKE"
        described.append(_video(folder, name, int(fake), dataset, split, source=original if fake else name))
    return described


def _video(folder: str, name: str, label: int, dataset: str, split: str, source: str) -> Video:
    clip = files.stem(source)
    return Video(
        id=files.stem(name),
        path=os.path.join(folder, name),
        label=label,
        dataset=dataset,
        method=METHOD if label else ORIGINAL,
        compression="",
        split=split,
        group=clip,
        source=clip,
    )
