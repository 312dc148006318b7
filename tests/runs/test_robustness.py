"""The table of the robustness suite: right means, kept cells, and refusals."""

import dataclasses
import json
import pathlib
import re

import numpy as np
import pytest

from fusion_dfd import config as c
from fusion_dfd.evaluation import metrics, perturb, scores
from fusion_dfd.runs import robustness
from fusion_dfd.types import DataError

OPTIONS = c.Evaluate(bootstrap=30)
ABOUT = {"run": "r", "seed": 0}


def _score(make):
    """Scores that get worse with the level."""
    return lambda name, level: make.table(pairs=5, clips=1, seed=len(name), skill=2.5 - level / 3)


def _auc(rows) -> float:
    videos = scores.videos(rows)
    return metrics.compute([row.label for row in videos], [row.probability for row in videos])["auc"]


def test_means_are_over_levels_and_published_types(tmp_path, make):
    names = ("blur", "noise", "post")
    cells = robustness.score_cells(str(tmp_path), ABOUT, names, _score(make), lambda cell: None)
    assert list(cells) == ["clean", *(f"{name}-{level}" for name, level in perturb.cells(names))]
    found = robustness.table(cells, OPTIONS)
    want = {name: [_auc(cells[f"{name}-{level}"]) for level in range(1, 6)] for name in ("blur", "noise")}
    for name, values in want.items():
        assert [entry["value"] for entry in found["types"][name]["levels"]] == pytest.approx(values)
        assert found["types"][name]["mean"]["value"] == pytest.approx(np.mean(values))
    assert found["mean"]["value"] == pytest.approx(np.mean([*want["blur"], *want["noise"]]))
    assert found["clean"]["value"] == _auc(cells["clean"])
    assert len(found["types"]["post"]["levels"]) == 1
    for entry in (found["clean"], found["mean"], found["types"]["blur"]["mean"]):
        assert entry["low"] <= entry["value"] <= entry["high"]


def test_the_page_holds_the_table(tmp_path, make):
    cells = robustness.score_cells(str(tmp_path), ABOUT, ("blur", "post"), _score(make), lambda cell: None)
    found = robustness.table(cells, OPTIONS)
    page = pathlib.Path(robustness.write(str(tmp_path), found, ABOUT)).read_text()
    for entry in [found["clean"], *found["types"]["blur"]["levels"], found["mean"]]:
        assert f"{entry['value']:.3f}" in page
    assert perturb.CHAINS["post"].title in page
    assert "http" not in page
    assert json.loads((tmp_path / "robustness.json").read_text())["mean"] == found["mean"]
    assert (tmp_path / "robustness.md").read_text().count("|") > 30


def test_a_report_holds_what_suites_of_its_weights_found(tmp_path, make):
    rows = make.table(pairs=2, clips=1)
    found = robustness.table({"clean": rows, **{f"blur-{n}": rows for n in range(1, 6)}}, OPTIONS)
    for name, step in (("a", 3), ("b", 3), ("c", 4)):
        robustness.write(str(tmp_path / name), found, ABOUT | {"data": name, "step": step})
    suites = robustness.of_run(str(tmp_path), 3)
    assert [suite.about.split("; ")[2] for suite in suites] == ["data: a", "data: b"]
    plots = "".join(suite.plot for suite in suites)
    assert len(set(ids := re.findall(r' id="([^"]+)"', plots))) == len(ids) > 0
    assert robustness.of_run(str(tmp_path), 5) == []
    (tmp_path / "a" / "robustness.json").write_text("{")
    with pytest.raises(DataError, match=r"a/robustness\.json cannot be read"):
        robustness.of_run(str(tmp_path), 3)


def test_a_stopped_suite_continues(tmp_path, make):
    asked = []

    def score(name, level):
        asked.append((name, level))
        if (name, level) == ("blur", 3) and asked.count(("blur", 3)) == 1:
            raise DataError("stopped")
        return _score(make)(name, level)

    with pytest.raises(DataError, match="stopped"):
        robustness.score_cells(str(tmp_path), ABOUT, ("blur",), score, lambda cell: None)
    robustness.score_cells(str(tmp_path), ABOUT, ("blur",), score, lambda cell: None)
    assert asked == [("clean", 0), ("blur", 1), ("blur", 2), ("blur", 3), ("blur", 3), ("blur", 4), ("blur", 5)]


def test_what_does_not_fit_is_refused(tmp_path, make):
    with pytest.raises(DataError, match="no perturbation is called rain"):
        robustness.score_cells(str(tmp_path), ABOUT, ("rain",), _score(make))
    cells = robustness.score_cells(str(tmp_path), ABOUT, ("post",), _score(make), lambda cell: None)
    with pytest.raises(DataError, match=r"another suite \(seed=0, now 1\)"):
        robustness.score_cells(str(tmp_path), ABOUT | {"seed": 1}, ("post",), _score(make))
    cells["post-1"] = cells["post-1"][1:]
    with pytest.raises(DataError, match="cell post-1 holds other videos"):
        robustness.table(cells, OPTIONS)


def test_scores_of_one_class_have_no_auc(tmp_path, make):
    rows = [dataclasses.replace(row, label=1) for row in make.table(pairs=2, clips=1)]
    found = robustness.table({"clean": rows, "post-1": rows, **{f"blur-{n}": rows for n in range(1, 6)}}, OPTIONS)
    assert found["clean"] == {"value": None, "low": None, "high": None}
    assert found["mean"]["value"] is None
    assert robustness.table({"clean": rows, "post-1": rows}, OPTIONS)["mean"] is None
    assert "undefined" in pathlib.Path(robustness.write(str(tmp_path), found, ABOUT)).read_text()
    assert "undefined" in robustness.as_markdown(found, ABOUT)
