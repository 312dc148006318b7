"""Which videos of a data set are shown in pictures: spread evenly over it, whatever its size."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Sequence

from fusion_dfd.types import LABELS, Video

SHOWN = 12
"""Videos of each label."""
FAMILIES = 6
"""Real videos with the fakes made from them."""
SIBLINGS = 5
"""Fakes beside a real video."""


@dataclasses.dataclass(frozen=True)
class Gallery:
    labels: list[list[Video]]
    """Videos of each label."""
    families: list[list[Video]]
    """A real video and fakes of it, in each."""

    def paths(self) -> set[str]:
        return {video.path for videos in (*self.labels, *self.families) for video in videos}


def choose(videos: Sequence[Video]) -> Gallery:
    """Pick from videos in the order given, which decides about nothing but the choice.

    A fake stands beside the video it was made from; where nobody says which, beside the first real one of its group. Of
    every method one fake comes before a second one of any.
    """
    labels = [_spread([video for video in videos if video.label == label], SHOWN) for label in range(len(LABELS))]
    reals = [video for video in videos if not video.label]
    original = {("group", video.dataset, video.group): video for video in reversed(reals)}
    original |= {("source", video.dataset, video.id): video for video in reals}
    fakes = collections.defaultdict(list)
    for video in videos:
        kin = ("source", video.dataset, video.source), ("group", video.dataset, video.group)
        if video.label and (real := next(filter(None, map(original.get, kin)), None)):
            fakes[real.key].append(video)
    families = [[real, *_by_turns(fakes[real.key])[:SIBLINGS]] for real in reals if real.key in fakes]
    return Gallery(labels, _spread(families, FAMILIES))


def _by_turns(fakes: list[Video]) -> list[Video]:
    turns: collections.Counter[str] = collections.Counter()
    order = []
    for fake in fakes:
        order.append((turns[fake.method], fake.method, len(order), fake))
        turns[fake.method] += 1
    return [fake for *_, fake in sorted(order, key=lambda item: item[:3])]


def _spread(items: list, count: int) -> list:
    """At most ``count`` of the items, evenly spaced."""
    if len(items) <= count:
        return items
    return [items[number * len(items) // count] for number in range(count)]
