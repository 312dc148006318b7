"""From detections on some frames to faces tracked through all frames, each cropped by one transform per clip.

One crop per frame would add the jitter of the boxes to the clip, and a network learns that jitter (LipForensics and
FTCN keep the crop fixed for the same reason).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import cv2
import numpy as np
from scipy.optimize import linear_sum_assignment

from fusion_dfd import config
from fusion_dfd.faces import align, mesh
from fusion_dfd.faces.boxes import Detections, overlap
from fusion_dfd.types import FaceTrack

REACH = 0.5
"""Maximum mean movement of the landmarks of a face from one examined frame to the next, in box sides."""
MISSES = 1
"""Number of examined frames in a row without a detection that a track survives."""
FAR = 1.0
"""REACH for sparsely sampled frames (uniform clips), where a track survives any number of missed frames."""
GROWTH = 2.0
"""Maximum ratio of the box sides of a face in two clips that are taken for the same face."""
ENOUGH = 0.8
"""Share of the longest track's frames from which on a track counts as equally long. A portrait on the wall is
detected on every frame; the person in front of it, who turns away for a moment, still becomes track 0."""
KERNEL = np.array([0.25, 0.5, 0.25])
"""Temporal smoothing of boxes and landmarks."""
IMPOSSIBLE = 1e6


@dataclasses.dataclass
class Track:
    """Detections of one face."""

    at: list[int]
    """Frame numbers, ascending."""
    boxes: list[np.ndarray]
    """float [4], pixels of the frame, for each of ``at``."""
    landmarks: list[np.ndarray]
    """float [5, 2], pixels of the frame."""
    scores: list[float]

    def __len__(self) -> int:
        return self.at[-1] - self.at[0] + 1

    @property
    def area(self) -> float:
        """Mean area of the boxes, square pixels."""
        boxes = np.array(self.boxes)
        return float((boxes[:, 2:] - boxes[:, :2]).prod(-1).mean())


def link_detections(
    detections: Sequence[Detections], at: Sequence[int], reach: float = REACH, misses: int = MISSES
) -> list[Track]:
    """Follow the faces through the frames numbered ``at`` (ascending), whose ``detections`` are given.

    Faces of successive frames are matched one to one at the least total cost (the Hungarian method), where a pair costs
    1 - IoU + mean landmark distance in box sides, and is impossible beyond ``reach``. A track ends after more than
    ``misses`` frames in a row without its face. The result is sorted: longest first, of equal ones the larger.
    """
    tracks: list[Track] = []
    last: dict[int, int] = {}
    for turn, (number, found) in enumerate(zip(at, detections, strict=True)):
        live = [k for k, seen in last.items() if turn - seen <= misses + 1]
        pairs = _match(_link_cost([tracks[k] for k in live], found, reach))
        owner = {column: live[row] for row, column in pairs}
        for face in range(len(found)):
            k = owner.get(face)
            if k is None:
                k = len(tracks)
                tracks.append(Track([], [], [], []))
            last[k] = turn
            track = tracks[k]
            track.at.append(number)
            track.boxes.append(found.boxes[face])
            track.landmarks.append(found.landmarks[face])
            track.scores.append(float(found.scores[face]))
    return sorted(tracks, key=lambda track: (-len(track), -track.area))


def _link_cost(tracks: list[Track], found: Detections, reach: float) -> np.ndarray:
    """[tracks, faces]"""
    if not tracks or not len(found):
        return np.zeros((len(tracks), len(found)))
    boxes = np.array([track.boxes[-1] for track in tracks])
    points = np.array([track.landmarks[-1] for track in tracks])
    side = np.maximum(_side(boxes)[:, None], _side(found.boxes)[None])
    distance = np.linalg.norm(points[:, None] - found.landmarks[None], axis=-1).mean(-1) / side
    return np.where(distance <= reach, 1 - overlap(boxes, found.boxes) + distance, IMPOSSIBLE)


def _match(cost: np.ndarray) -> list[tuple[int, int]]:
    rows, columns = linear_sum_assignment(cost)
    return [(row, column) for row, column in zip(rows, columns, strict=True) if cost[row, column] < IMPOSSIBLE]


def _side(boxes: np.ndarray) -> np.ndarray:
    return np.maximum((boxes[:, 2:] - boxes[:, :2]).max(-1), 1e-6)


def interpolate(track: Track) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Boxes [t, 4], landmarks [t, 5, 2] and scores [t] (float32) on every frame from the first detection to the last.

    Linear between detections, then lightly smoothed; a score between two detections is the lower of the two.
    """
    at = np.array(track.at)
    every = np.arange(at[0], at[-1] + 1)
    known = np.concatenate([np.array(track.boxes), np.array(track.landmarks).reshape(-1, 10)], -1)
    values = np.stack([smooth(np.interp(every, at, column)) for column in known.T], -1).astype(np.float32)
    scores = np.array(track.scores, np.float32)
    before, after = np.searchsorted(at, every, "right") - 1, np.searchsorted(at, every, "left")
    return values[:, :4], values[:, 4:].reshape(-1, 5, 2), np.minimum(scores[before], scores[after])


