"""Protocols: the right videos in each row, and a reason in each row that stays empty."""

import dataclasses
import json
import pathlib

import pytest

from fusion_dfd import config as c
from fusion_dfd.evaluation import summary
from fusion_dfd.runs import protocols
from fusion_dfd.runs.protocols import PROTOCOLS, Row, Submission
from fusion_dfd.types import DataError

OPTIONS = c.Evaluate(bootstrap=20)


def _trained_on(excluded=(), groups=(), sets=("faceforensics/c23",), methods=("Deepfakes", "FaceSwap")):
    part = {"sets": list(sets), "methods": sorted(set(methods) - set(excluded)), "groups": list(groups)}
    return {"train": part, "val": {**part, "groups": []}, "excluded": list(excluded)}


def _moved(rows, dataset: str, compression: str = "c23"):
    """The rows as of another data set."""
    changes = {"dataset": dataset, "compression": compression}
    return [
        dataclasses.replace(
            row, video="/".join((dataset, row.method, compression, row.video.split("/")[-1])), **changes
        )
        for row in rows
    ]


@pytest.fixture
def ff(make):
    return _moved(make.table(pairs=4, skill=2.0), "faceforensics")


@pytest.mark.parametrize("name", PROTOCOLS)
def test_every_protocol_can_be_read_and_filled(name, ff, tmp_path):
    assert PROTOCOLS[name].text(name).startswith(f"{name}: ")
    run = Submission("run", ff, trained_on=_trained_on(), options=OPTIONS)
    lines = protocols.fill(PROTOCOLS[name], [run])
    assert lines
    for line in lines:
        assert (line.summary is None) == bool(line.absent)
        assert protocols.TRAINED not in line.row.title
    path = protocols.publish(str(tmp_path), name, [run])
    text = pathlib.Path(path).read_text()
    assert all(line.row.title in text for line in lines)
    assert len(json.loads(pathlib.Path(path).with_suffix(".json").read_text())) == len(lines)


def test_a_row_holds_its_manipulations_and_all_reals(ff):
    run = Submission("run", ff, trained_on=_trained_on(), options=OPTIONS)
    whole, *each = protocols.fill(PROTOCOLS["in_dataset"], [run])
    assert whole.summary["units"]["video"] == summary.summarise(ff, bootstrap=20)["units"]["video"]
    assert [line.row.methods for line in each] == [("Deepfakes",), ("Face2Face",), ("FaceSwap",), ("NeuralTextures",)]
    for line in each:
        assert line.summary["units"]["video"]["overall"]["counts"]["real"] == 8
        assert line.summary["units"]["video"]["overall"]["counts"]["fake"] == 8


def test_cross_dataset_fills_what_is_there_and_says_what_is_not(ff, make):
    celeb = _moved(make.table(pairs=3, seed=1), "celebdf_v2", "")
    lost = summary.Unscored("celebdf_v2/original//x", "celebdf_v2", "original", "", "x", 0, "faceless", "no face")
    run = Submission("run", [*ff, *celeb], [lost], _trained_on(), options=OPTIONS)
    lines = {line.row.title: line for line in protocols.fill(PROTOCOLS["cross_dataset"], [run])}
    assert lines["faceforensics c23"].summary["unscored"]["real"] == 0
    assert lines["celebdf_v2"].summary["unscored"]["real"] == 1
    assert lines["celebdf_v2"].summary["units"]["video"]["overall"]["counts"]["rows"] == 30
    assert "fusion-dfd prepare --dataset dfd --compression c23" in lines["dfd c23"].absent
    assert lines["faceforensics c23, FaceShifter"].absent == "no test videos of FaceShifter"
    table = protocols.as_markdown("cross_dataset", list(lines.values()))
    assert "| celebdf_v2 | run | 6 + 24 | 1 + 0 |" in table


def test_compressions_stay_apart(ff, make):
    c40 = _moved(make.table(pairs=4, skill=0.5), "faceforensics", "c40")
    lines = protocols.fill(
        PROTOCOLS["cross_compression"], [Submission("run", [*ff, *c40], trained_on=_trained_on(), options=OPTIONS)]
    )
    assert [line.row.compression for line in lines] == ["raw", "c23", "c40"]
    assert "--compression raw" in lines[0].absent
    got = [line.summary["units"]["video"]["overall"]["counts"]["rows"] for line in lines[1:]]
    assert got == [40, 40]


def test_unseen_manipulations_want_runs_that_left_them_out(ff):
    runs = [
        Submission(f"without {method}", ff, trained_on=_trained_on(excluded=[method]), options=OPTIONS)
        for method in ("Deepfakes", "FaceSwap")
    ]
    lines = protocols.fill(PROTOCOLS["leave_one_out"], runs)
    assert [(line.row.methods[0], line.run, bool(line.summary)) for line in lines] == [
        ("Deepfakes", "without Deepfakes", True),
        ("Face2Face", "-", False),
        ("FaceSwap", "without FaceSwap", True),
        ("NeuralTextures", "-", False),
    ]
    assert "--config.data.exclude_methods=Face2Face" in lines[1].absent


