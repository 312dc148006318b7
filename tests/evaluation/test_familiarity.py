"""What is far from training is told from what is near, whatever the scale of its features."""

import numpy as np
import pytest
from scipy.spatial.distance import mahalanobis
from sklearn.covariance import LedoitWolf

from fusion_dfd.evaluation import familiarity, whitening
from fusion_dfd.types import DataError


@pytest.fixture
def world(rng):
    """Two classes of 5 features of very different scales, two of which move together; (train, labels, val, fitted)."""
    mix = np.diag([1.0, 10, 0.1, 1, 1]) @ (np.eye(5) + 0.9 * np.eye(5, k=3))

    def draw(count):
        labels = rng.integers(0, 2, count)
        return (rng.normal(size=(count, 5)) + 3 * labels[:, None]) @ mix, labels

    train, labels = draw(4000)
    val, _ = draw(2000)
    return train, labels, val, familiarity.fit(train, labels, val)


def test_the_distance_is_mahalanobis_to_the_nearer_class(world):
    train, labels, val, fitted = world
    means = [train[labels == label].mean(0) for label in (0, 1)]
    within = train - np.array(means)[labels]
    scale = np.diag(within.std(0))
    inverse = np.linalg.inv(scale @ LedoitWolf(assume_centered=True).fit(within / within.std(0)).covariance_ @ scale)
    expected = [min(mahalanobis(x, mean, inverse) for mean in means) for x in val[:50]]
    np.testing.assert_allclose(fitted.distances(val[:50]) * fitted.limit, expected, rtol=1e-6)


def test_a_hundredth_of_val_is_unusual(world):
    *_, val, fitted = world
    assert (fitted.distances(val) > 1).mean() == pytest.approx(0.01, abs=0.001)


def test_what_breaks_a_relation_is_far_though_each_feature_is_usual(world):
    *_, fitted = world
    mean = fitted.means[0]
    one, other = np.zeros(5), np.zeros(5)
    one[[0, 3]] = 2, 1.8
    other[[0, 3]] = 2, -1.8
    near, far = fitted.distances(np.stack([mean + one, mean + other]))
    assert near < 1 < far


def test_a_feature_that_never_varies_does_not_make_everything_strange(rng):
    train = np.concatenate([rng.normal(size=(100, 2)), np.full((100, 1), 3.0)], axis=1)
    fitted = familiarity.fit(train, np.arange(100) % 2, train)
    assert np.isfinite(fitted.distances(train)).all()
    assert (fitted.distances(train) <= 1).mean() > 0.9


def test_it_is_kept_with_the_run(world, tmp_path):
    *_, val, fitted = world
    assert familiarity.load(str(tmp_path / "domain.npz")) is None
    whitening.save(fitted, str(tmp_path / "domain.npz"))
    np.testing.assert_array_equal(familiarity.load(str(tmp_path / "domain.npz")).distances(val), fitted.distances(val))


def test_the_appearance_of_another_version_are_refused(world):
    *_, val, fitted = world
    with pytest.raises(DataError, match="holds 5 features per window, this version has 4"):
        fitted.distances(val[:, :4])


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x03\x04 broken"])
def test_a_damaged_file_is_refused(tmp_path, content):
    (tmp_path / "domain.npz").write_bytes(content)
    with pytest.raises(DataError, match="no record of familiar windows of this version"):
        familiarity.load(str(tmp_path / "domain.npz"))


def test_what_cannot_be_fitted_is_said(rng):
    train = rng.normal(size=(10, 3))
    with pytest.raises(DataError, match="both classes"):
        familiarity.fit(train, np.zeros(10, int), train)
    with pytest.raises(DataError, match="not finite"):
        familiarity.fit(np.full((10, 3), np.nan), np.arange(10) % 2, train)


@pytest.mark.parametrize(
    "changes",
    [
        {"limit": np.float64(0)},
        {"limit": np.float64(np.nan)},
        {"means": np.zeros((3, 2))},
        {"whiten": np.full((2, 2), np.inf)},
        {"means": np.array([["a", "b"], ["c", "d"]])},
    ],
)
def test_a_file_whose_numbers_cannot_be_is_refused(tmp_path, changes):
    path = str(tmp_path / "domain.npz")
    whole = {"means": np.zeros((2, 2)), "whiten": np.eye(2), "limit": np.float64(1)}
    np.savez(path, **whole)
    assert familiarity.load(path).limit == 1
    np.savez(path, **whole | changes)
    with pytest.raises(DataError, match=r"domain\.npz is no record of familiar windows"):
        familiarity.load(path)
