"""From a video to clips of its faces: choose ranges of frames, decode once, find shots, detect, track, crop.

Where a data set publishes a mask beside a forged video, the face under the mask is the one that was forged.
"""

from __future__ import annotations

import collections
import dataclasses
import itertools
import time
from collections.abc import Iterator, Sequence

import numpy as np

from fusion_dfd import config
from fusion_dfd.faces import track
from fusion_dfd.faces.boxes import Detections
from fusion_dfd.faces.detector import Detector
from fusion_dfd.faces.picture import Picture
from fusion_dfd.faces.video import Decoder, Reader, VideoInfo, probe
from fusion_dfd.types import DataError, FaceTrack

MOST_TRACKS = 32
"""Maximum number of faces per range of frames, so that a crowd does not fill the memory: the longest tracks are kept,
among equal ones the largest faces."""
DETECT_BYTES = 1 << 27
"""Maximum number of RGB bytes that are given to the detector at once; at least one frame."""
SHOT_SIDE = 32
"""Side of the grey pictures that are compared to find shots: so small that motion and noise matter little."""
SHOT_CHANGE = 20.0
"""Minimum mean difference of grey values, 0..255, between the last frame of a shot and the first of the next."""
SHOT_RATIO = 3.5
"""Minimum ratio of that difference to those of the SHOT_NEIGHBOURS pairs of frames before and after: the movement of a
camera or of people lasts longer than a frame, and a flash changes the picture twice."""
SHOT_NEIGHBOURS = 2
"""Pairs of frames on each side."""
WHITE = 128
"""Minimum value, 0..255, of the brightest channel of a marked pixel: masks are black and white, but compressed."""


@dataclasses.dataclass(frozen=True)
class Extraction:
    """The clips of one video, and what happened while they were made."""

    info: VideoInfo
    clips: list[FaceTrack]
    """In the order of the video; within a range of frames by track number, then time."""
    damaged: int
    """Packets that could not be read or decoded, in the part of the file that was read."""
    ranges: int
    """Number of ranges of frames that were examined."""
    dropped: int
    """Number of those that gave no clip."""
    reason: str | None
    """Why ``clips`` is empty; None when it is not."""
    unmasked: str | None = None
    """Why the mask could not decide which face is track 0; None where it did, or was not needed."""


def extract(path: str, options: config.Faces, detector: Detector, mask: str = "") -> Extraction:
    """Find the clips of a video.

    Dense sampling spreads at most ``options.clips`` ranges of ``options.clip_length`` frames evenly over the video.
    They never overlap; a video shorter than one range is one shorter range. If a range has several shots, the longest
    is used. The detector runs on every ``options.every``-th frame and on the last. Each range gives one clip per face,
    from the first to the last frame with a detection of it.

    Uniform sampling spreads ``options.clip_length`` frames evenly over the whole video (all frames of a shorter one),
    and the detector runs on each. They give one clip per face, of the frames with that face; a face that is further
    than track.FAR from where it was last seen begins another clip. Such a clip has no information about time.

    A folder of frames that are not known to be consecutive (``info.gaps``) is sampled uniformly in any case.

    In both cases at least one detection of a face must reach ``options.threshold``. Only track 0 is returned, unless
    ``options.all_tracks``. If there are several faces and ``mask`` (path of a video, see :func:`track_under`)
    can be used, track 0 is the face under the mask; otherwise it is the face with the most frames, among equal ones the
    largest. One range of frames is held in memory at a time.

    Raises :class:`fusion_dfd.types.DataError` for a file that cannot be used (:mod:`fusion_dfd.faces.video`) or takes
    longer than ``options.time_limit`` seconds, its mask included.
    """
    end = time.monotonic() + options.time_limit
    scan = FaceScan(path, options, detector)
    numbered, unmasked = _by_mask(track.number_tracks(list(scan)), mask, scan, end)
    chosen = [[face for face in faces if options.all_tracks or face.track == 0] for faces in numbered]
    clips = [face for faces in chosen for face in sorted(faces, key=lambda face: (face.track, face.indices[0]))]
    dropped = scan.ranges - sum(map(bool, chosen))
    reason = None if clips else f"no face found in the {len(scan.looked)} frames looked at"
    return Extraction(scan.info, clips, scan.damaged, scan.ranges, dropped, reason, unmasked)


