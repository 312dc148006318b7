"""Verdicts on the terminal: table, JSON, CSV, exit codes."""

import csv
import io
import json

import pytest

from fusion_dfd.predict import terminal
from fusion_dfd.predict.verdict import Face, Verdict

FACE = Face(0, "fake", 0.9, {"micro": 0.8}, 4, 48, 120.0, 0.4, ((0, 0.1), (1, 0.95)))
VERDICTS = [
    Verdict(
        "a [1].mp4", "fake", 0.9, (FACE, Face(1, "uncertain", 0.4, {}, 1, 3, 40.0, None, (), "too short")), None, 2.0
    ),
    Verdict("b,c.mp4", "none", None, (), "no face found"),
]


def predict_many(paths, on_progress):
    assert paths == [verdict.path for verdict in VERDICTS]
    for verdict in VERDICTS:
        on_progress(verdict.path, 1, 2)
        yield verdict


def shown(capsys, form: str) -> str:
    assert terminal.report(predict_many, [verdict.path for verdict in VERDICTS], form) == terminal.SOME_FAKE
    return capsys.readouterr().out


def test_json_lines_hold_everything(capsys):
    first, second = map(json.loads, shown(capsys, "json").splitlines())
    assert first["faces"][0]["timeline"] == [[0, 0.1], [1, 0.95]]
    assert first["faces"][1]["reason"] == "too short"
    assert (second["probability"], second["reason"]) == (None, "no face found")


def test_csv_has_a_row_a_video(capsys):
    first, second = csv.DictReader(io.StringIO(shown(capsys, "csv")))
    assert (first["path"], first["verdict"], float(first["probability"])) == ("a [1].mp4", "fake", 0.9)
    assert (first["faces"], first["fake_faces"]) == ("2", "1")
    assert (second["path"], second["probability"]) == ("b,c.mp4", "")


def test_the_table_names_every_face(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")
    out = shown(capsys, "table")
    for text in ("a [1].mp4", "face 1: uncertain", "0.900", "micro", "0.80", "▁█", "no face found", "too short"):
        assert text in out


@pytest.mark.parametrize(
    ("verdicts", "code"),
    [(["real"], 0), (["real", "fake", "none"], 10), (["real", "uncertain"], 11), (["none"], 11)],
)
def test_exit_codes(verdicts, code):
    assert terminal.code(verdicts) == code


def test_a_timeline_is_squeezed_to_its_peaks():
    assert terminal.spark([]) == ""
    assert terminal.spark([0.0, 0.5, 1.0]) == "▁▅█"
    long = [0.0] * 480
    long[100] = 1.0
    assert terminal.spark(long) == "▁" * 5 + "█" + "▁" * 18
