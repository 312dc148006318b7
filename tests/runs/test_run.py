"""A run folder as its owner reads it: what is absent, what is kept, what belongs together."""

import json
import pathlib

import pytest

from fusion_dfd import config as c
from fusion_dfd.evaluation import calibrate, scores
from fusion_dfd.runs import run as module
from fusion_dfd.runs.run import Run
from fusion_dfd.training import checkpoint
from fusion_dfd.types import DataError

TRAINED_ON = {"train": {"sets": [], "methods": [], "groups": []}, "excluded": []}
TRAINED_ON["val"] = TRAINED_ON["train"]


@pytest.fixture
def run(tmp_path, monkeypatch) -> Run:
    """A folder whose best weights are of step 4."""
    monkeypatch.setattr(checkpoint, "describe_best", lambda folder: (c.Config(name="known"), 4, {"auc": 0.5}))
    return Run(tmp_path / "fusion")


def _calibration(make, step: int) -> calibrate.Calibration:
    return calibrate.fit(scores.videos(make.table()), c.Evaluate(), "shards", step)


def test_what_a_folder_does_not_hold_is_none(run):
    absent = (run.calibration, run.familiarity, run.motion, run.training_data, run.verified)
    assert absent == (None,) * 5
    assert (run.summary, run.scores, run.model_card, run.log, run.files()) == (None, None, None, [], [])
    assert (run.name, run.is_exported, run.config.name, run.step) == ("fusion", False, "known", 4)


def test_what_is_saved_is_known_at_once_and_to_the_next_reader(run, make):
    assert run.calibration is None
    fitted = _calibration(make, 4)
    run.save_calibration(fitted)
    run.save_training_data(TRAINED_ON)
    again = Run(run.folder)
    assert run.calibration == again.calibration == fitted
    assert run.training_data == again.training_data == TRAINED_ON
    assert again.files() == [module.CALIBRATION, module.TRAINING_DATA]


def test_a_calibration_of_other_weights_is_refused(run, make):
    calibrate.save(_calibration(make, 3), run.path(module.CALIBRATION))
    with pytest.raises(DataError, match="fitted to step 3, the best checkpoint is of step 4"):
        _ = run.calibration


def test_the_report_is_read_where_the_experiment_writes_it(run, make):
    rows = make.table()
    scores.write_csv(pathlib.Path(run.report, "scores.csv"), rows)
    pathlib.Path(run.report, "metrics.json").write_text(json.dumps({"threshold": 0.5}))
    pathlib.Path(run.report, "model_card.md").write_text("# card")
    assert (run.scores, run.summary, run.model_card) == (rows, {"threshold": 0.5}, "# card")
    assert pathlib.Path(run.page).parent == pathlib.Path(run.report) == pathlib.Path(run.folder, "report")


def test_a_report_of_an_earlier_version_has_its_units_under_todays_names(run):
    path = pathlib.Path(run.report, "metrics.json")
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"units": {"video": 1, "clip": 2}}))
    assert run.summary == {"units": {"video": 1, "window": 2}}


def test_a_folder_without_weights_says_what_to_give(tmp_path):
    with pytest.raises(DataError, match="holds no checkpoints/best; give the folder that fusion-dfd train printed"):
        Run(tmp_path).best()


def test_an_exported_folder_is_not_changed(tmp_path, make):
    (tmp_path / module.VERIFIED).write_text("{}")
    with pytest.raises(DataError, match="never changed"):
        Run(tmp_path).save_calibration(_calibration(make, 4))
    assert not (tmp_path / module.CALIBRATION).exists()
