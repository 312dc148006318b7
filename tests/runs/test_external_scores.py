"""Tables of other people's scores: what is enough, and what is refused with a sentence."""

import numpy as np
import pytest
from sklearn import metrics as sk

from fusion_dfd.evaluation import scores
from fusion_dfd.evaluation.summary import summarise
from fusion_dfd.runs import external_scores
from fusion_dfd.types import DataError


def _file(folder, text: str, name: str = "theirs.csv"):
    path = folder / name
    path.write_text(text)
    return path


def test_three_columns_are_enough(tmp_path):
    found = external_scores.read(
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
    found = external_scores.read(_file(tmp_path, "\n".join(["video,label,probability", *lines])))
    block = summarise(found.scores, bootstrap=0)["units"]["video"]["overall"]["metrics"]
    assert block["auc"]["value"] == pytest.approx(sk.roc_auc_score(y, p))
    assert block["ap"]["value"] == pytest.approx(sk.average_precision_score(y, p))
    assert block["log_loss"]["value"] == pytest.approx(sk.log_loss(y, np.clip(p, 2e-16, 1 - 2e-16)), rel=0.05)


@pytest.mark.parametrize("suffix", ["csv", pytest.param("parquet", marks=pytest.mark.extras)])
def test_our_own_tables_are_read_as_they_are(tmp_path, make, suffix):
    clips, path = make.table(clips=3), tmp_path / f"scores.{suffix}"
    if suffix == "parquet":
        pytest.importorskip("pyarrow")
        scores.write(path, clips)
    else:
        scores.write_csv(path, clips)
    found = external_scores.read(path)
    assert found.scores == clips
    assert (found.unscored, found.remarks) == ([], [])
    videos = scores.videos(clips)
    path = scores.write_csv(tmp_path / "videos.csv", videos, scores.VideoScore)
    again = scores.videos(external_scores.read(path).scores)
    assert [row.video for row in again] == [row.video for row in videos]
    assert [row.probability for row in again] == pytest.approx([row.probability for row in videos])


def test_rows_without_a_score_count_at_a_half(tmp_path):
    text = "video,label,logit,reason\na,0,-1,\nb,1,2,\nc,1,,no face\nd,0,nan,\n"
    found = external_scores.read(_file(tmp_path, text))
    assert [(row.video, row.label, row.kind, row.reason) for row in found.unscored] == [
        ("scores/fake//c", 1, "failed", "no face")
    ]
    assert np.isnan(found.scores[-1].logit)
    summary = summarise(found.scores[:2], unscored=found.unscored, bootstrap=0)
    assert summary["units"]["video_with_unscored"]["overall"]["counts"]["rows"] == 3


def test_clips_of_a_video_are_aggregated(tmp_path):
    text = "video,label,logit,clip,group\na,0,-1,0,g\na,0,1,1,g\nb,1,2,0,g\n"
    videos = scores.videos(external_scores.read(_file(tmp_path, text)).scores)
    assert [(row.clips, row.probability) for row in videos] == [(2, 0.5), (1, pytest.approx(scores.probability(2.0)))]


def test_methods_that_share_file_names(tmp_path):
    rows = "000_003,1,0.9,Deepfakes\n000_003,1,0.1,FaceSwap\n000,0,0.2,original\n"
    apart = external_scores.read(_file(tmp_path, "video,label,score,method\n" + rows))
    assert len(scores.videos(apart.scores)) == 3
    with pytest.raises(DataError, match=r"1 videos occur more than once .*000_003.*add the column method"):
        external_scores.read(_file(tmp_path, "video,label,score,name\n" + rows))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "lacks the column video and label; it has none"),
        ("video,score\na,0.5\n", "lacks the column label; it has video, score"),
        ("video,label\na,0\n", "just one column of logit, score, probability"),
        ("video,label,score,logit\na,0,1,1\n", "just one column"),
        ("video,label,score\na,2,0.5\n", "row 1: label is '2', want 0 or real, 1 or fake"),
        ("video,label,score\na,0,0.5\nb,1,1.5\n", "row 2: score is 1.5, want 0..1; name the column logit"),
        ("video,label,score\na,0,high\n", "row 1: score is 'high', want float"),
        ("video,label,score,clip\na,0,0.5,x\n", "row 1: clip is 'x', want int"),
        ("video,label,score\na,0\n", "row 1: 2 values where 3 belong"),
        ("video,label,score\n,0,0.5\n", "row 1: video is empty"),
        ("video,label,score\na,0,\n", "no row with a score"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, text, words):
    path = _file(tmp_path, text)
    with pytest.raises(DataError, match=words) as caught:
        external_scores.read(path)
    assert str(path) in str(caught.value)


def test_files_that_are_no_tables(tmp_path):
    with pytest.raises(DataError, match=r"cannot read scores from .*no\.csv"):
        external_scores.read(tmp_path / "no.csv")
    (tmp_path / "video.csv").write_bytes(b"\x00\xff\xfe\x80")
    with pytest.raises(DataError, match="not a CSV table"):
        external_scores.read(tmp_path / "video.csv")
