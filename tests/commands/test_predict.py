"""What ``fusion-dfd predict`` prints where pages are asked for."""

import functools
import json
import pathlib
import types

import pytest

from fusion_dfd.commands import predict
from fusion_dfd.explain import listing, page
from fusion_dfd.predict import bulk, detector, record, signing, warnings
from fusion_dfd.predict.verdict import Verdict, VerdictRules

BY = record.DetectorFacts("mine", 7, "0" * 64, "1" * 64, "2" * 64, None, None, "mtcnn")
OPTIONS = {"clips": 16, "engine": "jax", "tracks": "max"}


@pytest.fixture
def run(monkeypatch, tmp_path):
    """``run(words, **flags)``: exit code of the command, whose detector finds no face anywhere."""

    def write(loaded, path, directory, told):
        assert loaded.given == ("RUN", 16, "auto", "max")
        kept = record.make(record.FileFacts(None, None), None, BY, record.ThresholdFacts(0.5), OPTIONS, [])
        pathlib.Path(page.place(directory, path)).write_text("")
        return Verdict(path, "none", None, (), "no face found", record=kept), page.place(directory, path)

    rules = VerdictRules(None, "mean_probability", None, "max", (warnings.NO_RUN, warnings.UNCALIBRATED))
    loaded = functools.partial(types.SimpleNamespace, rules=rules, run=None, facts=BY, options=OPTIONS)
    monkeypatch.setattr(detector, "load", lambda *given: loaded(given=given))
    monkeypatch.setattr(page, "write", write)
    (tmp_path / "out").mkdir()

    def made(words, **flags):
        values = {
            "checkpoint": "RUN",
            "clips": 16,
            "engine": "auto",
            "tracks": "max",
            "json": False,
            "csv": False,
            "report": str(tmp_path / "out"),
            "sign": None,
            "out": None,
            "workers": 0,
        }
        return predict.main(words, types.SimpleNamespace(**values | flags))

    return made


def test_the_page_of_a_video_is_named_after_the_table(run, tmp_path, capsys):
    assert run(["a.mp4"]) == 11
    assert capsys.readouterr().out.splitlines()[-1] == page.place(str(tmp_path / "out"), "a.mp4")


def test_of_several_videos_the_list_is_named_and_programs_read_verdicts_alone(run, tmp_path, capsys):
    assert run(["a.mp4", "b.mp4"], json=True) == 11
    told = capsys.readouterr()
    assert [json.loads(line)["path"] for line in told.out.splitlines()] == ["a.mp4", "b.mp4"]
    assert told.err.splitlines()[-1] == str(tmp_path / "out" / listing.INDEX)


def test_what_a_reader_must_know_first_is_said_on_standard_error(run, caplog):
    run(["a.mp4"])
    assert [record.message for record in caplog.records] == [warnings.NO_RUN, warnings.UNCALIBRATED]


def test_what_is_in_the_file_is_not_scored_again(run, tmp_path, capsys):
    out = str(tmp_path / "r.csv")
    assert run(["a.mp4", "b.mp4"], out=out) == 11
    assert capsys.readouterr().out == f"{tmp_path / 'r.html'}\n"
    assert run(["a.mp4", "b.mp4", "c.mp4"], out=out) == 11
    assert "2 of 3 videos are in" in capsys.readouterr().err
    lines = (tmp_path / "r.jsonl").read_text().splitlines()
    assert [json.loads(line)["path"] for line in lines] == ["a.mp4", "b.mp4", "c.mp4"]
    page_of = page.place(str(tmp_path / "out"), "c.mp4")
    assert f'href="out/{pathlib.Path(page_of).name}"' in (tmp_path / "r.html").read_text()


def test_workers_open_the_same_detector(run, monkeypatch, tmp_path):
    given = []

    def predict_many(opener, loaded, count, paths, told):
        given.extend([opener, count])
        yield from opener()(paths, told)

    monkeypatch.setattr(bulk, "predict_many", predict_many)
    assert run(["a.mp4"], workers=3) == 11
    assert given == [predict.Scorer("RUN", 16, "auto", "max", None, str(tmp_path / "out")), 3]


def test_the_key_signs_what_the_detector_says(monkeypatch):
    loaded = types.SimpleNamespace()
    monkeypatch.setattr(detector, "load", lambda *_: loaded)
    monkeypatch.setattr(signing, "signer", lambda path: f"signer of {path}")
    assert predict.Scorer("RUN", 16, "auto", "max", "key.pem", None).load().sign == "signer of key.pem"
