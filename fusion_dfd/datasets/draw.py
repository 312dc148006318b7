"""Splits for data sets that come without: whole groups, drawn at random, labels in proportion."""

from __future__ import annotations

import collections
import dataclasses
import hashlib
import logging
import math
from collections.abc import Sequence

from fusion_dfd.datasets.splits import SPLITS
from fusion_dfd.types import LABELS, DataError, Video

FRACTIONS = (0.7, 0.15, 0.15)
"""Of train, val, test."""

_log = logging.getLogger(__name__)


def draw(videos: Sequence[Video], seed: int = 0, fractions: Sequence[float] = FRACTIONS) -> list[Video]:
    """The videos with ``split`` filled in: no group is torn, and each label is spread as ``fractions`` say.

    Groups are placed from the largest to the smallest, each where the squared distance to the wanted numbers of real
    and fake videos grows least; among equals, ``seed`` decides. Every wanted split gets some of each label as long as
    there are groups enough; what stays empty is named in a logged warning. The result depends on the names of the
    groups and the numbers in them, not on the order of ``videos``.

    Args:
      videos: their ``split`` is ignored.
      seed: of the draw.
      fractions: of train, val, test; 0 .. 1 each, in sum 1. A fraction of 0 leaves a split out.

    Raises DataError for other fractions.
    """
    if len(fractions) != len(SPLITS) or min(fractions) < 0 or not math.isclose(sum(fractions), 1, abs_tol=1e-6):
        shown = ",".join(map(str, fractions))
        raise DataError(f"fractions {shown}: want the shares of {', '.join(SPLITS)}, 0 .. 1 each and 1 together")
    sizes: dict[str, collections.Counter] = collections.defaultdict(collections.Counter)
    for video in videos:
        sizes[video.group][video.label] += 1
    wanted = {split: fraction for split, fraction in zip(SPLITS, fractions, strict=True) if fraction > 0}
    order = sorted(sizes, key=lambda group: (-sizes[group].total(), _shuffled(seed, group)))
    placed = _place({group: sizes[group] for group in order}, wanted)
    out = [dataclasses.replace(video, split=placed[video.group]) for video in videos]
    found = {(video.split, video.label) for video in out}
    for split in wanted:
        for label in sorted({video.label for video in videos}):
            if (split, label) not in found:
                _log.warning("too few groups (%d): split %r has no %s video", len(sizes), split, LABELS[label])
    return out


def _place(sizes: dict[str, collections.Counter], wanted: dict[str, float]) -> dict[str, str]:
    total = sum(sizes.values(), collections.Counter())
    have = {split: collections.Counter() for split in wanted}
    left = collections.Counter(label for size in sizes.values() for label in size)
    placed = {}
    for group, size in sizes.items():
        # Once only as many groups hold a label as splits lack it, each must go to one of those.
        pressed = [label for label in size if left[label] <= sum(not have[split][label] for split in wanted)]
        hungry = [split for split in wanted if any(not have[split][label] for label in pressed)]
        costs = {
            split: sum(_growth(count, have[split][label], total[label], wanted[split]) for label, count in size.items())
            for split in hungry or wanted
        }
        placed[group] = min(costs, key=costs.get)
        have[placed[group]] += size
        left.subtract(list(size))
    return placed


def _growth(count: int, have: int, total: int, fraction: float) -> float:
    """By how much the squared distance to the wanted share grows when ``count`` more arrive."""
    more, short = count / total, have / total - fraction
    return more * (more + 2 * short)


def _shuffled(seed: int, group: str) -> str:
    return hashlib.sha256(f"{seed}/{group}".encode()).hexdigest()
