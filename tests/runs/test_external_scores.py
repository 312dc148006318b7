"""Tables of other people's scores: what is enough, what is refused with a sentence, and the statistics of several."""

import dataclasses
import json
import pathlib

import numpy as np
import pytest
from sklearn import metrics as sk

from fusion_dfd import config as c
from fusion_dfd.evaluation import metrics, score_table, scores
from fusion_dfd.evaluation.summary import Unscored, summarise
from fusion_dfd.reports import comparison, evaluation_page
from fusion_dfd.runs import external_scores
from fusion_dfd.types import DataError

OPTIONS = c.Evaluate(bootstrap=50)


def _file(folder, text: str, name: str = "theirs.csv"):
    path = folder / name
    path.write_text(text)
    return path


def test_three_columns_are_enough(tmp_path):
    found = score_table.read_table(
        _file(tmp_path, "Video, label, score\na.mp4,real,0.25\nb.mp4,FAKE,0.75\nc.mp4,1,1\nd,0,0\n")
    )
    assert [(row.video, row.label) for row in found.scores] == [
        ("scores/original//a.mp4", 0), ("scores/fake//b.mp4", 1), ("scores/fake//c.mp4", 1), ("scores/original//d", 0)
    ]  # fmt: skip
    assert scores.probability([row.logit for row in found.scores]) == pytest.approx([0.25, 0.75, 1, 0])
    assert np.isfinite([row.logit for row in found.scores]).all()
    assert "no column group" in found.remarks[0]
    assert summarise(found.scores, bootstrap=0)["units"]["video"]["overall"]["metrics"]["auc"]["value"] == 1.0


def test_statistics_of_such_a_table_are_scikit_learn_s(tmp_path, rng):
    y, p = np.arange(50) % 2, rng.random(50).round(2)
    lines = [f"v{n},{label},{score}" for n, (label, score) in enumerate(zip(y, p, strict=True))]
    found = score_table.read_table(_file(tmp_path, "\n".join(["video,label,probability", *lines])))
    block = summarise(found.scores, bootstrap=0)["units"]["video"]["overall"]["metrics"]
    assert block["auc"]["value"] == pytest.approx(sk.roc_auc_score(y, p))
    assert block["ap"]["value"] == pytest.approx(sk.average_precision_score(y, p))
    assert block["log_loss"]["value"] == pytest.approx(sk.log_loss(y, np.clip(p, 2e-16, 1 - 2e-16)), rel=0.05)


@pytest.mark.parametrize("suffix", ["csv", pytest.param("parquet", marks=pytest.mark.extras)])
def test_our_own_tables_are_read_as_they_are(tmp_path, make, suffix):
    clips, path = make.table(clips=3), tmp_path / f"scores.{suffix}"
    if suffix == "parquet":
        pytest.importorskip("pyarrow")
        scores.write_parquet(path, clips)
    else:
        scores.write_csv(path, clips)
    found = score_table.read_table(path)
    assert found.scores == clips
    assert (found.unscored, found.remarks) == ([], [])
    videos = scores.videos(clips)
    path = scores.write_csv(tmp_path / "videos.csv", videos, scores.VideoScore)
    again = scores.videos(score_table.read_table(path).scores)
    assert [row.video for row in again] == [row.video for row in videos]
    assert [row.probability for row in again] == pytest.approx([row.probability for row in videos])


def test_rows_without_a_score_count_at_a_half(tmp_path):
    text = "video,label,logit,reason\na,0,-1,\nb,1,2,\nc,1,,no face\nd,0,nan,\n"
    found = score_table.read_table(_file(tmp_path, text))
    assert [(row.video, row.label, row.kind, row.reason) for row in found.unscored] == [
        ("scores/fake//c", 1, "failed", "no face")
    ]
    assert np.isnan(found.scores[-1].logit)
    summary = summarise(found.scores[:2], unscored=found.unscored, bootstrap=0)
    assert summary["units"]["video_with_unscored"]["overall"]["counts"]["rows"] == 3


def test_clips_of_a_video_are_aggregated(tmp_path):
    text = "video,label,logit,clip,group\na,0,-1,0,g\na,0,1,1,g\nb,1,2,0,g\n"
    videos = scores.videos(score_table.read_table(_file(tmp_path, text)).scores)
    assert [(row.windows, row.probability) for row in videos] == [(2, 0.5), (1, pytest.approx(scores.probability(2.0)))]


def test_anyone_s_windows_may_say_how_many_of_their_frames_are_forged(tmp_path):
    """Those that are not consecutive do not count, nor those whose frames have no label of their own."""
    lines = ["a,0,0.4,0,0,8,,0", "b,1,0.3,0,0,8,,0", "b,1,0.9,1,8,16,1,3", "b,1,0.1,2,16,24,0,8", "c,1,0.2,0,0,8,1,"]
    text = "\n".join(["video,label,score,clip,start,stop,contiguous,forged", *lines])
    found = score_table.read_table(_file(tmp_path, text)).scores
    assert [(row.stop, row.contiguous, row.forged) for row in found] == [
        (8, 1, 0), (8, 1, 0), (16, 1, 3), (24, 0, 8), (8, 1, -1)
    ]  # fmt: skip
    block = summarise(found, bootstrap=0)["stretches"]
    assert (block["partial"], block["segment_auc"]["rows"], block["segment_auc"]["value"]) == (1, 3, 1)


