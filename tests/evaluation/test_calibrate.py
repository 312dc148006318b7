"""Calibration: what it must recover, what it must leave alone, and what it may be fitted to."""

import dataclasses
import itertools
import json
import pathlib

import numpy as np
import pytest
from scipy import optimize, special
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

from fusion_dfd import config
from fusion_dfd import config as c
from fusion_dfd.evaluation import calibrate, metrics, scores
from fusion_dfd.evaluation.summary import summarise
from fusion_dfd.types import DataError


def _rows(logits, labels) -> list[scores.VideoScore]:
    return [
        scores.VideoScore(f"d/m/c/{n}", "d", "m", "c", str(n), int(y), 1, float(p))
        for n, (y, p) in enumerate(zip(labels, special.expit(logits), strict=True))
    ]


def _world(rng, count: int = 4000, temperature: float = 3.0, offset: float = 0.0):
    """Logits that are ``temperature`` times too far from 0, with labels drawn by the true ones."""
    true = 2 * rng.normal(size=count)
    return temperature * (true - offset), (rng.random(count) < special.expit(true)).astype(int)


def _options(**changes) -> c.Evaluate:
    return c.Evaluate(**changes)


def test_the_temperature_of_overconfident_scores_is_found(rng):
    logits, y = _world(rng)
    fitted = calibrate.fit(_rows(logits, y), _options(), "shards", 7)
    assert fitted.temperature == pytest.approx(3.0, rel=0.1)
    assert fitted.val["after"]["ece"] < 0.03 < fitted.val["before"]["ece"]
    assert (fitted.step, fitted.data, fitted.offset) == (7, "shards", 0.0)
    assert (fitted.val["videos"], fitted.val["fake"]) == (4000, y.sum())


def test_the_temperature_minimises_the_softened_loss(rng):
    logits, y = _world(rng, 60)
    soft = np.where(y == 1, (y.sum() + 1) / (y.sum() + 2), 1 / ((y == 0).sum() + 2))

    def loss(inverse):
        q = special.expit(logits * inverse)
        return -np.mean(soft * np.log(q) + (1 - soft) * np.log(1 - q))

    want = optimize.brute(lambda x: loss(x[0]), [(0.05, 2)], Ns=4000, finish=None)
    assert 1 / calibrate.fit(_rows(logits, y), _options()).temperature == pytest.approx(want, abs=2e-3)


def test_affine_is_logistic_regression(rng):
    logits, y = _world(rng, offset=1.0)
    fitted = calibrate.fit(_rows(logits, y), _options(calibration="affine"))
    want = LogisticRegression(C=np.inf).fit(logits[:, None], y)
    assert 1 / fitted.temperature == pytest.approx(want.coef_[0, 0], rel=0.02)
    assert fitted.offset == pytest.approx(want.intercept_[0], abs=0.03)


def test_isotonic_is_scikit_learn_s(rng):
    logits, y = _world(rng, 300)
    fitted = calibrate.fit(_rows(logits, y), _options(calibration="isotonic"))
    p = special.expit(logits)
    low, high = 1 / ((y == 0).sum() + 2), (y.sum() + 1) / (y.sum() + 2)
    want = IsotonicRegression(y_min=low, y_max=high, out_of_bounds="clip").fit(p, y)
    grid = np.linspace(0, 1, 101)
    np.testing.assert_allclose(fitted.apply(grid), want.predict(grid), atol=1e-12)


@pytest.mark.parametrize("kind", config.CALIBRATIONS)
def test_every_map_is_monotone_finite_and_keeps_nan(rng, kind):
    logits, y = _world(rng, 200)
    fitted = calibrate.fit(_rows(logits, y), _options(calibration=kind))
    grid = np.concatenate([[0.0, 1e-300], np.linspace(0, 1, 500), [1.0]])
    q = fitted.apply(np.sort(grid))
    assert (np.diff(q) >= 0).all()
    assert ((q >= 0) & (q <= 1)).all()
    assert np.isnan(fitted.apply([np.nan, 0.5])).tolist() == [True, False]


