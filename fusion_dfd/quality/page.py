"""The page of a check: one HTML file that opens offline, in the look of the evaluation's report.

It shows how many videos there are of each kind, what their files are like, and pictures of some of them.
"""

from __future__ import annotations

import collections
import dataclasses
import statistics
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence

from fusion_dfd.datasets.splits import SPLITS
from fusion_dfd.faces.video import VideoInfo
from fusion_dfd.quality.probe_files import Probe
from fusion_dfd.reports import pages
from fusion_dfd.types import LABELS, Video

SHOWN = 12
"""Videos of each label."""
FAMILIES = 6
"""Real videos with the fakes made from them."""
SIBLINGS = 5
"""Fakes beside a real video."""
HEADINGS = ("videos", "bad", "frames", "fps", "size", "codec")
"""Columns of :meth:`Media.cells`."""


def render(
    videos: Sequence[Video],
    probes: Sequence[Probe],
    bad: Mapping[str, str],
    gallery: Gallery,
    warnings: Sequence[str] = (),
) -> str:
    """The whole page.

    Args:
      videos: of the data set.
      probes: one for each.
      bad: reason by path of the bad files.
      gallery: the videos whose thumbnails are shown, if they have one.
      warnings: sentences without full stop, shown at the top of the page.
    """
    pictures = {
        video.path: pages.bytes_uri(probe.thumbnail, "image/jpeg")
        for video, probe in zip(videos, probes, strict=True)
        if probe.thumbnail
    }
    by_label = [[video for video in shown if video.path in pictures] for shown in gallery.labels]
    families = [[video for video in family if video.path in pictures] for family in gallery.families]
    return pages.render(
        "check",
        f"Check of {', '.join(sorted({video.dataset for video in videos}))}",
        bad=sorted(bad.items()),
        by_label=[(label, shown) for label, shown in zip(LABELS, by_label, strict=True) if shown],
        by_method=_by_method(videos),
        by_split=_by_split(videos),
        families=[family for family in families if len({video.label for video in family}) == len(LABELS)],
        labels=LABELS,
        media={"header": ["method", "label", "split", *HEADINGS], "rows": _media(videos, probes, bad)},
        pictures=pictures,
        verdict=f"{len(videos)} files: {len(videos) - len(bad)} good, {len(bad)} bad",
        warnings=[f"{line}." for line in warnings],
    )


# How many of each kind

Bars = tuple[str, list[int], list[float]]
"""What is counted, the videos of each label, and the lengths of their bars in percent of the longest."""


def _by_split(videos: Sequence[Video]) -> list[Bars]:
    splits = [split for split in SPLITS if any(video.split == split for video in videos)]
    largest = max(sum(video.split == split for video in videos) for split in splits)
    return [_bars(split, [video for video in videos if video.split == split], largest) for split in splits]


def _by_method(videos: Sequence[Video]) -> list[Bars]:
    methods = collections.Counter(video.method for video in videos)
    return [
        _bars(name, [video for video in videos if video.method == name], max(methods.values()))
        for name, _ in sorted(methods.items(), key=lambda item: (-item[1], item[0]))
    ]


def _bars(name: str, videos: Sequence[Video], largest: int) -> Bars:
    counts = [sum(video.label == label for video in videos) for label in range(len(LABELS))]
    return name, counts, [100 * count / largest for count in counts]


# What the files are like: a detector can learn any difference between real and fake ones


def _media(videos: Sequence[Video], probes: Sequence[Probe], bad: Mapping[str, str]) -> list[tuple[str, ...]]:
    kinds = by_kind(videos, probes, bad, lambda video: (video.label, video.method, SPLITS.index(video.split)))
    return [
        (method, LABELS[label], SPLITS[split], *described.cells())
        for (label, method, split), described in kinds.items()
    ]


@dataclasses.dataclass(frozen=True)
class Media:
    """The files of one kind in words; of fps, size and codec the most frequent value, with its share if below all."""

    videos: int
    bad: int
    frames: str
    """Median."""
    fps: str
    size: str
    """Width x height as coded, pixels."""
    codec: str

    def cells(self) -> tuple[str, ...]:
        return tuple(map(str, dataclasses.astuple(self)))


def by_kind(
    videos: Sequence[Video], probes: Sequence[Probe], bad: Collection[str], kind: Callable[[Video], Hashable]
) -> dict[Hashable, Media]:
    """The files of each value of ``kind``, in ascending order of it; ``bad`` holds paths."""
    members = collections.defaultdict(list)
    for video, probe in zip(videos, probes, strict=True):
        members[kind(video)].append((video, probe))
    return {value: _describe(members[value], bad) for value in sorted(members)}


def _describe(members: list[tuple[Video, Probe]], bad: Collection[str]) -> Media:
    infos = [probe.info for _, probe in members if probe.info]
    return Media(
        videos=len(members),
        bad=sum(video.path in bad for video, _ in members),
        frames=f"{statistics.median(info.frames for info in infos):g}" if infos else "-",
        fps=_most(f"{info.fps:.4g}" for info in infos),
        size=_most(map(_size, infos)),
        codec=_most(info.codec for info in infos),
    )


def _size(info: VideoInfo) -> str:
    return f"{info.width}x{info.height}"


def _most(values: Iterable[str]) -> str:
    count = collections.Counter(values)
    if not count:
        return "-"
    value, times = min(count.items(), key=lambda item: (-item[1], item[0]))
    return value if times == count.total() else f"{value} ({100 * times / count.total():.0f}%)"


# Which videos are shown in pictures: spread evenly over the data set, whatever its size


@dataclasses.dataclass(frozen=True)
class Gallery:
    labels: list[list[Video]]
    """Videos of each label."""
    families: list[list[Video]]
    """A real video and fakes of it, in each."""

    def paths(self) -> set[str]:
        return {video.path for videos in (*self.labels, *self.families) for video in videos}


def choose(videos: Sequence[Video]) -> Gallery:
    """Pick the videos to show; their order matters for the choice alone.

    A fake is shown with the video it was made from or, if that is unknown, with the first real one of its group. One
    fake of every method comes before a second one of any.
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
