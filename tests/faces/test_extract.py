"""From a file to clips: windows, one decoding, the main face, and what is said when there is none."""

import dataclasses

import cv2
import numpy as np
import pytest
from barcodes import barcode, write
from hypothesis import given
from hypothesis import strategies as st
from portrait import LANDMARKS, scene
from scripted import POINTS, Scripted

from fusion_dfd import config
from fusion_dfd.faces import detector
from fusion_dfd.faces.extract import dense_ranges, examined, extract, uniform_range
from fusion_dfd.types import DataError

OPTIONS = config.Faces(every=4, min_size=8, size=32, clip_length=10, clips=3)


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    """60 frames of 64 x 48 that carry their numbers."""
    return write(tmp_path_factory.mktemp("video") / "a.mp4", map(barcode, range(60)))


@given(st.integers(1, 500), st.integers(1, 60), st.integers(1, 12))
def test_windows_are_disjoint_even_and_as_many_as_fit(frames, length, most):
    windows = dense_ranges(frames, length, most)
    assert len(windows) == min(most, max(1, frames // length))
    assert all(len(window) == min(length, frames) for window in windows)
    flat = [index for window in windows for index in window]
    assert flat == sorted(set(flat))
    assert 0 <= flat[0] <= flat[-1] < frames
    if len(windows) > 1:
        assert (flat[0], flat[-1]) == (0, frames - 1)
        gaps = np.diff([window[0] for window in windows])
        assert gaps.max() - gaps.min() <= 1
    else:
        assert abs(flat[0] - (frames - 1 - flat[-1])) <= 1


@given(st.integers(1, 500), st.integers(1, 60))
def test_spread_frames_reach_from_the_first_to_the_last_in_equal_steps(frames, length):
    spread = uniform_range(frames, length)
    assert len(spread) == min(length, frames)
    assert set(spread) <= set(range(frames))
    if len(spread) > 1:
        assert (spread[0], spread[-1]) == (0, frames - 1)
        assert np.diff(spread).min() > 0
        assert np.ptp(np.diff(spread)) <= 1
    else:
        assert abs(2 * spread[0] - (frames - 1)) <= 1


def test_the_detector_sees_every_kth_frame_and_the_last():
    assert examined(10, 4) == [0, 4, 8, 9]
    assert examined(9, 4) == [0, 4, 8]
    assert examined(1, 8) == [0]
    assert examined(5, 100) == [0, 4]


def test_clips_have_the_frames_they_say(video):
    script = Scripted(lambda index: [(2 + index / 20, 2, 40, 0.99)])
    result = extract(video, OPTIONS, script)
    assert script.seen == [[0, 4, 8, 9], [25, 29, 33, 34], [50, 54, 58, 59]]
    assert [clip.indices.tolist() for clip in result.clips] == [list(range(s, s + 10)) for s in (0, 25, 50)]
    assert (result.ranges, result.dropped, result.damaged, result.reason) == (3, 0, 0, None)
    assert (result.info.frames, result.info.width, result.info.height) == (60, 64, 48)
    for clip in result.clips:
        assert clip.track == 0
        assert clip.frames.shape == (10, 32, 32, 3)
        assert clip.landmarks.shape == (10, 5, 2)
        assert clip.landmarks.dtype == clip.boxes.dtype == clip.scores.dtype == np.float32
        np.testing.assert_allclose(clip.boxes[:, 0], 2 + clip.indices / 20, atol=1e-4)
        place = (clip.boxes[:, None, :2] + POINTS * 40) @ clip.transform[:, :2].T + clip.transform[:, 2]
        np.testing.assert_allclose(clip.landmarks, place, atol=1e-3)


UNIFORM = dataclasses.replace(OPTIONS, sampling="uniform", clip_length=7)


def test_a_uniform_clip_is_one_over_the_whole_video_with_what_was_detected_on_it(video):
    def faces(index):
        return [] if index == 20 else [(2 + index / 6 + index % 4, 2, 40, 0.9 + index / 1000)]

    script = Scripted(faces)
    result = extract(video, UNIFORM, script)
    assert script.seen == [[0, 10, 20, 30, 39, 49, 59]]
    (clip,) = result.clips
    assert clip.indices.tolist() == [0, 10, 30, 39, 49, 59]
    assert (result.ranges, result.dropped, clip.indices.dtype) == (1, 0, np.int32)
    truth = Scripted.answer([faces(index)[0] for index in clip.indices])
    np.testing.assert_array_equal(clip.boxes, truth.boxes[::-1])
    np.testing.assert_array_equal(clip.scores, truth.scores[::-1])
    place = truth.landmarks[::-1] @ clip.transform[:, :2].T + clip.transform[:, 2]
    np.testing.assert_allclose(clip.landmarks, place, atol=1e-3)
    assert clip.boxes.dtype == clip.scores.dtype == clip.landmarks.dtype == np.float32


def test_a_uniform_clip_shows_the_frames_it_names(video):
    options = dataclasses.replace(UNIFORM, size=48)
    (clip,) = extract(video, options, Scripted(lambda _: [(0, 0, 47, 0.99)])).clips
    assert bits(clip) == clip.indices.tolist()


def test_a_uniform_clip_of_a_short_video_is_all_of_it(tmp_path):
    path = write(tmp_path / "a.mp4", map(barcode, range(4)))
    (clip,) = extract(path, UNIFORM, Scripted(lambda _: [(5, 5, 30, 0.99)])).clips
    assert clip.indices.tolist() == [0, 1, 2, 3]


def bits(clip) -> list[int]:
    """The frame numbers, read off the pixels."""
    columns = np.float32([np.array([bit * 8 + 4, 8, 1]) @ clip.transform.T for bit in range(6)])
    return [
        sum((crop[round(y), round(x)].mean() > 128).item() << bit for bit, (x, y) in enumerate(columns))
        for crop in clip.frames
    ]


def test_the_crop_shows_the_frame_under_its_number(video):
    """The whole frame's height fits into the crop, so the bars within it can be read off through the transform."""
    (clip,) = extract(
        video, dataclasses.replace(OPTIONS, size=48, clips=1), Scripted(lambda _: [(0, 0, 47, 0.99)])
    ).clips
    for crop, index in zip(clip.frames, clip.indices, strict=True):
        columns = [np.array([bit * 8 + 4, 8, 1]) @ clip.transform.T for bit in range(5)]
        bits = [crop[round(y), round(x)].mean() > 128 for x, y in np.float32(columns)]
        assert bits == [bool(index >> bit & 1) for bit in range(5)]


def test_a_short_video_is_one_short_clip(tmp_path):
    for length in (1, 2, 7):
        path = write(tmp_path / f"{length}.mp4", map(barcode, range(length)))
        (clip,) = extract(path, OPTIONS, Scripted(lambda _: [(5, 5, 30, 0.99)])).clips
        assert clip.indices.tolist() == list(range(length))


def test_windows_without_a_face_are_counted(video):
    result = extract(video, OPTIONS, Scripted(lambda index: [(5, 5, 30, 0.99)] if index < 20 else []))
    assert [clip.indices[0] for clip in result.clips] == [0]
    assert (result.ranges, result.dropped, result.reason) == (3, 2, None)


def test_no_face_at_all_is_a_reason_and_no_error(video):
    result = extract(video, OPTIONS, Scripted(lambda _: []))
    assert result.clips == []
    assert (result.ranges, result.dropped) == (3, 3)
    assert result.reason == "no face found in the 12 frames looked at"


def test_a_clip_ends_where_the_face_leaves(video):
    result = extract(video, OPTIONS, Scripted(lambda index: [(5, 5, 30, 0.99)] if index % 25 <= 4 else []))
    assert [clip.indices.tolist() for clip in result.clips[:2]] == [list(range(5)), list(range(25, 30))]


def test_a_face_must_be_sure_once_and_seen_twice(video):
    once_sure, never_sure, once_seen = (
        extract(video, dataclasses.replace(OPTIONS, clips=1, clip_length=60), Scripted(faces))
        for faces in (
            lambda index: [(5, 5, 30, 0.95 if index == 8 else 0.7)],
            lambda index: [(5, 5, 30, 0.85)],
            lambda index: [(5, 5, 30, 0.99)] if index == 8 else [],
        )
    )
    assert len(once_sure.clips[0]) == 60
    assert never_sure.clips == once_seen.clips == []


def test_the_main_face_is_number_0_and_the_others_come_on_request(video):
    def faces(index):
        return [(2, 2, 20, 0.95), (40, 10, 24, 0.99)] if index < 30 else [(2, 2, 20, 0.95)]

    main = extract(video, OPTIONS, Scripted(faces))
    assert [(clip.track, clip.boxes[0, 0].item()) for clip in main.clips] == [(0, 2), (0, 2), (0, 2)]
    every = extract(video, dataclasses.replace(OPTIONS, all_tracks=True), Scripted(faces))
    assert [clip.track for clip in every.clips] == [0, 1, 0, 1, 0]
    assert [clip.indices[0] for clip in every.clips] == [0, 0, 25, 25, 50]
    assert every.dropped == 0


def test_a_face_that_leaves_and_returns_in_one_window_gives_two_clips_in_order_of_time(video):
    def faces(index):
        return [] if 12 <= index < 24 else [(5 + index / 10, 5, 30, 0.99)]

    clips = extract(video, dataclasses.replace(OPTIONS, clips=1, clip_length=60), Scripted(faces)).clips
    assert [(clip.track, clip.indices[0], clip.indices[-1]) for clip in clips] == [(0, 0, 8), (0, 24, 59)]


def test_no_clip_crosses_a_cut(tmp_path):
    """The same face stands at the same place in both shots: only the picture tells."""
    frames = [barcode(k) if k < 23 else np.full((48, 64, 3), 250, np.uint8) for k in range(60)]
    script = Everywhere()
    clips = extract(write(tmp_path / "a.mp4", frames), dataclasses.replace(OPTIONS, clip_length=30), script).clips
    assert [(clip.indices[0], len(clip)) for clip in clips] == [(0, 23), (30, 30)]
    assert script.seen == [7, 9]


class Everywhere:
    """A detector that sees the same face on every frame, and counts the frames."""

    def __init__(self):
        self.seen = []

    def detect(self, frames):
        self.seen.append(len(frames))
        return [Scripted.answer([(5, 5, 30, 0.99)])] * len(frames)


def test_damage_is_counted_and_the_rest_is_used(tmp_path, rng):
    path = tmp_path / "a.mp4"
    write(path, map(barcode, range(60)), options={"g": "5", "tune": "zerolatency"})
    content = bytearray(path.read_bytes())
    start, end = content.index(b"mdat"), content.index(b"moov")
    middle, length = (start + end) // 2, (end - start) // 8
    content[middle : middle + length] = rng.bytes(length)
    path.write_bytes(content)
    result = extract(path, OPTIONS, Scripted(lambda _: [(5, 5, 30, 0.99)]))
    assert result.damaged > 0
    assert result.info.frames == 60
    assert [clip.indices[0] for clip in result.clips[:2]] == [0, 25]


def test_the_time_limit_holds_for_the_whole_video(video):
    with pytest.raises(DataError, match=r"time_limit"):
        extract(video, dataclasses.replace(OPTIONS, time_limit=-1.0), Scripted(lambda _: []))


def test_with_the_real_detector_a_moving_face_is_followed(tmp_path):
    frames = [scene(240, 320, (20 + 2 * k, 10 + k)) for k in range(20)]
    path = write(tmp_path / "a.mp4", frames)
    options = config.Faces(every=5, size=128, clip_length=20)
    (clip,) = extract(path, options, detector.build(options)).clips
    assert clip.indices.tolist() == list(range(20))
    truth = np.stack([LANDMARKS + np.array([20 + 2 * k, 10 + k]) for k in range(20)])
    truth = truth @ clip.transform[:, :2].T + clip.transform[:, 2]
    assert abs(clip.landmarks - truth).max() < 4


@pytest.mark.slow
def test_real_clips_are_read_and_their_faces_found(media):
    paths = sorted((media / "videos").glob("*/*"), key=lambda path: path.stat().st_size)[::40]
    options = config.Faces(clips=1, size=64)
    finder = detector.build(options)
    for path in paths:
        result = extract(path, options, finder)
        assert result.clips, path
        assert result.damaged == 0


def test_frames_that_are_not_known_to_be_consecutive_are_sampled_uniformly(tmp_path):
    for name, numbers in (("whole", range(20)), ("gap", [*range(10), *range(30, 40)])):
        (tmp_path / name).mkdir()
        for number in numbers:
            frame = cv2.cvtColor(barcode(number), cv2.COLOR_RGB2BGR)
            assert cv2.imwrite(str(tmp_path / name / f"{number:03d}.png"), frame)
    script = Scripted(lambda _: [(5, 5, 30, 0.99)])
    whole = extract(str(tmp_path / "whole"), OPTIONS, script)
    assert [clip.indices.tolist() for clip in whole.clips] == [list(range(10)), list(range(10, 20))]
    script.seen.clear()
    gap = extract(str(tmp_path / "gap"), OPTIONS, script)
    assert gap.info.gaps == 1
    assert ([clip.contiguous for clip in whole.clips], [clip.contiguous for clip in gap.clips]) == ([True] * 2, [False])
    assert [clip.indices.tolist() for clip in gap.clips] == [[0, 2, 4, 6, 8, 11, 13, 15, 17, 19]]
    assert script.seen == [[0, 2, 4, 6, 8, 31, 33, 35, 37, 39]], "the detector looked at each, nothing is interpolated"