def test_shared_people_are_said_in_the_row(ff):
    run = Submission("run", ff, trained_on=_trained_on(groups=["faceforensics/000", "other/002"]), options=OPTIONS)
    (line, *_) = protocols.fill(PROTOCOLS["in_dataset"], [run])
    assert "10 of 40 videos share a person or a source clip with what the run was trained on" in line.warnings[0]
    assert line.warnings[0] in protocols.as_markdown("in_dataset", [line])


def test_one_class_is_no_row(ff):
    fakes = [row for row in ff if row.label]
    (line, *_) = protocols.fill(
        PROTOCOLS["in_dataset"], [Submission("run", fakes, trained_on=_trained_on(), options=OPTIONS)]
    )
    assert line.absent == "only fake test videos"


def test_without_facts_the_custom_of_the_field_is_taken(ff):
    rows = protocols.expand(PROTOCOLS["leave_one_out"], Submission("theirs", []))
    assert {row.methods[0] for row in rows} == {"Deepfakes", "Face2Face", "FaceSwap", "NeuralTextures"}
    assert protocols.expand(PROTOCOLS["cross_dataset"], Submission("theirs", ff))[0] == Row("faceforensics", "c23")


def test_leave_one_out_makes_a_run_for_each_manipulation():
    base = c.Config(name="fusion", data=c.Data(dir="shards"))
    cells = protocols.leave_one_out(base, ("Deepfakes", "FaceSwap"))
    assert list(cells) == ["without Deepfakes", "without FaceSwap"]
    assert [cell.data.exclude_methods for cell in cells.values()] == [("Deepfakes",), ("FaceSwap",)]
    assert len({cell.validate().workdir for cell in cells.values()}) == 2
    assert base.data.exclude_methods == ()


def test_names_are_as_short_as_tells_them_apart():
    assert protocols.short_names(["/a/x/", "/a/y"]) == ["x", "y"]
    assert protocols.short_names(["/a/x/run", "/a/y/run"]) == ["x-run", "y-run"]
    with pytest.raises(DataError, match="given twice"):
        protocols.short_names(["/a/x", "/a/x/"])


def test_several_data_sets_are_compared_with_one_another(ff, make, tmp_path):
    celeb = _moved(make.table(pairs=3, seed=1), "celebdf_v2", "")
    run = Submission("run_1", [*ff, *celeb], trained_on=_trained_on(), options=OPTIONS)
    path = pathlib.Path(protocols.publish(str(tmp_path), "cross_dataset", [run]))
    text = path.read_text()
    assert "#### AUC of the real videos of a row against the fakes of a column: run_1" in text
    assert "| real videos of | celebdf_v2 | faceforensics c23 |" in text.replace(
        "faceforensics c23 | celebdf_v2", "x"
    ) or ("| real videos of | faceforensics c23 | celebdf_v2 |" in text)
    found = json.loads((tmp_path / "cross_dataset-cross.json").read_text())["run_1"]
    lines = {line.row.title: line for line in protocols.fill(PROTOCOLS["cross_dataset"], [run])}
    within = {(entry["real"], entry["fake"]): entry["auc"] for entry in found["auc"]}
    for name in ("celebdf_v2", "faceforensics c23"):
        usual = lines[name].summary["units"]["video"]["overall"]["metrics"]["auc"]["value"]
        assert within[name, name] == pytest.approx(usual)
    assert len(within) == len(found["rates"]) - 2 == 4
    latex = path.with_suffix(".tex").read_text()
    assert r"celebdf\_v2 & run\_1 & 6 + 24" in latex
    assert "absent" not in latex


def test_one_data_set_is_compared_with_none(ff, tmp_path):
    run = Submission("run", ff, trained_on=_trained_on(), options=OPTIONS)
    text = pathlib.Path(protocols.publish(str(tmp_path), "in_dataset", [run])).read_text()
    assert "#### AUC" not in text
    assert not list(tmp_path.glob("*-cross.json"))


def test_scenarios_of_celebdf_are_rows(make):
    rows = [row for row in make.table(pairs=3) if row.method in ("original", "Deepfakes")]
    rows = [dataclasses.replace(row, method="Celeb-DF") if row.label else row for row in rows]
    run = Submission("run", _moved(rows, "celebdf_pp", ""), options=OPTIONS)
    titles = {line.row.title: line.absent for line in protocols.fill(PROTOCOLS["celebdf_pp"], [run])}
    assert list(titles) == [
        "celebdf_pp",
        *(f"celebdf_pp, {name}" for name in ("FaceSwap", "FaceReenact", "TalkingFace")),
    ]
    assert titles["celebdf_pp"] == ""
    assert titles["celebdf_pp, FaceReenact"].startswith("no test videos of DaGAN, ")
