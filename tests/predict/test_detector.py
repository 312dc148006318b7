"""What the model is shown of a video, and that neither neighbours nor length change what is said of one."""

import dataclasses
import math

import cv2
import jax
import numpy as np
import pytest
from barcodes import barcode, write
from scripted import Scripted

from fusion_dfd.evaluation.scores import probability
from fusion_dfd.faces.extract import extract
from fusion_dfd.faces.video import Reader
from fusion_dfd.predict.detector import BATCH, DeepfakeDetector
from fusion_dfd.predict.verdict import VerdictRules
from fusion_dfd.runs import score
from fusion_dfd.types import Batch


def one(_):
    return [(5, 5, 30, 0.99)]


def two(index):
    return [(2, 2, 20, 0.99), (30, 20, 18, 0.95)] if 10 <= index < 30 else [(2, 2, 20, 0.99)]


def timeless(verdict):
    """Without what two runs may not share: how long it took, and when."""
    return dataclasses.replace(verdict, took=0, record=dataclasses.replace(verdict.record, time=""))


def test_the_logits_are_those_of_the_model_on_the_clips_of_the_video(build, video, trained, config):
    (scored,) = build(one).score([video(20)])
    options = dataclasses.replace(config.faces, clips=4)
    clips = extract(video(20), options, Scripted(one)).clips
    assert [len(clip) for clip in clips] == [10, 10]
    predict = score.predictor(trained)
    for number, clip in enumerate(clips):
        batch = Batch(
            frames=clip.frames.reshape(2, 5, 32, 32, 3),
            landmarks=clip.landmarks.reshape(2, 5, 5, 2),
            length=np.full(2, 5, np.int32),
            **dict.fromkeys(("label", "weight", "row")),
        )
        expected = jax.device_get(predict(batch).logit)
        got = [window.outputs.logit for window in scored.windows if window.clip == number]
        np.testing.assert_allclose(got, expected, atol=1e-5)


def test_the_probability_is_the_mean_over_the_clips_of_the_face_that_counts(build, video):
    detector = build(two)
    (scored,) = detector.score([video(40)])
    verdict = detector.predict(video(40))
    assert [face.track for face in verdict.faces] == [0, 1]
    assert sum(face.windows for face in verdict.faces) == len(scored.windows)
    first = [window.outputs.logit for window in scored.windows if window.face == 0]
    assert verdict.probability == pytest.approx(probability(first).mean())
    assert verdict.probability == verdict.faces[0].probability
    assert set(verdict.faces[0].branches) == {"spatial", "temporal"}


def test_a_video_is_told_the_same_alone_and_among_others(build, video, tmp_path):
    broken = tmp_path / "notes.mp4"
    broken.write_text("not a video at all " * 50)
    detector = build(one)
    paths = [video(30), str(broken), video(20), video(30)]
    together = list(detector.predict_many(paths))
    assert (3 * 2) % BATCH, "the windows of the first video fill no batch, so that batches span videos"
    assert [verdict.path for verdict in together] == paths
    assert together[1].verdict == "none"
    for verdict in together:
        alone = detector.predict(verdict.path)
        assert timeless(alone) == timeless(verdict)


def test_no_crop_outlives_its_score(build, video):
    (scored,) = build(one).score([video(40)])
    assert all(window.frames is None for window in scored.windows)
    assert all(not len(face.frames) for faces in scored.clips for face in faces)
    (kept,) = build(one).score([video(40)], keep=lambda window: window.outputs is not None and window.indices[0] < 20)
    assert [window.frames is not None for window in kept.windows] == [window.indices[0] < 20 for window in kept.windows]
    assert kept.windows[0].frames.shape == (5, 32, 32, 3)


def test_reading_never_runs_far_ahead_of_the_model(build, video, monkeypatch):
    detector = build(one, clips=0)
    held = []
    run = detector._run
    monkeypatch.setattr(detector, "_run", lambda waiting, keep: (held.append(len(waiting)), run(waiting, keep)))
    list(detector.score([video(200)]))
    assert max(held) <= BATCH


def test_all_of_a_video_is_looked_at_on_request(build, video):
    assert build(one, clips=0).predict(video(100)).faces[0].frames == 100
    assert build(one, clips=3).predict(video(100)).faces[0].frames == 30


def test_seconds_of_the_timeline_are_those_of_the_video(build, video):
    verdict = build(one, clips=0).predict(video(60))
    assert [second for second, _ in verdict.faces[0].timeline] == [0, 1, 2]
    assert verdict.seconds == pytest.approx(60 / 25)