@pytest.mark.parametrize("kind", config.CALIBRATIONS)
def test_a_val_told_apart_without_mistake_gives_no_certainty(kind):
    fitted = calibrate.fit(_rows(np.repeat([-3.0, 3.0], 20), np.repeat([0, 1], 20)), _options(calibration=kind))
    low, high = fitted.apply(special.expit([-3.0, 3.0]))
    assert (low, high) == pytest.approx((1 / 22, 21 / 22), abs=0.01)


def test_the_order_of_videos_stays(rng):
    logits, y = _world(rng, 300)
    rows = _rows(logits, y)
    for kind in ("temperature", "affine"):
        again = calibrate.fit(rows, _options(calibration=kind)).videos(rows)
        before, after = (metrics.compute(y, [row.probability for row in part]) for part in (rows, again))
        assert after["auc"] == pytest.approx(before["auc"])
        assert after["eer"] == pytest.approx(before["eer"])


@pytest.mark.parametrize("target", config.TARGETS)
def test_no_other_threshold_serves_the_target_better(rng, target):
    y = np.arange(120) % 2
    p = special.expit(rng.normal(size=120) + y).round(2)
    cost = {
        "eer": lambda fpr, fnr: abs(fpr - fnr),
        "youden": lambda fpr, fnr: fpr + fnr,
        "fpr_1": lambda fpr, fnr: fnr if fpr <= 0.01 else np.inf,
        "fpr_5": lambda fpr, fnr: fnr if fpr <= 0.05 else np.inf,
    }[target]

    def at(threshold):
        return cost(np.mean(p[y == 0] > threshold), np.mean(p[y == 1] <= threshold))

    chosen = calibrate.threshold(y, p, target)
    assert at(chosen) == pytest.approx(min(at(t) for t in [-0.1, *p]))
    assert chosen not in p
    assert at(chosen - 0.002) == at(chosen + 0.002) == at(chosen)


def test_threshold_by_hand():
    assert calibrate.threshold(np.array([0, 0, 1, 1]), np.array([0.1, 0.2, 0.6, 0.9]), "eer") == pytest.approx(0.4)
    # One false alarm of 20 reals is 5%: allowed for fpr_5, not for fpr_1.
    y, p = np.array([0] * 20 + [1, 1]), np.array([0.1] * 19 + [0.7, 0.6, 0.9])
    assert calibrate.threshold(y, p, "fpr_5") == pytest.approx(0.35)
    assert calibrate.threshold(y, p, "fpr_1") == pytest.approx(0.8)


def test_the_abstention_band_is_the_narrowest_that_suffices(rng):
    y = np.arange(100) % 2
    p = special.expit(2 * rng.normal(size=100) + 2 * (y - 0.5))
    low, high = calibrate.abstention_band(y, p, 0.5, 0.05)
    outside = (p < low) | (p > high)
    wrong = (p > 0.5) != (y == 1)
    assert 0 < outside.sum() < 100
    assert wrong[outside].mean() <= 0.05
    narrower = np.abs(p - 0.5) >= np.abs(p[~outside] - 0.5).max()
    assert wrong[narrower].mean() > 0.05
    assert calibrate.abstention_band(y, p, 0.5, 1.0) == (0.5, 0.5)


def test_verdicts(rng):
    fitted = calibrate.fit(_rows(*_world(rng, 50)), _options())
    banded = dataclasses.replace(fitted, threshold=0.4, abstain=(0.3, 0.5))
    assert [banded.verdict(p) for p in (0.1, 0.3, 0.45, 0.5, 0.51)] == [
        "real",
        "uncertain",
        "uncertain",
        "uncertain",
        "fake",
    ]
    open_ = dataclasses.replace(fitted, threshold=0.4, abstain=(0.4, 0.4))
    assert [open_.verdict(p) for p in (0.4, 0.41)] == ["real", "fake"]