def test_methods_that_share_file_names(tmp_path):
    rows = "000_003,1,0.9,Deepfakes\n000_003,1,0.1,FaceSwap\n000,0,0.2,original\n"
    apart = score_table.read_table(_file(tmp_path, "video,label,score,method\n" + rows))
    assert len(scores.videos(apart.scores)) == 3
    with pytest.raises(DataError, match=r"1 videos occur more than once .*000_003.*add the column method"):
        score_table.read_table(_file(tmp_path, "video,label,score,name\n" + rows))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "lacks the column video and label; it has none"),
        ("video,score\na,0.5\n", "lacks the column label; it has video, score"),
        ("video,label\na,0\n", "exactly one column of logit, score, probability"),
        ("video,label,score,logit\na,0,1,1\n", "exactly one column"),
        ("video,label,score\na,2,0.5\n", "row 1: label is '2', want 0 or real, 1 or fake"),
        ("video,label,score\na,0,0.5\nb,1,1.5\n", "row 2: score is 1.5, want 0..1; name the column logit"),
        ("video,label,score\na,0,high\n", "row 1: score is 'high', want float"),
        ("video,label,score,clip\na,0,0.5,x\n", "row 1: clip is 'x', want int"),
        ("video,label,score\na,0\n", "row 1: 2 values where 3 belong"),
        ("video,label,score\n,0,0.5\n", "row 1: video is empty"),
        ("video,label,score,contiguous\na,0,0.5,2\n", "row 1: contiguous is 2, want 1, or 0"),
        ("video,label,score,forged\na,1,0.5,3\n", "row 1: forged is 3, but start 0 and stop 0 are no frames"),
        ("video,label,score,stop,forged\na,1,0.5,8,9\n", "row 1: forged is 9, want at most 8, the frames"),
        ("video,label,score,stop,forged\na,0,0.5,8,1\n", "row 1: forged is 1, want at most 0, .* 0 of a real video"),
        ("video,label,score\na,0,\n", "no row with a score"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, text, words):
    path = _file(tmp_path, text)
    with pytest.raises(DataError, match=words) as caught:
        score_table.read_table(path)
    assert str(path) in str(caught.value)


def test_files_that_are_no_tables(tmp_path):
    with pytest.raises(DataError, match=r"cannot read scores from .*no\.csv"):
        score_table.read_table(tmp_path / "no.csv")
    (tmp_path / "video.csv").write_bytes(b"\x00\xff\xfe\x80")
    with pytest.raises(DataError, match="not a CSV table"):
        score_table.read_table(tmp_path / "video.csv")


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
    assert external_scores.spread_cell(got["auc"]) == f"{np.mean(values):.3f} ± {np.std(values, ddof=1):.3f} (3)"


def test_runs_without_the_metric_do_not_count(make):
    whole = summarise(make.table(), bootstrap=0)
    blind = summarise([row for row in make.table() if row.label], bootstrap=0)
    one = external_scores.spread([whole, blind])["auc"]
    assert (one["n"], one["deviation"]) == (1, None)
    assert external_scores.spread_cell(one) == f"{one['mean']:.3f} (1)"
    assert external_scores.spread_cell(external_scores.spread([blind])["auc"]) == "undefined"


def test_the_folder_of_a_report_brings_the_videos_without_a_score(tmp_path, make):
    lost = [Unscored("ff/original/c23/x/y", "ff", "original", "c23", "g", 0, "faceless", "no face")]
    rows = make.table()
    evaluation_page.write(tmp_path, summarise(rows, unscored=lost, bootstrap=0), rows)
    table = score_table.read_table(tmp_path)
    assert (table.scores, table.unscored) == (rows, lost)
    (tmp_path / "metrics.json").unlink()
    with pytest.raises(
        DataError, match=r"metrics\.json does not say which videos have no score, or which .*give scores\.csv"
    ):
        score_table.read_table(tmp_path)


def test_a_score_file_of_dfwb_is_written_and_read_again(tmp_path, make):
    """Its header and a row, as its contract C5 has them."""
    lost = [
        Unscored("ff/original/c23/x", "ff", "original", "c23", "g", 0, "faceless", "no face"),
        Unscored("ff/FaceSwap/c23/y", "ff", "FaceSwap", "c23", "g", 1, "failed", "unreadable"),
    ]
    rows = make.table()
    evaluation_page.write(tmp_path / "report", summarise(rows, unscored=lost, bootstrap=0), rows)
    external_scores.rescore([str(tmp_path / "report")], str(tmp_path / "out"), c.Evaluate(bootstrap=0), dfwb=True)
    path = tmp_path / "out" / "report" / "report.scores.csv"
    header, first, *_, missing, error = path.read_text().splitlines()
    assert header == "dataset,key,compression,label,score,status,method,n_clips"
    assert first.startswith("ff,original/000,c23,0,0.")
    assert first.endswith(",ok,original,2")
    assert missing == "ff,original/x,c23,0,,missing,original,"
    assert error == "ff,FaceSwap/y,c23,1,,error,FaceSwap,"
    table = score_table.read_table(path)
    wanted = {row.video: row.probability for row in scores.videos(rows)}
    assert {row.video: scores.probability(row.logit) for row in table.scores} == pytest.approx(wanted)
    assert [(row.video, row.reason) for row in table.unscored] == [
        ("ff/original/c23/x", "dfwb says missing"),
        ("ff/FaceSwap/c23/y", "dfwb says error"),
    ]
