"""What ``fusion-dfd predict`` prints where pages are asked for."""

import functools
import json
import pathlib
import types

import pytest

from fusion_dfd.commands import predict
from fusion_dfd.explain import page
from fusion_dfd.predict import detector, warnings
from fusion_dfd.predict.verdict import Verdict, VerdictRules


@pytest.fixture
def run(monkeypatch, tmp_path):
    """``run(words, **flags)``: exit code of the command, whose detector finds no face anywhere."""

    def write(loaded, path, directory, told):
        assert loaded.given == ("RUN", 16, "auto", "max")
        verdict = Verdict(path, "none", None, (), "no face found")
        return verdict, str(pathlib.Path(directory, f"{pathlib.Path(path).stem}.html"))

    rules = VerdictRules(None, "mean_probability", None, "max", (warnings.NO_RUN, warnings.UNCALIBRATED))
    loaded = functools.partial(types.SimpleNamespace, rules=rules, run=None)
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
        }
        return predict.main(words, types.SimpleNamespace(**values | flags))

    return made


def test_the_page_of_a_video_is_named_after_the_table(run, tmp_path, capsys):
    assert run(["a.mp4"]) == 11
    assert capsys.readouterr().out.splitlines()[-1] == str(tmp_path / "out" / "a.html")


def test_of_several_videos_the_list_is_named_and_programs_read_verdicts_alone(run, tmp_path, capsys):
    assert run(["a.mp4", "b.mp4"], json=True) == 11
    told = capsys.readouterr()
    assert [json.loads(line)["path"] for line in told.out.splitlines()] == ["a.mp4", "b.mp4"]
    assert told.err.splitlines()[-1] == str(tmp_path / "out" / page.INDEX)


def test_what_a_reader_must_know_first_is_said_on_standard_error(run, caplog):
    run(["a.mp4"])
    assert [record.message for record in caplog.records] == [warnings.NO_RUN, warnings.UNCALIBRATED]