class FaceScan:
    """The faces of each range of frames of a video; ``track`` is 0 in all of them. Iterate once.

    One range of frames is held at a time. The constructor and the iteration raise as :func:`extract` does.

    ``ranges`` of frame numbers, ascending and apart, replace those of the options, and all frames are turned by
    ``turns`` quarter turns counter-clockwise.
    """

    def __init__(
        self,
        path: str,
        options: config.Faces,
        detector: Detector,
        ranges: Sequence[Sequence[int]] = (),
        turns: int = 0,
    ):
        start = time.monotonic()
        self.info = probe(path, options.time_limit)
        if self.info.gaps:  # of a folder of frames: nothing may be interpolated between frames that are not consecutive
            options = dataclasses.replace(options, sampling="uniform")
        self.turns = turns
        self._ranges = ranges or frame_ranges(self.info.frames, options)
        self._options, self._detector = options, detector
        wanted = (index for numbers in self._ranges for index in numbers)
        self._frames = Decoder(path, wanted, options.time_limit - (time.monotonic() - start), turns)
        self.ranges = len(self._ranges)
        """Number of ranges of frames that are examined."""
        self.looked: list[int] = []
        """Numbers of the frames that the detector has seen so far."""
        self.shape: tuple[int, int] = (0, 0)
        """Height and width of the frames, pixels; known after the first range."""
        self._times: dict[int, float | None] = {}
        self.left_out = 0
        """Faces beyond MOST_TRACKS, of the range with the most of them so far."""

    @property
    def looked_at_part(self) -> bool:
        """Whether ranges leave out frames of the video, as many as a range has."""
        return self.info.frames - sum(map(len, self._ranges)) >= len(self._ranges[0])

    @property
    def damaged(self) -> int:
        """Packets of the file that could not be read or decoded so far."""
        return self.info.damaged + self._frames.damaged

    def seconds(self, indices: np.ndarray) -> np.ndarray | None:
        """float64 [t], from the first frame of the video to the frames ``indices`` [t] of the range given last.

        As the file states them, else by its frame rate; None if it does not state that either.
        """
        found = [self._times.get(int(index)) for index in indices]
        if None not in found:
            return np.array(found, np.float64)
        return indices / self.info.fps if self.info.fps else None

    def __iter__(self) -> Iterator[list[FaceTrack]]:
        for pictures in _gather(self._frames, self._ranges):
            pictures, at = _shot(pictures, self._options)
            self.looked += at
            self.shape = pictures[at[0]].shape
            self._times = {number: picture.seconds for number, picture in pictures.items()}
            tracks = _followed(pictures, at, self._options, self._detector)
            self.left_out = max(self.left_out, len(tracks) - MOST_TRACKS)
            yield track.crop_clips(
                tracks[:MOST_TRACKS], lambda number, held=pictures: held[number].rgb(), self.shape, self._options
            )


def frame_ranges(frames: int, options: config.Faces) -> list[Sequence[int]]:
    """The frame numbers, ascending, of each range of a video of ``frames`` > 0 frames."""
    if options.sampling == "uniform":
        return [uniform_range(frames, options.clip_length)]
    return dense_ranges(frames, options.clip_length, options.clips)


