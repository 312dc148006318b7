"""A video that is a folder of frames, PNG or JPEG: their order, and whether they are consecutive.

Data sets of cropped faces come like this. The number in a file's name gives its place: ``007.png``, ``frame_0012.jpg``.
A number that is left out is a gap: the frames on both sides of it lie further apart in time than others, nobody knows
how far. Names without numbers say nothing about time; then the order is that of the names.
"""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import os
import re
from collections.abc import Iterator

from fusion_dfd.datasets.files import FRAMES, is_frame
from fusion_dfd.types import DataError

UNKNOWN = -1
"""``gaps`` of frames whose names have no numbers."""

_NUMBERED = re.compile(r"(?P<before>.*?)(?P<number>\d+)(?P<after>\D*)")


@dataclasses.dataclass(frozen=True)
class FrameFolder:
    paths: list[str]
    """Of the frames, in order."""
    gaps: int
    """Places where numbers are left out; ``UNKNOWN`` where there are none."""


def read(folder: str) -> FrameFolder:
    """The frames of a folder. Raises DataError when it holds none, or two frames have one number."""
    try:
        names = sorted(filter(is_frame, os.listdir(folder)))
    except OSError as error:
        raise DataError(f"{folder}: {error.strerror}, check path and permissions") from error
    if not names:
        raise DataError(f"{folder}: a folder without frames ({', '.join(FRAMES)}), give a video or a folder of frames")
    matches = [_NUMBERED.fullmatch(os.path.splitext(name)[0]) for name in names]
    if None in matches or len({(match["before"], match["after"]) for match in matches}) > 1:
        return FrameFolder([os.path.join(folder, name) for name in names], UNKNOWN)
    numbers = [int(match["number"]) for match in matches]
    order = sorted(range(len(names)), key=numbers.__getitem__)
    for first, second in itertools.pairwise(order):
        if numbers[first] == numbers[second]:
            raise DataError(f"{folder}: {names[first]} and {names[second]} have one number, remove one of them")
    gaps = sum(numbers[b] - numbers[a] > 1 for a, b in itertools.pairwise(order))
    return FrameFolder([os.path.join(folder, names[k]) for k in order], gaps)


def parts(path: str) -> list[str]:
    """The files that a video consists of: itself, or the frames of a folder. Raises DataError for a bad folder."""
    return read(path).paths if os.path.isdir(path) else [path]


def size(path: str) -> int:
    """Bytes of a video. Raises OSError and DataError."""
    return sum(map(os.path.getsize, parts(path)))


def sha256(path: str) -> str:
    """Of a file; of a folder, of its frames one after the other. Raises OSError and DataError."""
    digest = hashlib.sha256()
    for block in _blocks(path):
        digest.update(block)
    return digest.hexdigest()


def _blocks(path: str) -> Iterator[bytes]:
    for part in parts(path):
        with open(part, "rb") as file:
            while block := file.read(1 << 20):
                yield block
