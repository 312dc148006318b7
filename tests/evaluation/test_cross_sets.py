"""Data sets against one another, by hand."""

import math

import pytest

from fusion_dfd.evaluation import cross_sets
from fusion_dfd.evaluation.cross_sets import OWN, Rates
from fusion_dfd.evaluation.scores import VideoScore


def rows(dataset: str, compression: str, reals: list[float], fakes: list[float]) -> list[VideoScore]:
    return [
        VideoScore(f"{dataset}/{method}/{compression}/{n}", dataset, method, compression, str(n), label, 1, p)
        for label, method, values in ((0, "original", reals), (1, "swap", fakes))
        for n, p in enumerate(values)
    ]


def test_each_pair_of_sets_has_its_auc_and_each_threshold_its_rates():
    # Both sets are told apart without a mistake, but all scores of b lie above those of a.
    videos = rows("a", "c23", [0.1, 0.2], [0.3, 0.4]) + rows("b", "", [0.5, 0.6], [0.7, 0.8])
    found = cross_sets.compare(videos, "eer", 0.5)
    assert found.sets == ["a c23", "b"]
    assert found.auc == {("a c23", "a c23"): 1, ("a c23", "b"): 1, ("b", "a c23"): 0, ("b", "b"): 1}
    assert 0.2 <= found.thresholds["a c23"] < 0.3
    assert found.rates["a c23", "a c23"] == Rates(0, 1)
    assert found.rates["a c23", "b"] == Rates(1, 1)
    assert found.rates["b", "a c23"] == Rates(0, 0)
    assert found.rates[OWN, "b"] == Rates(0.5, 1), "a score at the threshold is called real"


def test_a_set_of_one_class_lends_that_class_only():
    videos = (
        rows("a", "", [0.1, 0.3], [0.2, 0.4]) + rows("reals", "", [0.3, math.nan], []) + rows("fakes", "", [], [0.9])
    )
    found = cross_sets.compare(videos, "fpr_5", 0.25)
    assert found.auc["a", "a"] == pytest.approx(0.75)
    assert found.auc["reals", "a"] == pytest.approx(0.5)
    assert found.auc["reals", "fakes"] == 1
    assert not any(real == "fakes" or fake == "reals" for real, fake in found.auc)
    assert found.thresholds.keys() == {OWN, "a"}
    assert found.rates[OWN, "reals"] == Rates(1, None)
    assert found.rates[OWN, "fakes"] == Rates(None, 1)
