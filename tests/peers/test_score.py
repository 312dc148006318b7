"""A detector of other people from shards to the report, in a process of its own."""

import json
import pathlib
import sys

import plain_shards
import pytest
from strange_peers import DIES, RAISES

from fusion_dfd import cli, config
from fusion_dfd.peers import score
from fusion_dfd.peers.worker import Setup
from fusion_dfd.runs import external_scores
from fusion_dfd.types import DataError

GREYS = {f"r{n}": (0, 30 + 10 * n) for n in range(5)} | {f"f{n}": (1, 100 + 10 * n) for n in range(5)}
OPTIONS = config.Evaluate(bootstrap=20)


def setup(peer: str, *folders: str, **changes) -> Setup:
    stated = tuple((name, str(value)) for name, value in changes.items())
    return Setup(f"strange_peers:{peer}", stated, folders, "test", 0, False)


def metrics(out) -> dict:
    return json.loads((pathlib.Path(out) / "metrics.json").read_text())


def test_the_report_is_that_of_a_run(tmp_path, capsys):
    folder = plain_shards.write(tmp_path / "shards", GREYS)
    done = score.score(setup("Bright", folder), str(tmp_path / "out"), OPTIONS, "newer_sets", own=False)
    assert (done.videos, done.failed) == (10, {})
    found = metrics(tmp_path / "out")
    assert found["units"]["video"]["overall"]["metrics"]["auc"]["value"] == 1
    assert found["units"]["frame"]["overall"]["counts"]["rows"] == 60
    page = pathlib.Path(done.reports[0]).read_text()
    assert "Not a detector of this package: strange_peers:Bright" in page
    assert "judging frames of 32 pixels, crops as they are stored, 5 at once; windows of 16 frames." in page
    assert pathlib.Path(done.reports[1]).name == "newer_sets.md"


def test_one_command_fills_the_table_of_four_sets(tmp_path, monkeypatch, capsys):
    """Stand-ins of four data sets: a row of numbers each, every pair of them compared, and false alarms by language."""
    names = ("df40", "deepfake_eval_2024", "fakeavceleb", "kodf")
    languages = {f"deepfake_eval_2024/original//r{n}": {"language": "en" if n < 4 else "es"} for n in range(5)}
    folders = [
        plain_shards.write(
            tmp_path / name, GREYS, name, attributes=languages if name.startswith("deepfake") else {},
        )
        for name in names
    ]  # fmt: skip
    done = score.score(setup("Bright", *folders), str(tmp_path / "out"), OPTIONS, "newer_sets", own=False)
    text = pathlib.Path(done.reports[1]).read_text()
    filled = [line.split("|")[1:6] for line in text.splitlines() if "5 + 5" in line]
    assert [row[0].strip() for row in filled] == list(names)
    assert text.count("| 100.0% |") == 4
    cross = json.loads((tmp_path / "out" / "newer_sets-cross.json").read_text())
    assert len(cross["strange_peers:Bright"]["auc"]) == 16
    assert metrics(tmp_path / "out")["by"] == {
        "language": {
            "en": {"real": 4, "fake": 0, "false_alarms": 0, "recall": None},
            "es": {"real": 1, "fake": 0, "false_alarms": 0, "recall": None},
        }
    }
    assert "By what the data set says of its videos" in pathlib.Path(done.reports[0]).read_text()


