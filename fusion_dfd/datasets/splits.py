"""Train, val and test: finding leaks between them, drawing them, keeping them in a file, counting what is in them.

Nothing that identifies a person or a source clip may lie in two splits. Data sets that come without splits get them
by drawing whole groups at random. The file of splits is a CSV table ``split,video`` of video keys; it names no folder.
"""

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
from typing import Any

from rich import box, table

from fusion_dfd import atomic
from fusion_dfd.datasets import files
from fusion_dfd.types import LABELS, DataError, Video

SPLITS = ("train", "val", "test")
FRACTIONS = (0.7, 0.15, 0.15)
"""Default shares of train, val, test."""

_log = logging.getLogger(__name__)


def audit(videos: Iterable[Video]) -> None:
    """Raise DataError with the first of the :func:`findings`, if there is one."""
    for finding in findings(videos):
        raise DataError(finding)


def findings(videos: Iterable[Video]) -> list[str]:
    """What is wrong with a list of videos: one sentence per finding; an empty list where nothing is.

    Findings are an unknown label or split, a field that would break a video's key, a video that is listed twice, and a
    group, a source clip or a file that lies in two splits.
    """
    videos = list(videos)
    problems = [problem for video in videos for problem in _odd_fields(video)][:1]
    twice = [key for key, count in collections.Counter(video.key for video in videos).items() if count > 1]
    if twice:
        problems.append(f"{len(twice)} videos are listed twice: {files.some(twice)}; list each once")
    for what, identity in (
        ("groups", lambda video: (video.dataset, video.group)),
        ("source clips", lambda video: (video.dataset, video.source)),
        ("files", lambda video: (video.path,)),
    ):
        first: dict[Any, Video] = {}
        shared: dict[Any, dict[str, Video]] = {}
        for video in videos:
            other = first.setdefault(name := identity(video), video)
            if other.split != video.split:
                shared.setdefault(name, {other.split: other}).setdefault(video.split, video)
        del first  # there may be a million
        if shared:
            leaks = files.some(map(_leak, shared.items()), separator="; ")
            problems.append(f"{len(shared)} {what} lie in more than one split: {leaks}")
    return problems


def _odd_fields(video: Video) -> list[str]:
    problems = []
    if video.split not in SPLITS:
        problems.append(f"{video.path}: split {video.split!r} is none of {', '.join(SPLITS)}")
    if video.label not in range(len(LABELS)):
        problems.append(f"{video.path}: label {video.label!r} is none of 0 ({LABELS[0]}), 1 ({LABELS[1]})")
    slashed = {name: getattr(video, name) for name in ("dataset", "method", "compression")}
    slashed = {name: text for name, text in slashed.items() if "/" in text}
    problems += [f"{video.path}: {name} {text!r} has a slash in it; write it without" for name, text in slashed.items()]
    return problems


def _leak(item: tuple[tuple[str, ...], dict[str, Video]]) -> str:
    name, by_split = item
    return f"{'/'.join(name)} ({', '.join(f'{split}: {video.key}' for split, video in by_split.items())})"


def draw_splits(videos: Sequence[Video], seed: int = 0, fractions: Sequence[float] = FRACTIONS) -> list[Video]:
    """The videos with ``split`` filled in: no group is divided, and each label is spread as ``fractions`` say.

    Groups are assigned from the largest to the smallest, each to the split where the squared distance to the wanted
    numbers of real and fake videos grows least; ``seed`` decides among equals. Every wanted split gets some videos of
    each label as long as there are enough groups; a warning is logged where one stays empty. The result depends on the
    names and sizes of the groups, not on the order of ``videos``.

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
    assigned = _assign({group: sizes[group] for group in order}, wanted)
    out = [dataclasses.replace(video, split=assigned[video.group]) for video in videos]
    present = {(video.split, video.label) for video in out}
    for split in wanted:
        for label in sorted({video.label for video in videos}):
            if (split, label) not in present:
                _log.warning("too few groups (%d): split %r has no %s video", len(sizes), split, LABELS[label])
    return out


def _assign(sizes: dict[str, collections.Counter], wanted: dict[str, float]) -> dict[str, str]:
    total = sum(sizes.values(), collections.Counter())
    have = {split: collections.Counter() for split in wanted}
    left = collections.Counter(label for size in sizes.values() for label in size)
    assigned = {}
    for group, size in sizes.items():
        # When no more groups hold a label than there are splits without it, each of them must go to such a split.
        scarce = [label for label in size if left[label] <= sum(not have[split][label] for split in wanted)]
        lacking = [split for split in wanted if any(not have[split][label] for label in scarce)]
        costs = {
            split: sum(_growth(count, have[split][label], total[label], wanted[split]) for label, count in size.items())
            for split in lacking or wanted
        }
        assigned[group] = min(costs, key=costs.get)
        have[assigned[group]] += size
        left.subtract(list(size))
    return assigned


def _growth(count: int, have: int, total: int, fraction: float) -> float:
    """By how much the squared distance to the wanted share grows when ``count`` more arrive."""
    more, short = count / total, have / total - fraction
    return more * (more + 2 * short)


def _shuffled(seed: int, group: str) -> str:
    return hashlib.sha256(f"{seed}/{group}".encode()).hexdigest()


def keep_splits(videos: Sequence[Video], path: str) -> list[Video]:
    """The videos with the splits of the file. If there is no file, their own splits are kept and written to it.

    Raises DataError when the file and the list do not name the same videos, when the file's splits leak, or when it
    cannot be read or written.
    """
    if os.path.exists(path):
        return _apply(videos, path)
    audit(videos)
    _write(videos, path)
    return list(videos)


def _apply(videos: Sequence[Video], path: str) -> list[Video]:
    rows = files.read_csv(path, ("split", "video"))
    if odd := sorted({row["split"] for row in rows} - set(SPLITS)):
        raise DataError(f"{path} has split {odd[0]!r}, which is none of {', '.join(SPLITS)}; correct it")
    split = {row["video"]: row["split"] for row in rows}
    if len(split) < len(rows):
        raise DataError(f"{path} lists {len(rows) - len(split)} videos twice; list each once")
    keys = {video.key for video in videos}
    new, gone = sorted(keys - split.keys()), sorted(split.keys() - keys)
    if new or gone:
        parts = (
            f"lacks {files.some(new, 2)}" if new else "",
            f"names {files.some(gone, 2)}, not found" if gone else "",
        )
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


def overview(videos: Sequence[Video]) -> table.Table:
    """One row for each split, label and method, with the number of videos and of groups; a sum for each split."""
    counts = table.Table("split", "label", "method", box=box.SIMPLE)
    for name in ("videos", "groups"):
        counts.add_column(name, justify="right")
    for split in SPLITS:
        inside = [video for video in videos if video.split == split]
        kinds = sorted({(video.label, video.method) for video in inside})
        for label, method in kinds:
            counts.add_row(split, LABELS[label], method, *_count(inside, label, method))
        if inside:
            counts.add_row(split, "all", "", *_count(inside), end_section=True)
    return counts


def _count(videos: Sequence[Video], *kind) -> tuple[str, str]:
    members = [video for video in videos if not kind or (video.label, video.method) == kind]
    return str(len(members)), str(len({(video.dataset, video.group) for video in members}))
