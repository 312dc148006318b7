"""Which videos belong together: what they share by their file names, by their content, and through each other."""

from __future__ import annotations

import collections
import dataclasses
import hashlib
import os
import re
from collections.abc import Iterable, Sequence

from fusion_dfd.types import LABELS, DataError, Video

_PEOPLE = (
    re.compile(r"(id\d+)_(?:(id\d+)_)?\d{4}"),  # Celeb-DF
    re.compile(r"(\d{2})(?:_(\d{2}))?__.+"),  # DFD
)
"""File names that say who is in the video: the target and, in a fake, the person whose face was used."""


def by_name(videos: Sequence[Video]) -> list[Video]:
    """The videos with ``group`` and ``source`` as their file names suggest.

    A fake's source is the real video with the longest name that the fake's name begins with, up to a character that is
    neither letter nor digit (``a_fake.mp4`` is made from ``a.mp4``). If the rest of the name is that of another real
    video, the fake belongs to that one too (``071_054.mp4`` to ``071.mp4`` and ``054.mp4``). Where splits are given,
    only names within a split are compared, because each folder may number its files from 1. Names in the style of
    Celeb-DF and DFD identify people across all splits.
    """
    reals = collections.defaultdict(list)
    for video in videos:
        if not video.label:
            reals[video.split, _stem(video)].append(video)
    sources, links = {}, []
    for video in videos:
        kin = _kin(video, reals) if video.label else []
        links.append([_node(video), *(_node(real) for name in kin for real in name), *_people(video)])
        sources[video.key] = kin[0][0].id if kin and len(kin[0]) == 1 else _node(video)
    groups = components(links)
    return [
        dataclasses.replace(video, group=groups[_node(video)], source=sources[video.key] if video.label else video.id)
        for video in videos
    ]


def by_content(videos: Sequence[Video]) -> list[Video]:
    """The videos, with the groups of those joined whose files are equal byte for byte.

    Raises DataError when equal files have different labels.
    """
    links = [[video.group] for video in videos]
    for twins in _twins(videos):
        if len({video.label for video in twins}) > 1:
            real, fake = (next(video.path for video in twins if video.label == label) for label in range(len(LABELS)))
            raise DataError(f"{real} (real) and {fake} (fake) are the same file; remove the one that is mislabelled")
        links.append([video.group for video in twins])
    groups = components(links)
    return [dataclasses.replace(video, group=groups[video.group]) for video in videos]


def _stem(video: Video) -> str:
    return video.id.rpartition("/")[2]


def _node(video: Video) -> str:
    return f"{video.method}/{video.id}"


def _kin(video: Video, reals: dict[tuple[str, str], list[Video]]) -> list[list[Video]]:
    """The real videos of each name that the name of a fake is made of; none when it begins with none."""
    name = _stem(video)
    ends = [len(name), *(match.start() for match in re.finditer(r"[\W_]", name))]
    for end in sorted(ends, reverse=True):
        if begin := reals.get((video.split, name[:end])):
            rest = reals.get((video.split, name[end + 1 :]))
            return [begin, rest] if rest else [begin]
    return []


def _people(video: Video) -> Iterable[str]:
    match = next(filter(None, (pattern.fullmatch(_stem(video)) for pattern in _PEOPLE)), None)
    return [f"person/{name}" for name in match.groups() if name] if match else []


def _twins(videos: Sequence[Video]) -> list[list[Video]]:
    """Videos of equal content; only files of equal size are read."""
    equal_sizes = _groups_of(videos, lambda video: os.path.getsize(video.path) if os.path.isfile(video.path) else None)
    return [twins for group in equal_sizes for twins in _groups_of(group, lambda video: _digest(video.path))]


def _groups_of(videos: Sequence[Video], key) -> list[list[Video]]:
    """Groups of two and more videos whose ``key`` is equal and not None."""
    groups = collections.defaultdict(list)
    for video in videos:
        groups[key(video)].append(video)
    return [members for value, members in groups.items() if value is not None and len(members) > 1]


def _digest(path: str) -> str:
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return path  # equal to no other digest; the error is reported when the video is read


def components(links: Iterable[Iterable[str]]) -> dict[str, str]:
    """Each name in ``links`` with the name of its component.

    Names in one link belong together, and so do those that a chain of links joins: with links (target, face) of all
    swaps, a component is a set of people none of whom was ever swapped with somebody outside it. A component is called
    by its first member, numbers in names counted as numbers (``id2`` before ``id10``).
    """
    parent: dict[str, str] = {}

    def root(name: str) -> str:
        parent.setdefault(name, name)
        while parent[name] != name:
            parent[name] = parent[parent[name]]
            name = parent[name]
        return name

    for link in links:
        first, *rest = (root(name) for name in link)
        for other in rest:
            parent[max(root(other), root(first), key=_natural)] = min(root(other), root(first), key=_natural)
    return {name: root(name) for name in parent}


def _natural(name: str) -> list:
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in re.findall(r"\d+|\D+", name)]
