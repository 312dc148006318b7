"""DFDM (Jia, Li and Lyu, ICIP 2022): face swaps by five autoencoders, for telling which of them made one.

    root/DFDM_crf0/<model>/<target>_<source>_<clip>_<tag>.mp4         and DFDM_crf10, DFDM_crf23
    celebdf/Celeb-real/idA_NNNN.mp4                                   the real half: Celeb-DF v2, not included

``compression`` chooses one of the three qualities; the real videos have one quality only and are listed under the
chosen one, so that fakes are compared with them: their encoding differs, and a detector may use that. There is no
official split: whole components of the swap graph are drawn.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence

from fusion_dfd.datasets import celebdf as celeb
from fusion_dfd.datasets import files
from fusion_dfd.datasets.grouping import components
from fusion_dfd.datasets.splits import FRACTIONS, SPLITS, draw_splits
from fusion_dfd.types import ORIGINAL, DataError, Video

NAME = "dfdm"
MODELS = ("DFaker", "DFL-H128", "FaceSwap", "IAE", "LightWeight")
COMPRESSIONS = ("c0", "c10", "c23")
REALS, FAKES = 590, 2150
"""Fakes of one quality."""

_FAKE = re.compile(r"(?P<target>id\d+)_(?P<face>id\d+)_(?P<clip>\d{4})_.+")


def videos(
    root: str, compression: str = "c23", celebdf: str = "", seed: int = 0, fractions: Sequence[float] = FRACTIONS
) -> list[Video]:
    """The fakes of one quality and all videos of Celeb-real, sorted by split, label, method and id.

    Args:
      root: the folder that holds ``DFDM_crf0``, ``DFDM_crf10`` and ``DFDM_crf23``.
      compression: ``c0``, ``c10`` or ``c23``.
      celebdf: root of Celeb-DF v2.
      seed: of the draw of the splits.
      fractions: of train, val, test in that draw.

    Raises DataError when a folder is missing or empty, the real videos are not given, or a fake is not named as above.
    """
    if compression not in COMPRESSIONS:
        raise DataError(f"DFDM has no compression {compression!r}; it has {', '.join(COMPRESSIONS)}")
    files.require(root, "the one that holds DFDM_crf0, DFDM_crf10 and DFDM_crf23")
    folder = os.path.join(root, f"DFDM_crf{compression[1:]}")
    found = {path: _FAKE.fullmatch(files.stem(path)) for path in files.videos_below(folder)}
    if not found:
        raise DataError(
            f"{folder} holds no video ({root} holds {files.inventory(root)}); unpack it, or choose --compression"
        )
    if odd := [path for path, match in found.items() if match is None or _model(folder, path) not in MODELS]:
        raise DataError(f"{odd[0]} is not named as in DFDM, such as {MODELS[0]}/id0_id1_0000_4dfaker.mp4; move it away")
    if not celebdf:
        raise DataError(
            f"{root} has no real videos: give --celebdf, the root of Celeb-DF v2 with its {celeb.CELEBRITIES}"
        )
    reals = files.video_files(os.path.join(celebdf, celeb.CELEBRITIES))
    if not reals:
        holds = files.inventory(celebdf)
        raise DataError(
            f"{os.path.join(celebdf, celeb.CELEBRITIES)} holds no video ({celebdf} holds {holds}); unpack it"
        )
    groups = components(celeb.people(files.stem(path)) for path in (*reals, *found))
    listed = [_real(path, compression, groups) for path in reals]
    listed += [_fake(_model(folder, path), path, match, compression, groups) for path, match in found.items()]
    listed = draw_splits(listed, seed, fractions)
    listed.sort(key=lambda video: (SPLITS.index(video.split), video.label, video.method, video.id))
    files.compare(root, "DFDM", listed, REALS, FAKES)
    files.account(root, listed)
    return listed


def _model(folder: str, path: str) -> str:
    return os.path.relpath(path, folder).split(os.sep)[0]


def _real(path: str, compression: str, groups: dict[str, str]) -> Video:
    name = files.stem(path)
    return Video(name, path, 0, NAME, ORIGINAL, compression, "", group=groups[celeb.people(name)[0]], source=name)


def _fake(model: str, path: str, match: re.Match, compression: str, groups: dict[str, str]) -> Video:
    source = f"{match['target']}_{match['clip']}"
    group = groups[match["target"]]
    return Video(files.stem(path), path, 1, NAME, model, compression, "", group=group, source=source)
