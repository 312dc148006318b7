"""The classification report against scikit-learn's on the rows themselves."""

import numpy as np
import pytest
from sklearn.metrics import classification_report

from fusion_dfd.evaluation import classification, evaluate, scores


def test_counts_give_what_the_rows_give(make):
    rows = make.table(skill=1.0)
    summary = evaluate.summarise(rows, bootstrap=0)
    videos = scores.videos(rows)
    truth, called = [v.label for v in videos], [int(v.probability > 0.5) for v in videos]
    want = classification_report(truth, called, target_names=["real", "fake"], output_dict=True)
    got = classification.classes(summary["units"]["video"]["overall"]["confusion"])
    assert got == {name: want[name] for name in ("real", "fake", "macro avg", "weighted avg")}
    page = classification.section(summary)
    assert f"{want['fake']['f1-score']:.3f}" in page
    assert "macro avg" in page


def test_nothing_called_fake_has_no_precision():
    got = classification.classes({"tn": 3, "fp": 0, "fn": 2, "tp": 0})
    assert np.isnan(got["fake"]["precision"])
    assert got["macro avg"]["precision"] == pytest.approx(0.6)


def test_videos_without_a_matrix_have_no_report(make):
    summary = evaluate.summarise([make.score(float("nan")), make.score(1.0, "FaceSwap", "001_000")], bootstrap=0)
    assert classification.section(summary) == ""
