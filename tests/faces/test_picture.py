"""A file is read as a player shows it, whatever its display matrix, pixels, colours and streams are."""

import os

import numpy as np
import odd_files
import pytest

from fusion_dfd.faces import decoding
from fusion_dfd.faces.picture import Picture
from fusion_dfd.faces.video import Reader, probe


@pytest.mark.parametrize("name", odd_files.SHOWN_ALIKE)
def test_frames_are_read_as_a_player_shows_them(tmp_path, name):
    path = odd_files.SHOWN_ALIKE[name](tmp_path)
    assert os.path.getsize(path) < odd_files.MOST_BYTES
    shown = [frame.astype(int) for _, frame in Reader(path, range(odd_files.FRAMES))]
    assert probe(path).frames == len(shown) == odd_files.FRAMES
    for frame, right in zip(shown, odd_files.film(), strict=True):
        high, wide = right.shape[:2]
        assert abs(frame.shape[0] / frame.shape[1] - high / wide) < 0.01
        step = frame.shape[0] / high
        at = [np.round(np.arange(4, side - 4, 4) * step).astype(int) for side in (high, wide)]
        difference = abs(frame[np.ix_(*at)] - right[np.ix_(*(np.arange(4, side - 4, 4) for side in (high, wide)))])
        assert difference.mean() < 4, (name, difference.mean())


def test_frames_beyond_the_bound_are_scaled_down_and_keep_their_shape(tmp_path, monkeypatch):
    path = odd_files.control(tmp_path)
    monkeypatch.setattr(decoding, "MOST_PIXELS", odd_files.HEIGHT * odd_files.WIDTH // 4)
    frame = decoding.Film(path, lambda: None).at(0)
    shown = Picture(frame.picture, frame.display).rgb()
    assert shown.shape == (odd_files.HEIGHT // 2, odd_files.WIDTH // 2, 3)
    half = odd_files.film()[0].reshape(shown.shape[0], 2, shown.shape[1], 2, 3).mean((1, 3))
    assert abs(shown - half).mean() < 4


def test_frames_that_are_too_large_are_not_decoded(tmp_path, monkeypatch):
    path = odd_files.control(tmp_path)
    monkeypatch.setattr(decoding, "LARGEST", odd_files.HEIGHT * odd_files.WIDTH // 2)
    with pytest.raises(decoding.Refused, match="not one frame"):
        decoding.Film(path, lambda: None).at(0)


@pytest.mark.parametrize("ratio", [0.0, 1.005, 1e-3, 1e3])
def test_an_unbelievable_or_nearly_square_pixel_changes_nothing(ratio):
    assert decoding.square_size(720, 576, ratio) == (720, 576)
