import numpy as np
import pytest

from fusion_dfd.evaluation import metrics
from fusion_dfd.evaluation.summary import summarise
from fusion_dfd.runs import external_scores


def test_mean_and_spread_over_runs(make):
    summaries = [summarise(make.table(seed=seed, skill=1.0), bootstrap=0) for seed in range(3)]
    got = external_scores.spread(summaries)
    assert list(got) == list(metrics.METRICS)
    values = [summary["units"]["video"]["overall"]["metrics"]["auc"]["value"] for summary in summaries]
    want = {
        "n": 3,
        "mean": np.mean(values),
        "deviation": np.std(values, ddof=1),
        "low": min(values),
        "high": max(values),
    }
    assert got["auc"] == pytest.approx(want)
    assert external_scores.cell(got["auc"]) == f"{np.mean(values):.3f} ± {np.std(values, ddof=1):.3f} (3)"


def test_runs_without_the_metric_do_not_count(make):
    whole = summarise(make.table(), bootstrap=0)
    blind = summarise([row for row in make.table() if row.label], bootstrap=0)
    one = external_scores.spread([whole, blind])["auc"]
    assert (one["n"], one["deviation"]) == (1, None)
    assert external_scores.cell(one) == f"{one['mean']:.3f} (1)"
    assert external_scores.cell(external_scores.spread([blind])["auc"]) == "undefined"
