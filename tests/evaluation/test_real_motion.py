"""How a face moves, how far that is from real faces, and how rare such a distance is."""

import numpy as np
import pytest
from scipy.spatial.distance import mahalanobis
from sklearn.covariance import LedoitWolf

from fusion_dfd.evaluation import face_regions, real_motion, whitening
from fusion_dfd.models.geometry import TEMPLATE
from fusion_dfd.types import DataError

SIDE = real_motion.SIZE


@pytest.fixture
def fitted(rng) -> real_motion.Reference:
    return real_motion.fit(rng.normal(size=(300, real_motion.FEATURES)), rng.normal(size=(199, real_motion.FEATURES)))


def clip(rng, moving: str | None, step: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """A textured face held still, of which one part is shifted by ``step`` pixels back and forth, every frame."""
    wide = rng.integers(0, 256, (SIDE, SIDE, 3)).astype(float)
    for axis in (0, 1):
        wide = sum(np.roll(wide, shift, axis) for shift in (-1, 0, 1)) / 3
    frames = np.stack([wide] * 8)
    if moving:
        mask = face_regions.template_masks(SIDE)[moving]
        for t in range(1, 8, 2):
            frames[t][mask] = np.roll(wide, round(step), 1)[mask]
    landmarks = np.broadcast_to(np.float32(TEMPLATE * SIDE), (8, 5, 2)).copy()
    return frames.clip(0, 255).astype(np.uint8), landmarks


@pytest.mark.parametrize("part", ["eyes", "mouth", "cheeks"])
def test_the_part_that_moves_has_the_motion(rng, part):
    still, moved = (real_motion.motion(*clip(rng, name)) for name in (None, part))
    np.testing.assert_allclose(still, np.log(1e-3), atol=0.05)
    speed = dict(zip(face_regions.FACIAL, moved[: len(face_regions.FACIAL)], strict=True))
    assert max(speed, key=speed.get) == part
    abrupt = dict(zip(face_regions.FACIAL, moved[-len(face_regions.FACIAL) :], strict=True))
    assert max(abrupt, key=abrupt.get) == part


def test_too_short_a_window_has_no_motion(rng, fitted):
    frames, landmarks = clip(rng, "mouth")
    short = real_motion.motion(frames[:2], landmarks[:2])
    assert np.isnan(short).all()
    assert np.isnan(fitted.distances(short[None])).all()
    assert np.isnan(fitted.rarity(np.array([np.nan]))).all()


def test_the_distance_is_mahalanobis(rng):
    train = rng.normal(size=(500, real_motion.FEATURES)) * np.geomspace(0.1, 10, real_motion.FEATURES) + 3
    val = rng.normal(size=(40, real_motion.FEATURES))
    found = real_motion.fit(train, val)
    scale = np.diag(train.std(0))
    standard = LedoitWolf(assume_centered=True).fit((train - train.mean(0)) / train.std(0)).covariance_
    inverse = np.linalg.inv(scale @ standard @ scale)
    expected = [mahalanobis(x, train.mean(0), inverse) / np.sqrt(real_motion.FEATURES) for x in val]
    np.testing.assert_allclose(found.distances(val), expected, rtol=1e-6)
    np.testing.assert_allclose(found.usual, np.sort(expected), rtol=1e-6)


def test_the_rarity_of_real_windows_is_uniform(rng, fitted):
    """The property of a conformal p-value: of new real windows a share a lies at or below a."""
    rarity = fitted.rarity(fitted.distances(rng.normal(size=(4000, real_motion.FEATURES))))
    for level in (0.1, 0.3, 0.5, 0.8):
        assert (rarity <= level).mean() == pytest.approx(level, abs=0.1)
    assert fitted.rarity(np.array([1e9, 0.0])).tolist() == [1 / 200, 1.0]


def test_it_is_kept_with_the_run(fitted, tmp_path):
    assert real_motion.load(str(tmp_path / "motion.npz")) is None
    whitening.save(fitted, str(tmp_path / "motion.npz"))
    found = real_motion.load(str(tmp_path / "motion.npz"))
    np.testing.assert_array_equal(found.usual, fitted.usual)
    np.testing.assert_array_equal(found.whiten, fitted.whiten)


def test_another_version_or_a_damaged_file_is_refused(fitted, tmp_path):
    np.savez(tmp_path / "motion.npz", mean=np.zeros(5), whiten=np.eye(5), usual=np.ones(3))
    with pytest.raises(DataError, match=r"motion\.npz is no reference of real motion of this version .*train again"):
        real_motion.load(str(tmp_path / "motion.npz"))
    (tmp_path / "motion.npz").write_bytes(b"PK\x03\x04 broken")
    with pytest.raises(DataError, match="no reference of real motion"):
        real_motion.load(str(tmp_path / "motion.npz"))


def test_without_real_videos_there_is_none(rng):
    with pytest.raises(DataError, match="0 real windows of train and 4 of val"):
        real_motion.fit(np.empty((0, real_motion.FEATURES)), rng.normal(size=(4, real_motion.FEATURES)))
