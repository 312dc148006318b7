"""LAV-DF (Cai et al., DICTA 2022): VoxCeleb2 clips in which a few words were replaced, in picture, sound or both.

    root/metadata.json (or metadata.min.json)      a list of rows: file, split, modify_video, modify_audio, original
    root/{train,dev,test}/NNNNNN.mp4

Only pieces of a fake are forged (``fake_periods``, seconds): the video's ``stretches``. Where picture and sound are
forged, they are it at the same times. A forged sound alone is real by default (see
:mod:`fusion_dfd.datasets.forged_streams`). Who speaks is not published: a group is an original and what was made from
it, and one speaker may be on both sides of a split.
"""

from __future__ import annotations

import os

from fusion_dfd.datasets import files, forged_streams
from fusion_dfd.datasets.splits import SPLITS
from fusion_dfd.types import ORIGINAL, DataError, Video

NAME = "lav_df"
METHOD = "Wav2Lip"
TABLES = ("metadata.json", "metadata.min.json")
FIELDS = ("file", "split", "modify_video", "modify_audio", "original")
PARTS = {"train": "train", "dev": "val", "test": "test"}


def videos(root: str, label: str = forged_streams.VISUAL) -> list[Video]:
    """The videos that the metadata list, sorted by split, label, method and id.

    Args:
      root: the folder of the metadata.
      label: ``visual``, or ``any`` to call forged sound fake.

    Listed videos that do not exist stay in the list; a warning counts them. Raises DataError when the metadata are
    missing, or a row lies in another folder than its split, does not say what is forged, or names no original.
    """
    forged_streams.check(label)
    files.require(root, f"the one that holds {TABLES[0]}, train/, dev/ and test/")
    path = next(filter(os.path.isfile, (os.path.join(root, name) for name in TABLES)), "") or files.find(
        root, TABLES[0]
    )
    listed = [_video(root, path, row, label) for row in files.read_rows(path, FIELDS)]
    listed.sort(key=lambda video: (SPLITS.index(video.split), video.label, video.method, video.id))
    files.account(root, listed)
    return listed


def _video(root: str, path: str, row: dict, label: str) -> Video:
    file, part, original = str(row["file"]), row["split"], row["original"]
    if part not in PARTS or file.partition("/")[0] != part:
        raise DataError(
            f"{path}: {file} has split {part!r}, want its folder, one of {', '.join(PARTS)}; restore the file"
        )
    picture, sound = row["modify_video"], row["modify_audio"]
    if not isinstance(picture, bool) or not isinstance(sound, bool):
        raise DataError(f"{path}: {file} has modify_video {picture!r} and modify_audio {sound!r}, want true or false")
    if (picture or sound) and not isinstance(original, str):
        raise DataError(f"{path}: {file} is forged, but its original is {original!r}; restore the file")
    method = forged_streams.method(METHOD if picture else "", sound, label)
    clip = files.stem(original) if picture or sound else files.stem(file)
    return Video(
        id=files.stem(file),
        path=os.path.join(root, *file.split("/")),
        label=int(method != ORIGINAL),
        dataset=NAME,
        method=method,
        compression="",
        split=PARTS[part],
        group=clip,
        source=clip if method != ORIGINAL else files.stem(file),
        stretches=forged_streams.stretches(f"{path}: {file}", row.get("fake_periods")) if method != ORIGINAL else None,
    )
