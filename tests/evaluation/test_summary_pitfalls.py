"""One planted mistake of each kind that flatters detectors, and who catches it.

A detector that cheats is scored honestly only if nothing here passes unseen; the parts are tested where they belong.
"""

import dataclasses
import json

import numpy as np
import pytest

from fusion_dfd import config as c
from fusion_dfd.datasets import splits
from fusion_dfd.evaluation import calibrate, evaluate, metrics, score_table, scores, training_data
from fusion_dfd.evaluation.summary import summarise
from fusion_dfd.faces.video import VideoInfo
from fusion_dfd.quality import check
from fusion_dfd.quality.probe_files import Probe
from fusion_dfd.shards import clip_index, plan
from fusion_dfd.types import DataError, Video


def _videos(count: int = 12) -> list[Video]:
    """A real and a fake video of each person; two thirds of the people in train."""
    out = []
    for n in range(count):
        split = "test" if n % 3 == 0 else "train"
        for method in ("original", "Deepfakes"):
            label = int(method != "original")
            out.append(Video(f"{n}", f"/d/{method}/{n}.mp4", label, "toy", method, "", split, f"p{n}", f"{n}"))
    return out


def test_a_person_in_two_splits_stops_the_preparation(tmp_path):
    videos = _videos()
    assert splits.findings(videos) == []
    leak = dataclasses.replace(videos[2], group="p0")  # of train, now one person with a video of test
    with pytest.raises(DataError, match="1 groups lie in more than one split: toy/p0"):
        plan.make([*videos[:2], leak, *videos[3:]], str(tmp_path), c.Faces(), "toy")


def test_a_source_clip_in_two_splits_stops_the_preparation(tmp_path):
    videos = _videos()
    leak = dataclasses.replace(videos[3], source="0")
    with pytest.raises(DataError, match="source clips lie in more than one split"):
        plan.make([*videos[:3], leak, *videos[4:]], str(tmp_path), c.Faces(), "toy")


def test_people_shared_with_another_preparation_are_said_beside_the_numbers(make):
    """Splits drawn anew after training: no list of videos holds both, only the run's own record does."""
    rows = make.table(pairs=4)
    columns = {name: np.array([getattr(row, name) for row in rows]) for name in ("dataset", "compression", "group")}
    columns |= {"method": np.array([row.method for row in rows]), "label": np.array([row.label for row in rows])}
    empty = {name: np.zeros(len(rows), np.int64) for name in clip_index.COLUMNS if name not in columns}
    trained = clip_index.ClipTable(**columns, **empty)
    moved = [dataclasses.replace(row, group=row.group.replace("00", "50")) for row in rows]
    assert training_data.warnings(training_data.describe(trained, [trained]), moved) == []
    found = training_data.warnings(
        training_data.describe(trained, [trained]), [*moved, make.score(0.0, name="900", group="002")]
    )
    assert "1 of 41 videos share a person or a source clip with what the run was trained on (e.g. ff/002)" in found[0]
    assert "selected and calibrated on" in found[1]


@pytest.mark.parametrize(("encoded", "warned"), [(False, False), (True, True)])
def test_a_class_that_was_encoded_anew_is_warned_of(tmp_path, monkeypatch, capsys, encoded, warned):
    videos = _videos(36)
    rng = np.random.default_rng(0)

    def look(paths, *_):
        fakes = [path.startswith("/d/Deepfakes") for path in paths]
        codecs = ["hevc" if encoded and fake else "h264" for fake in fakes]
        sizes = rng.integers(90_000, 110_000, len(paths))
        return [
            Probe(VideoInfo(300, 25.0, 640, 480, codec, 0), path, size=int(size))
            for path, codec, size in zip(paths, codecs, sizes, strict=True)
        ]

    monkeypatch.setattr(check.probe_files, "probe_all", look)
    check.check(videos, str(tmp_path))
    said = "Codec alone tells the fakes from the real videos with an AUC of"
    assert (said in capsys.readouterr().out) == warned
    assert (said in (tmp_path / "check.html").read_text()) == warned


def test_file_names_shared_by_manipulations_do_not_become_one_video(tmp_path, make):
    """Four methods, one name: averaged into one video, the two that are missed would vanish."""
    rows = [make.score(logit, method, "000_003") for logit, method in zip((4, -4, 4, -4), make.methods, strict=True)]
    assert len(scores.videos(rows)) == 4
    named = [dataclasses.replace(row, video="000_003", clip=n) for n, row in enumerate(rows)]
    with pytest.raises(DataError, match="the windows of 000_003 disagree about dataset, method"):
        scores.videos(named)
    with pytest.raises(DataError, match="file name alone does not identify a video"):
        scores.videos(named[:1])
    lines = "".join(f"000_003,1,{row.logit},{n}\n" for n, row in enumerate(rows))
    (tmp_path / "a.csv").write_text("video,label,logit,n\n" + lines)
    with pytest.raises(DataError, match="add the column method"):
        score_table.read_table(tmp_path / "a.csv")


def test_videos_without_a_face_cannot_raise_a_score_by_being_left_out(tmp_path, make):
    clips = [row for row in make.table(pairs=6, skill=1.0) if not (row.label and row.logit < 0)]  # hard fakes lost
    lost = {row.video: row for row in make.table(pairs=6, skill=1.0)}
    kept = {row.video for row in clips}
    entries = [
        {"video": key, "path": "x", "split": "test", "label": row.label, "group": row.group, "reason": "no face"}
        for key, row in lost.items()
        if key not in kept
    ]
    (tmp_path / clip_index.MANIFEST).write_text(json.dumps({"failed": [], "faceless": entries}))
    summary = summarise(clips, unscored=evaluate.unscored(tmp_path, "test"), bootstrap=0)
    units = {name: unit["overall"]["metrics"]["auc"]["value"] for name, unit in summary["units"].items()}
    assert units["video_with_unscored"] < units["video"]
    assert summary["unscored"]["faceless"] == {"real": 0, "fake": len(entries)}
    assert len(entries) > 0


def test_a_threshold_does_not_follow_the_test_split(make):
    """Whatever the test scores are, calibration and threshold are those of val."""
    val = scores.videos(make.table(pairs=8, seed=1, skill=1.5))
    fitted = calibrate.fit(val, c.Evaluate(bootstrap=0))
    for shift in (-3.0, 0.0, 3.0):
        test = [dataclasses.replace(row, logit=row.logit + shift) for row in make.table(pairs=8, skill=1.5)]
        summary = summarise(test, bootstrap=0, calibration=fitted)
        assert summary["threshold"] == fitted.threshold
        videos = fitted.videos(scores.videos(test))
        want = metrics.compute([row.label for row in videos], [row.probability for row in videos], fitted.threshold)
        assert summary["units"]["video"]["overall"]["metrics"]["accuracy"]["value"] == want["accuracy"]
