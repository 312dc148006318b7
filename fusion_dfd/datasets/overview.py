"""What a list of videos holds, counted, for the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box, table

from fusion_dfd.datasets.splits import SPLITS
from fusion_dfd.types import LABELS, Video


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
