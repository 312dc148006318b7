"""Tables of scores from end to end, on the command line."""

import sys

import pytest

from fusion_dfd import cli
from fusion_dfd.evaluation import scores


def test_two_tables_on_the_command_line(tmp_path, make, monkeypatch, capsys):
    paths = [scores.write_csv(tmp_path / f"{n}.csv", make.table(pairs=3, seed=n)) for n in range(2)]
    monkeypatch.setattr(sys, "argv", ["fusion-dfd"])
    with pytest.raises(SystemExit) as stopped:
        cli.run("rescore", [*map(str, paths), f"--out={tmp_path / 'out'}"])
    assert stopped.value.code == 0
    assert "1 against 0" in capsys.readouterr().out
    assert (tmp_path / "out" / "paired.json").is_file()
    assert (tmp_path / "out" / "0" / "report.html").is_file()