def seen(track: Track) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Boxes [t, 4], landmarks [t, 5, 2] and scores [t] (float32) on the frames of the detections, as they are."""
    return np.array(track.boxes, np.float32), np.array(track.landmarks, np.float32), np.array(track.scores, np.float32)


def smooth(values: np.ndarray) -> np.ndarray:
    """[t, ...] with KERNEL run over the first axis; straight lines stay as they are, ends included."""
    if len(values) < 2:
        return values
    wide = np.concatenate([2 * values[:1] - values[1:2], values, 2 * values[-1:] - values[-2:-1]])
    return KERNEL[0] * wide[:-2] + KERNEL[1] * wide[1:-1] + KERNEL[2] * wide[2:]


def crop_square(boxes: np.ndarray, scale: float, height: int, width: int) -> tuple[int, int, int]:
    """The square x, y, side (whole pixels) that shows a face with ``boxes`` [t, 4] throughout a clip.

    Its centre is that of the union of the boxes and its side ``scale`` times the longest box side, more only where the
    face moves out of that. A square over the border of the frame is pushed inside; one larger than the frame shrinks
    to the frame's shorter side, but never cuts a box.
    """
    low, high = boxes[:, :2].min(0), boxes[:, 2:].max(0)
    needed = int(np.ceil((high - low).max())) + 1
    side = max(round(scale * float(_side(boxes).max())), needed)
    side = max(min(side, height, width), needed)
    corner = np.round((low + high) / 2 - side / 2)
    room = np.array([width, height]) - side
    # If the square is larger than the frame, the frame is centred in it and the border is filled.
    corner = np.where(room >= 0, np.clip(corner, 0, np.maximum(room, 0)), np.floor(room / 2))
    return int(corner[0]), int(corner[1]), side


def transform(square: tuple[int, int, int], size: int) -> np.ndarray:
    """float32 [2, 3] from pixels of the frame to those of the crop of side ``size``; pixel centres at whole numbers."""
    x, y, side = square
    scale = size / side
    return np.array([[scale, 0, (0.5 - x) * scale - 0.5], [0, scale, (0.5 - y) * scale - 0.5]], np.float32)


def square(matrix: np.ndarray, size: int) -> tuple[int, int, int]:
    """The square x, y, side of a crop of side ``size`` whose :func:`transform` is ``matrix`` [2, 3]."""
    scale = float(matrix[0, 0])
    x, y = ((0.5 - (float(matrix[axis, 2]) + 0.5) / scale) for axis in (0, 1))
    return round(x), round(y), round(size / scale)


def crop(frame: np.ndarray, square: tuple[int, int, int], size: int) -> np.ndarray:
    """uint8 [size, size, 3], the ``square`` of a frame; the edge is repeated beyond it.

    Shrinking averages over areas, which avoids aliasing.
    """
    x, y, side = square
    height, width = frame.shape[:2]
    inside = frame[max(y, 0) : y + side, max(x, 0) : x + side]
    border = max(-y, 0), max(y + side - height, 0), max(-x, 0), max(x + side - width, 0)
    if any(border):
        inside = cv2.copyMakeBorder(inside, *border, cv2.BORDER_REPLICATE)
    method = cv2.INTER_AREA if side > size else cv2.INTER_LINEAR
    return cv2.resize(inside, (size, size), interpolation=method)


def crop_clips(
    tracks: Sequence[Track], frame: Callable[[int], np.ndarray], shape: tuple[int, int], options: config.Faces
) -> list[FaceTrack]:
    """The clip of each face of one range of frames; ``frame(number)`` is uint8 [h, w, 3] and ``shape`` its h and w.

    A dense clip has every frame from the first detection to the last. A uniform clip has only frames with a detection,
    because the positions of a face seconds apart say nothing of the time between. Each frame is read once.
    """
    clips = [_blank_clip(track, shape, options) for track in tracks]
    cutters = [_cropper(clip, shape, options) for clip in clips]
    for number in sorted({int(number) for clip in clips for number in clip.indices}):
        picture = frame(number)
        for clip, cutter in zip(clips, cutters, strict=True):
            if number in clip.indices:
                clip.frames[clip.indices == number] = cutter(picture)
    return [_with_mesh(clip, options.sampling == "dense") for clip in clips] if options.mesh else clips


def _blank_clip(track: Track, shape: tuple[int, int], options: config.Faces) -> FaceTrack:
    """The clip of a face whose frames are not filled in yet."""
    dense = options.sampling == "dense"
    boxes, landmarks, scores = interpolate(track) if dense else seen(track)
    indices = np.array(range(track.at[0], track.at[-1] + 1) if dense else track.at, np.int32)
    if options.align:
        matrix = align.transform(boxes, landmarks, options.scale, options.size)
    else:
        matrix = transform(crop_square(boxes, options.scale, *shape), options.size)
    frames = np.empty((len(indices), options.size, options.size, 3), np.uint8)
    placed = landmarks @ matrix[:, :2].T + matrix[:, 2]
    return FaceTrack(frames, boxes, placed, scores, indices, matrix, contiguous=dense)


def _with_mesh(clip: FaceTrack, dense: bool) -> FaceTrack:
    """The clip with its face mesh, found on its crops.

    What the crops lack of the network's margin moves the points by 0.5% of the distance between the eyes, a quarter of
    what they move by if the network's crop is 3% smaller, and adds no jitter (11 clips of real footage).
    """
    if dense:
        at = np.unique(np.linspace(0, len(clip) - 1, -(-len(clip) // mesh.EVERY)).round().astype(int))
    else:
        at = np.arange(len(clip))
    linear = clip.transform[:, :2]
    centres = (clip.boxes[at, :2] + clip.boxes[at, 2:]) / 2 @ linear.T + clip.transform[:, 2]
    half = (clip.boxes[at, 2:] - clip.boxes[at, :2]) / 2 * np.sqrt(np.linalg.det(linear))
    boxes = np.concatenate([centres - half, centres + half], -1)
    found = mesh.shared().find(clip.frames[at], boxes, clip.landmarks[at])
    known = np.where(found.present[:, None, None], found.points[:, list(mesh.STORED), :2], np.nan)
    values = _between(known, at, len(clip)) if dense else known
    return dataclasses.replace(clip, mesh=values.astype(np.float32))


def _between(known: np.ndarray, at: np.ndarray, count: int) -> np.ndarray:
    """[count, p, 2] from the ``known`` values on the frames ``at``, linear between them, then smoothed.

    A frame is NaN if a neighbour in ``at`` is; smoothing never crosses such a gap.
    """
    every = np.arange(count)
    before, after = np.searchsorted(at, every, "right") - 1, np.minimum(np.searchsorted(at, every), len(at) - 1)
    share = (every - at[before]) / np.maximum(at[after] - at[before], 1)
    values = known[before] + share[:, None, None] * (known[after] - known[before])
    present = np.isfinite(values).all((1, 2))
    for run in np.split(every, np.flatnonzero(np.diff(present)) + 1):
        if present[run[0]]:
            values[run] = smooth(values[run])
    return values


def _cropper(clip: FaceTrack, shape: tuple[int, int], options: config.Faces) -> Callable[[np.ndarray], np.ndarray]:
    if options.align:
        return lambda picture: align.warp(picture, clip.transform, options.size)
    square = crop_square(clip.boxes, options.scale, *shape)
    return lambda picture: crop(picture, square, options.size)


def number_tracks(ranges: Sequence[Sequence[FaceTrack]]) -> list[list[FaceTrack]]:
    """The clips of each range of frames of a video with ``track`` set: the same for the same face in all ranges.

    Faces are matched by position and size: box centres within one box side of the last position, box sides within a
    factor of GROWTH. This also joins the clips of a face that leaves and returns within one range. If a video shows
    only one face at a time, it is taken for the same face at any position. Number 0 is the face with the largest boxes
    among those with nearly the longest track (ENOUGH); the others follow.
    """
    people: list[list[FaceTrack]] = []
    owners = []
    for clips in ranges:
        alone = len(people) == len(clips) == 1
        owner = {}
        for turn in _turns(clips):
            pairs = [(0, 0)] if alone else _match(_place_cost(people, [clips[k] for k in turn]))
            owner |= {turn[column]: row for row, column in pairs}
            for k in turn:
                if k not in owner:
                    owner[k] = len(people)
                    people.append([])
                people[owner[k]].append(clips[k])
        owners.append([owner[k] for k in range(len(clips))])
    number = {k: place for place, k in enumerate(_order(people))}
    return [
        [dataclasses.replace(clip, track=number[k]) for clip, k in zip(clips, owner, strict=True)]
        for clips, owner in zip(ranges, owners, strict=True)
    ]


def _turns(clips: Sequence[FaceTrack]) -> list[list[int]]:
    """The clips of one range, as positions, in turns: a clip that begins after another has ended is in a later turn."""
    turn: dict[int, int] = {}
    for k in sorted(range(len(clips)), key=lambda k: clips[k].indices[0]):
        over = [turn[other] for other in turn if clips[other].indices[-1] < clips[k].indices[0]]
        turn[k] = max(over, default=-1) + 1
    return [sorted(k for k in turn if turn[k] == number) for number in range(max(turn.values(), default=-1) + 1)]


def promote(ranges: Sequence[Sequence[FaceTrack]], number: int) -> list[list[FaceTrack]]:
    """The clips of a video with track ``number`` as track 0 and those before it one higher; the others stay."""
    order = {number: 0, **{before: before + 1 for before in range(number)}}
    return [[dataclasses.replace(clip, track=order.get(clip.track, clip.track)) for clip in clips] for clips in ranges]


def _place_cost(people: list[list[FaceTrack]], clips: Sequence[FaceTrack]) -> np.ndarray:
    """[people, clips]: distance of box centres in box sides; nobody is in two clips at one time."""
    if not people or not clips:
        return np.zeros((len(people), len(clips)))
    before, after = np.array([seen[-1].boxes[-1] for seen in people]), np.array([clip.boxes[0] for clip in clips])
    centres = (before[:, None, :2] + before[:, None, 2:] - after[None, :, :2] - after[None, :, 2:]) / 2
    sides = _side(before)[:, None], _side(after)[None]
    distance = np.linalg.norm(centres, axis=-1) / np.maximum(*sides)
    free = np.array([seen[-1].indices[-1] for seen in people])[:, None] < np.array([clip.indices[0] for clip in clips])
    same = free & (distance <= 1) & (np.maximum(*sides) <= GROWTH * np.minimum(*sides))
    return np.where(same, distance, IMPOSSIBLE)


def _order(people: list[list[FaceTrack]]) -> list[int]:
    """Places of the faces: those seen nearly as long as the longest by size, then the others by length."""
    boxes = [np.concatenate([clip.boxes for clip in clips]) for clips in people]
    areas = [float((box[:, 2:] - box[:, :2]).prod(-1).mean()) for box in boxes]
    least = ENOUGH * max(map(len, boxes), default=0)
    return sorted(range(len(people)), key=lambda k: (-min(len(boxes[k]), least), -areas[k], -len(boxes[k])))
