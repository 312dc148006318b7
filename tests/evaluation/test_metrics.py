"""Metrics against scikit-learn and against numbers worked out by hand."""

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings
from sklearn import metrics as sk

from fusion_dfd.evaluation import metrics
from fusion_dfd.types import DataError

# A grid of 11 values makes ties common; the free floats make them rare.
PROBABILITIES = st.one_of(st.integers(0, 10).map(lambda n: n / 10), st.floats(0, 1))
ROWS = st.lists(st.tuples(st.integers(0, 1), PROBABILITIES), min_size=4, max_size=40).filter(
    lambda rows: len({label for label, _ in rows}) == 2
)


def _columns(rows):
    labels, probabilities = zip(*rows, strict=True)
    return np.array(labels), np.array(probabilities)


@settings(max_examples=25, deadline=None)
@given(ROWS, st.sampled_from([0.2, 0.5, 0.85]))
def test_agrees_with_scikit_learn(rows, threshold):
    y, p = _columns(rows)
    got, called = metrics.compute(y, p, threshold), p > threshold
    precision, recall, f1, _ = sk.precision_recall_fscore_support(y, called, average="binary", zero_division=0)
    want = {
        "auc": sk.roc_auc_score(y, p),
        "ap": sk.average_precision_score(y, p),
        "accuracy": sk.accuracy_score(y, called),
        "accuracy_half": sk.accuracy_score(y, p > 0.5),
        "balanced_accuracy": sk.balanced_accuracy_score(y, called),
        "precision": precision if called.any() else None,
        "recall": recall,
        "f1": f1,
        "brier": np.mean((y - p) ** 2),
        "log_loss": sk.log_loss(y, p, labels=[0, 1]),
    }
    assert {name: got[name] for name in want} == {
        name: v if v is None else pytest.approx(v) for name, v in want.items()
    }


@settings(max_examples=25, deadline=None)
@given(ROWS)
def test_auc_counts_pairs_and_rates_come_from_real_thresholds(rows):
    y, p = _columns(rows)
    got, fakes, reals = metrics.compute(y, p), p[y == 1], p[y == 0]
    pairs = fakes[:, None] - reals
    assert got["auc"] == pytest.approx(np.mean((pairs > 0) + 0.5 * (pairs == 0)))
    for name, limit in (("tpr_at_1_fpr", 0.01), ("tpr_at_5_fpr", 0.05)):
        thresholds = [np.inf, *p]
        want = max(np.mean(fakes >= t) for t in thresholds if np.mean(reals >= t) <= limit)
        assert got[name] == pytest.approx(want)


@settings(max_examples=25, deadline=None)
@given(ROWS)
def test_eer_lies_between_the_thresholds_where_the_error_rates_cross(rows):
    y, p = _columns(rows)
    eer, fakes, reals = metrics.compute(y, p)["eer"], p[y == 1], p[y == 0]
    points = [(np.mean(reals >= t), np.mean(fakes < t)) for t in sorted({np.inf, *p, -1.0}, reverse=True)]
    before = max((fpr, -fnr) for fpr, fnr in points if fpr <= fnr)
    after = min((fpr, -fnr) for fpr, fnr in points if fpr >= fnr)
    assert before[0] - 1e-12 <= eer <= after[0] + 1e-12
    assert -after[1] - 1e-12 <= eer <= -before[1] + 1e-12


@settings(max_examples=10, deadline=None)
@given(ROWS, st.randoms())
def test_order_of_rows_does_not_matter(rows, random):
    before = metrics.compute(*_columns(rows))
    shuffled = random.sample(rows, len(rows))
    assert metrics.compute(*_columns(shuffled)) == {
        name: v if v is None else pytest.approx(v) for name, v in before.items()
    }


@pytest.mark.parametrize(
    ("probabilities", "auc", "eer", "tpr"),
    [
        ([0.1, 0.2, 0.8, 0.9], 1.0, 0.0, 1.0),
        ([0.9, 0.8, 0.2, 0.1], 0.0, 1.0, 0.0),
        ([0.7, 0.7, 0.7, 0.7], 0.5, 0.5, 0.0),
        ([0.1, 0.6, 0.6, 0.9], 0.875, 0.25, 0.5),  # one tie of a real and a fake: 3.5 of 4 pairs
    ],
)
def test_known_rankings(probabilities, auc, eer, tpr):
    got = metrics.compute([0, 0, 1, 1], probabilities)
    assert (got["auc"], got["eer"], got["tpr_at_5_fpr"]) == pytest.approx((auc, eer, tpr))


