"""The folder of a server."""

import fcntl
import os
import pathlib
import signal
import subprocess
import sys

import pytest

pytest.importorskip("fastapi", reason="the extra app is not installed")

from fusion_dfd.serve import upload

pytestmark = pytest.mark.extras

ROOT = pathlib.Path(__file__).parents[2]


def test_nobody_else_may_enter_and_nothing_remains(temporary):
    with upload.private_folder() as path:
        assert os.stat(path).st_mode & 0o777 == 0o700
        assert pathlib.Path(path).parent == temporary
        pathlib.Path(path, "video").write_bytes(b"x")
    with pytest.raises(RuntimeError), upload.private_folder():
        raise RuntimeError
    assert not list(temporary.iterdir())


def test_a_killed_server_leaves_a_folder_that_the_next_removes(temporary):
    code = (
        "import time\nfrom fusion_dfd.serve import upload\n"
        "with upload.private_folder() as path:\n    print(path, flush=True)\n    time.sleep(99)"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT), "TMPDIR": str(temporary)}
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=environment) as server:
        left = pathlib.Path(server.stdout.readline().strip())
        (left / "video").write_bytes(b"x")
        with upload.private_folder():
            assert left.exists(), "its server lives"
        server.send_signal(signal.SIGKILL)
    assert (left / "video").exists()
    with upload.private_folder():
        assert not left.exists()


def test_only_what_servers_made_is_removed(temporary):
    (temporary / "fusion_dfd_serve_file").touch()
    (temporary / "fusion_dfd_serve_other").mkdir()  # without a lock
    elsewhere = temporary / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / upload.LOCK).touch()
    (temporary / "fusion_dfd_serve_link").symlink_to(elsewhere)
    before = sorted(temporary.rglob("*"))
    upload.sweep()
    assert sorted(temporary.rglob("*")) == before


def test_a_folder_that_is_in_use_here_stays(temporary):
    path = temporary / "fusion_dfd_serve_busy"
    path.mkdir()
    with open(path / upload.LOCK, "wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        upload.sweep()
        assert path.exists()
    upload.sweep()
    assert not path.exists()
