"""From shards to a report, a table of branches, and a verdict about a file, at a size that takes seconds."""

import copy
import dataclasses
import json
import pathlib

import numpy as np
import pytest

from fusion_dfd import config as c
from fusion_dfd import predict
from fusion_dfd.evaluation import calibrate, provenance, scores
from fusion_dfd.shards import table
from fusion_dfd.training import ablation, checkpoint, experiment
from fusion_dfd.types import DataError, FaceTrack


@pytest.fixture(scope="module")
def finished(tmp_path_factory, configured) -> tuple[c.Config, experiment.Result]:
    config = configured(tmp_path_factory.mktemp("finished") / "run")
    return config, experiment.run(config)


@pytest.fixture
def ran(finished) -> c.Config:
    """The configuration of a finished run, which tests may read and evaluate."""
    return copy.deepcopy(finished[0])


@pytest.fixture
def run(finished) -> experiment.Result:
    return finished[1]


def test_a_run_ends_with_a_report_on_the_test_split(ran, run):
    page = pathlib.Path(run.report)
    assert page.parent == pathlib.Path(ran.workdir, "report")
    scored = (page.parent / "scores.csv").read_text().splitlines()
    windows = 12 * (6 // ran.data.frames)
    assert len(scored) == 1 + windows
    assert "test0" in scored[1]
    metrics = json.loads((page.parent / "metrics.json").read_text())
    assert metrics["units"]["video"]["overall"]["metrics"]["auc"]["value"] is not None
    assert "FaceSwap" in page.read_text()
    assert "tiny; Deepfakes, FaceSwap; 8 groups in train, 4 in val." in (page.parent / "model_card.md").read_text()


def test_a_run_is_calibrated_on_val_and_its_report_says_so(ran, run):
    fitted = calibrate.load(ran.workdir, checkpoint.load_best(ran.workdir).step)
    assert fitted.val["videos"] == 12
    assert fitted.data == ran.data.dir
    assert run.summary["calibration"]["sentence"] == fitted.sentence()
    assert run.summary["threshold"] == fitted.threshold
    assert "before it was fitted" in pathlib.Path(run.report).read_text()
    videos = scores.read_csv(pathlib.Path(run.report).with_name("videos.csv"), scores.VideoScore)
    raw = scores.videos(scores.read_csv(pathlib.Path(run.report).with_name("scores.csv")))
    assert [row.probability for row in videos] == pytest.approx(fitted.apply([row.probability for row in raw]))


def test_no_score_of_test_reaches_the_run(ran, run, tmp_path, monkeypatch):
    """Evaluating test leaves every file of the run as it is, and calibrating opens val alone."""

    def content() -> dict[str, bytes]:
        root = pathlib.Path(ran.workdir)
        return {str(file): file.read_bytes() for file in root.rglob("*") if file.is_file()}

    before = content()
    experiment.evaluate_run(ran.workdir, ran.data.dir, "test", str(tmp_path / "again"))
    assert content() == before
    opened = []
    real = experiment.table.open_split
    monkeypatch.setattr(
        experiment.table, "open_split", lambda folder, split: opened.append(split) or real(folder, split)
    )
    experiment.calibrate_run(ran.workdir, ran.data.dir)
    assert opened == ["val"]
    assert content() == before


def test_calibration_again_is_the_same_and_of_another_step_is_refused(ran, run):
    path = pathlib.Path(ran.workdir, calibrate.NAME)
    first = path.read_text()
    path.write_text(first.replace('"step": ', '"step": 9'))
    with pytest.raises(DataError, match="--calibrate"):
        predict.load(ran.workdir)
    page = experiment.publish([ran.workdir], [ran.data.dir], "test", None, None, True)
    assert path.read_text() == first
    assert pathlib.Path(page[0]).parent.parent == pathlib.Path(ran.workdir)


def test_a_val_of_one_class_is_said_and_does_not_stop_the_run(tiny, monkeypatch, capsys):
    def refuse(*_):
        raise DataError("val cannot calibrate: no real rows")

    monkeypatch.setattr(experiment, "calibrate_run", refuse)
    result = experiment.run(tiny)
    assert result.summary["calibration"] is None
    assert "not calibrated: val cannot calibrate: no real rows" in capsys.readouterr().out


def test_left_out_manipulations_are_in_test_alone(tiny):
    tiny.data.exclude_methods = ("FaceSwap",)
    result = experiment.run(tiny)
    facts = provenance.load(tiny.workdir)
    assert facts["train"]["methods"] == facts["val"]["methods"] == ["Deepfakes"]
    assert facts["excluded"] == ["FaceSwap"]
    assert calibrate.load(tiny.workdir, checkpoint.load_best(tiny.workdir).step).val["videos"] == 8
    assert set(result.summary["units"]["video"]["methods"]) == {"Deepfakes", "FaceSwap"}
    (line,) = json.loads(
        pathlib.Path(experiment.evaluate_protocol([tiny.workdir], [tiny.data.dir], "leave_one_out", tiny.workdir))
        .with_suffix(".json")
        .read_text()
    )[1:]
    assert (line["methods"], line["absent"]) == (["FaceSwap"], "")
    tiny.data.exclude_methods = ("Nobody",)
    with pytest.raises(DataError, match="cannot leave out Nobody: the manipulations there are Deepfakes, FaceSwap"):
        experiment.run(tiny)


def test_people_of_train_in_an_evaluation_are_said(ran, run, tmp_path, capsys):
    assert "share a person" not in pathlib.Path(run.report).read_text()
    result = experiment.evaluate_run(ran.workdir, ran.data.dir, "train", str(tmp_path / "train"))
    said = "24 of 24 videos share a person or a source clip with what the run was trained on"
    assert said in pathlib.Path(result.report).read_text()
    assert said in " ".join(capsys.readouterr().out.split())


def test_evaluation_of_another_split_scores_that_split(ran, run, tmp_path):
    result = experiment.evaluate_run(ran.workdir, ran.data.dir, "val", str(tmp_path / "val"))
    assert "val0" in (tmp_path / "val" / "scores.csv").read_text()
    assert "test0" not in (tmp_path / "val" / "scores.csv").read_text()
    assert result.report == str(tmp_path / "val" / "report.html")


def test_the_robustness_suite_scores_perturbed_crops_and_says_so(ran, run, tmp_path):
    page = experiment.stress_run(ran.workdir, ran.data.dir, str(tmp_path), ("contrast", "post"), "crops")
    found = json.loads(pathlib.Path(page).with_suffix(".json").read_text())
    assert found["about"]["perturbed"] == "the stored crops, not whole frames"
    assert found["clean"]["value"] == run.summary["units"]["video"]["overall"]["metrics"]["auc"]["value"]
    clean, dark = (scores.read_csv(tmp_path / "scores" / f"{cell}.csv") for cell in ("clean", "contrast-5"))
    assert [row.video for row in clean] == [row.video for row in dark]
    assert [row.logit for row in clean] != [row.logit for row in dark]
    with pytest.raises(DataError, match="--frames crops"):  # these shards were made without videos
        experiment.stress_run(ran.workdir, ran.data.dir, str(tmp_path / "videos"), ("blur",))


def test_thumbnails_are_the_frames_the_model_saw(tiny):
    split = table.open_split(tiny.data.dir, "test")
    strip = experiment.thumbnails(split, tiny.data, count=3)
    key, clip = str(split.table.video[0]), int(split.table.clip[0])
    score = dataclasses.make_dataclass("S", ["video", "clip", "track", "start"])(key, clip, 0, 1)
    assert strip(score).shape == (tiny.data.size, 3 * tiny.data.size, 3)


def test_cells_are_every_non_empty_subset_per_seed(tiny):
    tiny.model.branches = c.BRANCHES
    found = list(ablation.cells(tiny, (0, 1)))
    assert len(found) == 14
    assert len({cell.config.workdir for cell in found}) == 14
    assert {cell.config.model.branches for cell in found} == {
        ("spatial",), ("temporal",), ("micro",), ("spatial", "temporal"), ("spatial", "micro"), ("temporal", "micro"),
        ("spatial", "temporal", "micro"),
    }  # fmt: skip
    assert tiny.model.branches == c.BRANCHES


def test_an_ablation_keeps_what_is_finished_and_survives_a_failure(tiny, monkeypatch):
    real, calls = experiment.run, []

    def failing(config):
        calls.append(config.seed)
        if config.seed == 1:
            raise RuntimeError("no more memory")
        return real(config)

    monkeypatch.setattr(ablation.experiment, "run", failing)
    path = ablation.run(tiny, (0, 1))
    text = pathlib.Path(path).read_text()
    assert "spatial seed 0" in text
    assert "spatial seed 1 failed: RuntimeError: no more memory" in text
    ablation.run(tiny, (0, 1))
    assert calls == [0, 1, 1]


def test_an_ablation_of_which_nothing_worked_is_an_error(tiny, monkeypatch):
    def failing(config):
        raise DataError("no data")

    monkeypatch.setattr(ablation.experiment, "run", failing)
    with pytest.raises(DataError, match="no cell of the ablation"):
        ablation.run(tiny)


def face_track(frames: int, track: int) -> FaceTrack:
    rng = np.random.default_rng(track)
    return FaceTrack(
        frames=rng.integers(0, 255, (frames, 40, 40, 3), np.uint8),
        boxes=np.tile(np.float32([5, 5, 35, 35]), (frames, 1)),
        landmarks=np.tile(np.float32([[12, 15], [28, 15], [20, 22], [14, 30], [26, 30]]), (frames, 1, 1)),
        scores=np.ones(frames, np.float32),
        indices=np.arange(frames, dtype=np.int32),
        transform=np.eye(2, 3, dtype=np.float32),
        track=track,
    )


def test_prediction_equals_the_model_on_the_same_clips(ran, run, monkeypatch):
    detector = predict.load(ran.workdir)
    clips = [face_track(9, 0), face_track(3, 1)]
    monkeypatch.setattr(predict, "extract", lambda *a, **k: _Found(clips))
    verdict = detector.predict("any.mp4")
    assert [(face.track, face.clips) for face in verdict.faces] == [(0, 2), (1, 1)]
    alone = detector._score([clips[1]])  # shorter than a clip of the model: padded
    np.testing.assert_allclose(verdict.faces[1].logits, alone, atol=1e-5)
    assert verdict.probability == verdict.faces[0].probability
    raw = scores.probability(verdict.faces[0].logits).mean()
    assert verdict.probability == pytest.approx(detector.calibration.apply([raw])[0])
    assert verdict.verdict == detector.calibration.verdict(verdict.probability)
    detector.config.evaluate.tracks = "max"
    assert detector.predict("any.mp4").probability == max(face.probability for face in verdict.faces)
    plain = predict.Detector(checkpoint.load_best(ran.workdir)).predict("any.mp4")
    assert plain.probability == pytest.approx(raw)
    assert plain.verdict == ("fake" if raw > 0.5 else "real")


@dataclasses.dataclass
class _Found:
    clips: list
    damaged: int = 0
    reason: str | None = None


def test_files_that_cannot_be_scored_say_why_and_do_not_stop_the_rest(ran, run, tmp_path, capsys):
    text, empty = tmp_path / "notes.mp4", tmp_path / "empty.webm"
    text.write_text("not a video at all " * 50)
    empty.touch()
    detector = predict.load(ran.workdir)
    for path in (text, empty, tmp_path / "missing.mov"):
        verdict = detector.predict(str(path))
        assert (verdict.verdict, verdict.probability) == ("none", None)
        assert path.name in verdict.reason
    assert predict.print_verdicts(detector, [str(text), str(empty)]) == 1
    assert "none" in capsys.readouterr().out
