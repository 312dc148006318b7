"""What the files of each kind are like: a detector can learn any difference between real and fake ones."""

from __future__ import annotations

import collections
import dataclasses
import statistics
from collections.abc import Callable, Collection, Hashable, Iterable, Sequence

from fusion_dfd.faces.video import VideoInfo
from fusion_dfd.quality.probing import Probe
from fusion_dfd.types import Video

HEADINGS = ("videos", "bad", "frames", "fps", "size", "codec")


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
    return value if times == count.total() else f"{value} ({100 * times / count.total():.0f} %)"
