"""From shards to a report, a table of branches, and a verdict about a file, at a size that takes seconds."""

import copy
import dataclasses
import json
import pathlib
import types

import numpy as np
import pytest
import tiny as tiny_shards

import fusion_dfd
from fusion_dfd import config as c
from fusion_dfd.evaluation import calibrate, real_motion, scores
from fusion_dfd.runs import ablation, evaluation, experiment, protocols, references, robustness
from fusion_dfd.runs.run import CALIBRATION, Run
from fusion_dfd.shards import clip_index
from fusion_dfd.training import checkpoint, loop, state
from fusion_dfd.types import DataError


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


def test_videos_of_another_folder_choose_the_checkpoint_and_the_run_remembers_them(tiny, tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    tiny_shards.write_split(tmp_path, "held", 2, rng)
    tiny.data.val_dir, seen = str(tmp_path), []

    def fit(config, train, val, workdir):
        seen.extend(val.table.group)
        return loop.Fitted(loop.Progress(), 0, False)

    monkeypatch.setattr(loop, "fit", fit)
    experiment.run(tiny)
    assert set(seen) == {"held0", "held1"}
    known = Run(tiny.workdir).training_data["val"]["groups"]
    assert known == [f"tiny/{name}" for name in ("held0", "held1", "val0", "val1", "val2", "val3")]


def test_a_run_is_calibrated_on_val_and_its_report_says_so(ran, run):
    fitted = Run(ran.workdir).calibration
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
    evaluation.evaluate_run(Run(ran.workdir), ran.data.dir, "test", str(tmp_path / "again"))
    assert content() == before
    opened = []
    real = clip_index.open_split
    monkeypatch.setattr(
        clip_index, "open_split", lambda folder, split, *rest: opened.append(split) or real(folder, split, *rest)
    )
    references.calibrate_run(Run(ran.workdir), ran.data.dir)
    assert opened == ["val"]
    assert content() == before


def test_calibration_again_is_the_same_and_of_another_step_is_refused(ran, run):
    path = pathlib.Path(ran.workdir, CALIBRATION)
    first = path.read_text()
    path.write_text(first.replace('"step": ', '"step": 9'))
    with pytest.raises(DataError, match="fusion-dfd calibrate"):
        fusion_dfd.load(ran.workdir)
    again = Run(ran.workdir)
    references.calibrate_run(again, ran.data.dir)
    assert path.read_text() == first
    page = pathlib.Path(evaluation.evaluate_run(again, ran.data.dir).report)
    assert page.parent == pathlib.Path(ran.workdir, f"report-{pathlib.Path(ran.data.dir).name}-test")


@pytest.mark.slow
def test_a_val_of_one_class_is_said_and_does_not_stop_the_run(tiny, monkeypatch, capsys):
    def refuse(*_):
        raise DataError("val cannot calibrate: no real rows")

    monkeypatch.setattr(calibrate, "fit", refuse)
    result = experiment.run(tiny)
    assert result.summary["calibration"] is None
    assert "not calibrated: val cannot calibrate: no real rows" in capsys.readouterr().out


@pytest.mark.slow
def test_left_out_manipulations_are_in_test_alone(tiny):
    tiny.data.exclude_methods = ("FaceSwap",)
    result = experiment.run(tiny)
    facts = Run(tiny.workdir).training_data
    assert facts["train"]["methods"] == facts["val"]["methods"] == ["Deepfakes"]
    assert facts["excluded"] == ["FaceSwap"]
    assert Run(tiny.workdir).calibration.val["videos"] == 8
    assert set(result.summary["units"]["video"]["methods"]) == {"Deepfakes", "FaceSwap"}
    (line,) = json.loads(
        pathlib.Path(protocols.evaluate_protocol([Run(tiny.workdir)], [tiny.data.dir], "leave_one_out", tiny.workdir))
        .with_suffix(".json")
        .read_text()
    )[1:]
    assert (line["methods"], line["absent"]) == (["FaceSwap"], "")
    tiny.data.exclude_methods = ("Nobody",)
    with pytest.raises(DataError, match="cannot leave out Nobody: the manipulations there are Deepfakes, FaceSwap"):
        experiment.run(tiny)


def test_people_of_train_in_an_evaluation_are_said(ran, run, tmp_path, capsys):
    assert "share a person" not in pathlib.Path(run.report).read_text()
    result = evaluation.evaluate_run(Run(ran.workdir), ran.data.dir, "train", str(tmp_path / "train"))
    said = "24 of 24 videos share a person or a source clip with what the run was trained on"
    assert said in pathlib.Path(result.report).read_text()
    assert said in " ".join(capsys.readouterr().out.split())


def test_evaluation_of_another_split_scores_that_split(ran, run, tmp_path):
    result = evaluation.evaluate_run(Run(ran.workdir), ran.data.dir, "val", str(tmp_path / "val"))
    assert "val0" in (tmp_path / "val" / "scores.csv").read_text()
    assert "test0" not in (tmp_path / "val" / "scores.csv").read_text()
    assert result.report == str(tmp_path / "val" / "report.html")


def test_the_robustness_suite_scores_perturbed_crops_and_says_so(ran, run, tmp_path):
    page = robustness.stress_run(Run(ran.workdir), ran.data.dir, str(tmp_path), ("contrast", "post"), "crops")
    found = json.loads(pathlib.Path(page).with_suffix(".json").read_text())
    assert found["about"]["perturbed"] == "the stored crops, not whole frames"
    assert found["clean"]["value"] == run.summary["units"]["video"]["overall"]["metrics"]["auc"]["value"]
    clean, dark = (scores.read_csv(tmp_path / "scores" / f"{cell}.csv") for cell in ("clean", "contrast-5"))
    assert [row.video for row in clean] == [row.video for row in dark]
    assert [row.logit for row in clean] != [row.logit for row in dark]
    with pytest.raises(DataError, match="--frames crops"):  # these shards were made without videos
        robustness.stress_run(Run(ran.workdir), ran.data.dir, str(tmp_path / "videos"), ("blur",))


def test_thumbnails_are_the_frames_the_model_saw(tiny):
    split = clip_index.open_split(tiny.data.dir, "test")
    strip = evaluation.thumbnails(split, tiny.data, count=3)
    key, clip = str(split.table.video[0]), int(split.table.clip[0])
    score = types.SimpleNamespace(video=key, clip=clip, track=0, start=1)
    assert strip(score).shape == (tiny.data.size, 3 * tiny.data.size, 3)


def test_rows_are_every_non_empty_subset(tiny):
    tiny.model.branches = c.BRANCHES
    found = ablation.branches(tiny)
    assert list(found) == [
        "spatial", "temporal", "micro", "spatial+temporal", "spatial+micro", "temporal+micro", "spatial+temporal+micro",
    ]  # fmt: skip
    assert all("+".join(row.model.branches) == name for name, row in found.items())
    assert tiny.model.branches == c.BRANCHES
    tiny.model.system = "sequence"
    with pytest.raises(c.ConfigError, match="sequence has no branches"):
        ablation.branches(tiny)


def test_a_grid_is_every_combination(tiny):
    rows = ablation.grid(tiny, ["optim.lr=0.001,1", "model.branches=('spatial',),('spatial','micro')"])
    assert next(iter(rows)) == "optim.lr=0.001, model.branches=('spatial',)"
    assert [(row.optim.lr, len(row.model.branches)) for row in rows.values()] == [
        (0.001, 1), (0.001, 2), (1.0, 1), (1.0, 2),
    ]  # fmt: skip
    assert list(ablation.grid(tiny, ["evaluate.aggregate=max,mean_logit"])) == [
        "evaluate.aggregate=max", "evaluate.aggregate=mean_logit",
    ]  # fmt: skip


@pytest.mark.parametrize("axis", ["optim.rate=1,2", "optim.lr", "optim.lr=a,b", "train.steps=0.5", "optim.ema=2"])
def test_an_axis_that_makes_no_sense_is_refused(tiny, axis):
    with pytest.raises(c.ConfigError, match=axis.partition("=")[0]):
        ablation.grid(tiny, [axis])


def test_cells_are_rows_times_seeds_each_in_its_folder(tiny):
    rows = {"a + b": tiny, "c": dataclasses.replace(tiny, model=c.Model(system="sequence"))}
    found = ablation.seeded(rows, (0, 1), "root")
    assert [(name, cell.seed) for name, cell in found.items()] == [
        ("a + b seed 0", 0), ("a + b seed 1", 1), ("c seed 0", 0), ("c seed 1", 1),
    ]  # fmt: skip
    assert [pathlib.Path(cell.workdir).name for cell in found.values()] == [
        "a-b-seed0",
        "a-b-seed1",
        "c-seed0",
        "c-seed1",
    ]
    assert list(ablation.seeded(rows, (5,), "root")) == ["a + b", "c"]
    assert tiny.seed == 0


@pytest.mark.slow
def test_a_system_without_branches_trains_reports_and_predicts(tiny, tmp_path, monkeypatch):
    tiny.model.system, tiny.model.sequence = "sequence", c.Sequence(cell="gru", batch_norm=True)
    root = tmp_path / "table"
    cells = ablation.seeded({"cnn + gru": tiny}, (0,), str(root))
    run = cells["cnn + gru"].workdir
    text = pathlib.Path(ablation.run(cells, str(root))).read_text()
    assert "GFLOPs per window" in text
    assert [text.count("cnn + gru")] * 3 == [
        (root / f"ablation.{ending}").read_text().count("cnn + gru") for ending in ("json", "csv", "html")
    ]
    cost = json.loads((root / "ablation.json").read_text())["table"]["rows"]["cnn + gru"]["cost"]
    assert cost["parameters"] == state.count(Run(run).best().weights["params"])
    assert min(cost["flops"], cost["windows_per_second"]) > 0
    assert "Classification report" in pathlib.Path(run, "report", "report.html").read_text()


@pytest.mark.slow
def test_an_ablation_keeps_what_is_finished_and_survives_a_failure(tiny, tmp_path, monkeypatch):
    real, calls = experiment.run, []

    def failing(config):
        calls.append(config.seed)
        if config.seed == 1:
            raise RuntimeError("no more memory")
        return real(config)

    monkeypatch.setattr(ablation.experiment, "run", failing)
    cells = ablation.seeded(ablation.branches(tiny), (0, 1), str(tmp_path / "table"))
    path = pathlib.Path(ablation.run(cells, str(tmp_path / "table")))
    assert "spatial seed 0" in path.read_text()
    for file in (path, path.with_suffix(".html"), path.with_suffix(".json")):
        assert "RuntimeError: no more memory" in file.read_text()
    monkeypatch.setattr(ablation.cost, "measure", None)  # what was measured once is read
    ablation.run(cells, str(tmp_path / "table"))
    assert calls == [0, 1, 1]


def test_an_ablation_of_which_nothing_worked_is_an_error(tiny, tmp_path, monkeypatch):
    def failing(config):
        raise DataError("no data")

    monkeypatch.setattr(ablation.experiment, "run", failing)
    with pytest.raises(DataError, match="no cell of the ablation"):
        ablation.run({"one": tiny}, str(tmp_path))


def test_a_wrong_cell_stops_an_ablation_before_it_trains(tiny, tmp_path, monkeypatch):
    wrong = dataclasses.replace(tiny, model=c.Model(system="oracle"))
    monkeypatch.setattr(ablation.experiment, "run", None)
    with pytest.raises(c.ConfigError, match=r"model\.system=oracle"):
        ablation.run({"right": tiny, "wrong": wrong}, str(tmp_path))


def test_how_real_faces_move_is_learnt_from_real_videos_of_train_and_val_alone(ran, tmp_path, monkeypatch):
    """Of these shards the fakes flicker, by 80 levels from frame to frame."""
    opened, seen = [], []
    open_split, motion = clip_index.open_split, real_motion.motion

    def watched(frames, landmarks):
        seen.append(np.abs(np.diff(frames.astype(float), axis=0)).mean())
        return motion(frames, landmarks)

    monkeypatch.setattr(clip_index, "open_split", lambda data, split: opened.append(split) or open_split(data, split))
    monkeypatch.setattr(real_motion, "motion", watched)
    kept = Run(ran.workdir).motion
    again = references.learn_motion(Run(ran.workdir), ran.data.dir)
    assert opened == ["train", "val"]
    assert len(seen) == 8 + 4
    assert max(seen) < 40
    assert len(kept.usual) == 4
    np.testing.assert_array_equal(again.usual, kept.usual)


def test_frames_that_lie_apart_teach_no_motion(ran, tmp_path, monkeypatch):
    ran.faces.sampling = "uniform"
    monkeypatch.setattr(checkpoint, "describe_best", lambda _: (ran, 4, {}))
    run = Run(tmp_path)
    with pytest.raises(DataError, match="no motion to learn"):
        references.learn_motion(run, ran.data.dir)
    assert run.motion is None
