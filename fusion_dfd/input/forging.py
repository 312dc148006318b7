"""Fakes made while they are read: a split of real clips becomes one with fakes of every forger.

:func:`forge` lists the real clips and, for each forger, as many fakes; to all that comes after, a forger is a
manipulation method like any other. Training makes its fakes window by window, with new draws for every pair
(:class:`Forgery`).
"""

from __future__ import annotations

import collections
import dataclasses
import logging
import threading
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from fusion_dfd.forge import forger, registry
from fusion_dfd.forge.forger import Face, Forged, NotApplicable
from fusion_dfd.shards import clip_index, records
from fusion_dfd.shards.clip_index import ClipTable, Split
from fusion_dfd.types import LABELS, DataError, FaceTrack

DONORS = 20
"""Clips that are tried as donor before a forger goes without."""
_FORGE, _DONOR = range(2)
"""Streams of random numbers."""

_log = logging.getLogger(__name__)


def table(split: Split, forgers: Sequence[str]) -> ClipTable:
    """The real clips of ``split`` that training reads, and their forgeries: rows of forger k follow those of k - 1.

    Raises DataError where there is no real clip.
    """
    real = reals(split.table)
    columns = {field.name: [getattr(split.table, field.name)[real]] * (1 + len(forgers)) for field in _FIELDS}
    columns["label"] = [np.full(len(real), label) for label in [0] + [1] * len(forgers)]
    columns["method"][1:] = [np.full(len(real), name) for name in forgers]
    columns["forged"] = [label * split.table.frames[real] for label in [0] + [1] * len(forgers)]
    columns["video"][1:] = [_renamed(columns["video"][0], name) for name in forgers]
    return ClipTable(**{name: np.concatenate(parts) for name, parts in columns.items()})


_FIELDS = dataclasses.fields(ClipTable)


def reals(clips: ClipTable) -> np.ndarray:
    """Rows of the real clips of track 0. Raises DataError where there is none."""
    found = np.flatnonzero((np.asarray(clips.label) == 0) & (np.asarray(clips.track) == 0))
    if not len(found):
        raise DataError(
            f"data.forge wants {LABELS[0]} clips, but none of the {len(clips)} stored clips is; prepare videos of "
            "real people"
        )
    return found


def _renamed(videos: np.ndarray, method: str) -> np.ndarray:
    """Keys of videos with another method, see :attr:`fusion_dfd.types.Video.key`."""
    parts = (str(video).split("/", 2) for video in videos)
    return np.array([f"{dataset}/{method}/{rest}" for dataset, _, rest in parts])


class Request(NamedTuple):
    """A window of a real clip, and who forges it."""

    row: int
    """Of the split's own table."""
    frames: slice
    """Of the clip."""
    seed: tuple[int, ...]
    """Of the forgery."""
    names: Sequence[str]
    """Forgers, in the order in which they are tried."""


class Pair(NamedTuple):
    """A window and its forgery, in the size in which they are stored."""

    real: np.ndarray
    fake: np.ndarray
    """uint8 [t, h, w, 3]"""
    real_landmarks: np.ndarray
    fake_landmarks: np.ndarray
    """float32 [t, 5, 2]"""
    real_mesh: np.ndarray
    fake_mesh: np.ndarray
    """float32 [t, m, 2]"""
    mask: np.ndarray
    """float32 [t, h, w] in 0..1, what was replaced."""
    contiguous: bool
    """Whether the frames are known to be consecutive."""


