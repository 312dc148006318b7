"""When a verdict is given, and when not."""

import dataclasses
import json

import numpy as np
import pytest

from fusion_dfd.evaluation.calibrate import Calibration
from fusion_dfd.evaluation.familiarity import Familiarity
from fusion_dfd.faces import extract
from fusion_dfd.predict import warnings
from fusion_dfd.predict.verdict import Face, VerdictRules

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


def test_stretches_that_look_forged_have_their_times(build, video):
    detector = build(lambda _: [(5, 5, 30, 0.99)], clips=0)
    (scored,) = detector.score([video(30)])
    assert len(scored.windows) == 6, "of five frames, at 25 a second"
    for window, logit in zip(scored.windows, (-3, 2, 1, -1, -1, 3), strict=True):
        window.outputs = window.outputs.replace(logit=np.float32(logit))
    (face,) = detector.rules.verdict(scored, detector.config).faces
    assert [one[:2] for one in face.stretches] == [(0.2, 0.6), (1.0, 1.2)]
    assert face.stretches[0][2] == pytest.approx((0.881 + 0.731) / 2, abs=1e-3)
    for window in scored.windows:
        window.contiguous = False
    assert detector.rules.verdict(scored, detector.config).faces[0].stretches == ()


def test_motion_alone_cannot_judge_frames_that_are_not_consecutive(build, video, config):
    detector = build(lambda _: [(5, 5, 30, 0.99)])
    (scored,) = detector.score([video(20)])
    for window in scored.windows:
        window.contiguous = False
    only = dataclasses.replace(config, model=dataclasses.replace(config.model, branches=("temporal",)))
    verdict = detector.rules.verdict(scored, only)
    assert verdict.verdict == "uncertain"
    assert "judges motion alone" in verdict.reason
    assert "motion" not in (detector.rules.verdict(scored, config).reason or "")


def test_a_face_seen_too_shortly_gets_no_verdict(build, video):
    verdict = verdict_on(build, video(4))
    assert verdict.verdict == "uncertain"
    assert verdict.reason == "too short: the face is seen on 4 frames, the model needs 5"
    assert 0 < verdict.probability < 1


def two(_):
    return [(2, 2, 30, 0.99), (34, 20, 14, 0.95)]


def test_the_most_suspicious_face_speaks_unless_the_main_one_is_asked_for(build, video):
    spoken = {
        tracks: build(two, VerdictRules(None, "mean_probability", None, tracks)).predict(video(20))
        for tracks in ("first", "max")
    }
    probabilities = [face.probability for face in spoken["first"].faces]
    assert len(probabilities) == 2
    assert (spoken["first"].probability, spoken["first"].speaks) == (probabilities[0], 0)
    loudest = int(np.argmax(probabilities))
    assert (spoken["max"].probability, spoken["max"].speaks) == (max(probabilities), loudest)
    assert (f"face {loudest} of 2 speaks" in (spoken["max"].reason or "")) == (loudest > 0)


def face(track: int, verdict: str, probability: float, brief: bool = False) -> Face:
    return Face(track, verdict, probability, {}, 1, 3 if brief else 48, 40.0, None, (), brief=brief)


def test_who_speaks():
    rules = VerdictRules(None, "mean_probability", None, "max")
    main, forged, passing = face(0, "real", 0.1), face(1, "fake", 0.8), face(2, "uncertain", 0.95, brief=True)
    outside = face(3, "uncertain", 0.9)
    assert rules.speaker([main, forged, passing, outside]) is forged
    assert rules.speaker([main, passing]) is main
    assert rules.speaker([main, outside, passing]) is outside
    assert rules.speaker([passing]) is passing


def test_the_threshold_of_several_people_is_higher_and_told(build, video):
    found = dataclasses.replace(CALIBRATION, val={"real_logits": [-2.0, 1.0]})
    thresholds = {}
    for tracks in ("first", "max"):
        verdict = build(two, VerdictRules(found, "mean_probability", None, tracks)).predict(video(20))
        thresholds[tracks] = verdict.threshold
        assert verdict.verdict == ("fake" if verdict.probability > verdict.threshold else "real")
    assert thresholds == {"first": 0.5, "max": found.for_people(2).threshold}
    assert thresholds["max"] > 0.5


def test_faces_that_were_not_judged_are_counted(build, video, monkeypatch):
    monkeypatch.setattr(extract, "MOST_TRACKS", 1)
    verdict = build(two, VerdictRules(None, "mean_probability", None, "max")).predict(video(20))
    assert len(verdict.faces) == 1
    assert "1 more faces were not judged" in verdict.reason


def test_every_way_out_says_what_a_reader_must_know_first(build, video, tmp_path):
    rules = VerdictRules(None, "mean_probability", None, "max", (warnings.RENDERED, warnings.UNCALIBRATED))
    (tmp_path / "none.mp4").write_text("no video")
    for verdict in build(two, rules).predict_many([video(20), str(tmp_path / "none.mp4")]):
        assert verdict.warnings == rules.warnings
        assert json.loads(verdict.to_json())["warnings"] == list(rules.warnings)
        assert all(sentence in verdict.row()["warnings"] for sentence in rules.warnings)
