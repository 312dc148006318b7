"""From shards to a report, a table of branches, and a verdict about a file, at a size that takes seconds."""

import dataclasses
import json
import pathlib

import pytest

from fusion_dfd import config as c
from fusion_dfd.shards import table
from fusion_dfd.training import ablation, checkpoint, experiment, state
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


def test_a_system_without_branches_trains_reports_and_predicts(tiny, tmp_path, monkeypatch):
    tiny.model.system, tiny.model.sequence = "sequence", c.Sequence(cell="gru", batch_norm=True)
    root = tmp_path / "table"
    cells = ablation.seeded({"cnn + gru": tiny}, (0,), str(root))
    run = cells["cnn + gru"].workdir
    text = pathlib.Path(ablation.run(cells, str(root))).read_text()
    assert "GFLOPs a clip" in text
    assert [text.count("cnn + gru")] * 3 == [
        (root / f"ablation.{ending}").read_text().count("cnn + gru") for ending in ("json", "csv", "html")
    ]
    cost = json.loads((root / "ablation.json").read_text())["table"]["rows"]["cnn + gru"]["cost"]
    assert cost["parameters"] == state.count(checkpoint.load_best(run).weights["params"])
    assert min(cost["flops"], cost["clips_per_second"]) > 0
    assert "Classification report" in pathlib.Path(run, "report", "report.html").read_text()
    monkeypatch.setattr(predict, "extract", lambda *a, **k: _Found([face_track(5, 0)]))
    assert 0 < predict.load(run).predict("any.mp4").probability < 1


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
