"""KoDF (Kwon et al., ICCV 2021): Korean actors, swapped, reenacted and driven by sound.

    root/**/<actor>/<actor>_NNN.mp4                                           real
    root/**/<method>/<date>/<target>/<target>_<source>_<code>_<seq>.mp4       forged; the code names the method

Only the names of files matter, because the archives unpack to folders of various depth; but where a fake lies below a
folder of another method than its code, one of the two is wrong. An actor is 20 hexadecimal digits or six decimal ones.
There is no official split: whole components of the swap graph are drawn. Which clip of the target a fake was made from
is not published.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence

from fusion_dfd.datasets import files
from fusion_dfd.datasets.grouping import components
from fusion_dfd.datasets.splits import FRACTIONS, SPLITS, draw_splits
from fusion_dfd.types import ORIGINAL, DataError, Video

NAME = "kodf"
METHODS = {"1": "dfl", "2": "dffs", "3": "fsgan", "4": "fo", "5": "audio-driven"}
"""By the code in the name of a file."""
REALS, FAKES = 62166, 175776

_ACTOR = r"[0-9a-f]{20}|\d{6}"
_REAL = re.compile(rf"({_ACTOR})_\d{{3}}")
_FAKE = re.compile(rf"(?P<target>{_ACTOR})_(?P<face>{_ACTOR})_(?P<code>[1-5])_\d+")


def videos(root: str, seed: int = 0, fractions: Sequence[float] = FRACTIONS) -> list[Video]:
    """All videos that are there, sorted by split, label, method and id.

    Args:
      root: the folder that holds the folders of actors and of methods, at any depth.
      seed: of the draw of the splits.
      fractions: of train, val, test in that draw.

    Files of other names are left out with a warning. Raises DataError when no file is named as above, or when a fake
    lies below the folder of another method than its name says.
    """
    files.require(root, "the one that holds KoDF's real and synthesised videos")
    found, odd = [], []
    for path in files.videos_below(root):
        match = _REAL.fullmatch(files.stem(path)) or _FAKE.fullmatch(files.stem(path))
        (found if match else odd).append((path, match))
    if not any(match.re is _FAKE for _, match in found) or not any(match.re is _REAL for _, match in found):
        raise DataError(
            f"{root} does not hold both real videos of KoDF such as 123456_001.mp4 and fakes such as "
            f"123456_654321_1_0001.mp4, but {files.inventory(root)}; check --root, or unpack both there"
        )
    files.leave_out(root, [path for path, _ in odd], "because they are not named as in KoDF")
    groups = components(_actors(match) for _, match in found)
    listed = [_video(root, path, match, groups[_actors(match)[0]]) for path, match in found]
    listed = draw_splits(listed, seed, fractions)
    listed.sort(key=lambda video: (SPLITS.index(video.split), video.label, video.method, video.id))
    files.compare(root, "KoDF", listed, REALS, FAKES)
    files.account(root, listed)
    return listed


def _actors(match: re.Match) -> list[str]:
    return [match["target"], match["face"]] if match.re is _FAKE else [match[1]]


def _video(root: str, path: str, match: re.Match, group: str) -> Video:
    name, fake = files.stem(path), match.re is _FAKE
    method = METHODS[match["code"]] if fake else ORIGINAL
    others = {*METHODS.values()} & set(os.path.relpath(path, root).lower().split(os.sep))
    if others - {method}:
        said = f"code {match['code']} ({method})" if fake else "a real video's name"
        raise DataError(f"{path} lies in {', '.join(sorted(others))}, but has {said}; move it to where it belongs")
    return Video(name, path, int(fake), NAME, method, "", "", group=group, source=name)
