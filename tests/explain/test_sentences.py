"""What is said, and what is not."""

import dataclasses
import types

import numpy as np
import pytest

from fusion_dfd.evaluation import real_motion
from fusion_dfd.explain import languages, sentences
from fusion_dfd.explain.evidence import Effect, Evidence, Pace
from fusion_dfd.predict import record, warnings
from fusion_dfd.predict.verdict import Face, Verdict, VerdictRules

FACE = Face(0, "fake", 0.91, {"micro": 0.8, "spatial": 0.3}, 4, 48, 120.0, 0.4, ((0, 0.2), (1, 0.95)))
JUDGE = VerdictRules(None, "mean_probability", None, "first")


def facts(*sets: str) -> dict:
    return {"train": {"sets": list(sets)}, "val": {"sets": []}, "excluded": []}


def test_rendered_data_is_said_where_nothing_else_was_trained_on():
    run = types.SimpleNamespace(verified=None)
    assert "rendered (drawn) faces only" in warnings.of(False, facts("sample/c23"), run)[0]
    assert not warnings.rendered(facts("sample/c23", "faceforensics/c23"))
    assert not warnings.rendered(None)


def test_a_video_that_could_not_be_scored_has_no_number():
    assert sentences.headline(Verdict("a.mp4", "none", None, (), "no face found")) == "Could not be scored"
    assert sentences.headline(Verdict("a.mp4", "fake", 0.9991, (FACE,))).endswith(
        "probability of being fake above 0.99"
    )
    uncertain = sentences.headline(Verdict("a.mp4", "uncertain", 0.9991, (FACE,)))
    assert uncertain == "No verdict (probability of being fake above 0.99, not usable)"
    assert languages.translated(uncertain, "de").endswith(
        "(Wahrscheinlichkeit einer Fälschung über 0,99, nicht verwertbar)"
    )


@pytest.mark.parametrize(
    ("verdict", "reason", "said", "unsaid"),
    [
        ("fake", None, "calls the face forged: an uncalibrated probability of 0.91, above", "no verdict"),
        ("real", None, "does not prove the video genuine", "proof:"),
        ("uncertain", "outside what the model was trained on", "Why nothing firmer is said: outside", "calls the face"),
    ],
)
def test_a_verdict_is_never_more_than_it_is(verdict, reason, said, unsaid):
    face = dataclasses.replace(FACE, verdict=verdict, reason=reason)
    whole = Verdict("a.mp4", verdict, 0.91, (face,), reason, 2.0, threshold=0.5)
    file, threshold = record.FileFacts(None, None, frames=60), record.ThresholdFacts(0.5)
    kept = record.make(file, None, None, threshold, {}, [(0, 0, 47)])
    whole = dataclasses.replace(whole, record=kept)
    text = " ".join([*sentences.summary(whole, _evidence(face), JUDGE), *sentences.unknown(whole)])
    assert "48 of 60 were" in text
    assert said in text
    assert unsaid not in text
    assert "Second 1 looks most forged (0.95), second 0 least (0.20)" in text
    assert "its kinds of evidence disagree" in text
    assert "certain" not in text


def test_another_face_that_looks_forged_is_never_passed_over():
    first = dataclasses.replace(FACE, verdict="real", probability=0.1)
    second = dataclasses.replace(FACE, track=1, probability=0.97)
    whole = Verdict("a.mp4", "real", 0.1, (first, second), None, 2.0, threshold=0.5)
    text = " ".join(sentences.summary(whole, _evidence(first), JUDGE))
    assert "Face 1 does not speak for the video, but looks forged (0.97)." in text


def _evidence(face: Face) -> Evidence:
    return Evidence(face, {}, [], baseline=0.9, regions=[Effect("mouth", 0.4), Effect("background", 0.1)])


def test_the_part_that_counts_is_named_and_the_background_is_none():
    found = sentences.leaning([Effect("mouth", 0.4), Effect("nose", 0.85), Effect("background", 0.1)], 0.9)
    assert "hiding the mouth moves the score most, from 0.90 to 0.40" in found
    assert "speaks for a forgery" in found
    assert "or the patch that hides it looks forged" in sentences.leaning([Effect("eyes", 0.6)], 0.3)
    assert "no single part carries it" in sentences.leaning([Effect("eyes", 0.91)], 0.9)
    assert sentences.leaning([], 0.9) is None


def test_unusual_motion_is_counted_in_seconds(rng):
    moves = rng.normal(size=(99, real_motion.FEATURES))
    reference = real_motion.fit(moves, moves)
    middle = float(np.median(reference.usual))
    usual = "The face moves as the faces of the real videos"
    assert sentences.moving(Pace(((0, middle), (1, middle)), reference)).startswith(usual)
    assert "In 1 of 2 seconds" in sentences.moving(Pace(((0, middle), (1, 1e3)), reference))
    assert sentences.moving(None) is None
    few = real_motion.fit(moves, moves[:5])
    assert "5 real windows are too few" in sentences.moving(Pace(((0, 1e3),), few))
