"""`fusion-dfd serve` as a process, with a real detector."""

import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import urllib.request

import pytest

pytest.importorskip("fastapi", reason="the extra app is not installed")
pytest.importorskip("uvicorn", reason="the extra app is not installed")

from fusion_dfd.config import ConfigError, Synthetic
from fusion_dfd.explain.evidence import STEPS
from fusion_dfd.serve import server
from fusion_dfd.serve.server import Setup
from fusion_dfd.synthetic import take
from fusion_dfd.types import DataError

pytestmark = pytest.mark.extras

ROOT = pathlib.Path(__file__).parents[2]
SERVE = [sys.executable, "-c", "from fusion_dfd import cli; cli.main()", "serve"]


@pytest.fixture(scope="module")
def address(run, tmp_path_factory):
    """Address of a server that SIGTERM ends when the tests are over: it says what it should, and leaves nothing."""
    temporary = tmp_path_factory.mktemp("temporary")
    environment = os.environ | {"PYTHONPATH": str(ROOT), "TMPDIR": str(temporary)}
    command = [*SERVE, f"--checkpoint={run}", "--port=0", "--host=0.0.0.0"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=environment) as process:
        try:
            said = process.stdout.readline().split()
            assert said, process.stderr.read()
            assert said[0].startswith("http://0.0.0.0:")
            yield said[0].replace("0.0.0.0", "127.0.0.1")
            assert len(list(temporary.iterdir())) == 1
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=60) == 0
            warning, loading = process.stderr.read().splitlines()
            assert warning.startswith("warning: other machines can reach 0.0.0.0 without password or encryption")
            assert loading == f"loading {run}"
        finally:
            process.kill()
    assert not list(temporary.iterdir())


def ask(address: str, method: str = "GET", body: bytes | None = None) -> dict:
    headers = {"Content-Type": "video/mp4"}
    with urllib.request.urlopen(urllib.request.Request(address, body, headers, method=method), timeout=60) as answer:
        return json.load(answer)


def test_a_rendered_video_is_scored(address, tmp_path, eventually):
    path = tmp_path / "rendered.mp4"
    take.shoot(take.RenderTask(Synthetic(frames=20), 0, 1, {take.ORIGINAL: str(path)}))
    facts = ask(f"{address}api/model")["facts"]
    assert (facts["name"], facts["run"]) == ("tiny", "tiny")
    number = ask(f"{address}api/jobs?name=rendered.mp4", "POST", path.read_bytes())["id"]

    def scored():
        job = ask(f"{address}api/jobs/{number}")
        return job if job["verdict"] else None

    job = eventually(scored)
    verdict = job["verdict"]
    assert job["windows"] == 2 + STEPS
    assert verdict["faces"][0]["frames"] == 20
    assert 0 < verdict["probability"] < 1
    assert verdict["record"]["detector"]["digest"] == job["digest"] == facts["digest"]
    assert verdict["record"]["file"]["sha256"] == job["sha256"]


def test_an_address_in_use_is_told_before_anything_is_loaded():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=f"--port {port}: .*in use"):
            server.serve(Setup([("no", "no run")], port=port))


def test_a_name_that_nobody_has_is_a_sentence():
    with pytest.raises(ConfigError, match=r"--host nobody\.invalid"):
        server.serve(Setup([("no", "no run")], "nobody.invalid", 0))


def test_what_is_no_run_is_a_sentence(tmp_path, temporary):
    with pytest.raises(DataError, match="holds no checkpoints/best"):
        server.serve(Setup([("no", str(tmp_path))], port=0))


def test_a_limit_out_of_range_ends_in_one_sentence():
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [*SERVE, "--checkpoint=runs/none", "--queue=0"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 2
    assert "queue" in done.stderr
    assert len(done.stderr.splitlines()) == 1
