"""IDForge v1 (Xu et al., ACM MM 2024): 54 public figures, with swapped faces, driven lips, cloned and synthetic voices.

    root/<type>/idNN/idNN_SS/<idNN_scene_....mp4>          pristine, face_..., lip_..., rvc_..., tts_...
    root/{train,val,test}.csv                              a path on each line, no header

Videos of the types ``rvc_`` and ``tts_`` have a forged sound and an untouched picture: they are real by default (see
:mod:`fusion_dfd.datasets.forged_streams`). The lists divide videos, not people: the same 54 people are in all three.
So, as for Celeb-DF, ``official`` is the list of test alone, for comparison with papers, and ``identity_disjoint`` draws
all videos by person, for training. Which recording a fake was made from is not published. (v2 has arrays of 16 frames
instead of videos; it is not read.)
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence

from fusion_dfd.datasets import files, forged_streams
from fusion_dfd.datasets.splits import FRACTIONS, SPLITS, draw_splits
from fusion_dfd.types import ORIGINAL, DataError, Video

NAME = "idforge"
PRISTINE = "pristine"
SOUND_ONLY = ("rvc_textmismatch", "tts_textgen", "tts_textmismatch")
FORGED = (
    "face_audiomismatch_textmismatch",
    "face_rvc_textmismatch",
    "face_tts",
    "face_tts_textgen",
    "lip_audiomismatch_textmismatch",
    "lip_rvc_textmismatch",
    "lip_tts_textgen",
)
PROTOCOLS = ("official", "identity_disjoint")
PLACES = ("", "IDForge_v1", "main")
"""Where the lists may lie."""

_PLACE = re.compile(r"(?P<type>\w+)/(?P<person>id\d+)/(?P<session>id\d+_\d+)/(?P<file>[^/]+)")


def videos(
    root: str,
    protocol: str = "official",
    label: str = forged_streams.VISUAL,
    seed: int = 0,
    fractions: Sequence[float] = FRACTIONS,
) -> list[Video]:
    """The listed videos of a protocol, sorted by split, label, method and id.

    Args:
      root: the folder that holds the folders of types.
      protocol: ``official`` (test.csv), or ``identity_disjoint`` (all three lists, drawn by person).
      label: ``visual``, or ``any`` to call forged sound fake.
      seed: of the draw.
      fractions: of train, val, test in that draw.

    Listed videos that do not exist stay in the list; a warning counts them. Raises DataError when a list is missing or
    empty, or when a line is no path as above, is of an unknown type, names another person than its folder, or is there
    twice.
    """
    if protocol not in PROTOCOLS:
        raise DataError(f"IDForge has no protocol {protocol!r}; it has {', '.join(PROTOCOLS)}")
    forged_streams.check(label)
    files.require(root, f"the one that holds {PRISTINE}/ and the lists")
    listed, seen = [], set()
    for split in SPLITS:
        path = files.find(root, f"{split}.csv", PLACES)
        for match in _places(path):
            if match[0] in seen:
                raise DataError(f"{path} lists {match[0]}, which was listed before; restore the lists")
            seen.add(match[0])
            if protocol != "official" or split == "test":
                listed.append(_video(root, match, label))
    listed = draw_splits(listed, seed, (0, 0, 1) if protocol == "official" else fractions)
    listed.sort(key=lambda video: (SPLITS.index(video.split), video.label, video.method, video.id))
    files.account(root, listed)
    return listed


def _places(path: str) -> list[re.Match]:
    """The lines of a list."""
    matches = []
    for number, line in enumerate(files.read_text(path).splitlines(), 1):
        line = line.strip().replace("\\", "/")
        if not line:
            continue
        match = _PLACE.fullmatch(line)
        if match is None or match["type"] not in (PRISTINE, *SOUND_ONLY, *FORGED) or not files.is_video(match["file"]):
            raise DataError(
                f"line {number} of {path} is {line!r}, want such as {PRISTINE}/id00/id00_03/id00_scene_1.mp4"
            )
        if not match["session"].startswith(match["person"] + "_") or not match["file"].startswith(match["person"]):
            raise DataError(f"line {number} of {path} is {line!r}, which names two people; restore the file")
        matches.append(match)
    if not matches:
        raise DataError(f"{path} lists no video; restore the file")
    return matches


def _video(root: str, match: re.Match, label: str) -> Video:
    kind = match["type"]
    method = forged_streams.method(kind if kind in FORGED else "", kind in SOUND_ONLY, label)
    name = os.path.splitext(match[0])[0]
    path = os.path.join(root, *match[0].split("/"))
    return Video(name, path, int(method != ORIGINAL), NAME, method, "", "", group=match["person"], source=name)
