"""When a verdict is given, and when not."""

import dataclasses

import numpy as np
import pytest

from fusion_dfd.evaluation.calibrate import Calibration
from fusion_dfd.evaluation.familiarity import Familiarity
from fusion_dfd.predict.verdict import VerdictRules

CALIBRATION = Calibration(
    kind="temperature", temperature=1.0, offset=0.0, knots=((), ()), threshold=0.5, target="eer", abstain=(0.5, 0.5),
    aggregate="mean_probability", tracks="first", step=7, data="", val={},
)  # fmt: skip


def verdict_on(build, path, domain=None, **changes):
    rules = VerdictRules(dataclasses.replace(CALIBRATION, **changes), "mean_probability", domain, "first")
    return build(lambda _: [(5, 5, 30, 0.99)], rules).predict(path)


def test_the_threshold_is_the_calibration_s(build, video):
    p = verdict_on(build, video(20)).probability
    assert verdict_on(build, video(20), threshold=p - 0.01).verdict == "fake"
    assert verdict_on(build, video(20), threshold=p + 0.01).verdict == "real"


def test_the_probability_is_calibrated(build, video):
    plain, hot = verdict_on(build, video(20)), verdict_on(build, video(20), temperature=3.0)
    assert hot.probability == pytest.approx(
        float(dataclasses.replace(CALIBRATION, temperature=3.0).apply([plain.probability])[0])
    )
    assert hot.faces[0].timeline == plain.faces[0].timeline


def test_in_the_abstention_band_no_verdict_is_given(build, video):
    verdict = verdict_on(build, video(20), abstain=(0.0, 1.0))
    assert verdict.verdict == "uncertain"
    assert "undecided" in verdict.reason


def test_what_lies_outside_training_gets_no_verdict(build, video):
    (scored,) = build(lambda _: [(5, 5, 30, 0.99)]).score([video(20)])
    seen = np.stack([window.appearance for window in scored.windows])
    here = Familiarity(np.stack([seen.mean(0)] * 2), np.eye(seen.shape[1]), 10.0)
    verdict = verdict_on(build, video(20), here)
    assert verdict.verdict in ("fake", "real")
    assert verdict.faces[0].distance == pytest.approx(np.median(here.distances(seen)))
    elsewhere = dataclasses.replace(here, means=here.means + 100)
    verdict = verdict_on(build, video(20), elsewhere)
    assert verdict.verdict == "uncertain"
    assert "outside what the model was trained on" in verdict.reason


def test_a_face_seen_too_shortly_gets_no_verdict(build, video):
    verdict = verdict_on(build, video(4))
    assert verdict.verdict == "uncertain"
    assert verdict.reason == "too short: the face is seen on 4 frames, the model needs 5"
    assert 0 < verdict.probability < 1


def test_the_most_suspicious_face_speaks_where_the_run_says_so(build, video):
    def two(_):
        return [(2, 2, 30, 0.99), (34, 20, 14, 0.95)]

    spoken = {
        tracks: build(two, VerdictRules(None, "mean_probability", None, tracks)).predict(video(20))
        for tracks in ("first", "max")
    }
    probabilities = [face.probability for face in spoken["first"].faces]
    assert len(probabilities) == 2
    assert spoken["first"].probability == probabilities[0]
    assert spoken["max"].probability == max(probabilities)
