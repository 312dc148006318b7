"""The classification report against scikit-learn's on the rows themselves."""

import numpy as np
import pytest
from sklearn.metrics import classification_report

from fusion_dfd.evaluation import scores
from fusion_dfd.evaluation.summary import summarise
from fusion_dfd.reports import sections


def test_counts_give_what_the_rows_give(make):
    rows = make.table(skill=1.0)
    summary = summarise(rows, bootstrap=0)
    videos = scores.videos(rows)
    truth, called = [v.label for v in videos], [int(v.probability > 0.5) for v in videos]
    want = classification_report(truth, called, target_names=["real", "fake"], output_dict=True)
    got = sections.classes(summary["units"]["video"]["overall"]["confusion"])
    assert got == {name: want[name] for name in ("real", "fake", "macro avg", "weighted avg")}
    shown = dict(
        zip(("real", "fake", "macro avg", "weighted avg"), sections.classification(summary)["rows"], strict=True)
    )
    assert shown["fake"] == ["fake", *(f"{want['fake'][name]:.3f}" for name in sections.COLUMNS[:-1]), "32"]


def test_nothing_called_fake_has_no_precision():
    got = sections.classes({"tn": 3, "fp": 0, "fn": 2, "tp": 0})
    assert np.isnan(got["fake"]["precision"])
    assert got["macro avg"]["precision"] == pytest.approx(0.6)


def test_videos_without_a_matrix_have_no_report(make):
    summary = summarise([make.score(float("nan")), make.score(1.0, "FaceSwap", "001_000")], bootstrap=0)
    assert sections.classification(summary) is None
