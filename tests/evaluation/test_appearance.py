"""What the numbers about a clip follow, and what they do not."""

import numpy as np
import pytest

from fusion_dfd.evaluation.appearance import BANDS, statistics


@pytest.fixture
def clip(rng):
    """uint8 [8, 64, 64, 3], smooth in space and time."""
    y, x = np.mgrid[:64, :64] / 64
    base = 120 + 40 * np.sin(3 * x + 2 * y) + 20 * np.cos(9 * x)
    frames = base[None] + 5 * np.arange(8)[:, None, None] / 8
    return np.clip(frames[..., None] + [10, 0, -10], 0, 255).astype(np.uint8)


def test_a_flip_looks_the_same(clip):
    np.testing.assert_allclose(statistics(clip[:, :, ::-1]), statistics(clip), rtol=1e-3)


def test_noise_shows_in_fine_detail_and_flicker(clip, rng):
    noisy = np.clip(clip + rng.normal(0, 8, clip.shape), 0, 255).astype(np.uint8)
    change = statistics(noisy) - statistics(clip)
    detail, flicker = change[6 : 6 + BANDS], change[6 + BANDS : 9 + BANDS]
    assert detail[-1] > 1 > abs(detail[0])
    assert flicker[-1] > 1


def test_still_noise_does_not_flicker(clip, rng):
    still = np.repeat(clip[:1], 8, axis=0)
    np.testing.assert_array_equal(statistics(still)[6 + BANDS : 9 + BANDS], 0)


def test_one_frame_is_enough(clip):
    one = statistics(clip[:1])
    assert one.shape == statistics(clip).shape
    assert np.isfinite(one).all()
    assert np.isfinite(statistics(np.zeros((2, 32, 32, 3), np.uint8))).all()


def test_power_is_that_of_a_wave_in_its_band():
    x = np.arange(64)
    wave = 127 + 100 * np.sin(2 * np.pi * 16 * x / 64)
    frames = np.broadcast_to(wave[None, None, :, None], (2, 64, 64, 3)).astype(np.uint8)
    edges = np.geomspace(1 / 64, 0.5, BANDS + 1)
    assert statistics(frames)[6 : 6 + BANDS].argmax() == np.digitize(0.25, edges) - 1
