"""What of a protocol lies on disk: the list of each row with its digest, and what is missing, extra or mislabelled.

A row's list is what the adapter of its data set lists as test under the protocol's options, whether the files are there
or not. Where a list was written down before (``--list``), by oneself or by others, the two are compared.
"""

from __future__ import annotations

import dataclasses
import inspect
import os
from collections.abc import Iterator, Mapping, Sequence

from rich import box
from rich.table import Table

from fusion_dfd.datasets import files, listing, registry
from fusion_dfd.runs import protocols
from fusion_dfd.runs.protocols import Row
from fusion_dfd.types import DataError, Video

COMPLETE, INCOMPLETE, CONTRADICTORY = 0, 3, 4
"""Exit codes: all is there; videos or data sets are missing; a list that was written down says something else."""


@dataclasses.dataclass(frozen=True)
class RowList:
    """A row of a protocol and its videos."""

    row: Row
    videos: list[Video]
    missing: list[str]
    """Paths that do not exist."""
    absent: str = ""
    """Why there is no list: what the adapter said of the folder, or ``""``."""

    @property
    def digest(self) -> str:
        return listing.digest((video.key, video.label) for video in self.videos)

    def cells(self) -> list[str]:
        if not self.videos:
            return [self.row.title, "-", "-", "-", self.absent or f"no test videos: give --root {self.row.dataset}=DIR"]
        fakes = sum(video.label for video in self.videos)
        have = len(self.videos) - len(self.missing)
        listed = f"{len(self.videos) - fakes} + {fakes}"
        return [self.row.title, listed, str(have), str(len(self.missing)), self.digest[:16]]


@dataclasses.dataclass(frozen=True)
class Audit:
    rows: list[RowList]
    extra: list[str]
    """Paths of videos below the roots that no row uses."""
    differences: list[str]
    """What another list says, one sentence each; empty where it says the same, or there is none."""

    @property
    def videos(self) -> dict[str, int]:
        """Label by key, of all rows."""
        return {video.key: video.label for row in self.rows for video in row.videos}

    @property
    def code(self) -> int:
        if self.differences:
            return CONTRADICTORY
        return INCOMPLETE if any(row.missing or not row.videos for row in self.rows) else COMPLETE

    def table(self) -> Table:
        """A line for each row."""
        table = Table("test", box=box.SIMPLE)
        for name in ("listed (real + fake)", "have", "missing"):
            table.add_column(name, justify="right")
        table.add_column("SHA-256 of the list")
        for row in self.rows:
            table.add_row(*row.cells())
        return table

    def sentences(self) -> list[str]:
        """What is missing, extra and mislabelled, by name, and the digest of all."""
        missing = sorted({path for row in self.rows for path in row.missing})
        return [
            *([f"missing: {len(missing)} videos: {files.some(missing)}"] if missing else []),
            *([f"not used by the protocol: {len(self.extra)} videos: {files.some(self.extra)}"] if self.extra else []),
            *self.differences,
            f"all rows: {len(self.videos)} videos, SHA-256 {listing.digest(self.videos.items())}",
        ]


def audit(name: str, roots: Mapping[str, str], path: str | None = None, **options) -> Audit:
    """Resolve a protocol on disk.

    Args:
      name: of :data:`fusion_dfd.runs.protocols.PROTOCOLS`; rows of what a run was trained on are those of
        FaceForensics++ c23, and every manipulation has one.
      roots: folder by data set.
      path: file of a list to compare with; written if it does not exist.
      options: of the adapters; each adapter gets those that it has.

    A folder that an adapter refuses is that row's reason to have no list. Raises :class:`DataError` for a data set that
    no row is about, and for a list of another form.
    """
    wanted = protocols.expand(protocols.PROTOCOLS[name], protocols.Submission("", ()))
    if odd := sorted(set(roots) - {row.dataset for row in wanted}):
        used = ", ".join(dict.fromkeys(row.dataset for row in wanted))
        raise DataError(f"no row of {name} is about {', '.join(odd)}; there are rows about {used}")
    places = dict.fromkeys((row.dataset, row.compression) for row in wanted if row.dataset in roots)
    found, absent, rows = {}, {}, []
    for place in places:
        try:
            found[place] = _open(*place, roots[place[0]], options)
        except DataError as error:
            absent[place] = str(error)
    for row in wanted:
        videos = [video for video in found.get((row.dataset, row.compression), ()) if protocols.belongs(video, row)]
        missing = [video.path for video in videos if not os.path.exists(video.path)]
        rows.append(RowList(row, videos, missing, absent.get((row.dataset, row.compression), "")))
    used = {os.path.abspath(video.path) for row in rows for video in row.videos}
    masks = {os.path.abspath(video.mask) for row in rows for video in row.videos if video.mask}
    extra = [path for root in dict.fromkeys(roots.values()) for path in _walk(root, used) if path not in masks]
    made = Audit(rows, sorted(set(extra) - used), [])
    if path is None:
        return made
    if not os.path.exists(path):
        listing.write(path, made.videos.items())
        return made
    return dataclasses.replace(made, differences=_differences(path, listing.read(path), made.videos))


def _open(dataset: str, compression: str, root: str, options: Mapping) -> list[Video]:
    known = inspect.signature(registry.ADAPTERS[dataset]).parameters
    given = {name: value for name, value in options.items() if name in known}
    if compression and "compression" in known:
        given["compression"] = compression
    return [video for video in registry.open_dataset(dataset, root, **given) if video.split == "test"]


def _walk(folder: str, used: set[str]) -> Iterator[str]:
    """Absolute paths of the video files below a folder; folders in ``used``, whose files are frames, are left out."""
    for place, folders, names in os.walk(os.path.abspath(folder)):
        folders[:] = [name for name in folders if os.path.join(place, name) not in used]
        yield from (os.path.join(place, name) for name in names if files.is_video(name))


def _differences(path: str, listed: Mapping[str, int], here: Mapping[str, int]) -> list[str]:
    lacking, new = sorted(set(listed) - set(here)), sorted(set(here) - set(listed))
    other = sorted(key for key in set(here) & set(listed) if here[key] != listed[key])
    return [
        f"{what}: {len(names)} videos: {files.some(names)}"
        for what, names in (
            (f"mislabelled, says {path}", other),
            (f"listed in {path} and not here", lacking),
            (f"listed here and not in {path}", new),
        )
        if names
    ]


def parse_roots(name: str, words: Sequence[str]) -> dict[str, str]:
    """Folders by data set, of ``NAME=DIR``; DIR alone where the protocol is about one data set.

    Raises :class:`DataError` for words of another form.
    """
    about = {row.dataset for row in protocols.expand(protocols.PROTOCOLS[name], protocols.Submission("", ()))}
    found = {}
    for word in words:
        dataset, sign, folder = word.partition("=")
        if not sign and len(about) == 1:
            dataset, folder = *about, word
        if not folder or dataset in found:
            raise DataError(f"--root {word}: with --protocol {name}, want each data set once, as NAME=DIR")
        found[dataset] = folder
    return found
