import numpy as np
import pytest

from fusion_dfd.evaluation import evaluate, metrics, seeds


def test_mean_and_spread_over_runs(make):
    summaries = [evaluate.summarise(make.table(seed=seed, skill=1.0), bootstrap=0) for seed in range(3)]
    got = seeds.spread(summaries)
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
    assert seeds.cell(got["auc"]) == f"{np.mean(values):.3f} ± {np.std(values, ddof=1):.3f} (3)"


def test_runs_without_the_metric_do_not_count(make):
    whole = evaluate.summarise(make.table(), bootstrap=0)
    blind = evaluate.summarise([row for row in make.table() if row.label], bootstrap=0)
    one = seeds.spread([whole, blind])["auc"]
    assert (one["n"], one["deviation"]) == (1, None)
    assert seeds.cell(one) == f"{one['mean']:.3f} (1)"
    assert seeds.cell(seeds.spread([blind])["auc"]) == "undefined"