def test_a_video_without_a_face_says_so(build, video):
    detector = build(lambda _: [])
    verdict = detector.predict(video(20))
    assert (verdict.verdict, verdict.faces, verdict.probability) == ("none", (), None)
    assert verdict.reason == "no face found in the 8 frames looked at"


def test_a_face_that_is_too_small_is_told_from_none(trained, video):
    """A finder that, like the real ones, finds no face below ``min_size``."""
    config = dataclasses.replace(trained.config, faces=dataclasses.replace(trained.config.faces, min_size=40))
    detector = DeepfakeDetector(
        dataclasses.replace(trained, config=config),
        VerdictRules(None, "mean_probability", None, "first"),
        build_finder=lambda options: Scripted(one if options.min_size <= 30 else lambda _: []),
    )
    assert detector.predict(video(20)).reason == "face too small: 30 pixels, at least 40 are needed"


@pytest.mark.parametrize("name", ["missing.mov", "empty.webm", "text.mp4"])
def test_a_file_that_cannot_be_scored_says_why(build, tmp_path, name):
    path = tmp_path / name
    if name != "missing.mov":
        path.write_text("not a video " * 99 * (name == "text.mp4"))
    verdict = build(one).predict(str(path))
    assert (verdict.verdict, verdict.probability) == ("none", None)
    assert name in verdict.reason


def test_there_is_no_time_limit(build):
    assert math.isinf(build(one)._options.time_limit)


def test_a_face_between_the_ranges_looked_at_is_found(build, video):
    """With one clip of ten frames in the middle of 120, the face of the frames from 20 on is not in it."""
    verdict = build(lambda index: one(index) if 20 <= index < 40 else [], clips=1).predict(video(120))
    assert verdict.verdict != "none"
    assert verdict.faces[0].frames >= 5


def test_what_looks_through_the_whole_video_is_named(build, video):
    reason = build(lambda _: [], clips=1).predict(video(120)).reason
    assert "--clips 0" in reason


def test_a_picture_that_lies_on_its_side_is_judged_and_said_so(trained, tmp_path):
    class Upright(Scripted):
        def detect(self, frames):
            wide = frames.shape[1] < frames.shape[2] and frames[:, 28:].std() < 20
            return [self.answer(one(0) if wide else []) for _ in frames]

    path = write(tmp_path / "a.mp4", [np.ascontiguousarray(np.rot90(barcode(k + 1))) for k in range(20)])
    rules = VerdictRules(None, "mean_probability", None, "first")
    verdict = DeepfakeDetector(trained, rules, build_finder=lambda _: Upright(None)).predict(path)
    assert verdict.faces[0].frames == 20
    assert "after a turn of the picture by 270 degrees" in verdict.reason


def test_seconds_are_the_frames_own_where_they_come_at_varying_rates(build, tmp_path):
    """30 frames within 1.2 s, then 10 that last 4 s: by the mean rate the first ones would last 3.9 s."""
    times = [*range(30), *range(30, 130, 10)]
    path = write(tmp_path / "vfr.mp4", map(barcode, range(40)), times=times)
    (scored,) = build(one, clips=0).score([path])
    assert scored.windows[0].covers == {0}
    assert scored.windows[5].covers == {1}
    np.testing.assert_allclose(scored.windows[-1].seconds, [80 / 25, 90 / 25, 100 / 25, 110 / 25, 120 / 25])


def test_a_folder_of_the_frames_of_a_video_is_told_the_same(build, video, tmp_path):
    for index, frame in Reader(video(40), range(40)):
        assert cv2.imwrite(str(tmp_path / f"{index:02d}.png"), cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
    detector = build(two)
    whole, folder = detector.predict(video(40)), detector.predict(str(tmp_path))
    assert folder.probability == pytest.approx(whole.probability, abs=1e-5)
    assert [face.windows for face in folder.faces] == [face.windows for face in whole.faces]
    (tmp_path / "07.png").unlink()
    (gapped,) = detector.score([str(tmp_path)])
    assert {window.clip for window in gapped.windows} == {0}, "sampled uniformly: one clip"
    verdict = detector.predict(str(tmp_path))
    assert "its frames are not known to be consecutive, so temporal is switched off" in verdict.reason
    assert set(verdict.faces[0].branches) == {"spatial"}
    assert "consecutive" not in (folder.reason or "")
