"""The page of a check: one HTML file that opens offline, in the look of the evaluation's report."""

from __future__ import annotations

import base64
import collections
import dataclasses
import html
import statistics
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence

from fusion_dfd.datasets.splits import SPLITS
from fusion_dfd.faces.video import VideoInfo
from fusion_dfd.quality.probe_files import Probe
from fusion_dfd.reports import style
from fusion_dfd.types import LABELS, Video

_CSS = """
.bar { display: flex; height: 20px; border-radius: 5px; overflow: hidden; background: var(--grid); min-width: 160px; }
.bar i { display: block; } .bar .real, .key .real { background: var(--real); }
.bar .fake, .key .fake { background: var(--fake); }
.key i { display: inline-block; width: 11px; height: 11px; border-radius: 3px; margin: 0 5px 0 14px; }
.balance td:last-child { width: 60%; padding-right: 0; }
.strip { display: flex; flex-wrap: wrap; gap: 12px; }
.strip figure { margin: 0; width: min-content; } .strip img { height: 120px; max-width: none; }
.strip figcaption { font-size: 12px; min-width: 110px; }
.strip figcaption b, .strip figcaption span { display: -webkit-box; -webkit-box-orient: vertical; -webkit-line-clamp: 2;
  overflow: hidden; }
.balance thead + tbody + thead th, .balance tbody + thead th { padding-top: 16px; }
.family { border-top: 1px solid var(--line); padding: 14px 0; } .family:first-of-type { border-top: 0; }
.family figure img { border-bottom: 4px solid var(--fake); } .family figure.real img { border-color: var(--real); }
"""


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
      warnings: sentences that stand on top of the page.
    """
    pictures = {video.path: probe.thumbnail for video, probe in zip(videos, probes, strict=True) if probe.thumbnail}
    names = ", ".join(sorted({video.dataset for video in videos}))
    verdict = f"{len(videos)} files: {len(videos) - len(bad)} good, {len(bad)} bad"
    parts = [
        f'<h1>Check of {_escape(names)}</h1><p class="verdict">{verdict}</p>',
        '<p class="meta">Every file was opened, read from end to end, and decoded at its beginning.</p>',
        *(f'<section class="warning"><p>{_escape(line)}.</p></section>' for line in warnings),
        _balance(videos),
        _media(videos, probes, bad),
        *(_thumbnails(label, shown, pictures) for label, shown in enumerate(gallery.labels)),
        _families(gallery.families, pictures),
        _bad(bad),
    ]
    head = (
        '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Check of {_escape(names)}</title><style>{style.CSS}{_CSS}</style>"
    )
    body = "\n".join(filter(None, parts))
    return f'<!doctype html>\n<html lang="en"><head>{head}</head>\n<body><main>\n{body}\n</main></body></html>\n'


def _balance(videos: Sequence[Video]) -> str:
    splits = [split for split in SPLITS if any(video.split == split for video in videos)]
    largest = max(sum(video.split == split for video in videos) for split in splits)
    by_split = [_bars(split, [video for video in videos if video.split == split], largest) for split in splits]
    methods = collections.Counter(video.method for video in videos)
    by_method = [
        _bars(name, [video for video in videos if video.method == name], max(methods.values()))
        for name, _ in sorted(methods.items(), key=lambda item: (-item[1], item[0]))
    ]
    key = "".join(f'<i class="{label}"></i>{label}' for label in LABELS)
    return (
        f'<section><h2>Balance</h2><p class="small key">videos:{key}</p><table class="wide balance">'
        f"<thead><tr><th>split</th><th>real</th><th>fake</th><th></th></tr></thead>{''.join(by_split)}"
        f"<thead><tr><th>method</th><th>real</th><th>fake</th><th></th></tr></thead>{''.join(by_method)}"
        "</table></section>"
    )


def _bars(name: str, videos: Sequence[Video], largest: int) -> str:
    counts = [sum(video.label == label for video in videos) for label in range(len(LABELS))]
    cells = "".join(f"<td>{count}</td>" for count in counts)
    widths = zip(LABELS, (100 * count / largest for count in counts), strict=True)
    bars = "".join(f'<i class="{label}" style="width:{width:.2f}%"></i>' for label, width in widths)
    return f'<tr><td>{_escape(name)}</td>{cells}<td><div class="bar">{bars}</div></td></tr>'


def _media(videos: Sequence[Video], probes: Sequence[Probe], bad: Mapping[str, str]) -> str:
    kinds = by_kind(videos, probes, bad, lambda video: (video.label, video.method, SPLITS.index(video.split)))
    rows = [
        _row("td", method, LABELS[label], SPLITS[split], *described.cells())
        for (label, method, split), described in kinds.items()
    ]
    heads = _row("th", "method", "label", "split", *HEADINGS)
    return (
        '<section><h2>Media</h2><p class="small">The median number of frames, and the most frequent frame rate, size '
        "and codec. Where real and fake differ here, a detector can learn that in place of forgery.</p>"
        f'<div class="scroll"><table class="wide"><thead>{heads}</thead>{"".join(rows)}</table></div></section>'
    )


def _row(tag: str, *cells: str) -> str:
    return "<tr>" + "".join(f"<{tag}>{_escape(cell)}</{tag}>" for cell in cells) + "</tr>"


def _thumbnails(label: int, shown: Sequence[Video], pictures: Mapping[str, bytes]) -> str:
    figures = "".join(_figure(video, pictures[video.path]) for video in shown if video.path in pictures)
    if not figures:
        return ""
    return f'<section><h2>{LABELS[label].capitalize()} videos</h2><div class="strip">{figures}</div></section>'


def _families(families: Sequence[Sequence[Video]], pictures: Mapping[str, bytes]) -> str:
    seen = [[video for video in family if video.path in pictures] for family in families]
    rows = [
        f'<div class="family strip">{"".join(_figure(video, pictures[video.path]) for video in family)}</div>'
        for family in seen
        if len({video.label for video in family}) == len(LABELS)
    ]
    return f"<section><h2>Originals and their fakes</h2>{''.join(rows)}</section>" if rows else ""


def _figure(video: Video, picture: bytes) -> str:
    data, name = base64.b64encode(picture).decode(), _escape(video.id)
    image = f'<img src="data:image/jpeg;base64,{data}" alt="{name}">'
    caption = f'<b>{_escape(video.method)}</b><span title="{name}">{name}</span>'
    return f'<figure class="{LABELS[video.label]}">{image}<figcaption>{caption}</figcaption></figure>'


def _bad(bad: Mapping[str, str]) -> str:
    if not bad:
        return ""
    rows = "".join(_row("td", path, why) for path, why in sorted(bad.items()))
    return (
        '<section><h2>Bad files</h2><div class="scroll"><table class="wide text"><thead><tr><th>file</th>'
        f"<th>reason</th></tr></thead>{rows}</table></div></section>"
    )


def _escape(text: str) -> str:
    return html.escape(text)


# MERGED from quality.gallery: Which videos of a data set are shown in pictures: spread evenly over it, whatever its size.
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


# MERGED from quality.media: What the files of each kind are like: a detector can learn any difference between real and fake ones.
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
