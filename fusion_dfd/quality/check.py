"""Quality control before hours of preparation: probe all files of a data set, and report what is wrong with them.

out/check.html      one page that opens offline: shortcuts, balance, media, pictures, every bad file
out/bad_files.txt   a line for each bad file: path, tab, reason
"""

from __future__ import annotations

import collections
import os
from collections.abc import Sequence

from rich import box, console, table

from fusion_dfd import atomic, process_pool, terminal
from fusion_dfd.datasets.splits import SPLITS
from fusion_dfd.quality import page, probe_files, shortcuts
from fusion_dfd.quality.probe_files import Probe
from fusion_dfd.types import LABELS, Video


def check(videos: Sequence[Video], out: str, workers: int | None = None) -> dict[str, str]:
    """Probe all files, print a table, and write page and list into ``out`` (made if missing).

    Args:
      videos: of the data set.
      out: folder of the page.
      workers: processes; None takes one per core.

    Returns the reason by path of every bad file. Raises DataError when ``out`` cannot be written.
    """
    videos = sorted(videos, key=lambda video: video.key)
    chosen = page.choose(videos)
    paths = [video.path for video in videos]
    with terminal.progress("files") as bar:
        task = bar.add_task("checking", total=len(paths))
        workers = workers or process_pool.cores()
        probes = probe_files.probe_all(paths, workers, chosen.paths(), lambda: bar.advance(task))
    found = bad(videos, probes)
    lines = [f"{path}\t{reason}\n" for path, reason in sorted(found.items())]
    atomic.write_text(os.path.join(out, "bad_files.txt"), "".join(lines))
    warnings = [str(shortcut) for shortcut in shortcuts.shortcuts(videos, probes)]
    atomic.write_text(os.path.join(out, "check.html"), page.render(videos, probes, found, chosen, warnings))
    console.Console().print(_table(videos, probes, found))
    for line in warnings:
        print(f"warning: {line}")
    print(f"{len(found)} bad file{'' if len(found) == 1 else 's'}\npage: {os.path.join(out, 'check.html')}")
    return found


def bad(videos: Sequence[Video], probes: Sequence[Probe]) -> dict[str, str]:
    """Reason by path of every file that is unusable, damaged, or equal to one before it."""
    found = {video.path: probe.trouble for video, probe in zip(videos, probes, strict=True) if probe.trouble}
    twins = collections.defaultdict(list)
    for video, probe in zip(videos, probes, strict=True):
        if probe.sha256:
            twins[probe.sha256].append(video)
    for first, *others in twins.values():
        for other in others:
            kind = f" although that is {LABELS[first.label]}" if other.label != first.label else ""
            reason = f"the same content as {first.path}{kind}: remove one of them"
            found[other.path] = "; ".join(filter(None, (found.get(other.path), reason)))
    return found


def _table(videos: Sequence[Video], probes: Sequence[Probe], found: dict[str, str]) -> table.Table:
    """A row for each split and label; the page tells the methods apart."""
    out = table.Table(box=box.SIMPLE, collapse_padding=True, pad_edge=False)
    for name in ("split", "label", *page.HEADINGS):
        out.add_column(name, justify="right" if name in page.HEADINGS else "left", no_wrap=True)
    kinds = page.by_kind(videos, probes, found, lambda video: (SPLITS.index(video.split), video.label))
    for (split, label), described in kinds.items():
        out.add_row(SPLITS[split], LABELS[label], *described.cells())
    return out
