"""AV-Deepfake1M++ (Cai et al., ACM MM 2025): speech in which single words were replaced, in picture, sound or both.

    root/{train,val}_metadata.json                  a list of rows: file, original, modify_type, video_model, ...
    root/{train,val}/vox_celeb_2/<id>/<clip>/<utterance>/<name>.mp4         or these folders right in the root
    root/{train,val}/lrs3/<id>/<utterance>/<name>.mp4
    root/{train,val}/silent_videos/subject_N_.../<name>.mp4

Only pieces of a fake are forged; ``visual_fake_segments`` (seconds) says which, and ``fake_segments`` those of picture
or sound. They become the video's ``stretches``; the video is fake if it has any. Most of its frames are real, and a
detector that looks at few windows of a video will miss it. A forged sound alone is real by default (see
:mod:`fusion_dfd.datasets.forged_streams`). ``modify_type`` has underscores in the data and hyphens in the authors'
loader; both are read. The labels of test are not published.
"""

from __future__ import annotations

import os
import re

from fusion_dfd.datasets import files, forged_streams
from fusion_dfd.datasets.grouping import components
from fusion_dfd.datasets.splits import SPLITS
from fusion_dfd.types import ORIGINAL, DataError, Video

NAME = "av_deepfake1m"
TYPES = {
    "real": (False, False),
    "audio_modified": (False, True),
    "visual_modified": (True, False),
    "both_modified": (True, True),
}
"""Is the picture forged, is the sound?"""
CORPORA = ("vox_celeb_2", "lrs3", "silent_videos")

_SUBJECT = re.compile(r"subject_\d+")


def videos(root: str, label: str = forged_streams.VISUAL) -> list[Video]:
    """The videos that the metadata list, sorted by split, label, method and id.

    Args:
      root: the folder of the metadata.
      label: ``visual``, or ``any`` to call forged sound fake.

    A group is the people or subjects that a video and its original are filed under. Listed videos that do not exist
    stay in the list; a warning counts them. Raises DataError when there are no metadata, or when a row lies in no known
    corpus, has an unknown type, or has forged segments that contradict its type.
    """
    forged_streams.check(label)
    files.require(root, "the one that holds train_metadata.json or val_metadata.json")
    tables = {split: os.path.join(root, f"{split}_metadata.json") for split in ("train", "val")}
    tables = {split: path for split, path in tables.items() if os.path.isfile(path)}
    if not tables:
        raise DataError(f"{root} holds no train_metadata.json or val_metadata.json, but {files.inventory(root)}")
    rows = [
        (split, path, row) for split, path in tables.items() for row in files.read_rows(path, ("file", "modify_type"))
    ]
    people = [_people(path, row) for _, path, row in rows]
    groups = components(people)
    listed = [
        _video(root, split, path, row, groups[who[0]], label)
        for (split, path, row), who in zip(rows, people, strict=True)
    ]
    listed.sort(key=lambda video: (SPLITS.index(video.split), video.label, video.method, video.id))
    files.account(root, listed)
    return listed


def _person(file: str) -> str | None:
    """Who a path of the data set is filed under; None for a path of no known corpus."""
    parts = file.replace("\\", "/").split("/")
    if parts[0] not in CORPORA or len(parts) < 3:
        return None
    subject = _SUBJECT.match(parts[1])
    return f"{parts[0]}/{subject[0] if subject else parts[1]}"


def _people(path: str, row: dict) -> list[str]:
    person = _person(str(row["file"]))
    if person is None:
        raise DataError(f"{path}: {row['file']} lies in none of {', '.join(CORPORA)}; check that it is the right file")
    other = _person(str(row.get("original") or ""))
    return [person, other] if other else [person]


def _video(root: str, split: str, path: str, row: dict, group: str, label: str) -> Video:
    file, kind = row["file"], str(row["modify_type"]).replace("-", "_")
    if kind not in TYPES:
        raise DataError(f"{path}: {file} has modify_type {row['modify_type']!r}, want {', '.join(TYPES)}")
    picture, sound = TYPES[kind]
    if bool(row.get("visual_fake_segments", picture)) != picture:
        said = "no" if picture else "some"
        raise DataError(f"{path}: {file} has modify_type {kind}, but {said} visual_fake_segments; restore the file")
    model = str(row.get("video_model") or "undisclosed").replace("/", "-")
    method = forged_streams.method(model if picture else "", sound, label)
    name, original = os.path.splitext(file)[0], str(row.get("original") or "")
    fake = method != ORIGINAL
    pieces = row.get("visual_fake_segments" if label == forged_streams.VISUAL else "fake_segments")
    folder = os.path.join(root, split)
    return Video(
        id=name,
        path=os.path.join(folder if os.path.isdir(folder) else root, *file.split("/")),
        label=int(fake),
        dataset=NAME,
        method=method,
        compression="",
        split=split,
        group=group,
        source=os.path.splitext(original)[0] if fake and _person(original) else name,
        stretches=forged_streams.stretches(f"{path}: {file}", pieces) if fake else None,
    )
