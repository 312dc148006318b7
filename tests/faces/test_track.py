"""Tracks, interpolation and crops, on detections made by hand."""

import dataclasses

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fusion_dfd import config, types
from fusion_dfd.faces import mesh, track
from fusion_dfd.faces.boxes import Detections
from fusion_dfd.types import FaceTrack

POINTS = np.array([[0.3, 0.4], [0.7, 0.4], [0.5, 0.6], [0.35, 0.8], [0.65, 0.8]])
"""Landmarks of a face whose box is the unit square."""


def face(x: float, y: float, side: float = 40, score: float = 0.99):
    return np.array([x, y, x + side, y + side]), np.array([x, y]) + POINTS * side, score


def found(*faces) -> Detections:
    boxes, points, scores = zip(*faces, strict=True) if faces else ([], [], [])
    return Detections(
        np.array(boxes, np.float32).reshape(-1, 4),
        np.array(scores, np.float32),
        np.array(points, np.float32).reshape(-1, 5, 2),
    )


def test_two_faces_keep_their_tracks_when_their_order_changes():
    frames = [found(face(10 + k, 20), face(100 - k, 30)) for k in range(5)]
    frames[2] = found(face(98, 30), face(12, 20))
    tracks = track.link_detections(frames, range(0, 40, 8))
    assert [one.at for one in tracks] == [[0, 8, 16, 24, 32]] * 2
    xs = sorted([[box[0] for box in one.boxes] for one in tracks])
    assert xs == [[10, 11, 12, 13, 14], [100, 99, 98, 97, 96]]


def test_the_pairing_is_the_best_as_a_whole():
    """Nearest first would give the first face's track to the second face, and leave the other two without a partner."""
    first = found(face(0, 0), face(16, 0))
    then = found(face(13, 0), face(32, 0))
    tracks = track.link_detections([first, then], [0, 1])
    assert sorted([box[0] for box in one.boxes] for one in tracks) == [[0, 13], [16, 32]]


def test_a_jump_starts_a_new_track_and_one_miss_does_not():
    there, away = found(face(10, 10)), found(face(200, 10))
    assert [one.at for one in track.link_detections([there, there, away, away, away], range(5))] == [[2, 3, 4], [0, 1]]
    assert [one.at for one in track.link_detections([there, found(), there], range(3))] == [[0, 2]]
    assert [one.at for one in track.link_detections([there, found(), found(), there], range(4))] == [[0], [3]]
    assert track.link_detections([found(), found()], range(2)) == []
    assert track.link_detections([], []) == []


def test_longest_first_then_largest():
    large, small, brief = face(0, 0, 60), face(100, 0, 30), face(200, 0, 90)
    tracks = track.link_detections([found(small, large, brief), found(small, large)], [0, 4])
    assert [one.boxes[0][2] - one.boxes[0][0] for one in tracks] == [60, 30, 90]
    assert [len(one) for one in tracks] == [5, 5, 1]


def test_interpolation_is_linear_and_scores_are_the_lower_neighbour():
    (one,) = track.link_detections([found(face(10, 20, 40, 0.9)), found(face(18, 16, 44, 0.7))], [3, 7])
    boxes, landmarks, scores = track.interpolate(one)
    shift = np.arange(5) / 4
    np.testing.assert_allclose(boxes[:, 0], 10 + 8 * shift, rtol=1e-6)
    np.testing.assert_allclose(boxes[:, 3], 60 + 0 * shift, rtol=1e-6)
    np.testing.assert_allclose(landmarks[:, 2, 0], 30 + 10 * shift, rtol=1e-6)
    np.testing.assert_allclose(landmarks[:, 2, 1], 44 - 1.6 * shift, rtol=1e-6)
    np.testing.assert_allclose(scores, [0.9, 0.7, 0.7, 0.7, 0.7])
    assert (boxes.dtype, landmarks.dtype, scores.dtype) == (np.float32,) * 3


def test_one_detection_is_one_frame():
    boxes, landmarks, scores = track.interpolate(track.link_detections([found(face(1, 2))], [9])[0])
    assert (boxes.shape, landmarks.shape, scores.shape) == ((1, 4), (1, 5, 2), (1,))
    np.testing.assert_allclose(boxes, [[1, 2, 41, 42]])


def test_smoothing_halves_jitter_and_keeps_lines(rng):
    np.testing.assert_allclose(track.smooth(np.arange(6.0)), np.arange(6))
    np.testing.assert_allclose(track.smooth(np.array([0, 0, 4.0, 0, 0])), [0, 1, 2, 1, 0])
    jitter = rng.normal(size=2000)
    assert track.smooth(jitter).std() == pytest.approx(np.sqrt(3 / 8), rel=0.1)
    assert track.smooth(np.array([5.0])).tolist() == [5]


def test_a_still_face_in_the_open_gets_scale_times_its_box():
    boxes = np.tile([100.0, 80, 140, 130], (4, 1))
    assert track.crop_square(boxes, 1.3, 300, 300) == (88, 72, 65)


