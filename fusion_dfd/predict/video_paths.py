"""Expands the words of a command line to paths of videos."""

from __future__ import annotations

import glob
import logging
import os
from collections.abc import Iterable, Iterator, Sequence

from fusion_dfd.datasets import files
from fusion_dfd.faces import frame_folder
from fusion_dfd.types import DataError

_log = logging.getLogger(__name__)


def expand(words: Sequence[str], listing: Iterable[str] | None = None) -> list[str]:
    """Paths of videos, each once, in the order of the words; within a folder or pattern sorted by name.

    A word is a file with any name, a folder of frames (one video), another folder (searched recursively), a pattern
    (``'clips/*.mp4'``, ``**`` for any depth) or ``-``, which stands for the lines of ``listing``. A word that is
    neither folder nor pattern is returned as it is, even if there is no such file: the verdict on it then says so.

    Raises:
      DataError: a folder without videos, a pattern that matches no file, ``-`` without any path.
    """
    return list(dict.fromkeys(path for word in words for path in _expand_word(word, listing)))


def _expand_word(word: str, listing: Iterable[str] | None) -> Iterable[str]:
    if word == "-":
        lines = [line.rstrip("\r\n") for line in listing or () if line.strip()]
        return _not_empty(lines, "-: no paths on standard input")
    if os.path.isdir(word) and not files.is_frame_folder(word):
        kinds = " ".join(files.EXTENSIONS)
        return _not_empty(sorted(_below(word)), f"{word}: no videos in this folder, nor below it ({kinds})")
    if os.path.exists(word) or not glob.has_magic(word):
        return [word]
    matches = sorted(path for path in glob.iglob(word, recursive=True) if os.path.isfile(path) or _is_frames(path))
    return _not_empty(matches, f"{word}: no file matches this pattern")


def _is_frames(path: str) -> bool:
    return os.path.isdir(path) and files.is_frame_folder(path)


def _below(folder: str) -> Iterator[str]:
    others = []
    for root, inner, names in files.walk(folder):
        inner.sort()
        yield from (os.path.join(root, name) for name in names if files.is_video(name))
        if files.is_frame_folder(root, names) and frame_folder.read(root).gaps != frame_folder.UNKNOWN:
            yield root
            continue
        left = (name for name in sorted(names) if not files.is_video(name) and not name.startswith("."))
        others += [os.path.relpath(os.path.join(root, name), folder) for name in left]
    if others:
        # A video under another name is scored when it is given by itself.
        count = f"{len(others)} file{'s' if len(others) > 1 else ''}"
        _log.warning("%s: left out %s not named as videos: %s", folder, count, files.some(others))


def _not_empty(paths: list[str], otherwise: str) -> list[str]:
    if not paths:
        raise DataError(otherwise)
    return paths
