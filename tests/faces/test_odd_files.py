"""A file is read as a player shows it, whatever its display matrix, pixels, colours and streams are."""

import os

import numpy as np
import odd_files
import pytest

from fusion_dfd.faces.video import Reader, probe


@pytest.mark.parametrize("name", odd_files.SHOWN_ALIKE)
def test_frames_are_read_as_a_player_shows_them(tmp_path, name):
    path = odd_files.SHOWN_ALIKE[name](tmp_path)
    assert os.path.getsize(path) < odd_files.MOST_BYTES
    shown = [frame.astype(int) for _, frame in Reader(path, range(odd_files.FRAMES))]
    assert probe(path).frames == len(shown) == odd_files.FRAMES
    for frame, picture in zip(shown, odd_files.film(), strict=True):
        high, wide = picture.shape[:2]
        assert abs(frame.shape[0] / frame.shape[1] - high / wide) < 0.01
        step = frame.shape[0] / high
        at = [np.round(np.arange(4, side - 4, 4) * step).astype(int) for side in (high, wide)]
        difference = abs(frame[np.ix_(*at)] - picture[np.ix_(*(np.arange(4, side - 4, 4) for side in (high, wide)))])
        assert difference.mean() < 4, (name, difference.mean())
