"""A summary: right rows in every unit, JSON-able, and honest where something is undefined."""

import csv
import dataclasses
import io
import json

import numpy as np
import pytest
from rich.console import Console

from fusion_dfd.evaluation import metrics, scores
from fusion_dfd.evaluation.bootstrap import Difference
from fusion_dfd.evaluation.summary import Unscored, summarise
from fusion_dfd.reports import comparison, terminal
from fusion_dfd.types import ORIGINAL, DataError


def _labels(rows):
    return [row.label for row in rows]


def test_units_are_measured_over_their_own_rows(make):
    clips = make.table(clips=3)
    frames = [dataclasses.replace(row, logit=row.logit + row.frame % 3) for row in make.frames(clips)]
    summary = summarise(clips, frames, bootstrap=20)
    videos = scores.videos(clips)
    want = {
        "video": metrics.compute(_labels(videos), [row.probability for row in videos]),
        "window": metrics.compute(_labels(clips), scores.probability([row.logit for row in clips])),
        "frame": metrics.compute(_labels(frames), scores.probability([row.logit for row in frames])),
    }
    assert list(summary["units"]) == list(want)
    for name, values in want.items():
        block = summary["units"][name]["overall"]
        assert {metric: entry["value"] for metric, entry in block["metrics"].items()} == values
        few = block["metrics"].pop("tpr_at_01_fpr")
        assert (few["low"], few["note"]) == (None, f"{block['counts']['real']} real rows, 1000 are needed")
        assert all(entry["low"] <= entry["high"] for entry in block["metrics"].values())
    assert summary["units"]["video"]["overall"]["counts"] == {"rows": 40, "real": 8, "fake": 32, "groups": 4}
    assert summary["units"]["frame"]["overall"]["counts"]["rows"] == 40 * 3 * 3


def test_each_method_meets_all_reals(make):
    clips = make.table()
    summary = summarise(clips, bootstrap=0)
    assert list(summary["units"]["video"]["methods"]) == sorted(make.methods)
    for method, block in summary["units"]["video"]["methods"].items():
        videos = [row for row in scores.videos(clips) if row.method in (ORIGINAL, method)]
        assert block["counts"] == {"rows": 16, "real": 8, "fake": 8, "groups": 4}
        assert (
            block["metrics"]["auc"]["value"] == metrics.compute(_labels(videos), [r.probability for r in videos])["auc"]
        )


def test_methods_of_several_sets_meet_the_reals_of_their_own(make):
    clips = make.table()
    other = [
        dataclasses.replace(row, dataset="celeb", video=row.video.replace("ff", "celeb"), logit=row.logit + 50)
        for row in clips
    ]
    blocks = summarise(clips + other, bootstrap=0)["units"]["video"]["methods"]
    alone = summarise(clips, bootstrap=0)["units"]["video"]["methods"]
    assert set(blocks) == {f"{name}/c23/{method}" for name in ("ff", "celeb") for method in make.methods}
    for method in make.methods:
        assert blocks[f"ff/c23/{method}"]["metrics"] == alone[method]["metrics"]


def test_groups_of_two_sets_are_not_one_group(make):
    rows = [make.score(0.1), make.score(0.2, dataset="celeb", video="celeb/original/c23/000")]
    assert summarise(rows, bootstrap=0)["units"]["video"]["overall"]["counts"]["groups"] == 2


def test_further_faces_do_not_count(make):
    clips = make.table()
    extra = [dataclasses.replace(row, track=1, logit=-row.logit) for row in clips]
    assert summarise(clips + extra, bootstrap=10) == summarise(clips, bootstrap=10)


def test_unscored_videos_are_counted_and_drawn_at_a_half(make):
    clips = make.table()
    lost = [
        Unscored("ff/original/c23/090", "ff", ORIGINAL, "c23", "090", 0, "faceless", "no face"),
        Unscored("ff/FaceSwap/c23/090_091", "ff", "FaceSwap", "c23", "090", 1, "failed", "truncated"),
        Unscored("ff/FaceSwap/c23/091_090", "ff", "FaceSwap", "c23", "090", 1, "failed", "truncated"),
    ]
    summary = summarise(clips, unscored=lost, bootstrap=10)
    videos = scores.videos(clips)
    want = metrics.compute([*_labels(videos), 0, 1, 1], [*(row.probability for row in videos), 0.5, 0.5, 0.5])
    block = summary["units"]["video_with_unscored"]
    assert block["overall"]["metrics"]["auc"]["value"] == want["auc"]
    assert block["methods"]["FaceSwap"]["counts"]["fake"] == 10
    assert (summary["unscored"]["real"], summary["unscored"]["fake"]) == (1, 2)
    assert summary["unscored"]["videos"][0]["reason"] == "no face"
    assert summary["units"]["video"] == summarise(clips, bootstrap=10)["units"]["video"]


