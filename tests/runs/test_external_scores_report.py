import dataclasses
import json
import pathlib

import numpy as np
import pytest

from fusion_dfd import config as c
from fusion_dfd.evaluation import metrics, scores
from fusion_dfd.reports import comparison
from fusion_dfd.runs import external_scores
from fusion_dfd.types import DataError

OPTIONS = c.Evaluate(bootstrap=50)


def _tables(folder, make, count: int = 2) -> list[str]:
    return [
        scores.write_csv(folder / f"run{n}" / "scores.csv", make.table(pairs=6, seed=n, skill=1.0 + 2 * n))
        for n in range(count)
    ]


def test_one_table_gives_a_report(tmp_path, make):
    (path,) = external_scores.rescore(_tables(tmp_path, make, 1), str(tmp_path / "out"), OPTIONS)
    assert path == str(tmp_path / "out" / "scores" / "report.html")
    summary = json.loads(pathlib.Path(path).with_name("metrics.json").read_text())
    assert summary["rule"] == "mean_probability"
    videos = scores.videos(make.table(pairs=6, skill=1.0))
    want = metrics.compute([row.label for row in videos], [row.probability for row in videos])
    assert summary["units"]["video"]["overall"]["metrics"]["auc"]["value"] == want["auc"]


def test_two_tables_are_compared_in_pairs(tmp_path, make):
    *_, path = external_scores.rescore(_tables(tmp_path, make), str(tmp_path / "out"), OPTIONS)
    text = pathlib.Path(path).read_text()
    assert "run1-scores against run0-scores" in text
    assert "60 videos in 6 groups" in text
    found = json.loads(pathlib.Path(path).with_suffix(".json").read_text())["pairs"]["run1-scores"]
    assert found["differences"]["auc"]["value"] > 0
    assert found["delong"]["p"] < 0.05
    assert "corrected" not in text
    page = pathlib.Path(path).with_suffix(".html").read_text()
    for words in ("ROC curves", "DET curves", "Precision over recall", "60 videos that all of them have"):
        assert words in page
    assert f"{found['differences']['auc']['value']:+.4f}" in page
    assert "http" not in page


def test_videos_of_one_table_alone_are_counted_and_left_out(tmp_path, make):
    rows = scores.videos(make.table(pairs=4))
    pair = external_scores.compare(rows, [*rows[:30], dataclasses.replace(rows[0], video="ff/original/c23/x")], 20)
    assert (pair.videos, pair.left_out) == (30, (10, 1))
    assert pair.differences["auc"].value == 0.0


def test_where_delong_has_no_answer_the_rest_stands(make):
    rows = scores.videos(make.table(pairs=4))
    few = [row for row in rows if row.label == 1] + [row for row in rows if row.label == 0][:1]
    pair = external_scores.compare(few, few, 20)
    assert pair.delong is None
    assert "two real and two fake" in pair.note
    assert pair.differences["auc"].value == 0.0


def test_several_comparisons_say_that_they_are_several(tmp_path, make):
    *_, path = external_scores.rescore(_tables(tmp_path, make, 3), str(tmp_path / "out"), OPTIONS)
    text = pathlib.Path(path).read_text()
    assert text.count("against run0-scores") == 2
    assert "2 comparisons were made: no p-value is corrected" in text


def test_seeds_are_averaged(tmp_path, make):
    paths = _tables(tmp_path, make, 3)
    *_, path = external_scores.rescore(paths, str(tmp_path / "out"), OPTIONS, of_seeds=True)
    assert path.endswith("seeds.md")
    found = json.loads(pathlib.Path(path).with_suffix(".json").read_text())["metrics"]["auc"]
    folders = [tmp_path / "out" / f"run{n}-scores" / "metrics.json" for n in range(3)]
    values = [json.loads(f.read_text())["units"]["video"]["overall"]["metrics"]["auc"]["value"] for f in folders]
    assert (found["n"], found["mean"]) == (3, pytest.approx(np.mean(values)))


def test_a_table_given_twice_is_refused(tmp_path, make):
    path = _tables(tmp_path, make, 1)[0]
    with pytest.raises(DataError, match="given twice"):
        external_scores.rescore([path, path], str(tmp_path / "out"), OPTIONS)


def test_tables_fill_a_protocol(tmp_path, make):
    paths = _tables(tmp_path, make)
    path = external_scores.by_protocol(paths, str(tmp_path / "out"), OPTIONS, "cross_dataset")
    text = pathlib.Path(path).read_text()
    assert text.count("absent: no test videos: fusion-dfd prepare --dataset celebdf_v2") == 2
    assert "run1-scores" in text


def test_a_page_without_curves_says_why(make):
    fakes = [row for row in scores.videos(make.table()) if row.label]
    assert "the common videos lack a class" in comparison.paired_page({"a": fakes, "b": fakes}, [])


def test_curves_are_over_common_videos_alone(make):
    rows = scores.videos(make.table(pairs=4, skill=1.0))
    whole = metrics.compute([row.label for row in rows], [row.probability for row in rows])["auc"]
    part = metrics.compute([row.label for row in rows[:25]], [row.probability for row in rows[:25]])["auc"]
    page = comparison.paired_page({"a": rows, "b": rows[:25]}, [])
    assert page.count(f"AUC {part:.3f}") == 2
    assert f"AUC {whole:.3f}" not in page
