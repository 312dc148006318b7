"""From shards to a report, a table of branches, and a verdict about a file, at a size that takes seconds."""

import dataclasses
import json
import pathlib

import pytest

from fusion_dfd import config as c
from fusion_dfd.shards import table
from fusion_dfd.training import ablation, experiment
from fusion_dfd.types import DataError


@pytest.fixture
def run(tiny) -> experiment.Result:
    return experiment.run(tiny)


def test_a_run_ends_with_a_report_on_the_test_split(tiny, run):
    page = pathlib.Path(run.report)
    assert page.parent == pathlib.Path(tiny.workdir, "report")
    scored = (page.parent / "scores.csv").read_text().splitlines()
    windows = 12 * (6 // tiny.data.frames)
    assert len(scored) == 1 + windows
    assert "test0" in scored[1]
    metrics = json.loads((page.parent / "metrics.json").read_text())
    assert metrics["units"]["video"]["overall"]["metrics"]["auc"]["value"] is not None
    assert "FaceSwap" in page.read_text()


def test_evaluation_of_another_split_scores_that_split(tiny, run, tmp_path):
    result = experiment.evaluate_run(tiny.workdir, tiny.data.dir, "val", str(tmp_path / "val"))
    assert "val0" in (tmp_path / "val" / "scores.csv").read_text()
    assert "test0" not in (tmp_path / "val" / "scores.csv").read_text()
    assert result.report == str(tmp_path / "val" / "report.html")


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
