"""One video in, clips of its faces out: choose windows, decode once, detect, follow, crop."""

from __future__ import annotations

import dataclasses
import itertools
import time
from collections.abc import Iterator, Sequence

import numpy as np

from fusion_dfd import config
from fusion_dfd.faces import mask as masks
from fusion_dfd.faces import track
from fusion_dfd.faces.boxes import Detections
from fusion_dfd.faces.detector import Detector
from fusion_dfd.faces.video import Decoder, Picture, VideoInfo, probe
from fusion_dfd.types import DataError, FaceTrack

MOST_TRACKS = 8
"""Faces kept per window, so that a crowd does not fill the memory: the longest, of equal ones the largest."""
DETECT_BYTES = 1 << 27
"""Most bytes of RGB that are given to the detector at once; one frame where that alone is more."""


@dataclasses.dataclass(frozen=True)
class Extraction:
    """The faces of one video, and how it went."""

    info: VideoInfo
    clips: list[FaceTrack]
    """In the order of the video; within a window by track number, then time."""
    damaged: int
    """Packets of the file that could not be read or decoded, as far as it was read."""
    windows: int
    """Stretches of the video that were looked at."""
    dropped: int
    """How many of them gave no clip."""
    reason: str | None
    """Why ``clips`` is empty; None when it is not."""
    unmasked: str | None = None
    """Why the mask did not say which face counts; None where it did, or nobody asked it."""


def extract(path: str, options: config.Faces, detector: Detector, mask: str = "") -> Extraction:
    """Find the clips of a video.

    Dense: at most ``options.clips`` windows of ``options.clip_length`` frames are spread evenly over the video; they
    never overlap, and a video shorter than one window is one shorter window. Of a window that a cut divides, the
    longest shot is used. Each gives one clip per face, from the first to the last frame on which the detector, run on
    every ``options.every``-th frame and the last, saw that face.

    Uniform: ``options.clip_length`` frames spread evenly over the whole video (all of a shorter one) are one window,
    and the detector sees each. It gives one clip per face, of the frames with that face; a face that is more than
    FAR from where it was last seen begins another. There is no signal of time left in such a clip.

    Either way the detector must have been sure of a face (``options.threshold``) at least once, and only the face that
    counts, track 0, is returned unless ``options.all_tracks``. That is the face under the mask, where there are several
    faces and ``mask`` (path of a video, see :mod:`fusion_dfd.faces.mask`) can be used; else the one with the most
    frames, of equal ones the largest. One window of frames is held in memory at a time.

    Raises :class:`fusion_dfd.types.DataError` for a file that cannot be used (:mod:`fusion_dfd.faces.video`) or takes
    longer than ``options.time_limit`` seconds, its mask included.
    """
    end = time.monotonic() + options.time_limit
    scan = FaceScan(path, options, detector)
    named, unmasked = _by_mask(track.number_tracks(list(scan)), mask, scan, end)
    chosen = [[face for face in faces if options.all_tracks or face.track == 0] for faces in named]
    clips = [face for faces in chosen for face in sorted(faces, key=lambda face: (face.track, face.indices[0]))]
    dropped = scan.windows - sum(map(bool, chosen))
    reason = None if clips else f"no face found in the {len(scan.looked)} frames looked at"
    return Extraction(scan.info, clips, scan.damaged, scan.windows, dropped, reason, unmasked)


class FaceScan:
    """The faces of a video window by window, none of them named yet (``track`` is 0): iterate once.

    One window of frames is held at a time. Raises as :func:`extract` does, on being made and while iterating.
    """

    def __init__(self, path: str, options: config.Faces, detector: Detector):
        start = time.monotonic()
        self.info = probe(path, options.time_limit)
        self._windows = choose(self.info.frames, options)
        self._options, self._detector = options, detector
        wanted = (index for window in self._windows for index in window)
        self._frames = Decoder(path, wanted, options.time_limit - (time.monotonic() - start))
        self.windows = len(self._windows)
        """Stretches of the video that are looked at."""
        self.looked: list[int] = []
        """Numbers of the frames that the detector has seen so far."""
        self.shape: tuple[int, int] = (0, 0)
        """Height and width of the frames, pixels; known after the first window."""

    @property
    def damaged(self) -> int:
        """Packets of the file that could not be read or decoded so far."""
        return self.info.damaged + self._frames.damaged

    def __iter__(self) -> Iterator[list[FaceTrack]]:
        for window in _gather(self._frames, self._windows):
            window, at = _shot(window, self._options)
            self.looked += at
            self.shape = window[at[0]].shape
            yield _faces(window, at, self._options, self._detector)


def choose(frames: int, options: config.Faces) -> list[Sequence[int]]:
    """The windows of a video of ``frames`` > 0 frames, each the ascending numbers of its frames."""
    if options.sampling == "uniform":
        return [choose_spread(frames, options.clip_length)]
    return choose_windows(frames, options.clip_length, options.clips)


