"""The record of a verdict: what it holds, that every way out has it, and that digests see what changed."""

import dataclasses
import datetime
import hashlib
import json
import os
import pathlib

import jax.numpy as jnp
import numpy as np
import pytest

from fusion_dfd import __version__
from fusion_dfd.evaluation.calibrate import Calibration
from fusion_dfd.predict import record
from fusion_dfd.predict.verdict import VerdictRules

FITTED = Calibration(
    kind="temperature",
    temperature=2.0,
    offset=0.0,
    knots=((), ()),
    threshold=0.7,
    target="fpr_5",
    abstain=(0.7, 0.7),
    aggregate="mean_probability",
    tracks="max",
    step=7,
    data="",
    val={"real": 40, "fake": 40, "interval": [0.6, 0.8], "false_alarms": 2},
)


def face(_):
    return [(8, 6, 36, 0.99)]


def test_a_verdict_says_which_file_detector_and_software_it_is_of(build, video):
    path = video(30)
    detector = build(face, VerdictRules(FITTED, "mean_probability", None, "max"))
    verdict = detector.predict(path)
    kept = verdict.record
    content = pathlib.Path(path).read_bytes()
    assert (kept.file.sha256, kept.file.bytes) == (hashlib.sha256(content).hexdigest(), len(content))
    assert ("mp4" in kept.file.container, kept.file.codec, kept.file.frames) == (True, "h264", 30)
    assert (kept.detector.step, kept.detector.faces, kept.detector.digest) == (7, "mtcnn", detector.facts.digest)
    assert kept.options == {"clips": 4, "engine": "jax", "tracks": "max"}
    assert kept.software["fusion_dfd"] == __version__
    assert len(kept.windows) == sum(one.windows for one in verdict.faces)
    assert all(track == 0 and last - first == 4 for track, first, last in kept.windows)
    assert datetime.datetime.fromisoformat(kept.time).utcoffset() == datetime.timedelta(0)
    assert json.loads(verdict.to_json())["record"]["file"]["sha256"] == kept.file.sha256
    row = verdict.row()
    assert (row["sha256"], row["detector_digest"], row["weights"], row["calibration"]) == (
        kept.file.sha256,
        kept.detector.digest,
        kept.detector.weights,
        kept.detector.calibration,
    )


def test_the_threshold_has_its_target_and_the_interval_of_its_false_alarms():
    facts = record.threshold_facts(FITTED, 0.5)
    assert (facts.one_person, facts.target, facts.interval) == (0.7, "fpr_5", (0.6, 0.8))
    assert (facts.false_alarms, facts.real_videos) == (2, 40)
    low, high = facts.false_alarm_interval
    assert (round(low, 4), round(high, 4)) == (0.0061, 0.1692)  # Clopper and Pearson's table for 2 of 40
    assert record.threshold_facts(None, 0.5) == record.ThresholdFacts(0.5)
    earlier = dataclasses.replace(FITTED, val={"real": 40, "fake": 40})
    assert record.threshold_facts(earlier, 0.5).false_alarms is None


def test_what_is_no_video_has_a_digest_and_what_is_not_there_has_none(build, tmp_path):
    bad = tmp_path / "a.mp4"
    bad.write_bytes(b"text")
    verdict = build(face).predict(str(bad))
    assert verdict.record.file == record.FileFacts(hashlib.sha256(b"text").hexdigest(), 4)
    assert build(face).predict(str(tmp_path / "gone.mp4")).record.file == record.FileFacts(None, None)


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    assert record.file_facts(str(tmp_path / "pipe")) == record.FileFacts(None, None)


def test_a_file_that_changes_while_it_is_read_gets_no_verdict(build, video, tmp_path):
    path = tmp_path / "growing.mp4"
    path.write_bytes(pathlib.Path(video(30)).read_bytes())

    def grow(*_):
        with path.open("ab") as file:
            file.write(b"more")

    (verdict,) = build(face).predict_many([str(path)], grow)
    assert (verdict.verdict, "changed while it was read" in verdict.reason) == ("none", True)


def test_a_detector_is_known_by_its_content(trained):
    facts = record.detector_facts("a", trained, FITTED, None)
    assert record.detector_facts("moved", trained, FITTED, None).digest == facts.digest
    other = record.detector_facts("a", trained, dataclasses.replace(FITTED, threshold=0.71), None)
    assert (other.weights, other.calibration == facts.calibration) == (facts.weights, False)
    assert other.digest != facts.digest


@pytest.mark.parametrize(
    "changed",
    [
        {"a": {"b": np.float32([1, 3])}, "c": None},
        {"a": {"b": np.float64([1, 2])}, "c": None},
        {"a": {"b": np.float32([[1, 2]])}, "c": None},
        {"a": {"d": np.float32([1, 2])}, "c": None},
        {"a": {"b": np.float32([1, 2])}, "c": 0},
        {"a": {"b": np.float32([1, 2])}},
    ],
)
def test_a_digest_sees_every_change_and_no_container(changed):
    plain = {"a": {"b": np.float32([1, 2])}, "c": None}
    assert record.digest({"c": None, "a": {"b": jnp.float32([1, 2])}}) == record.digest(plain)
    assert record.digest(changed) != record.digest(plain)
