"""The lock of a folder, what killed writers leave, and names in texts that are no text."""

import contextlib
import subprocess
import sys

import pytest

from fusion_dfd import atomic
from fusion_dfd.types import DataError


def test_one_process_at_a_time_and_a_killed_one_lets_go(tmp_path):
    lines = (
        "import os, sys",
        "from fusion_dfd import atomic",
        f"lock = atomic.locked({str(tmp_path)!r}, 'training in')",
        "lock.__enter__()",
        "print('held', flush=True)",
        "sys.stdin.read()",
    )
    other = subprocess.Popen(
        [sys.executable, "-c", "\n".join(lines)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with other:
        assert other.stdout.readline() == "held\n"
        for shared in (False, True):
            with pytest.raises(DataError, match=rf"another process is training in {tmp_path}; wait for it"):
                atomic.locked(tmp_path, "training in", shared).__enter__()
        other.kill()
    with atomic.locked(tmp_path, "training in"):
        pass


def test_shared_locks_exclude_only_others(tmp_path):
    with (
        atomic.locked(tmp_path, "preparing", shared=True),
        atomic.locked(tmp_path, "preparing", shared=True),
        pytest.raises(DataError, match="another process"),
        atomic.locked(tmp_path, "preparing"),
    ):
        pass


def test_a_name_that_is_no_text_is_written_as_an_escape(tmp_path):
    atomic.write_text(tmp_path / "a.html", "caf\udce9 \N{LATIN SMALL LETTER E WITH ACUTE}")
    assert (tmp_path / "a.html").read_bytes() == b"caf\\udce9 \xc3\xa9"


def test_the_next_writer_uses_what_a_killed_one_left(tmp_path):
    (tmp_path / "a.txt.0.partial").write_text("longer than what is written now")
    atomic.write_text(tmp_path / "a.txt", "short")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("a.txt", "short")]


def test_two_writers_of_one_file_do_not_meet(tmp_path):
    with atomic.binary(tmp_path / "a.txt") as first:
        first.write(b"first")
        atomic.write_text(tmp_path / "a.txt", "second")
        assert (tmp_path / "a.txt").read_text() == "second"
        assert sorted(path.name for path in tmp_path.iterdir()) == ["a.txt", "a.txt.0.partial"]
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("a.txt", "first")]


def test_a_writer_that_fails_leaves_the_older_file(tmp_path):
    atomic.write_text(tmp_path / "a.txt", "old")
    with contextlib.suppress(KeyError), atomic.binary(tmp_path / "a.txt") as file:
        file.write(b"new")
        raise KeyError
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("a.txt", "old")]