def choose_spread(frames: int, length: int) -> list[int]:
    """``length`` frame numbers from the first to the last of ``frames`` > 0, the steps between them equal within one.

    One is the middle; fewer frames than ``length`` are all taken.
    """
    length = min(length, frames)
    return [round(k * (frames - 1) / (length - 1)) for k in range(length)] if length > 1 else [(frames - 1) // 2]


def choose_windows(frames: int, length: int, most: int) -> list[range]:
    """At most ``most`` ranges of ``length`` frame numbers, disjoint, spread evenly over ``frames`` > 0 frames.

    One window stands in the middle; more reach from the first frame to the last. Fewer frames than ``length`` make one
    shorter window.
    """
    length = min(length, frames)
    count = min(most, frames // length)
    room = frames - length
    starts = [room // 2] if count == 1 else [round(k * room / (count - 1)) for k in range(count)]
    return [range(start, start + length) for start in starts]


def looked_at(length: int, every: int) -> list[int]:
    """Frames of a window that the detector sees: every ``every``-th and the last."""
    return sorted({*range(0, length, every), length - 1})


def _by_mask(
    named: list[list[FaceTrack]], mask: str, scan: FaceScan, end: float
) -> tuple[list[list[FaceTrack]], str | None]:
    """The faces with the one under the mask as track 0, and why that could not be told, if so."""
    faces = [face for window in named for face in window]
    if not mask or {face.track for face in faces} <= {0}:
        return named, None
    try:
        number = masks.under(mask, faces, scan.looked, scan.info.frames, scan.shape, end - time.monotonic())
    except DataError as error:
        if time.monotonic() > end:  # whether the mask decides must not depend on how busy a machine is
            raise
        return named, str(error)
    return track.promote(named, number), None


def _gather(frames: Decoder, windows: list[Sequence[int]]) -> Iterator[dict[int, Picture]]:
    """The frames of each window by number; a window at the end of a damaged file may be short or missing."""
    held: dict[int, Picture] = {}
    waiting = iter(windows)
    window = next(waiting)
    for index, picture in frames:
        held[index] = picture
        if index == window[-1]:
            yield held
            held, window = {}, next(waiting, window)
    if held:
        yield held


def _shot(window: dict[int, Picture], options: config.Faces) -> tuple[dict[int, Picture], list[int]]:
    """What of a window is used, and the numbers of the frames that the detector sees."""
    if options.sampling == "uniform":  # between frames that lie apart, no cut can be told from a movement
        return window, list(window)
    shot = longest_shot(np.stack([picture.grey(SHOT_SIDE) for picture in window.values()]))
    numbers = list(window)[shot.start : shot.stop]
    return {k: window[k] for k in numbers}, [numbers[k] for k in looked_at(len(numbers), options.every)]


def _faces(window: dict[int, Picture], at: list[int], options: config.Faces, detector: Detector) -> list[FaceTrack]:
    """The faces of one window. One detection alone among three or more looked-at frames is taken for a false alarm."""
    shape = window[at[0]].shape
    detections = _detect([window[k] for k in at], max(1, DETECT_BYTES // (3 * shape[0] * shape[1])), detector)
    apart = (track.FAR, len(at)) if options.sampling == "uniform" else ()
    tracks = track.link_detections(detections, at, *apart)
    tracks = [face for face in tracks if max(face.scores) >= options.threshold]
    tracks = [face for face in tracks if len(face.at) > 1 or len(at) < 3]
    return track.crop_clips(tracks[:MOST_TRACKS], lambda number: window[number].rgb(), shape, options)


def _detect(pictures: list[Picture], most: int, detector: Detector) -> list[Detections]:
    """Faces of each picture, at most ``most`` of them held as RGB at a time."""
    parts = [pictures[start : start + most] for start in range(0, len(pictures), most)]
    return [faces for part in parts for faces in detector.detect(np.stack([picture.rgb() for picture in part]))]


# MERGED from faces.cuts: Where one shot ends and the next begins: no face is followed through a cut.
SHOT_SIDE = 32
"""Side of the grey pictures that are compared: so small that motion and noise count for little."""
SHOT_CHANGE = 20.0
"""Mean difference of grey values, 0..255, that a cut makes at least."""
SHOT_RATIO = 3.5
"""How many times larger it is than the differences of the NEAR pairs of frames before and after: camera and people move
for longer than a frame, a flash comes and goes."""
SHOT_NEIGHBOURS = 2


def longest_shot(small: np.ndarray) -> range:
    """The longest stretch without a cut of pictures uint8 [t, SIDE, SIDE], in order; the first of equally long ones."""
    edges = [0, *shot_starts(small), len(small)]
    return max((range(start, stop) for start, stop in itertools.pairwise(edges)), key=len)


def shot_starts(small: np.ndarray) -> list[int]:
    """Places of the pictures uint8 [t, SIDE, SIDE] that begin another shot, ascending.

    Dissolves are not found, nor is a cut to or from a shot in which much moves: a false cut would cost a good clip.
    """
    if len(small) < 2:
        return []
    change = np.abs(np.diff(small.astype(np.float32), axis=0)).mean((1, 2))
    padded = np.pad(change, SHOT_NEIGHBOURS)
    others = [
        padded[SHOT_NEIGHBOURS + shift : SHOT_NEIGHBOURS + shift + len(change)]
        for shift in range(-SHOT_NEIGHBOURS, SHOT_NEIGHBOURS + 1)
        if shift
    ]
    return (np.flatnonzero((change > SHOT_CHANGE) & (change > SHOT_RATIO * np.max(others, 0))) + 1).tolist()