def test_eer_is_interpolated_by_hand():
    # Thresholds downwards: (FPR, FNR) = (0, 1), (0, 2/3), (1/2, 2/3), (1/2, 1/3), ...: the rates cross on the step of
    # FNR from 2/3 to 1/3 at FPR 1/2.
    assert metrics.compute([1, 0, 1, 0, 1], [0.9, 0.8, 0.7, 0.3, 0.1])["eer"] == pytest.approx(0.5)
    # A tie of 1 real and 2 fakes: the line from (0, 1) to (1/2, 0) meets FNR = FPR at 1/3.
    assert metrics.compute([1, 1, 0, 0], [0.9, 0.9, 0.9, 0.1])["eer"] == pytest.approx(1 / 3)


def test_tpr_limits_are_inclusive():
    reals, fakes = np.linspace(0.01, 0.5, 20), np.full(4, 0.49)  # exactly one real of 20 scores above the fakes
    got = metrics.compute([0] * 20 + [1] * 4, [*reals, *fakes])
    assert got["tpr_at_5_fpr"] == 1.0
    assert got["tpr_at_1_fpr"] == 0.0


def test_ece_by_hand():
    # Two bins: three rows at .5 of which one is fake, one real row at 1.0 (the last bin is closed).
    assert metrics.compute([0, 0, 1, 0], [0.5, 0.5, 0.5, 1.0])["ece"] == pytest.approx((3 * (1 / 2 - 1 / 3) + 1) / 4)
    # A calibrated bin has no error; the same distance with both signs in one bin cancels.
    assert metrics.compute([0, 1], [0.5, 0.5])["ece"] == pytest.approx(0)


def test_the_calibration_error_of_a_perfect_model_is_not_nothing_over_few_rows(rng):
    p = rng.random(50)
    mean, low, high = metrics.expected_calibration_error(p, 400)
    errors = [metrics.calibration_error(rng.random(50) < p, p) for _ in range(400)]
    assert mean == pytest.approx(np.mean(errors), rel=0.05)
    assert low < np.median(errors) < high
    assert mean > 0.1
    assert metrics.expected_calibration_error(np.tile(p, 200), 20)[0] < 0.02
    assert metrics.expected_calibration_error([0.0, 1.0]) == (0.0, 0.0, 0.0)


def test_a_probability_at_the_threshold_is_called_real():
    assert metrics.compute([0, 1], [0.5, 0.6])["accuracy"] == 1.0
    assert metrics.compute([0, 1], [0.5, 0.6], threshold=0.6)["recall"] == 0.0


@pytest.mark.parametrize("label", [0, 1])
def test_a_single_class_is_said_not_zero(label):
    y, p = [label] * 3, [0.2, 0.6, 0.9]
    got, why = metrics.compute(y, p), metrics.undefined(y, p)
    assert {name for name, value in got.items() if value is None} == set(why)
    needs_both = {"auc", "ap", "eer", "balanced_accuracy", "tpr_at_1_fpr", "tpr_at_5_fpr", "tpr_at_01_fpr"}
    assert set(why) == needs_both | ({"recall", "f1"} if label == 0 else set())
    assert set(why.values()) == {"no fake rows" if label == 0 else "no real rows"}


def test_a_tenth_of_a_percent_wants_a_thousand_real_rows():
    reals, fakes = np.linspace(0, 0.5, 1000), [0.4999, 0.6, 0.4]  # one real row of 1000 scores above the first fake
    assert metrics.compute([0] * 1000 + [1] * 3, [*reals, *fakes])["tpr_at_01_fpr"] == pytest.approx(2 / 3)
    assert metrics.compute([0] * 1000 + [1], [*reals, 0.4991])["tpr_at_01_fpr"] == 0.0
    y, p = [0] * 999 + [1] * 3, [*reals[1:], *fakes]
    assert metrics.compute(y, p)["tpr_at_01_fpr"] is None
    assert metrics.undefined(y, p)["tpr_at_01_fpr"] == "999 real rows, 1000 are needed"


def test_no_predicted_positive():
    y, p = [0, 1], [0.1, 0.2]
    assert metrics.compute(y, p)["precision"] is None
    assert "no row is called fake" in metrics.undefined(y, p)["precision"]
    assert metrics.compute(y, p)["f1"] == 0.0  # both fakes were missed, and that is a value


@pytest.mark.parametrize(
    ("y", "p", "words"), [([0, 1, 1], [0.1, np.nan, 0.9], "1 of 3 scores are NaN"), ([], [], "no rows")]
)
def test_nan_and_nothing_make_all_undefined(y, p, words):
    assert set(metrics.compute(y, p).values()) == {None}
    assert metrics.undefined(y, p) == dict.fromkeys(metrics.METRICS, words)


@pytest.mark.parametrize(
    ("y", "p", "words"),
    [
        ([0, -1], [0.1, 0.2], "labels .-1."),
        ([0, 1], [0.1, 1.2], "probability 1.2 is outside"),
        ([0, 1], [-3.0, 0.2], "not logits"),
        ([0, 1], [0.1], "shapes"),
    ],
)
def test_bad_input(y, p, words):
    with pytest.raises(DataError, match=words):
        metrics.compute(y, p)
