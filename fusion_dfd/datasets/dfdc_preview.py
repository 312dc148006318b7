"""The preview of DFDC (Dolhansky et al., 2019): 1131 real and 4119 fake videos of two methods, with identities.

    root/dataset.json       {"<path>": {"label": "real", "set": "train", "target_id": "AAA", "swapped_id": null}, ...}
    root/original_videos/AAA/AAA_X_NNN.mp4                        actor AAA
    root/method_A/AAA/AAA_X/BBB_AAA_X_NNN.mp4, root/method_B/..   the face of BBB on the clip AAA_X_NNN

The sets are official; there is none for validation. A group is a connected component of the graph of who was swapped
with whom, by ``target_id`` and ``swapped_id``, or by the names where those are missing. How videos are named, and the
two ids, are taken from public readers of the data set; that its two sets share no actor is [from memory], and the audit
refuses the data if they do.
"""

from __future__ import annotations

import os

from fusion_dfd.datasets import files
from fusion_dfd.datasets.grouping import components
from fusion_dfd.datasets.splits import SPLITS
from fusion_dfd.types import LABELS, ORIGINAL, DataError, Video

NAME = "dfdc_preview"
INDEX = "dataset.json"
FOLDERS = {"original_videos": "real", "method_A": "fake", "method_B": "fake"}


def videos(root: str) -> list[Video]:
    """The videos that dataset.json lists, sorted by split, method and id.

    Raises DataError when dataset.json is missing, a path begins with none of the three folders, or label, set or name
    of a video is not as described above.
    """
    files.require(root, f"the one that holds {INDEX}")
    path = os.path.join(root, INDEX)
    if not os.path.isfile(path):
        raise DataError(f"{path} is missing ({root} holds {files.inventory(root)}); check --root, or copy it there")
    entries = files.read_json(path)
    people = {place: _people(path, place, entry) for place, entry in entries.items()}
    groups = components(people.values())
    listed = [_video(root, place, entry["set"], groups[people[place][0]]) for place, entry in entries.items()]
    listed.sort(key=lambda video: (SPLITS.index(video.split), video.label, video.method, video.id))
    files.account(root, listed)
    return listed


def _people(path: str, place: str, entry: dict) -> list[str]:
    """Target and face of a video, after its entry was checked."""
    kind = FOLDERS.get(place.partition("/")[0])
    if kind is None:
        raise DataError(f"{path}: {place} lies in none of {', '.join(FOLDERS)}; restore the file from the download")
    if entry.get("label") != kind:
        raise DataError(
            f"{path}: {place} has label {entry.get('label')!r}, but lies among the {kind} ones; restore the file"
        )
    if entry.get("set") not in ("train", "test"):
        raise DataError(f"{path}: {place} has set {entry.get('set')!r}, want train or test; restore the file")
    words = files.stem(place).split("_")
    named = words[:1] if kind == LABELS[0] else words[1::-1]
    if len(words) < (3 if kind == LABELS[0] else 4):
        raise DataError(f"{path}: {place} is not named as in DFDC's preview, such as 1255229_1003254_A_001.mp4")
    ids = ("target_id",) if kind == LABELS[0] else ("target_id", "swapped_id")
    return [str(entry.get(key) or name) for key, name in zip(ids, named, strict=True)]


def _video(root: str, place: str, split: str, group: str) -> Video:
    folder, name = place.partition("/")[0], files.stem(place)
    label = LABELS.index(FOLDERS[folder])
    return Video(
        id=name,
        path=os.path.join(root, *place.split("/")),
        label=label,
        dataset=NAME,
        method=folder if label else ORIGINAL,
        compression="",
        split=split,
        group=group,
        source=name.partition("_")[2] if label else name,
    )