def test_curves_count_every_video(make):
    block = summarise(make.table(), bootstrap=0, threshold=0.4)["units"]["video"]["overall"]
    confusion, recall = block["confusion"], block["metrics"]["recall"]["value"]
    assert confusion["tn"] + confusion["fp"] == 8
    assert confusion["tp"] / (confusion["tp"] + confusion["fn"]) == recall
    assert sum(entry["count"] for entry in block["reliability"]) == 40
    assert sum(block["histogram"]["real"]) == 8
    assert sum(block["histogram"]["fake"]) == 32
    roc = block["roc"]
    assert (roc["fpr"][0], roc["tpr"][0], roc["fpr"][-1], roc["tpr"][-1]) == (0, 0, 1, 1)
    ece = sum(e["count"] * abs(e["probability"] - e["fakes"]) for e in block["reliability"] if e["count"]) / 40
    assert ece == pytest.approx(block["metrics"]["ece"]["value"])


def test_long_roc_curves_are_thinned_but_keep_their_ends(make):
    rows = [make.score(np.sin(n), ("original", "FaceSwap")[n % 2], f"{n:04d}") for n in range(3000)]
    roc = summarise(rows, bootstrap=0)["units"]["video"]["overall"]["roc"]
    assert len(roc["fpr"]) <= 400
    assert (roc["fpr"][0], roc["tpr"][0], roc["fpr"][-1], roc["tpr"][-1]) == (0, 0, 1, 1)


@pytest.mark.parametrize(
    ("rows", "note"),
    [
        (lambda make: [row for row in make.table() if row.label], "no real rows"),
        (lambda make: [row for row in make.table() if not row.label], "no fake rows"),
        (lambda make: [*make.table(), make.score(np.nan, name="099")], "1 of 41 scores are NaN"),
    ],
)
def test_what_is_undefined_is_said(make, rows, note):
    summary = summarise(rows(make), bootstrap=20)
    auc = summary["units"]["video"]["overall"]["metrics"]["auc"]
    assert auc == {"value": None, "low": None, "high": None, "note": note}
    json.dumps(summary, allow_nan=False)
    text = _printed(summary)
    assert f"undefined over {len(scores.videos(rows(make)))} videos" in text
    assert note in text


def test_why_there_is_no_interval_is_said(make):
    one_group = [dataclasses.replace(row, group="all") for row in make.table()]
    auc = summarise(one_group, bootstrap=20)["units"]["video"]["overall"]["metrics"]["auc"]
    assert auc["value"] is not None
    assert auc["low"] is None
    assert "1 group, too few" in auc["note"]
    none = summarise(make.table(), bootstrap=0)["units"]["video"]["overall"]["metrics"]["auc"]
    assert "no resamples" in none["note"]


def test_json_round_trip_and_reproducible(make):
    summary = summarise(make.table(), make.frames(make.table()), bootstrap=20)
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary
    assert summarise(make.table(), make.frames(make.table()), bootstrap=20) == summary


def test_scores_that_cannot_be_evaluated(make):
    with pytest.raises(DataError, match="no scores"):
        summarise([])
    with pytest.raises(DataError, match="unknown label"):
        summarise([make.score(0.0, label=-1)], bootstrap=0)


def _printed(summary) -> str:
    console = Console(file=io.StringIO(), width=140)
    terminal.print_summary(summary, console)
    return console.file.getvalue()


def test_terminal_tables_hold_every_metric_and_method(make):
    text = _printed(summarise(make.table(), bootstrap=20))
    for name in [*(metric.title for metric in metrics.METRICS.values()), *make.methods, "Video AUC 1.000"]:
        assert name in text


