"""Passages: consecutive frames of a real video that show one face with its mesh, found once and kept in a file.

A face is forged at the size at which it was filmed: the crop is a square of whole pixels, so that a frame from which it
is taken and into which it is put back unchanged is the same to the bit. Where the face is larger than LARGEST, the
frames are shrunk as a whole, those of the real video as those of its forgeries.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator
from fractions import Fraction

import cv2
import numpy as np

from fusion_dfd import atomic, config
from fusion_dfd.faces import track
from fusion_dfd.faces.detector import Detector
from fusion_dfd.faces.extract import FaceScan
from fusion_dfd.faces.video import Reader
from fusion_dfd.forge.forger import Face
from fusion_dfd.types import MESH_POINTS, DataError, FaceTrack

LEAST = 16
"""Frames of the shortest passage."""
AROUND = 1.7
"""Side of the crop that is forged relative to the box of the face: forehead and chin with room to move."""
LARGEST = 384
"""Maximum side of that crop, pixels."""
RATE = 25
"""Frames per second of a video that does not say."""


@dataclasses.dataclass(frozen=True)
class Passage:
    """Frames of a video, and where the face is in them."""

    path: str
    rate: Fraction
    """Frames per second."""
    start: int
    """Number of its first frame in the video, in decode order from 0."""
    shape: tuple[int, int]
    """Height and width of the frames that :meth:`frames` gives, even numbers."""
    shrunk: tuple[int, int]
    """Height and width of the whole frame before it is made even; smaller than in the file where the face is large."""
    square: tuple[int, int, int]
    """x, y and side of the crop, pixels of the frames; it may reach beyond them."""
    mesh: np.ndarray
    """float32 [t, 152, 2], the points :data:`fusion_dfd.faces.mesh.STORED` in pixels of the frames."""

    def __len__(self) -> int:
        return len(self.mesh)

    def frames(self) -> Iterator[np.ndarray]:
        """uint8 [h, w, 3] RGB, as they are in the file but for :attr:`shape`. Raises DataError."""
        height, width = self.shrunk
        count = 0
        for _, frame in Reader(self.path, range(self.start, self.start + len(self))):
            if frame.shape[:2] != self.shrunk:
                frame = cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA)
            yield np.ascontiguousarray(frame[: self.shape[0], : self.shape[1]])
            count += 1
        if count < len(self):
            raise DataError(f"{self.path} has changed since its faces were found; forge into another folder")

    def face(self, group: str) -> Face:
        """The crops, with the mesh in their pixels."""
        x, y, side = self.square
        crops = np.stack([track.crop(frame, self.square, side) for frame in self.frames()])
        return Face(crops, self.mesh - np.float32([x, y]), group)

    def pasted(self, crops: np.ndarray, rest: int | None = None) -> Iterator[np.ndarray]:
        """The frames with ``crops`` [t, side, side, 3] in place of their own; ``rest`` fills what is outside."""
        x, y, side = self.square
        height, width = self.shape
        x0, y0, x1, y1 = max(x, 0), max(y, 0), min(x + side, width), min(y + side, height)
        blank = np.full((height, width, 3), rest or 0, np.uint8)
        for crop, frame in zip(crops, self.frames() if rest is None else [blank] * len(self), strict=True):
            whole = frame.copy()
            whole[y0:y1, x0:x1] = crop[y0 - y : y1 - y, x0 - x : x1 - x]
            yield whole


def find(path: str, faces: config.Faces, detector: Detector) -> list[Passage]:
    """At most ``faces.clips`` passages of at most ``faces.clip_length`` frames, spread over the video.

    Each is the longest part of a shot in which the main face has a mesh in every frame; ``faces.mesh`` must be on.
    Raises DataError where there is none, and for a file that cannot be read.
    """
    scan = FaceScan(path, faces, detector)
    clips = [clip for clips in track.number_tracks(list(scan)) for clip in clips if clip.track == 0]
    if not clips:
        raise DataError(f"{path}: no face found in the {len(scan.looked)} frames looked at")
    rate = Fraction(scan.info.fps or RATE).limit_denominator(1001)
    found = [_passage(path, rate, scan.shape, clip) for clip in clips]
    passages = [passage for passage in found if passage is not None]
    if not passages:
        raise DataError(f"{path}: no face mesh in {LEAST} frames in a row")
    return passages


def _passage(path: str, rate: Fraction, shape: tuple[int, int], clip: FaceTrack) -> Passage | None:
    run = _longest(~np.isnan(clip.mesh).any((1, 2)))
    if len(run) < LEAST:
        return None
    inside = slice(run.start, run.stop)
    linear, shift = clip.transform[:, :2], clip.transform[:, 2]
    points = (clip.mesh[inside] - shift) @ np.linalg.inv(linear).T
    boxes = clip.boxes[inside]
    side = track.crop_square(boxes, AROUND, *shape)[2]
    share = min(LARGEST / side, 1.0)
    shrunk = round(shape[0] * share), round(shape[1] * share)
    even = shrunk[0] // 2 * 2, shrunk[1] // 2 * 2
    factor = np.array([shrunk[1] / shape[1], shrunk[0] / shape[0]])
    square = track.crop_square(boxes * np.tile(factor, 2), AROUND, *even)
    points = np.ascontiguousarray((points + 0.5) * factor - 0.5, np.float32)
    return Passage(path, rate, int(clip.indices[run.start]), even, shrunk, square, points)


def _longest(present: np.ndarray) -> range:
    """Positions of the longest run of True in bool [t]; the first of equally long ones."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], present.astype(int), [0]])))
    runs = [range(start, stop) for start, stop in edges.reshape(-1, 2).tolist()]
    return max(runs, key=len, default=range(0))


def save(file: str, passages: list[Passage], reason: str = "") -> None:
    """Keep the passages of a video, or the reason why there is none."""
    places = [(one.start, len(one), *one.shape, *one.shrunk, *one.square) for one in passages]
    rate = passages[0].rate if passages else Fraction(RATE)
    with atomic.binary(file) as out:
        np.savez(
            out,
            places=np.array(places, np.int64).reshape(-1, 9),
            rate=np.array([rate.numerator, rate.denominator]),
            mesh=np.concatenate([one.mesh for one in passages] or [np.zeros((0, MESH_POINTS, 2), np.float32)]),
            reason=np.array(reason),
        )


def load(file: str, path: str) -> tuple[list[Passage], str]:
    """What :func:`save` kept for the video ``path``; no passages and ``""`` where there is no file."""
    if not os.path.isfile(file):
        return [], ""
    try:
        with np.load(file, allow_pickle=False) as kept:
            places, rate, points, reason = (kept[name] for name in ("places", "rate", "mesh", "reason"))
    except (OSError, ValueError, KeyError, EOFError) as error:
        raise DataError(f"{file} is damaged ({error}); delete it, then run the same command again") from error
    out, at = [], 0
    for start, count, height, width, tall, wide, x, y, side in places.tolist():
        out.append(
            Passage(
                path,
                Fraction(*map(int, rate)),
                start,
                (height, width),
                (tall, wide),
                (x, y, side),
                points[at : at + count],
            )
        )
        at += count
    return out, str(reason)
