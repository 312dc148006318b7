"""Deepfake-Eval-2024 (Chandra et al., 2025): videos that people asked fact-checkers about in 2024, of any origin.

    root/*video*.csv                Filename,Date,Ground Truth,Public Comments,Finetuning Set
                                    (Real or Fake, Train or Test)
    root/video-data/<Filename>      or the videos beside the table

The name of the table is not documented: it is the one with these columns, with "video" in its name where there are
several. Of its other columns the year of ``Date`` and, where there is one, ``Language`` are used: false alarms are
counted by them. Where the videos come from and who is in them is not published, so every video
is a group of its own. Many have several shots, captions, or no face: report how many got a score. ``--protocol all``
makes all of it a test set, for detectors that were not tuned on its train part.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

from fusion_dfd.datasets import files
from fusion_dfd.datasets.splits import SPLITS
from fusion_dfd.types import ORIGINAL, DataError, Video

NAME = "deepfake_eval_2024"
METHOD = "unknown"
COLUMNS = ("filename", "ground truth", "finetuning set")
PROTOCOLS = ("official", "all")
PLACES = ("video-data", "videos", "")


def videos(root: str, protocol: str = "official") -> list[Video]:
    """The videos that the table lists, sorted by split, label and id.

    Args:
      root: the folder of the table.
      protocol: ``official`` (train and test of the table), or ``all`` (all of it in split ``test``).

    Rows of sound and images, and those whose truth is unknown, are left out with a warning. Raises DataError when there
    is no table, a row has another label or set, or a file is listed twice.
    """
    if protocol not in PROTOCOLS:
        raise DataError(f"Deepfake-Eval-2024 has no protocol {protocol!r}; it has {', '.join(PROTOCOLS)}")
    files.require(root, "the one that holds the table of videos")
    table = _table(root)
    folder = next(place for place in (os.path.join(root, name) for name in PLACES) if os.path.isdir(place))
    listed, unused = {}, []
    for row in files.read_csv(table, COLUMNS):
        name, truth = row["filename"], row["ground truth"].lower()
        if not files.is_video(name) or truth == "unknown":
            unused.append(name)
            continue
        if truth not in ("real", "fake"):
            raise DataError(f"{table}: {name} has ground truth {row['ground truth']!r}, want Real or Fake")
        split = row["finetuning set"].lower()
        if split not in ("train", "test"):
            raise DataError(f"{table}: {name} has finetuning set {row['finetuning set']!r}, want Train or Test")
        if name in listed:
            raise DataError(f"{table} lists {name} twice; restore it")
        attributes = tuple((key, value) for key, value in _attributes(row) if value)
        place, part = os.path.join(folder, name), split if protocol == "official" else "test"
        listed[name] = _video(place, truth == "fake", part, attributes)
    files.leave_out(root, unused, "because they are no videos, or their truth is unknown")
    found = sorted(listed.values(), key=lambda video: (SPLITS.index(video.split), video.label, video.id))
    files.account(root, found)
    return found


def _table(root: str) -> str:
    tables = sorted(name for name in os.listdir(root) if name.lower().endswith(".csv") and not name.startswith("."))
    chosen = [name for name in tables if "video" in name.lower()] or tables
    if len(chosen) != 1:
        raise DataError(
            f"{root} holds {len(chosen)} tables that may be the one of the videos ({files.inventory(root)}); keep the "
            "one of the download that has the columns Filename, Ground Truth and Finetuning Set"
        )
    return os.path.join(root, chosen[0])


def _attributes(row: dict[str, str]) -> Iterator[tuple[str, str]]:
    """The year of a row's date, and its language where the table has such a column."""
    year = re.search(r"(?:19|20)\d\d", row.get("date", ""))
    yield "year", year[0] if year else ""
    yield "language", row.get("language", "").lower()


def _video(path: str, fake: bool, split: str, attributes: tuple[tuple[str, str], ...]) -> Video:
    name = os.path.basename(path)
    method = METHOD if fake else ORIGINAL
    return Video(name, path, int(fake), NAME, method, "", split, group=name, source=name, attributes=attributes)
