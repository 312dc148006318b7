"""What ``fusion-dfd audit`` prints, and its exit code."""

import sys
from typing import NamedTuple

import pytest
import trees

from fusion_dfd import cli


class Done(NamedTuple):
    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def audit(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["fusion-dfd"])
    monkeypatch.setenv("COLUMNS", "80")

    def run(*arguments) -> Done:
        with pytest.raises(SystemExit) as stopped:
            cli.run("audit", list(map(str, arguments)))
        return Done(stopped.value.code, *capsys.readouterr())

    return run


def test_a_sound_data_set_is_counted_and_passes(tmp_path, audit):
    trees.faceforensics(tmp_path)
    done = audit("--root", tmp_path, "--methods", "Deepfakes", "--splits", tmp_path / "splits.csv")
    assert done.returncode == 0
    rows = [line.split() for line in done.stdout.splitlines()]
    assert ["train", "real", "original", "4", "2"] in rows
    assert ["train", "fake", "Deepfakes", "4", "2"] in rows
    assert ["test", "all", "4", "1"] in rows
    assert "no leak" in done.stdout
    assert (tmp_path / "splits.csv").read_text().count("\n") == 1 + 16


def test_leaks_are_named_and_fail(tmp_path, audit):
    trees.faceforensics(tmp_path)
    trees.write(tmp_path, "test.json", [["953", "974"], ["071", "054"]])
    done = audit("--root", tmp_path)
    assert done.returncode == 1
    lines = done.stdout.splitlines()
    assert any(line.startswith("1 groups lie in more than one split: faceforensics/054_071 (train: ") for line in lines)
    assert any(line.startswith("2 source clips lie in more than one split: ") for line in lines)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--dataset", "uadfv", "--compression", "c23"], 1, "data set 'uadfv' has no option compression; it has none"),
        (["--dataset", "folder", "--fractions", "a,b,c"], 2, "fractions=a,b,c: want numbers, by commas"),
        (["--compresion", "c23"], 2, "no flag --compresion; did you mean --compression?"),
    ],
)
def test_mistakes_end_in_one_sentence(tmp_path, audit, arguments, code, said):
    done = audit("--root", tmp_path, *arguments)
    assert (done.returncode, done.stdout) == (code, "")
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1
