"""FakeAVCeleb v1.2 (Khalid et al., NeurIPS 2021): faces swapped and lips driven, voices cloned, of 500 celebrities.

    root/<type>/<race>/<gender>/idNNNNN/<clip>.mp4       type RealVideo-RealAudio, FakeVideo-FakeAudio, and so on
    root/meta_data.csv                                   source,target1,target2,method,category,type,race,gender,path,

The last column of the table has no name: it holds the folder. ``source`` is the person on screen, ``target1`` and
``target2`` are whose face and voice were used. RealVideo-FakeAudio is real by default (see
:mod:`fusion_dfd.datasets.forged_streams`).

There is no official split. Faces were swapped so freely that all but a few people are one component of the swap graph,
so splits are drawn by the person on screen: whose face was put there may well be on the other side. There are 41 fakes
for each real video; training pairs even that out, accuracy does not mean much.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from fusion_dfd.datasets import files, forged_streams
from fusion_dfd.datasets.splits import FRACTIONS, SPLITS, draw_splits
from fusion_dfd.types import ORIGINAL, DataError, Video

NAME = "fakeavceleb"
TABLE = "meta_data.csv"
COUNTS = {
    "RealVideo-RealAudio": 500,
    "RealVideo-FakeAudio": 500,
    "FakeVideo-RealAudio": 9709,
    "FakeVideo-FakeAudio": 10835,
}
"""Number of videos of each type."""
COLUMNS = ("source", "method", "type", "race", "gender", "path")


def videos(
    root: str, label: str = forged_streams.VISUAL, seed: int = 0, fractions: Sequence[float] = FRACTIONS
) -> list[Video]:
    """The videos that the table lists, sorted by split, label, method and id.

    Args:
      root: the folder of meta_data.csv and of the four types.
      label: ``visual``, or ``any`` to call forged sound fake.
      seed: of the draw of the splits.
      fractions: of train, val, test in that draw.

    Listed videos that do not exist stay in the list, and files that the table does not list are left out, both with a
    warning. Raises DataError when the table is missing, or calls a video of a forged type real or the other way round.
    """
    forged_streams.check(label)
    files.require(root, f"the one that holds {TABLE} and {', '.join(COUNTS)}")
    table = files.find(root, TABLE)
    there = {}
    for path in files.videos_below(root):
        parts = os.path.relpath(path, root).split(os.sep)
        if len(parts) == 5 and parts[0] in COUNTS:
            there[parts[0], parts[3], parts[4]] = path
    rows = {}
    for row in files.read_csv(table, COLUMNS):
        _check(table, row)
        rows[row["type"], row["source"], row["path"]] = row
    files.leave_out(root, [there[key] for key in sorted(there.keys() - rows)], f"because {TABLE} does not list them")
    reals = {}
    for kind, person, name in rows:
        if kind == "RealVideo-RealAudio":
            reals.setdefault(person, []).append(files.stem(name))
    listed = [_video(root, row, there.get(key), reals.get(key[1], []), label) for key, row in rows.items()]
    listed = draw_splits(listed, seed, fractions)
    listed.sort(key=lambda video: (SPLITS.index(video.split), video.label, video.method, video.id))
    methods = {kind: _method(kind, "forged", label) for kind in COUNTS}
    fakes = sum(count for kind, count in COUNTS.items() if methods[kind] != ORIGINAL)
    files.compare(root, "FakeAVCeleb", listed, sum(COUNTS.values()) - fakes, fakes)
    files.account(root, listed)
    return listed


def _check(table: str, row: dict[str, str]) -> None:
    kind, name = row["type"], f"{row['source']}/{row['path']}"
    if kind not in COUNTS:
        raise DataError(f"{table}: {name} has type {kind!r}, want {', '.join(COUNTS)}; restore the file")
    if not row["source"] or not files.is_video(row["path"]):
        raise DataError(f"{table}: {name} names no person and video, such as id00076 and 00109.mp4; restore the file")
    if (row["method"] == "real") != (kind == "RealVideo-RealAudio"):
        raise DataError(f"{table}: {name} has method {row['method']!r}, but type {kind}; restore the file")


def _video(root: str, row: dict[str, str], path: str | None, clips: list[str], label: str) -> Video:
    """A row of the table; ``clips`` are the stems of the person's real videos."""
    kind, person, file = row["type"], row["source"], row["path"]
    method = _method(kind, row["method"].replace("/", "-"), label)
    name = f"{kind}/{person}/{files.stem(file)}"
    made_from = [clip for clip in clips if files.stem(file).startswith(clip)] or (clips if len(clips) == 1 else [])
    source = f"RealVideo-RealAudio/{person}/{made_from[0]}" if made_from else name
    return Video(
        id=name,
        path=path or os.path.join(root, kind, row["race"], row["gender"], person, file),
        label=int(method != ORIGINAL),
        dataset=NAME,
        method=method,
        compression="",
        split="",
        group=person,
        source=source if method != ORIGINAL else name,
        attributes=(("race", row["race"]), ("gender", row["gender"])),
    )


def _method(kind: str, picture: str, label: str) -> str:
    """Manipulation of a video of a type whose forged pictures are made by the method ``picture``."""
    return forged_streams.method(picture if kind.startswith("Fake") else "", kind.endswith("FakeAudio"), label)
