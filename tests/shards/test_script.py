import os
import subprocess
import sys

import pytest

REPO = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--root", "{}/nowhere"], 1, "nowhere is no folder"),
        (["--root", "{}", "--all_tracks", "--sampling", "even"], 2, "faces.sampling=even: want one of dense, uniform"),
        (["--root", "{}", "--every", "0"], 2, "faces.every=0: want 1 .. 1000"),
    ],
)
def test_mistakes_end_in_one_sentence(tmp_path, arguments, code, said):
    command = [sys.executable, os.path.join(REPO, "scripts", "prepare.py"), "--out", str(tmp_path / "out")]
    done = subprocess.run(
        [*command, *(word.format(tmp_path) for word in arguments)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": REPO},
    )
    assert done.returncode == code
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "out").exists()
