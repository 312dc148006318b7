"""The leak audit: nothing that identifies a person or a source clip may lie in two splits."""

from __future__ import annotations

import collections
from collections.abc import Iterable

from fusion_dfd.types import LABELS, DataError, Video

SPLITS = ("train", "val", "test")


def audit(videos: Iterable[Video]) -> None:
    """Raise DataError with the first of the :func:`findings`, if there is one."""
    for finding in findings(videos):
        raise DataError(finding)


def findings(videos: Iterable[Video]) -> list[str]:
    """Why a list of videos cannot be trusted, a sentence each, naming what is shared; empty when it can.

    Wrong are: a label or split of no known name, a field that would break a video's key; a video listed twice; a group,
    a source clip or a file in two splits.
    """
    videos = list(videos)
    found = [finding for video in videos for finding in _odd_fields(video)][:1]
    twice = [key for key, count in collections.Counter(video.key for video in videos).items() if count > 1]
    if twice:
        found.append(f"{len(twice)} videos are listed twice: {_some(twice)}; list each once")
    for what, of in (
        ("groups", lambda video: (video.dataset, video.group)),
        ("source clips", lambda video: (video.dataset, video.source)),
        ("files", lambda video: (video.path,)),
    ):
        splits = collections.defaultdict(dict)
        for video in videos:
            splits[of(video)].setdefault(video.split, video)
        shared = {name: at for name, at in splits.items() if len(at) > 1}
        if shared:
            found.append(f"{len(shared)} {what} lie in more than one split: {_some(map(_leak, shared.items()))}")
    return found


def _odd_fields(video: Video) -> list[str]:
    found = []
    if video.split not in SPLITS:
        found.append(f"{video.path}: split {video.split!r} is none of {', '.join(SPLITS)}")
    if video.label not in range(len(LABELS)):
        found.append(f"{video.path}: label {video.label!r} is none of 0 ({LABELS[0]}), 1 ({LABELS[1]})")
    slashed = [name for name in ("dataset", "method", "compression") if "/" in getattr(video, name)]
    found += [f"{video.path}: {name} {getattr(video, name)!r} has a slash in it; write it without" for name in slashed]
    return found


def _leak(item: tuple) -> str:
    name, found = item
    return f"{'/'.join(name)} ({', '.join(f'{split}: {video.key}' for split, video in found.items())})"


def _some(names: Iterable[str], limit: int = 5) -> str:
    names = list(names)
    return "; ".join(names[:limit]) + (f"; and {len(names) - limit} more" if len(names) > limit else "")
