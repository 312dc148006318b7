"""The leak audit: nothing that identifies a person or a source clip may lie in two splits."""

from __future__ import annotations

import collections
import csv
import dataclasses
import hashlib
import io
import logging
import math
import os
from collections.abc import Iterable, Sequence

from rich import box, table

from fusion_dfd import atomic
from fusion_dfd.datasets import disk
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


# MERGED from datasets.draw: Splits for data sets that come without: whole groups, drawn at random, labels in proportion.
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


# MERGED from datasets.splitfile: Splits in a file that can be kept: a CSV table ``split,video`` of video keys, without any folder in it.
def keep(videos: Sequence[Video], path: str) -> list[Video]:
    """The videos as the file splits them; where there is no file, as they are, and the file is written.

    Raises DataError when the file and the list do not name the same videos, when the file's splits leak, or when it
    cannot be read or written.
    """
    if os.path.exists(path):
        return _apply(videos, path)
    audit(videos)
    _write(videos, path)
    return list(videos)


def _apply(videos: Sequence[Video], path: str) -> list[Video]:
    rows = disk.read_csv(path, ("split", "video"))
    if odd := sorted({row["split"] for row in rows} - set(SPLITS)):
        raise DataError(f"{path} has split {odd[0]!r}, which is none of {', '.join(SPLITS)}; mend it")
    split = {row["video"]: row["split"] for row in rows}
    if len(split) < len(rows):
        raise DataError(f"{path} lists {len(rows) - len(split)} videos twice; list each once")
    keys = {video.key for video in videos}
    new, gone = sorted(keys - split.keys()), sorted(split.keys() - keys)
    if new or gone:
        parts = (f"lacks {disk.some(new, 2)}" if new else "", f"names {disk.some(gone, 2)}, not found" if gone else "")
        raise DataError(
            f"{path} is of another list of videos: it {' and '.join(filter(None, parts))}; name another file to have "
            "new splits written"
        )
    kept = [dataclasses.replace(video, split=split[video.key]) for video in videos]
    audit(kept)
    return sorted(kept, key=lambda video: SPLITS.index(video.split))


def _write(videos: Sequence[Video], path: str) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("split", "video"))
    writer.writerows((video.split, video.key) for video in videos)
    atomic.write_text(path, text.getvalue())


# MERGED from datasets.overview: What a list of videos holds, counted, for the terminal.
def overview(videos: Sequence[Video]) -> table.Table:
    """One row for each split, label and method, with the number of videos and of groups; a sum for each split."""
    found = table.Table("split", "label", "method", box=box.SIMPLE)
    for name in ("videos", "groups"):
        found.add_column(name, justify="right")
    for split in SPLITS:
        inside = [video for video in videos if video.split == split]
        kinds = sorted({(video.label, video.method) for video in inside})
        for label, method in kinds:
            found.add_row(split, LABELS[label], method, *_count(inside, label, method))
        if inside:
            found.add_row(split, "all", "", *_count(inside), end_section=True)
    return found


def _count(videos: Sequence[Video], *kind) -> tuple[str, str]:
    some = [video for video in videos if not kind or (video.label, video.method) == kind]
    return str(len(some)), str(len({(video.dataset, video.group) for video in some}))
