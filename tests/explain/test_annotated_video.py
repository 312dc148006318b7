"""How much of a video is shown, and how large."""

import numpy as np
import pytest

from fusion_dfd.explain import annotated_video
from fusion_dfd.faces.video import VideoInfo
from fusion_dfd.types import FaceTrack


def info(frames: int, fps: float) -> VideoInfo:
    return VideoInfo(frames, fps, 64, 48, "h264", 0)


def seen(*ranges: range) -> list[list[FaceTrack]]:
    empty = np.empty((0, 5, 2), np.float32)
    return [
        [FaceTrack(empty, empty, empty, empty, np.arange(one.start, one.stop), np.eye(2, 3, dtype=np.float32))]
        for one in ranges
    ]


def test_all_of_a_short_video_is_shown():
    assert annotated_video.wanted(info(1500, 25.0), seen(range(10))) == list(range(1500))


def test_of_a_long_one_what_was_looked_at():
    windows = seen(range(100, 132), range(50_000, 50_032))
    assert annotated_video.wanted(info(90_000, 25.0), windows) == [*range(100, 132), *range(50_000, 50_032)]


def test_never_more_than_the_limit():
    assert len(annotated_video.wanted(info(90_000, 25.0), seen(range(90_000)))) == 25 * annotated_video.SECONDS


@pytest.mark.parametrize(("fps", "step"), [(60.0, 2), (30.0, 1), (59.94, 2), (120.0, 4), (24.0, 1), (0.0, 1)])
def test_of_fast_videos_frames_are_left_out(fps, step):
    assert annotated_video.wanted(info(100, fps), []) == list(range(0, 100, step))


@pytest.mark.parametrize(
    ("shape", "expected"),
    [((160, 160), (320, 320)), ((1080, 1920), (480, 854)), ((1920, 1080), (854, 480)), ((101, 1999), (64, 1280))],
)
def test_sides_are_even_and_bounded(shape, expected):
    picture, scale = annotated_video._resized(np.zeros((*shape, 3), np.uint8))
    assert picture.shape[:2] == expected
    assert scale == pytest.approx(expected[1] / shape[1], rel=0.01)
