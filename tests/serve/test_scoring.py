"""What is said of a run with every verdict."""

import dataclasses
import pathlib
import types

import pytest

from fusion_dfd.config import Config
from fusion_dfd.predict import warnings
from fusion_dfd.runs.run import Run
from fusion_dfd.serve import scoring


def facts(run, calibration=None):
    """Of a detector of a run."""
    rules = types.SimpleNamespace(calibration=calibration)
    known = types.SimpleNamespace(digest="d" * 64)
    return scoring.gather("usual", types.SimpleNamespace(run=run, rules=rules, config=Config(), facts=known))


@dataclasses.dataclass
class Calibration:
    threshold: float = 0.7
    abstain: tuple = (0.6, 0.8)


def trained(folder, *sets: str) -> Run:
    part = {"sets": list(sets), "methods": [], "groups": []}
    run = Run(folder)
    run.save_training_data({"train": part, "val": part, "excluded": []})
    return run


@pytest.mark.parametrize(
    ("sets", "rendered"),
    [(["sample/c23"], True), (["sample/c23", "faceforensics/c23"], False), (["samples/raw"], False)],
)
def test_rendered_training_data_are_named_as_such(tmp_path, sets, rendered):
    found = facts(trained(tmp_path, *sets), Calibration())
    assert (warnings.RENDERED in found.notices) is rendered
    assert scoring.EVIDENCE in found.notices
    assert len(found.notices) == 1 + rendered
    assert found.trained_on == tuple(sets)


def test_a_run_that_does_not_say_what_it_was_trained_on_says_that(tmp_path):
    found = facts(Run(tmp_path), Calibration())
    assert found.notices == (scoring.EVIDENCE, warnings.UNKNOWN)


def test_threshold_and_abstention_band_are_the_calibration_s(tmp_path):
    run = trained(tmp_path, "faceforensics/c23")
    calibrated = facts(run, Calibration())
    assert (calibrated.threshold, calibrated.abstention) == (0.7, (0.6, 0.8))
    plain = facts(run)
    assert (plain.threshold, plain.abstention) == (0.5, None)
    assert warnings.UNCALIBRATED in plain.notices


def test_no_path_of_the_machine_is_shown(tmp_path):
    run = tmp_path / "secret" / "fusion"
    run.mkdir(parents=True)
    found = facts(Run(f"{run}/"))
    assert found.run == "fusion"
    assert "secret" not in str(found)
    assert pathlib.Path(found.run).name == found.run


def test_the_name_is_the_operator_s_and_the_digest_that_of_the_records(tmp_path):
    found = facts(Run(tmp_path))
    assert (found.name, found.digest) == ("usual", "d" * 64)