def uniform_range(frames: int, length: int) -> list[int]:
    """``length`` frame numbers from the first to the last of ``frames`` > 0, the steps between them equal within one.

    A single one is the middle; if there are fewer frames than ``length``, all are taken.
    """
    length = min(length, frames)
    return [round(k * (frames - 1) / (length - 1)) for k in range(length)] if length > 1 else [(frames - 1) // 2]


def dense_ranges(frames: int, length: int, most: int) -> list[range]:
    """At most ``most`` ranges of ``length`` frame numbers, disjoint, spread evenly over ``frames`` > 0 frames.

    A single range is in the middle; several reach from the first frame to the last. Fewer frames than ``length`` make
    one shorter range.
    """
    length = min(length, frames)
    count = min(most, frames // length)
    room = frames - length
    starts = [room // 2] if count == 1 else [round(k * room / (count - 1)) for k in range(count)]
    return [range(start, start + length) for start in starts]


def examined(length: int, every: int) -> list[int]:
    """Frames of a range that the detector runs on: every ``every``-th and the last."""
    return sorted({*range(0, length, every), length - 1})


def _by_mask(
    numbered: list[list[FaceTrack]], mask: str, scan: FaceScan, end: float
) -> tuple[list[list[FaceTrack]], str | None]:
    """The faces with the one under the mask as track 0, and the reason if the mask could not decide it."""
    faces = [face for clips in numbered for face in clips]
    if not mask or {face.track for face in faces} <= {0}:
        return numbered, None
    try:
        forged = track_under(mask, faces, scan.looked, scan.info.frames, scan.shape, end - time.monotonic())
    except DataError as error:
        if time.monotonic() > end:  # the result must not depend on how busy the machine is
            raise
        return numbered, str(error)
    return track.promote(numbered, forged), None


def _gather(frames: Decoder, ranges: list[Sequence[int]]) -> Iterator[dict[int, Picture]]:
    """The frames of each range by number; a range at the end of a damaged file may be short or missing."""
    held: dict[int, Picture] = {}
    waiting = iter(ranges)
    numbers = next(waiting)
    for index, picture in frames:
        held[index] = picture
        if index == numbers[-1]:
            yield held
            held, numbers = {}, next(waiting, numbers)
    if held:
        yield held


def _shot(pictures: dict[int, Picture], options: config.Faces) -> tuple[dict[int, Picture], list[int]]:
    """The frames of a range that are used, and the numbers of those that the detector runs on."""
    if options.sampling == "uniform":  # frames seconds apart differ as much within a shot as between two
        return pictures, list(pictures)
    shot = longest_shot(np.stack([picture.grey(SHOT_SIDE) for picture in pictures.values()]))
    numbers = list(pictures)[shot.start : shot.stop]
    return {k: pictures[k] for k in numbers}, [numbers[k] for k in examined(len(numbers), options.every)]


def _followed(
    pictures: dict[int, Picture], at: list[int], options: config.Faces, detector: Detector
) -> list[track.Track]:
    """The faces of one range. A single detection among three or more examined frames is taken for a false alarm."""
    shape = pictures[at[0]].shape
    detections = _detect([pictures[k] for k in at], max(1, DETECT_BYTES // (3 * shape[0] * shape[1])), detector)
    apart = (track.FAR, len(at)) if options.sampling == "uniform" else ()
    tracks = track.link_detections(detections, at, *apart)
    tracks = [face for face in tracks if max(face.scores) >= options.threshold]
    return [face for face in tracks if len(face.at) > 1 or len(at) < 3]


def _detect(pictures: list[Picture], most: int, detector: Detector) -> list[Detections]:
    """Faces of each picture, at most ``most`` of them held as RGB at a time."""
    chunks = [pictures[start : start + most] for start in range(0, len(pictures), most)]
    return [faces for chunk in chunks for faces in detector.detect(np.stack([picture.rgb() for picture in chunk]))]


def track_under(
    path: str, clips: Sequence[FaceTrack], looked: Sequence[int], frames: int, size: tuple[int, int], time_limit: float
) -> int:
    """Number of the track with the highest intersection over union with the mask; of equal ones the lowest.

    Intersection and union of the marked pixels and the boxes of a face are summed over the frames ``looked``. So a face
    that covers the marked pixels for longer or more tightly wins.

    Args:
      path: the mask, a video.
      clips: of all faces of the forged video.
      looked: numbers of the frames that the detector ran on, ascending.
      frames: of the forged video, as :func:`fusion_dfd.faces.video.probe` counts them.
      size: height and width of its frames.
      time_limit: seconds.

    Raises :class:`DataError` for a mask that cannot be read, is damaged, of other length or size than the video, or
    marks no pixel of any of the faces.
    """
    length = probe(path, time_limit).frames
    if length != frames:
        raise DataError(f"{path}: {length} frames where the video has {frames}, copy or download both again")
    inside, area = collections.Counter(), collections.Counter()
    marked = seen = 0
    mask = Reader(path, looked, time_limit)
    for index, picture in mask:
        if picture.shape[:2] != size:
            (height, width), (h, w) = size, picture.shape[:2]
            raise DataError(
                f"{path}: {w} x {h} pixels where the video has {width} x {height}, give the mask in that size"
            )
        white, seen = picture.max(-1) >= WHITE, seen + 1
        marked += int(white.sum())
        for clip in clips:
            for box in clip.boxes[clip.indices == index]:
                covered = white[_inside(box)]
                inside[clip.track] += int(covered.sum())
                area[clip.track] += covered.size
    if mask.damaged or seen < len(looked):
        raise DataError(f"{path}: damaged, copy or download it again")
    if not any(inside.values()):
        raise DataError(f"{path}: marks no pixel of a face that was found, check that it belongs to the video")
    return max(sorted(area), key=lambda track: inside[track] / max(marked + area[track] - inside[track], 1))


def _inside(box: np.ndarray) -> tuple[slice, slice]:
    """Rows and columns of a frame that a box covers."""
    x0, y0, x1, y1 = np.maximum(np.round(box), 0).astype(int)
    return slice(y0, y1), slice(x0, x1)


def longest_shot(small: np.ndarray) -> range:
    """The longest shot of pictures uint8 [t, SHOT_SIDE, SHOT_SIDE], in order; the first of equally long ones."""
    edges = [0, *shot_starts(small), len(small)]
    return max((range(start, stop) for start, stop in itertools.pairwise(edges)), key=len)


def shot_starts(small: np.ndarray) -> list[int]:
    """Positions of the pictures uint8 [t, SHOT_SIDE, SHOT_SIDE] that begin another shot, ascending.

    Not found are dissolves, and boundaries of shots with much movement: a false boundary would cost a good clip.
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
