"""What ``fusion-dfd verify`` prints and returns, and where it looks for the detector."""

import types

import pytest

from fusion_dfd.commands import verify
from fusion_dfd.config import ConfigError
from fusion_dfd.predict import detector, verification
from fusion_dfd.types import DataError

STATED = {"record": {"options": {"clips": 3, "engine": "jax", "tracks": "first"}, "detector": {"name": "mine"}}}


@pytest.fixture
def run(monkeypatch, tmp_path):
    """``run(words, **flags)``: exit code and the arguments of ``detector.load``."""
    given = []

    def load(*words):
        given.extend(words)
        return types.SimpleNamespace(predict=lambda path: path)

    def compare(stated, found, tolerance, key):
        assert (found, tolerance, key) == ("a.mp4", 0.01, None)
        return [verification.Finding("file", True, "sha256 00"), verification.Finding("software", False, "jax was 0")]

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(detector, "load", load)
    monkeypatch.setattr(verification, "read", lambda *_: STATED)
    monkeypatch.setattr(verification, "compare", compare)

    def made(words, checkpoint=None):
        flags = types.SimpleNamespace(checkpoint=checkpoint, tolerance=0.01, key=None)
        return verify.main(words, flags), given

    return made


def test_the_options_are_those_of_the_record(run, capsys):
    assert run(["r.json", "a.mp4"], "RUN") == (24, ["RUN", 3, "jax", "first"])
    assert capsys.readouterr().out.splitlines() == [
        "file      same     sha256 00",
        "software  DIFFERS  jax was 0",
    ]


def test_the_detector_is_found_by_its_name(run, tmp_path):
    with pytest.raises(DataError, match="--checkpoint"):
        run(["r.json", "a.mp4"])
    (tmp_path / "runs" / "mine").mkdir(parents=True)
    assert run(["r.json", "a.mp4"])[1][0] == "runs/mine"


def test_two_words_are_wanted(run):
    with pytest.raises(ConfigError, match="one VIDEO"):
        run(["r.json"], "RUN")
