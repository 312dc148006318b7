"""DeepSpeak v1.1 and v2 (Barrington, Bohacek and Farid): people at their webcams, swapped, lip-synced and animated.

    root/**/<identity>-<recording>.mp4                                     real, in both releases
    root/**/<engine>--<src>-<tgt>--<srcrec>-<tgtrec>--<n>.mp4              v1: face or voice of src on a clip of tgt
    root/**/<engine>-<srcrec>-<tgtrec>-<audio>.mp4                         v2: who it is stands in annotations-fake.csv
    root/annotations-split-def.csv                                         identity,split (train or test)
    root/annotations-fake.csv                                              v2: video-file,identity-source,...

Videos may lie at any depth, because the archives unpack to folders of their own. The official split is one of people.
A fake whose two people lie in different splits is left out. There is no val: draw it from train (``--splits``).
"""

from __future__ import annotations

import collections
import dataclasses
import functools
import os
import re

from fusion_dfd.datasets import files
from fusion_dfd.datasets.grouping import components
from fusion_dfd.datasets.splits import SPLITS
from fusion_dfd.types import ORIGINAL, DataError, Video

SPLIT_TABLE, FAKE_TABLE = "annotations-split-def.csv", "annotations-fake.csv"
COLUMNS = ("video-file", "identity-source", "identity-target", "recording-target", "engine")

_REAL = re.compile(r"(\d+)-(\d+)")
_V1 = re.compile(r"(?P<engine>\w+)--(?P<src>\d+)-(?P<tgt>\d+)--\d+-(?P<rec>\d+)--\d+")
_V2 = re.compile(r"(?P<engine>[a-z0-9_]+)-\d+-\d+-\w+")


@dataclasses.dataclass(frozen=True)
class Release:
    name: str
    title: str
    reals: int
    fakes: int
    fake: re.Pattern
    example: str


V1 = Release("deepspeak_v1", "DeepSpeak v1.1", 6667, 6796, _V1, "wav2lip--10-11--4100-4897--0.mp4")
V2 = Release("deepspeak_v2", "DeepSpeak v2", 9376, 7209, _V2, "diff2lip-6868-6860-playht.mp4")


def videos(release: Release, root: str) -> list[Video]:
    """The videos that are there, sorted by split, label, method and id.

    Args:
      release: V1 or V2.
      root: the folder of the annotations, with the videos in it or below.

    Fakes across splits, fakes that v2's table does not list and files of other names are left out, with a warning.
    Raises DataError when a table is missing, does not list a person, or gives an unknown split, when the videos are
    those of the other release, or when there is none.
    """
    files.require(root, f"the one that holds {SPLIT_TABLE} and the videos")
    split_of = _splits(files.find(root, SPLIT_TABLE))
    table = _table(files.find(root, FAKE_TABLE)) if release is V2 else None
    known, odd, across, unlisted = [], [], [], []
    for path in files.videos_below(root):
        name = files.stem(path)
        if match := _REAL.fullmatch(name):
            known.append((path, ORIGINAL, [match[1]], name))
            continue
        match = release.fake.fullmatch(name)
        if match is None:
            _refuse_other(release, path)
            odd.append(path)
        elif table is not None and name not in table:
            unlisted.append(path)
        else:
            engine, people, source = table[name] if table is not None else _read_v1(match)
            known.append((path, engine, people, source))
    if not any(method != ORIGINAL for _, method, *_ in known):
        raise DataError(
            f"{root} holds no fake of {release.title} such as {release.example}, but {files.inventory(root)}; check "
            "--root, or unpack the videos there"
        )
    if strangers := sorted({person for *_, people, _ in known for person in people} - split_of.keys()):
        raise DataError(f"{os.path.join(root, SPLIT_TABLE)} does not list people {files.some(strangers)}; restore it")
    within = []
    for video in known:
        (within if len({split_of[person] for person in video[2]}) == 1 else across).append(video)
    files.leave_out(root, odd, f"because they are not named as in {release.title}")
    files.leave_out(root, unlisted, f"because {FAKE_TABLE} does not list them")
    files.leave_out(root, [path for path, *_ in across], "because their two people lie in different splits")
    groups = components(people for _, _, people, _ in within)
    listed = [
        Video(
            files.stem(path),
            path,
            int(method != ORIGINAL),
            release.name,
            method,
            "",
            split_of[people[0]],
            group=groups[people[0]],
            source=source,
        )
        for path, method, people, source in within
    ]
    listed.sort(key=lambda video: (SPLITS.index(video.split), video.label, video.method, video.id))
    if twice := [key for key, count in collections.Counter(video.key for video in listed).items() if count > 1]:
        raise DataError(f"{files.some(twice)} are under {root} twice; remove one of each")
    files.compare(root, release.title, listed, release.reals, release.fakes)
    files.account(root, listed)
    return listed


v1, v2 = (functools.partial(videos, release) for release in (V1, V2))


def _read_v1(match: re.Match) -> tuple[str, list[str], str]:
    """Method, people (the one on screen first) and real video of a fake of v1."""
    return match["engine"], [match["tgt"], match["src"]], f"{match['tgt']}-{match['rec']}"


def _refuse_other(release: Release, path: str) -> None:
    other = V2 if release is V1 else V1
    if other.fake.fullmatch(files.stem(path)):
        raise DataError(f"{path} is named as in {other.title}: choose --dataset {other.name}, or move it away")


def _splits(path: str) -> dict[str, str]:
    split_of = {}
    for row in files.read_csv(path, ("identity", "split")):
        split = row["split"].lower()
        if split not in ("train", "test"):
            raise DataError(f"{path}: identity {row['identity']} has split {row['split']!r}, want train or test")
        if split_of.setdefault(row["identity"], split) != split:
            raise DataError(f"{path}: identity {row['identity']} lies in train and test; restore the file")
    return split_of


def _table(path: str) -> dict[str, tuple[str, list[str], str]]:
    """Method, people and real video of each fake of v2, by the stem of its file."""
    described = {}
    for row in files.read_csv(path, COLUMNS):
        people = [row["identity-target"], row["identity-source"]]
        if not all(people) or not row["engine"]:
            raise DataError(f"{path}: {row['video-file']} has no people or no engine; restore the file")
        source = f"{people[0]}-{row['recording-target']}"
        described[files.stem(row["video-file"])] = (row["engine"].replace("/", "-"), people, source)
    return described