square_case = st.tuples(
    st.integers(30, 300), st.integers(30, 300), st.lists(st.tuples(*[st.floats(0, 1)] * 4), min_size=1, max_size=5)
)


@given(square_case, st.floats(1, 4))
def test_the_square_always_holds_every_box_and_shows_no_more_border_than_it_must(case, scale):
    height, width, corners = case
    boxes = np.array([[*np.sort([a, b]), *np.sort([c, d])] for a, b, c, d in corners])[:, [0, 2, 1, 3]]
    boxes = boxes * ((width, height) * 2)
    x, y, side = track.crop_square(boxes, scale, height, width)
    assert (boxes[:, :2] >= np.array([x, y]) - 0.51).all()
    assert (boxes[:, 2:] <= np.array([x, y]) + side + 0.51).all()
    longest, union = (boxes[:, 2:] - boxes[:, :2]).max(), (boxes[:, 2:].max(0) - boxes[:, :2].min(0)).max()
    assert side <= max(scale * longest + 1, union + 2)
    for corner, length in ((x, width), (y, height)):
        if side <= length:
            assert 0 <= corner <= length - side
        else:
            assert corner <= 0
            assert corner + side >= length
            assert side <= union + 2


@pytest.mark.parametrize("square", [(20, 10, 40), (5, 8, 100), (-30, -20, 160), (0, 0, 37)])
def test_the_transform_is_what_the_crop_does(square):
    """A smooth picture, sampled where the inverse transform says, equals the crop."""
    size = 64
    y, x = np.mgrid[:120, :130].astype(np.float32)
    frame = np.stack([x, y, (x + y) / 2], -1).astype(np.uint8)
    got = track.crop(frame, square, size)
    matrix = track.transform(square, size)
    assert (got.shape, got.dtype, matrix.shape, matrix.dtype) == ((size, size, 3), np.uint8, (2, 3), np.float32)
    inverse = cv2.invertAffineTransform(matrix)
    v, u = np.mgrid[:size, :size]
    source = np.stack([u, v, np.ones_like(u)], -1) @ inverse.T
    source = np.clip(source, 0, (129, 119))
    inner = (slice(2, -2),) * 2
    assert abs(got[..., :2].astype(float) - source)[inner].max() < 1.6


def test_shrinking_does_not_alias():
    frame = np.zeros((256, 256, 3), np.uint8)
    frame[:, ::2] = 200
    assert abs(track.crop(frame, (0, 0, 256), 64).astype(int) - 100).max() <= 1


def test_cut_gives_one_clip_with_landmarks_in_crop_pixels(rng):
    frames = list(rng.integers(0, 255, (12, 120, 160, 3), np.uint8))
    (one,) = track.link_detections([found(face(50 + k, 40)) for k in (0, 4, 8)], [102, 106, 110])
    asked = []

    def frame(number: int) -> np.ndarray:
        asked.append(number)
        return frames[number - 100]

    (clip,) = track.crop_clips([one], frame, (120, 160), config.Faces(scale=1.3, size=96))
    assert asked == list(range(102, 111))
    assert clip.frames.shape == (9, 96, 96, 3)
    assert clip.indices.tolist() == list(range(102, 111))
    assert len(clip) == 9
    np.testing.assert_allclose(clip.boxes[:, 0], np.arange(50, 59), rtol=1e-6)
    source = clip.boxes[:, None, :2] + POINTS * 40
    np.testing.assert_allclose(clip.landmarks, source @ clip.transform[:, :2].T + clip.transform[:, 2], rtol=1e-4)
    assert clip.landmarks.min() > 0
    assert clip.landmarks.max() < 96
    side = round(96 / clip.transform[0, 0])
    assert side == 52
    # The boxes reach from (50, 40) to (98, 80): a square of 52 about (74, 60).
    expected = track.crop(frames[5], (48, 34, 52), 96)
    np.testing.assert_array_equal(clip.frames[3], expected)


@pytest.mark.parametrize("sampling", ["dense", "uniform"])
def test_the_mesh_of_a_clip_is_interpolated_over_frames_and_never_over_a_missing_face(sampling, monkeypatch):
    """The stand-in answers with the face's box corner on every crop; the crop's pixels say which frame it is."""
    looked = []

    class Finder:
        def find(self, frames, boxes, landmarks):
            numbers = frames[:, 0, 0, 0].astype(int)
            looked.extend(numbers.tolist())
            points = np.zeros((len(frames), mesh.POINTS, 3), np.float32)
            points[..., :2] = boxes[:, None, :2]
            return mesh.Meshes(points, np.where(numbers == 4, 0.2, 0.9).astype(np.float32))

    monkeypatch.setattr(mesh, "shared", Finder)
    boxes = [np.array([50.0 + k, 40, 90 + k, 80]) for k in range(9)]
    one = track.Track(list(range(9)), boxes, [box[:2] + POINTS * 40 for box in boxes], [0.95] * 9)
    options = config.Faces(size=96, mesh=True, sampling=sampling)
    (clip,) = track.crop_clips([one], lambda k: np.full((120, 160, 3), k, np.uint8), (120, 160), options)
    (plain,) = track.crop_clips(
        [one], lambda k: np.full((120, 160, 3), k, np.uint8), (120, 160), dataclasses.replace(options, mesh=False)
    )
    assert plain.mesh is None
    np.testing.assert_array_equal(clip.frames, plain.frames)
    assert looked == ([0, 2, 4, 6, 8] if sampling == "dense" else list(range(9)))
    assert (clip.mesh.shape, clip.mesh.dtype) == ((9, types.MESH_POINTS, 2), np.float32)
    missing = np.isnan(clip.mesh).all((1, 2))
    assert np.flatnonzero(missing).tolist() == ([3, 4, 5] if sampling == "dense" else [4])
    corner = clip.boxes[:, :2] @ clip.transform[:, :2].T + clip.transform[:, 2]
    want = np.repeat(corner[~missing, None], types.MESH_POINTS, 1)
    np.testing.assert_allclose(clip.mesh[~missing], want, atol=1e-3)