def test_forged_stretches_are_measured_as_those_of_a_run_and_again_by_rescore(tmp_path, capsys):
    """Frames 2 to 4 of six are forged. Frames in windows of two, and one clip of the frames 1 to 4."""
    reals = {f"r{n}": (0, 30 + 10 * n) for n in range(4)}
    folder = plain_shards.write(tmp_path / "shards", reals | {"f0": (1, 200), "f1": (1, 210)}, forged=(2, 5))
    outs = [str(tmp_path / name) for name in ("frames", "clips")]
    score.score(setup("Bright", folder, frames=2), outs[0], OPTIONS, own=False)
    score.score(setup("Clips", folder), outs[1], OPTIONS, own=False)
    frames, clips = (metrics(out)["stretches"] for out in outs)
    assert frames["spans"] == clips["spans"] == {f"plain/Deepfakes//f{n}": "2:5" for n in range(2)}
    # The window of frames 4 and 5 is half forged and below 0.5: found are 2 and 3, an overlap of 2 / 3.
    assert (frames["found"], frames["ap_50"], frames["ap_75"]) == (2, 1, 0)
    assert frames["frame_auc"]["value"] == frames["segment_auc"]["value"] == 1
    assert (frames["frame_auc"]["rows"], frames["segment_auc"]["rows"]) == (36, 18)
    # Found are 1 to 4, an overlap of 3 / 4. A forged frame is above the 16 real ones, and as high as the first of its
    # window; one video is above the other.
    assert (clips["found"], clips["ap_50"], clips["ap_75"], clips["segment_auc"]["value"]) == (2, 1, 1, 1)
    assert clips["frame_auc"]["value"] == pytest.approx((16 + 0.5 + 0.5) / 18)
    *_, page = external_scores.rescore(outs, str(tmp_path / "both"), OPTIONS)
    assert [metrics(tmp_path / "both" / name)["stretches"] for name in ("frames", "clips")] == [frames, clips]
    rows = [line.split(" | ") for line in pathlib.Path(page).read_text().splitlines() if line.endswith(" | 2 |")]
    assert [(row[0], *row[3:5]) for row in rows] == [("| frames", "1.000", "0.000"), ("| clips", "1.000", "1.000")]
    assert "Forged stretches" in pathlib.Path(page).with_suffix(".html").read_text()


def test_a_stopped_run_goes_on_and_a_finished_one_asks_no_more(tmp_path, monkeypatch):
    folder, out = plain_shards.write(tmp_path / "shards", GREYS), tmp_path / "out"
    score.score(setup("Bright", folder), str(out), OPTIONS, own=False)
    file = out / score.PREDICTIONS
    first = metrics(out)
    lines = file.read_text().splitlines(keepends=True)
    file.write_text("".join(lines[:4]) + lines[4][:10])
    asked = []
    real = score.worker.work
    monkeypatch.setattr(
        score.worker, "work", lambda setup, chunk, report: asked.append(chunk) or real(setup, chunk, report)
    )
    score.score(setup("Bright", folder), str(out), OPTIONS, own=False)
    assert [len(chunk.videos) for chunk in asked if chunk] == [7]
    assert metrics(out) == first
    assert sorted(file.read_text().splitlines()) == sorted("".join(lines).splitlines())
    asked.clear()
    score.score(setup("Bright", folder), str(out), OPTIONS, own=False)
    assert asked == [None]
    with pytest.raises(DataError, match=r"predictions.jsonl is of another changes, stated; choose another --out"):
        score.score(setup("Bright", folder, size=16), str(out), OPTIONS, own=False)


def test_a_detector_that_fails_on_everything_is_given_up(tmp_path):
    folder = plain_shards.write(tmp_path / "shards", {f"v{n}": (n % 2, RAISES) for n in range(40)})
    with pytest.raises(DataError, match=r"gave no score for any of 24 videos; the first: plain/original//v0: the det"):
        score.score(setup("Moody", folder), str(tmp_path / "out"), OPTIONS, own=False)


def test_a_video_in_two_folders_is_refused(tmp_path):
    folders = [plain_shards.write(tmp_path / name, GREYS) for name in "ab"]
    with pytest.raises(DataError, match="f0 is in two of the folders; give each data set once"):
        score.score(setup("Bright", *folders), str(tmp_path / "out"), OPTIONS, own=False)


@pytest.mark.slow
def test_a_video_that_kills_the_process_is_named_and_the_rest_goes_on(tmp_path, monkeypatch, capsys):
    """On the command line."""
    folder = plain_shards.write(tmp_path / "shards", GREYS | {"bad": (0, RAISES), "deadly": (1, DIES)})
    out = tmp_path / "out"
    monkeypatch.setattr(sys, "argv", ["fusion-dfd"])
    with pytest.raises(SystemExit) as stopped:
        cli.run("score", ["--detector=strange_peers:Moody", f"--data={folder}", f"--out={out}"])
    assert stopped.value.code == 0, capsys.readouterr().err
    assert "10 videos scored, 2 failed" in capsys.readouterr().out
    found = metrics(out)
    reasons = {row["video"].rpartition("/")[2]: row["reason"] for row in found["unscored"]["videos"]}
    assert reasons == {
        "bad": "the detector raised RuntimeError: no such picture",
        "deadly": "the process of the detector died or hung",
    }
    assert found["units"]["video"]["overall"]["counts"] == {"rows": 10, "real": 5, "fake": 5, "groups": 10}