@pytest.mark.parametrize(
    ("logits", "labels", "words"),
    [
        ([0.1, 0.2], [1, 1], "no real rows"),
        ([0.1, np.nan], [0, 1], "1 of 2 scores are NaN"),
        ([], [], "no rows"),
    ],
)
def test_what_cannot_calibrate_says_so(logits, labels, words):
    with pytest.raises(DataError, match=words):
        calibrate.fit(_rows(np.array(logits), labels), _options())


@pytest.mark.parametrize("kind", config.CALIBRATIONS)
def test_it_survives_the_disk(tmp_path, rng, kind):
    fitted = calibrate.fit(_rows(*_world(rng, 80)), _options(calibration=kind), "here", 5)
    assert calibrate.load(str(tmp_path / "calibration.json"), 5) is None
    calibrate.save(fitted, str(tmp_path / "calibration.json"))
    assert [file.name for file in tmp_path.iterdir()] == ["calibration.json"]
    assert calibrate.load(str(tmp_path / "calibration.json"), 5) == fitted
    with pytest.raises(DataError, match=r"step 5, the best checkpoint is of step 6.*fusion-dfd calibrate"):
        calibrate.load(str(tmp_path / "calibration.json"), 6)
    (tmp_path / "calibration.json").write_text(json.dumps({"kind": "temperature"}))
    with pytest.raises(DataError, match="no calibration of this version"):
        calibrate.load(str(tmp_path / "calibration.json"), 5)


def test_a_summary_shows_before_and_after(make):
    clips = make.table(pairs=10, skill=2.0)
    fitted = calibrate.fit(scores.videos(make.table(pairs=10, skill=2.0, seed=1)), _options(calibration="affine"))
    summary = summarise(clips, bootstrap=20, calibration=fitted)
    plain = summarise(clips, bootstrap=20)
    assert summary["units"]["video_uncalibrated"]["overall"] == plain["units"]["video"]["overall"]
    assert summary["units"]["window"] == plain["units"]["window"]
    after, before = (summary["units"][name]["overall"]["metrics"] for name in ("video", "video_uncalibrated"))
    assert after["ece"]["value"] < before["ece"]["value"]
    assert after["auc"]["value"] == pytest.approx(before["auc"]["value"])
    videos = fitted.videos(scores.videos(clips))
    want = metrics.compute([row.label for row in videos], [row.probability for row in videos], fitted.threshold)
    assert after["accuracy"]["value"] == want["accuracy"]
    assert after["accuracy_half"]["value"] == want["accuracy_half"]
    unsure = [row for row in videos if fitted.verdict(row.probability) == "uncertain"]
    assert summary["undecided"]["fake"] == sum(row.label for row in unsure)
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary
    with pytest.raises(DataError, match="aggregated by max, first"):
        summarise(clips, bootstrap=0, rule="max", calibration=fitted)


@pytest.mark.parametrize("people", [2, 4, 9])
def test_several_people_give_no_more_false_alarms_than_one(rng, people):
    """Logits that are normal, as the threshold assumes; 4,000 videos put each rate within two hundredths."""
    logits = np.concatenate([rng.normal(-1.5, 1, 3000), rng.normal(1.5, 1, 3000)])
    fitted = calibrate.fit(_rows(logits, np.repeat([0, 1], 3000)), _options(abstain=1.0))
    together = fitted.for_people(people)
    crowd = fitted.apply(special.expit(rng.normal(-1.5, 1, (4000, people)))).max(1)
    one = fitted.apply(special.expit(rng.normal(-1.5, 1, 4000)))
    assert (crowd > together.threshold).mean() == pytest.approx((one > fitted.threshold).mean(), abs=0.02)
    assert (crowd > fitted.threshold).mean() > 1.5 * (one > fitted.threshold).mean()
    assert fitted.for_people(1) == fitted


