"""Which files the words of a command line mean."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Iterator, Sequence

from fusion_dfd.datasets.files import EXTENSIONS, is_video
from fusion_dfd.types import DataError


def expand(words: Sequence[str], listing: Iterable[str] | None = None) -> list[str]:
    """Paths of videos, each once, in the order of the words; those of a folder or pattern by name.

    A word is a file, a folder (searched with all below it), a pattern (``'clips/*.mp4'``, ``**`` for any depth) or
    ``-``: paths, one a line, from ``listing``. A file that is named itself may be called anything; what is no folder
    and no pattern is taken as it is, existing or not: the verdict on it will say so.

    Raises:
      DataError: a folder without videos, a pattern that nothing fits, ``-`` without a single path.
    """
    found = [path for word in words for path in _of(word, listing)]
    return list(dict.fromkeys(found))


def _of(word: str, listing: Iterable[str] | None) -> Iterable[str]:
    if word == "-":
        return _some([line.rstrip("\r\n") for line in listing or () if line.strip()], "-: no paths on standard input")
    if os.path.isdir(word):
        return _some(sorted(_below(word)), f"{word}: no videos in this folder, nor below it ({' '.join(EXTENSIONS)})")
    if os.path.exists(word) or not glob.has_magic(word):
        return [word]
    return _some(sorted(filter(os.path.isfile, glob.iglob(word, recursive=True))), f"{word}: no file fits this pattern")


def _below(folder: str) -> Iterator[str]:
    for root, _, names in os.walk(folder):
        yield from (os.path.join(root, name) for name in names if is_video(name))


def _some(paths: list[str], otherwise: str) -> list[str]:
    if not paths:
        raise DataError(otherwise)
    return paths
