"""What ``fusion-dfd prepare`` refuses."""

import sys

import pytest

from fusion_dfd import cli


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--root", "{}/nowhere"], 1, "nowhere is no folder"),
        (["--root", "{}", "--all_tracks", "--sampling", "even"], 2, "faces.sampling=even: want one of dense, uniform"),
        (["--root", "{}", "--every", "0"], 2, "faces.every=0: want 1 .. 1000"),
    ],
)
def test_mistakes_end_in_one_sentence(tmp_path, arguments, code, said, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["fusion-dfd"])
    words = ["--out", str(tmp_path / "out"), *(word.format(tmp_path) for word in arguments)]
    with pytest.raises(SystemExit) as stopped:
        cli.run("prepare", words)
    told = capsys.readouterr().err
    assert stopped.value.code == code
    assert said in told
    assert len(told.splitlines()) == 1
    assert not (tmp_path / "out").exists()
