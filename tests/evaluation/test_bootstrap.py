"""Intervals: exact per resample, reproducible, over groups and not over rows."""

import numpy as np
import pytest

from fusion_dfd.evaluation import bootstrap, metrics


def _rows(rng, groups: int, per_group: int, spread: float = 0.0):
    """Separable-in-part scores; ``spread`` is a common shift of all rows of a group."""
    member = np.repeat(np.arange(groups), per_group)
    y = np.tile([0, 1], groups * per_group // 2)
    shift = rng.normal(size=groups)[member] * spread
    return y, 1 / (1 + np.exp(-(rng.normal(size=len(y)) + shift + 1.5 * (y - 0.5)))), member


@pytest.mark.parametrize("decimals", [1, 12])
def test_every_resample_equals_the_metric_of_its_rows(rng, decimals):
    y, p, member = _rows(rng, 6, 6)
    p = p.round(decimals)
    copies = rng.multinomial(6, np.full(6, 1 / 6), size=40)
    copies[0] = 1
    got = bootstrap.resampled(y, p, member, copies, 0.6)
    for i, drawn in enumerate(copies):
        rows = np.repeat(np.arange(len(y)), drawn[member])
        want = metrics.compute(y[rows], p[rows], 0.6)
        assert {name: got[name][i] for name in got} == {
            name: pytest.approx(np.nan if v is None else v, nan_ok=True) for name, v in want.items()
        }


def test_resamples_of_one_class_are_nan():
    got = bootstrap.resampled(np.array([0, 1]), np.array([0.2, 0.8]), np.array([0, 1]), np.array([[2, 0], [0, 2]]), 0.5)
    assert np.isnan([got["auc"], got["ap"], got["eer"], got["tpr_at_1_fpr"], got["balanced_accuracy"]]).all()
    assert np.isnan(got["recall"][0])
    assert got["recall"][1] == 1
    assert np.isnan(got["precision"][0])


def test_reproducible_by_seed(rng):
    rows = _rows(rng, 8, 4)
    first = bootstrap.intervals(*rows, n=200, seed=3)
    assert bootstrap.intervals(*rows, n=200, seed=3) == first
    assert bootstrap.intervals(*rows, n=200, seed=4) != first


def test_names_and_order_of_rows_do_not_matter_for_the_draw(rng):
    y, p, member = _rows(rng, 8, 4)
    order = rng.permutation(len(y))
    first = bootstrap.intervals(y, p, member, n=100)
    second = bootstrap.intervals(y[order], p[order], member[order], n=100)
    for name, interval in first.items():
        assert second[name] == pytest.approx(interval), name


def test_covers_the_truth(rng):
    # Accuracy of coin-like calls with truth 0.8: a 95% interval misses it in 1 of 20 runs; with 60 runs of 40 groups,
    # fewer than 50 hits has a chance below 1 in 1000.
    hits = 0
    for run in range(60):
        right = rng.random(40) < 0.8
        y = np.arange(40) % 2
        p = np.where(right, y, 1 - y) * 0.8 + 0.1
        low, high = bootstrap.intervals(y, p, np.arange(40), n=200, seed=run)["accuracy"]
        hits += low <= 0.8 <= high
    assert hits >= 50


def test_fewer_groups_widen_the_interval(rng):
    widths = []
    for groups in (6, 24, 96):
        low, high = bootstrap.intervals(*_rows(rng, groups, 8, spread=1.0), n=400)["auc"]
        widths.append(high - low)
    assert widths == sorted(widths, reverse=True)


def test_groups_are_drawn_not_rows(rng):
    # All rows of a group are called alike, so there are 8 observations, not 160.
    member = np.repeat(np.arange(8), 20)
    y = np.tile([0, 1], 80)
    right = np.repeat(np.array([1, 1, 0, 1, 0, 1, 1, 0], dtype=bool), 20)
    p = np.where(right, y, 1 - y) * 0.8 + 0.1
    by_group = bootstrap.intervals(y, p, member, n=400)["accuracy"]
    by_row = bootstrap.intervals(y, p, np.arange(160), n=400)["accuracy"]
    assert by_group[1] - by_group[0] > 2 * (by_row[1] - by_row[0])


def test_no_interval_where_there_can_be_none(rng):
    y, p, _ = _rows(rng, 4, 4)
    assert set(bootstrap.intervals(y, p, ["one"] * len(y)).values()) == {None}
    assert set(bootstrap.intervals(y, p, range(len(y)), n=0).values()) == {None}
    assert set(bootstrap.intervals([], [], []).values()) == {None}
    assert set(bootstrap.intervals([0, 1], [0.1, np.nan], [0, 1]).values()) == {None}
    # Two groups of one class each: half of the resamples have no AUC, all of them an accuracy.
    split = bootstrap.intervals([0, 0, 1, 1], [0.1, 0.2, 0.7, 0.8], [0, 0, 1, 1], n=200)
    assert split["auc"] is None
    assert split["accuracy"] == (1.0, 1.0)


def test_single_class_keeps_the_intervals_of_what_is_defined(rng):
    got = bootstrap.intervals([1] * 20, rng.random(20), range(20), n=100)
    assert got["auc"] is None
    assert got["recall"][0] < got["recall"][1]
