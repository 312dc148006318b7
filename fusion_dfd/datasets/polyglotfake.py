"""PolyGlotFake (Hou et al., 2024): speakers of seven languages, dubbed into the others with new lips and a new voice.

    root/**/<lang>_<n>.mp4                                 real
    root/**/<lang>_<n>_to_<lang>_<voice>.mp4               made from <lang>_<n>; voice names the speech synthesis
    root/**/real_json_files/<lang>.json                    {"videos": [{"filename", "source", "characters": [...]}]}

Only the names of files matter. Who speaks is not published; two clips of one source with a speaker of the same age and
sex are taken for one person. Without the JSON files a group is a clip and its dubs, and one person may be on both sides
of a split; a warning says so. There is no official split: whole groups are drawn. Every fake has driven lips.
"""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Sequence

from fusion_dfd.datasets import files
from fusion_dfd.datasets.grouping import components
from fusion_dfd.datasets.splits import FRACTIONS, SPLITS, draw_splits
from fusion_dfd.types import ORIGINAL, DataError, Video

NAME = "polyglotfake"
LANGUAGES = ("ar", "en", "es", "fr", "ja", "ru", "zh")
REALS, FAKES = 766, 14472
FOLDER = "real_json_files"

_LANGUAGE = "|".join(LANGUAGES)
_REAL = re.compile(rf"(?:{_LANGUAGE})_\d+")
_FAKE = re.compile(rf"((?:{_LANGUAGE})_\d+)_to_(?:{_LANGUAGE})_(.+)")
_log = logging.getLogger(__name__)


def videos(root: str, seed: int = 0, fractions: Sequence[float] = FRACTIONS) -> list[Video]:
    """All videos that are there, sorted by split, label, method and id. The method of a fake is its speech synthesis.

    Args:
      root: the folder that holds the videos, at any depth.
      seed: of the draw of the splits.
      fractions: of train, val, test in that draw.

    Files of other names are left out with a warning. Raises DataError when no real or no forged video is named as
    above, or a JSON file is damaged.
    """
    files.require(root, "the one that holds PolyGlotFake's real and forged videos")
    found, odd = {}, []
    for path in files.videos_below(root):
        name = files.stem(path)
        if not (match := _REAL.fullmatch(name) or _FAKE.fullmatch(name)):
            odd.append(path)
        elif name in found:
            raise DataError(f"{path} has the name of {found[name][0]}; remove one of them")
        else:
            found[name] = (path, match)
    if {match.re for _, match in found.values()} != {_REAL, _FAKE}:
        raise DataError(
            f"{root} does not hold both real videos of PolyGlotFake such as en_1.mp4 and fakes such as "
            f"en_1_to_fr_Xtts.mp4, but {files.inventory(root)}; check --root, or unpack both there"
        )
    files.leave_out(root, odd, "because they are not named as in PolyGlotFake")
    speakers = _speakers(root)
    clips = {name: name if match.re is _REAL else match[1] for name, (_, match) in found.items()}
    groups = components([clip, *([f"speaker/{speakers[clip]}"] if clip in speakers else [])] for clip in clips.values())
    listed = [
        Video(
            name,
            path,
            int(match.re is _FAKE),
            NAME,
            match[2].replace("/", "-") if match.re is _FAKE else ORIGINAL,
            "",
            "",
            group=groups[clips[name]],
            source=clips[name],
        )
        for name, (path, match) in found.items()
    ]
    listed = draw_splits(listed, seed, fractions)
    listed.sort(key=lambda video: (SPLITS.index(video.split), video.label, video.method, video.id))
    files.compare(root, "PolyGlotFake", listed, REALS, FAKES)
    files.account(root, listed)
    return listed


def _speakers(root: str) -> dict[str, str]:
    """Source, age and sex of the speaker of each real video that the JSON files describe, by its stem."""
    folders = [os.path.join(place, FOLDER) for place, inner, _ in os.walk(root) if FOLDER in inner]
    if not folders:
        _log.warning("%s has no %s/: one person may be on both sides of a split", root, FOLDER)
    speakers = {}
    for path in (os.path.join(folder, f"{language}.json") for folder in folders for language in LANGUAGES):
        if not os.path.isfile(path):
            continue
        try:
            value = json.loads(files.read_text(path))
            for entry in value["videos"]:
                first = next(iter(entry.get("characters") or [{}]))
                if source := str(entry.get("source") or "").strip():
                    speakers[files.stem(entry["filename"])] = f"{source}/{first.get('age')}/{first.get('sex')}"
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise DataError(f"{path} does not describe videos ({error!r}); copy or download it again") from error
    return speakers
