"""Two systems on the same videos, against the definitions in full and against chance."""

import dataclasses

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings
from scipy import special, stats

from fusion_dfd.evaluation import bootstrap, metrics, scores
from fusion_dfd.types import DataError

GRID = st.integers(0, 6)  # few values: ties are common
ROWS = st.lists(st.tuples(st.integers(0, 1), GRID, GRID), min_size=6, max_size=40).filter(
    lambda rows: 2 <= sum(row[0] for row in rows) <= len(rows) - 2
)


def _slow(y, first, second):
    """DeLong et al. 1988, equations 3 to 5 as they stand: every fake against every real."""
    placements = []
    for s in (first, second):
        pairs = (s[y == 1][:, None] > s[y == 0]) + 0.5 * (s[y == 1][:, None] == s[y == 0])
        placements.append((pairs.mean(), pairs.mean(1), pairs.mean(0)))

    def covariance(a, b):
        (area_a, fake_a, real_a), (area_b, fake_b, real_b) = placements[a], placements[b]
        of_fakes = sum((fake_a - area_a) * (fake_b - area_b)) / (len(fake_a) - 1)
        of_reals = sum((real_a - area_a) * (real_b - area_b)) / (len(real_a) - 1)
        return of_fakes / len(fake_a) + of_reals / len(real_a)

    return placements[0][0], placements[1][0], covariance(0, 0) + covariance(1, 1) - 2 * covariance(0, 1)


@settings(max_examples=40, deadline=None)
@given(ROWS)
def test_delong_equals_the_definition_over_all_pairs(rows):
    y, first, second = map(np.array, zip(*rows, strict=True))
    one, other, variance = _slow(y, first, second)
    got = bootstrap.delong(y, first, second)
    assert (got.first, got.second) == pytest.approx((one, other))
    assert got.error**2 == pytest.approx(max(variance, 0), abs=1e-12)
    if variance > 1e-9:
        assert got.p == pytest.approx(2 * stats.norm.sf(abs(other - one) / np.sqrt(variance)))


def test_delong_of_equal_scores_finds_nothing(rng):
    y, p = np.arange(20) % 2, rng.normal(size=20)
    got = bootstrap.delong(y, p, p)
    assert (got.difference, got.p) == (0.0, 1.0)
    assert bootstrap.delong(y, p, np.exp(p)).p == 1.0  # another scale, the same order
    assert bootstrap.delong(y, -1.0 * y, 1.0 * y).p == 0.0  # all wrong against all right


def test_delong_errs_as_often_as_it_says(rng):
    # Under equality p is uniform: of 400 tests at level .1 between 22 and 60 reject, but for 1 chance in 1000.
    rejected = 0
    for _ in range(400):
        y = np.arange(80) % 2
        common = rng.normal(size=80) + y
        rejected += bootstrap.delong(y, common + rng.normal(size=80), common + rng.normal(size=80)).p < 0.1
    assert 22 <= rejected <= 60


@pytest.mark.parametrize(
    ("labels", "first", "words"),
    [
        ([0, 1, 1], [0.1, 0.2, 0.3], "two real and two fake"),
        ([0, 0, 1, 2], [0.1, 0.2, 0.3, 0.4], "two real and two fake"),
        ([0, 0, 1, 1], [0.1, np.nan, 0.3, 0.4], "1 of 4 rows have a NaN"),
    ],
)
def test_delong_refuses_what_has_no_answer(labels, first, words):
    with pytest.raises(DataError, match=words):
        bootstrap.delong(labels, first, first)


def _two(rng, groups: int = 12, gain: float = 0.0):
    """Probabilities of two systems over 6 rows a group; the second sees ``gain`` more."""
    y = np.tile([0, 1], groups * 3)
    member = np.repeat(np.arange(groups), 6)
    common = rng.normal(size=len(y)) + rng.normal(size=groups)[member]
    return (
        y,
        *(special.expit(common + skill * (y - 0.5) + 0.3 * rng.normal(size=len(y))) for skill in (1, 1 + gain)),
        member,
    )


def test_differences_are_those_of_the_metrics(rng):
    y, first, second, member = _two(rng, gain=1.0)
    got = bootstrap.differences(y, first, second, member, n=200, thresholds=(0.4, 0.6))
    one, other = metrics.compute(y, first, 0.4), metrics.compute(y, second, 0.6)
    assert list(got) == list(metrics.METRICS)
    undefined = got.pop("tpr_at_01_fpr")
    assert (undefined.value, undefined.low, undefined.p) == (None, None, None), "too few real rows"
    for name, entry in got.items():
        assert entry.value == pytest.approx(other[name] - one[name]), name
        assert entry.low <= entry.high
        assert 0 < entry.p <= 1


def test_a_clear_lead_is_found(rng):
    ahead = bootstrap.differences(*_two(rng, gain=3.0), n=400)["auc"]
    assert ahead.low > 0
    assert ahead.p < 0.02


def test_of_equal_systems_few_are_called_different(rng):
    # At level .1 more than 10 of 40 would come about once in 1000 times.
    rejected = sum(bootstrap.differences(*_two(rng), n=60)["auc"].p < 0.1 for _ in range(40))
    assert rejected <= 10


def test_swapping_the_systems_turns_the_sign(rng):
    y, first, second, member = _two(rng, gain=1.0)
    one = bootstrap.differences(y, first, second, member, n=100, seed=3)["auc"]
    other = bootstrap.differences(y, second, first, member, n=100, seed=3)["auc"]
    assert (other.value, other.low, other.high) == pytest.approx((-one.value, -one.high, -one.low))
    assert other.p == one.p


def test_pairing_narrows_the_interval(rng):
    y, first, second, member = _two(rng, gain=0.5)
    together = bootstrap.differences(y, first, second, member, n=400)["auc"]
    order = np.concatenate([rng.permutation(np.flatnonzero(y == label)) for label in (0, 1)])
    places = np.concatenate([np.flatnonzero(y == label) for label in (0, 1)])
    shuffled = second.copy()
    shuffled[places] = second[order]  # the same AUC, of rows that have nothing to do with each other
    apart = bootstrap.differences(y, first, shuffled, member, n=400)["auc"]
    assert apart.value == pytest.approx(together.value)
    assert together.high - together.low < apart.high - apart.low


def test_no_interval_where_there_can_be_none():
    for groups, n in (([0, 0, 0, 0], 100), ([0, 1, 2, 3], 0)):
        got = bootstrap.differences([0, 1, 0, 1], [0.1, 0.6, 0.2, 0.9], [0.3, 0.2, 0.1, 0.9], groups, n=n)["auc"]
        assert got == bootstrap.Difference(-0.25, None, None, None)
    lost = bootstrap.differences([0, 1, 0, 1], [0.1, np.nan, 0.2, 0.9], [0.3, 0.2, 0.1, 0.9], range(4), n=10)["auc"]
    assert lost == bootstrap.Difference(None, None, None, None)


def test_only_common_videos_are_compared(make):
    first = scores.videos(make.table(pairs=2))
    second = scores.videos(make.table(pairs=3, seed=1))[::-1]
    one, other = bootstrap.same_videos(first, second)
    assert [row.video for row in one] == [row.video for row in other] == [row.video for row in first]
    with pytest.raises(DataError, match="no video is in both"):
        bootstrap.same_videos(first[:3], second[:3])
    with pytest.raises(DataError, match="has label"):
        bootstrap.same_videos(first, [dataclasses.replace(row, label=1 - row.label) for row in second])
