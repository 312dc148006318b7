"""The flags of scripts/evaluate.py: what goes together, and tables of scores from end to end."""

import os
import pathlib
import subprocess
import sys

import pytest

from fusion_dfd import cli
from fusion_dfd.config import ConfigError
from fusion_dfd.evaluation import scores

ROOT = pathlib.Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (([], [], [], None, False), "either --checkpoint"),
        ((["run"], ["data"], ["table"], None, False), "either --checkpoint"),
        ((["run"], [], [], None, False), "wants --data"),
        (([], ["data"], ["table"], None, False), "does without"),
        ((["a", "b"], ["data"], [], None, False), "--protocol"),
        ((["a"], ["data", "other"], [], None, False), "--protocol"),
        (([], [], ["table"], None, True), "--calibrate wants"),
        ((["a"], ["data"], [], "in_dataset", True), "--calibrate wants"),
    ],
)
def test_flags_that_do_not_go_together(given, words):
    with pytest.raises(ConfigError, match=words):
        cli.check_evaluation(*given)


def test_flags_that_do():
    cli.check_evaluation(["a"], ["data"], [], None, True)
    cli.check_evaluation(["a", "b"], ["data", "other"], [], "cross_dataset", False)
    cli.check_evaluation([], [], ["a", "b"], "cross_dataset", False)


def test_two_tables_on_the_command_line(tmp_path, make):
    paths = [scores.write_csv(tmp_path / f"{n}.csv", make.table(pairs=3, seed=n)) for n in range(2)]
    flags = [f"--scores={path}" for path in paths]
    command = [sys.executable, str(ROOT / "scripts" / "evaluate.py"), *flags, f"--out={tmp_path / 'out'}"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=tmp_path, env=environment)
    assert done.returncode == 0, done.stderr
    assert "1 against 0" in done.stdout
    assert (tmp_path / "out" / "paired.json").is_file()
    assert (tmp_path / "out" / "0" / "report.html").is_file()
