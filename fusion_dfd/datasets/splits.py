"""The leak audit: nothing that identifies a person or a source clip may lie in two splits."""

from __future__ import annotations

import collections
from collections.abc import Iterable

from fusion_dfd.types import LABELS, DataError, Video

SPLITS = ("train", "val", "test")


def audit(videos: Iterable[Video]) -> None:
    """Raise DataError, naming what is shared, when a list of videos cannot be trusted.

    Wrong are: a group, a source clip or a file in two splits; a video listed twice; a label or split of no known name.
    """
    videos = list(videos)
    _check_fields(videos)
    twice = [key for key, count in collections.Counter(video.key for video in videos).items() if count > 1]
    if twice:
        raise DataError(f"{len(twice)} videos are listed twice: {_some(twice)}; list each once")
    for what, of in (
        ("groups", lambda video: (video.dataset, video.group)),
        ("source clips", lambda video: (video.dataset, video.source)),
        ("files", lambda video: (video.path,)),
    ):
        splits = collections.defaultdict(dict)
        for video in videos:
            splits[of(video)].setdefault(video.split, video)
        shared = {name: found for name, found in splits.items() if len(found) > 1}
        if shared:
            raise DataError(f"{len(shared)} {what} lie in more than one split: {_some(map(_leak, shared.items()))}")


def _check_fields(videos: list[Video]) -> None:
    for video in videos:
        if video.split not in SPLITS:
            raise DataError(f"{video.path}: split {video.split!r} is none of {', '.join(SPLITS)}")
        if video.label not in range(len(LABELS)):
            raise DataError(f"{video.path}: label {video.label!r} is none of 0 ({LABELS[0]}), 1 ({LABELS[1]})")


def _leak(item: tuple) -> str:
    name, found = item
    return f"{'/'.join(name)} ({', '.join(f'{split}: {video.key}' for split, video in found.items())})"


def _some(names: Iterable[str], limit: int = 5) -> str:
    names = list(names)
    return "; ".join(names[:limit]) + (f"; and {len(names) - limit} more" if len(names) > limit else "")