def test_comparison(make):
    strong, weak = (summarise(make.table(skill=skill), bootstrap=20) for skill in (4, 1))
    del weak["units"]["video"]["methods"]["FaceSwap"]
    blind = summarise([row for row in make.table() if row.label], bootstrap=20)
    found = comparison.comparison({"fusion": strong, "a|b": weak, "blind": blind})
    header, _, first, second, third = found.markdown.splitlines()
    auc = strong["units"]["video"]["overall"]["metrics"]["auc"]
    assert header.split(" | ")[2:] == ["Deepfakes", "Face2Face", "FaceSwap", "NeuralTextures |"]
    assert f"**{auc['value']:.3f} [{auc['low']:.3f}, {auc['high']:.3f}]**" in first
    assert "a\\|b" in second
    assert " - " in second
    assert "**" not in second
    assert third.count("undefined") == 5
    assert found.table["rows"]["fusion"]["overall"] == auc
    assert found.table["rows"]["a|b"]["methods"]["FaceSwap"] is None
    json.dumps(found.table, allow_nan=False)


def test_comparison_of_costs_and_further_metrics(make):
    strong, blind = make.table(), [row for row in make.table() if row.label]
    summaries = {"a, <b>": summarise(strong, bootstrap=0), "blind": summarise(blind, bootstrap=0)}
    costs = {"a, <b>": comparison.Cost(31_505_325, 2.5e9, 12.34)}
    found = comparison.comparison(summaries, also=("accuracy", "f1"), costs=costs)
    assert found.header[2:7] == ["Accuracy", "F1", "parameters", "GFLOPs per window", "windows per second"]
    assert found.rows[0][4:7] == ["31,505,325", "2.5", "12.3"]
    assert found.rows[1][4:7] == ["-", "-", "-"]
    read = list(csv.DictReader(io.StringIO(found.csv)))
    metrics_of = summaries["a, <b>"]["units"]["video"]["overall"]["metrics"]
    assert read[0]["run"] == "a, <b>"
    assert float(read[0]["f1"]) == metrics_of["f1"]["value"]
    assert float(read[0]["flops"]) == 2.5e9
    assert float(read[0]["auc/FaceSwap"]) == 1.0
    assert (read[1]["auc"], read[1]["parameters"]) == ("", "")
    page = comparison.page(found, ["c failed: <x>"], reports={"a, <b>": "a b/report.html"})
    assert '<a href="a%20b/report.html">a, &lt;b&gt;</a>' in page
    assert "c failed: &lt;x&gt;" in page


def test_comparison_with_the_first_row(make):
    strong, weak = (summarise(make.table(skill=skill), bootstrap=0) for skill in (4, 1))
    against = {"weak": Difference(-0.25, -0.31, -0.2, 0.004)}
    found = comparison.comparison({"strong": strong, "weak": weak}, against=against)
    assert found.header[2] == "minus the first [95% interval], p"
    assert [row[2] for row in found.rows] == ["-", "-0.250 [-0.310, -0.200], 0.004"]
    first, second = csv.DictReader(io.StringIO(found.csv))
    assert (first["auc_minus_first"], float(second["auc_minus_first"])) == ("", -0.25)


def test_comparison_prefers_low_errors(make):
    strong, weak = (summarise(make.table(skill=skill), bootstrap=0) for skill in (4, 1))
    found = comparison.comparison({"strong": strong, "weak": weak}, metric="eer")
    assert found.best == {"strong"}
    assert "**" in found.markdown.splitlines()[2]
    assert "**" not in found.markdown.splitlines()[3]


def test_calls_are_counted_by_what_the_data_set_says(make):
    """Threshold 0.5: a logit above 0 is called fake."""
    rows = [make.score(logit, name=f"{n:03d}") for n, logit in enumerate((1.0, -1.0, -2.0))]
    rows.append(make.score(2.0, "Deepfakes", "009"))
    facts = {row.video: {"language": "en" if n % 3 < 2 else "es"} for n, row in enumerate(rows)}
    found = summarise(rows, bootstrap=0, attributes=facts | {"another": {"language": "fr"}})["by"]
    assert found == {
        "language": {
            "en": {"real": 2, "fake": 1, "false_alarms": 0.5, "recall": 1.0},
            "es": {"real": 1, "fake": 0, "false_alarms": 0.0, "recall": None},
        }
    }
    assert summarise(rows, bootstrap=0)["by"] == {}