class Forgery:
    """Makes pairs of windows of a split's real clips.

    Args:
      split: its shards hold the face mesh.
    """

    def __init__(self, split: Split):
        self._split, self._reals = split, reals(split.table)
        self._groups, self._lengths = np.asarray(split.table.group), np.asarray(split.table.frames)
        self._omitted: collections.Counter[str] = collections.Counter()
        self._lock = threading.Lock()

    def window(self, row: int, frames: slice) -> tuple[np.ndarray, records.Stored]:
        """Frames uint8 [t, h, w, 3] of a window, and what is stored of it, with the mesh.

        Raises DataError where the clip is damaged, or was prepared without the mesh.
        """
        stored = records.decode_part(self._split.source[row], frames, mesh=True)
        if stored.mesh is None:
            raise DataError("data.forge wants the face mesh; prepare the folder again with faces.mesh=True")
        return records.decode_frames(stored.frames), stored

    def pair(self, request: Request) -> Pair:
        """A real window and its forgery. Raises NotApplicable where no forger can be applied, DataError as above."""
        frames, stored = self.window(request.row, request.frames)
        face = Face(frames, stored.mesh, str(self._groups[request.row]))
        for name in request.names:
            number = list(registry.FORGERS).index(name)
            donor = _Donor(self, request.row, len(face), np.random.default_rng((*request.seed, _DONOR, number)))
            rng = np.random.default_rng((*request.seed, _FORGE, number))
            try:
                return _paired(face, registry.FORGERS[name](face, donor, rng), stored)
            except NotApplicable as error:
                self._count(name, error)
        raise NotApplicable(f"none of {', '.join(request.names)} can be applied to clip {request.row}")

    def donor(self, row: int, count: int, rng: np.random.Generator) -> Face:
        """A window of ``count`` frames of another group than that of ``row``."""
        long = self._reals[self._lengths[self._reals] >= count]
        for other in map(int, rng.choice(long, DONORS)):
            start = int(rng.integers(int(self._lengths[other]) - count, endpoint=True))
            if self._groups[other] != self._groups[row]:
                frames, stored = self.window(other, slice(start, start + count))
                if not np.isnan(stored.mesh).any():
                    return Face(frames, stored.mesh, str(self._groups[other]))
        raise NotApplicable(f"no clip of another person has {count} frames with a face mesh")

    def _count(self, name: str, error: NotApplicable) -> None:
        with self._lock:
            self._omitted[name] += 1
            count = self._omitted[name]
        # 1, 10, 100 ...: the log says how often, without a line for every clip.
        if count == 10 ** (len(str(count)) - 1):
            _log.warning("forger %s: not applied to %d clips so far (%s); another one is taken", name, count, error)


class _Donor(NamedTuple):
    forgery: Forgery
    row: int
    count: int
    rng: np.random.Generator

    def __call__(self) -> Face:
        return self.forgery.donor(self.row, self.count, self.rng)


def _paired(face: Face, forged: Forged, stored: records.Stored) -> Pair:
    real = face.frames if forged.partner is None else forged.partner
    points = face.mesh if forged.mesh is None else forged.mesh
    moved = forger.landmarks(face, forged, stored.landmarks)
    return Pair(real, forged.frames, stored.landmarks, moved, face.mesh, points, forged.mask, stored.contiguous)


class _ForgedRecords:
    """Records of the rows of :func:`table`: stored ones, and forged ones that are made when they are read.

    Frames of both are compressed anew, so that the stored file does not tell them apart. A row always has the same
    forgery. Where its forger cannot be applied, the next one of the list takes its place under its name; the log counts
    them. The real half is the stored clip, without what :attr:`Forged.partner` has of the forger's renderer: several
    forgeries share it.
    """

    def __init__(self, split: Split, forgers: Sequence[str], seed: int):
        self._split, self._forgery = split, Forgery(split)
        self._rows, self._names, self._seed = reals(split.table), tuple(forgers), seed
        self.paths = split.source.paths

    def __len__(self) -> int:
        return len(self._rows) * (1 + len(self._names))

    def __getitem__(self, row: int) -> bytes:
        kind, place = divmod(row, len(self._rows))
        own = int(self._rows[place])
        clip = records.decode(self._split.source[own])
        fields = {field.name: getattr(clip, field.name, None) for field in dataclasses.fields(FaceTrack)}
        video = clip.video
        if kind:
            names = self._names[kind - 1 :] + self._names[: kind - 1]
            pair = self._forgery.pair(Request(own, slice(0, len(clip)), (self._seed, own), names))
            fields |= {"frames": pair.fake, "landmarks": pair.fake_landmarks, "mesh": pair.fake_mesh}
            video = dataclasses.replace(video, label=1, method=self._names[kind - 1])
        else:
            fields["frames"] = records.decode_frames(clip.frames)
        return records.encode(video, clip.clip, FaceTrack(**fields), clip.detector)


def forge(split: Split, forgers: Sequence[str], seed: int, where: str) -> Split:
    """The real clips of ``split`` that have a mesh in every frame, and their forgeries by each forger.

    Raises DataError, which names the split by ``where``, if there is no such clip.
    """
    split = _with_mesh(split, where)
    return Split(_ForgedRecords(split, forgers, seed), table(split, forgers))


def _with_mesh(split: Split, where: str) -> Split:
    """The real clips of a split that have a mesh in every frame."""
    rows = reals(split.table)
    whole = [_has_mesh(split.source[row]) for row in rows]
    if not any(whole):
        raise DataError(f"{where}: data.forge wants clips with a face mesh; prepare again with faces.mesh=True")
    if not all(whole):
        _log.warning(
            "%s: %d of %d real clips lack a face mesh in some frame and are left out",
            where,
            len(whole) - sum(whole),
            len(whole),
        )
    return clip_index.take(split, rows[np.array(whole)])


def _has_mesh(record: bytes) -> bool:
    mesh = records.decode_part(record, slice(None), mesh=True).mesh
    return mesh is not None and not np.isnan(mesh).any()