@pytest.mark.parametrize("kind", config.CALIBRATIONS)
def test_the_threshold_of_more_people_is_never_lower(rng, kind):
    fitted = calibrate.fit(_rows(*_world(rng, 200)), _options(calibration=kind))
    rising = [fitted.for_people(people) for people in (1, 2, 5, 30)]
    assert all(a.threshold < b.threshold < 1 for a, b in itertools.pairwise(rising))
    assert all(one.abstain[0] <= one.threshold <= one.abstain[1] for one in rising)
    old = dataclasses.replace(fitted, val={})
    assert old.for_people(5) == old


@pytest.mark.parametrize("kind", config.CALIBRATIONS)
@pytest.mark.parametrize(("real", "fake"), [(2, 2), (9, 40), (40, 9)])
def test_few_videos_of_a_class_give_a_raw_score_and_no_verdict(tmp_path, kind, real, fake):
    logits, labels = np.linspace(-3, 3, real + fake), np.repeat([0, 1], [real, fake])
    fitted = calibrate.fit(_rows(logits, labels), _options(calibration=kind))
    p = special.expit(logits)
    np.testing.assert_allclose(fitted.apply(p), p)
    assert {fitted.verdict(value) for value in p} == {"uncertain"}
    assert f"{real} real and {fake} fake videos, 10 of each" in fitted.sentence()
    again = calibrate.load(calibrate.save(fitted, str(tmp_path / "c.json")), -1)
    assert (again.few, again.verdict(0.99)) == (True, "uncertain")


def test_a_threshold_that_few_videos_would_move_by_chance_is_a_half(rng):
    logits = np.concatenate([rng.normal(-1.5, 1.5, 15), rng.normal(1.5, 1.5, 15)])
    chance = calibrate.fit(_rows(logits, np.repeat([0, 1], 15)), _options())
    low, high = chance.val["interval"]
    assert low <= 0.5 <= high
    assert chance.threshold == 0.5
    assert f"95% interval {low:.3f} to {high:.3f}" in chance.sentence()
    many = np.concatenate([rng.normal(-1, 1, 4000), rng.normal(4, 1, 4000)])
    sure = calibrate.fit(_rows(many, np.repeat([0, 1], 4000)), _options(calibration="temperature"))
    low, high = sure.val["interval"]
    assert 0.5 < low <= sure.threshold <= high
    strict = calibrate.fit(_rows(logits, np.repeat([0, 1], 15)), _options(target="fpr_1"))
    assert strict.threshold == calibrate.threshold(np.repeat([0, 1], 15), strict.apply(special.expit(logits)), "fpr_1")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("kind", "magic"), ("temperature", -1.0), ("temperature", 0), ("temperature", float("nan")),
        ("temperature", "2"), ("offset", 1e9), ("knots", [[0.5], [0.5]]), ("knots", []), ("threshold", 7),
        ("threshold", float("nan")), ("threshold", True), ("target", []), ("abstain", [0.9, 0.1]),
        ("abstain", [0.1]), ("abstain", 3), ("aggregate", "sum"), ("tracks", None), ("step", "5"), ("data", 1),
        ("val", []), ("val", {"real": -1}), ("val", {"real_logits": [0, -1]}), ("val", {"interval": ["a", 1]}),
    ],
)  # fmt: skip
def test_a_file_whose_numbers_cannot_be_is_refused_by_name(tmp_path, rng, field, value):
    path = calibrate.save(calibrate.fit(_rows(*_world(rng, 80)), _options(), "here", 5), str(tmp_path / "c.json"))
    assert calibrate.load(path, 5) is not None
    pathlib.Path(path).write_text(json.dumps(json.loads(pathlib.Path(path).read_text()) | {field: value}))
    with pytest.raises(DataError, match=r"c\.json is no calibration of this version .*; fit it again"):
        calibrate.load(path, 5)