def clip(x: float, frames: int, side: float = 40, start: int = 0) -> FaceTrack:
    boxes = np.tile(face(x, 0, side)[0], (frames, 1)).astype(np.float32)
    zeros = np.zeros((frames, 1, 1, 3), np.uint8)
    scores, indices = np.ones(frames, np.float32), np.arange(start, start + frames, dtype=np.int32)
    return FaceTrack(
        zeros, boxes, np.zeros((frames, 5, 2), np.float32), scores, indices, np.eye(2, 3, dtype=np.float32)
    )


def numbers(*windows):
    """The tracks of the clips of windows, whose starts count from that of their window."""
    placed = [
        [dataclasses.replace(one, indices=one.indices + np.int32(100 * place)) for one in clips]
        for place, clips in enumerate(windows)
    ]
    return [[one.track for one in clips] for clips in track.number_tracks(placed)]


def test_faces_keep_their_number_over_windows_and_the_longest_is_0():
    assert numbers([clip(0, 8), clip(300, 8)], [clip(310, 8)], [clip(290, 8), clip(5, 8)]) == [[1, 0], [0], [0, 1]]


def test_a_portrait_on_the_wall_is_not_the_one_that_counts():
    portrait, person = clip(300, 10, 20), clip(0, 8, 60)
    assert numbers([portrait, person]) == [[1, 0]]
    assert numbers([portrait, clip(0, 7, 60)]) == [[0, 1]], "too short a part of it"


def test_a_face_that_returns_within_a_window_keeps_its_number():
    there, back = clip(0, 8), clip(10, 5, start=20)
    assert numbers([there, back]) == [[0, 0]]
    assert numbers([clip(0, 6), there]) == [[1, 0]], "at one time they are two"
    assert numbers([clip(300, 30), there, back], [clip(300, 30), clip(15, 30)]) == [[0, 1, 1], [0, 1]]
    assert numbers([there, clip(300, 5, start=20)], [clip(5, 9), clip(300, 9)]) == [[0, 1], [0, 1]]
    assert numbers([back, there, clip(5, 3, start=12)]) == [[0, 0, 0]]


def test_a_face_of_quite_another_size_is_another():
    one, other = clip(300, 8), clip(310, 8)
    assert numbers([clip(0, 9, 40), one], [clip(0, 9, 79), other]) == [[0, 1], [0, 1]]
    assert numbers([clip(0, 9, 40), one], [clip(0, 8, 81), other]) == [[1, 0], [2, 0]]
    assert numbers([clip(0, 9, 40)], [clip(0, 8, 90)]) == [[0], [0]], "the only face is the same"


def test_promoting_a_face_moves_those_before_it_by_one():
    last = clip(300, 8, start=20), clip(0, 9, start=20)
    windows = track.number_tracks([[clip(0, 9), clip(300, 8), clip(600, 7)], last, []])
    assert [[one.track for one in clips] for clips in windows] == [[0, 1, 2], [1, 0], []]
    for number, order in ((0, [0, 1, 2]), (1, [1, 0, 2]), (2, [1, 2, 0])):
        assert [[one.track for one in clips] for clips in track.promote(windows, number)] == [
            order,
            [order[1], order[0]],
            [],
        ]


def test_of_equally_long_faces_the_largest_is_0():
    assert numbers([clip(0, 8, 30), clip(300, 8, 60), clip(150, 8, 40)]) == [[2, 0, 1]]


def test_the_only_face_is_the_same_wherever_it_stands():
    assert numbers([clip(0, 8)], [], [clip(500, 4)], [clip(200, 8)]) == [[0], [], [0], [0]]
    assert numbers([clip(0, 8), clip(300, 9)], [clip(900, 4)]) == [[1, 0], [2]]
    assert numbers([], []) == [[], []]


@pytest.mark.parametrize("place", [(0, 0, 80), (-7, 31, 113), (1900, 1070, 401), (3501, 17, 1999)])
@pytest.mark.parametrize("size", [80, 224, 256])
def test_a_transform_gives_its_square_back(place, size):
    assert track.square(track.transform(place, size), size) == place
