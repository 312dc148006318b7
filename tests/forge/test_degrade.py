"""What happens to videos on their way."""

import dataclasses

import cv2
import numpy as np
import pytest

from fusion_dfd.faces import recode
from fusion_dfd.forge import degrade
from fusion_dfd.forge.degrade import Degradation, Encoding


@pytest.fixture
def frames(rng):
    """uint8 [6, 49, 71, 3]: a pattern that moves, with odd sides."""
    wide = cv2.GaussianBlur(rng.integers(0, 256, (49, 90, 3), dtype=np.uint8), (0, 0), 2)
    return np.stack([wide[:, step : step + 71] for step in range(0, 12, 2)])


def test_nothing_changes_nothing(frames, rng):
    assert degrade.apply(frames, Degradation()) is frames
    assert degrade.draw(rng, 0.0) == Degradation()


def test_draws_lie_in_their_ranges_and_all_kinds_occur():
    draws = [degrade.draw(np.random.default_rng(seed), 1.0) for seed in range(300)]
    for field in dataclasses.fields(Degradation):
        assert len({getattr(draw, field.name) for draw in draws}) > 1, field.name
    assert all(0.25 <= draw.scale <= 1 and len(draw.encodings) <= 2 for draw in draws)
    codecs = [encoding for draw in draws for encoding in draw.encodings]
    assert {one.codec for one in codecs} == set(recode.available())
    assert all(18 <= one.crf <= (48 if one.codec == "vp9" else 40) for one in codecs)


@pytest.mark.parametrize("seed", range(12))
def test_a_draw_gives_the_same_frames_of_the_same_shape(frames, seed):
    drawn = degrade.draw(np.random.default_rng(seed), 1.0)
    one, two = degrade.apply(frames, drawn), degrade.apply(frames, drawn)
    assert (one.shape, one.dtype) == (frames.shape, np.uint8)
    np.testing.assert_array_equal(one, two)


def test_parts_do_what_they_say(frames):
    grey = degrade.apply(frames, Degradation(grey=True))
    assert (grey == grey[..., :1]).all()
    held = degrade.apply(frames, Degradation(hold=2))
    np.testing.assert_array_equal(held, frames[[0, 0, 2, 2, 4, 4]])
    assert degrade.apply(frames, Degradation(gamma=2.0)).mean() < frames.mean()
    noisy = degrade.apply(np.full_like(frames, 128), Degradation(noise=10.0)).astype(float)
    assert 9 < noisy.std() < 11


@pytest.mark.parametrize("codec", recode.CODECS)
def test_stronger_compression_leaves_less(frames, codec):
    if codec not in recode.available():
        assert codec != "h264"
        return
    errors = [
        np.abs(degrade.apply(frames, Degradation(encodings=(Encoding(codec, crf),))).astype(int) - frames).mean()
        for crf in (10, 45)
    ]
    assert errors[0] < errors[1] < 60
