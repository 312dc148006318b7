"""A server for a team as processes: what it accepted survives kill -9 of itself and of its workers."""

import collections
import contextlib
import dataclasses
import hashlib
import http.server
import json
import os
import pathlib
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.request

import pytest

pytest.importorskip("fastapi", reason="the extra app is not installed")
pytest.importorskip("httpcore2", reason="the extra app is not installed")

from waiting import PATIENCE, until

from fusion_dfd.serve import callbacks, keys

pytestmark = [pytest.mark.extras, pytest.mark.timeout(900)]

ROOT = pathlib.Path(__file__).parents[2]


@dataclasses.dataclass
class Server:
    """A server process."""

    process: subprocess.Popen
    address: str
    key: str

    def ask(self, path: str, body: bytes | None = None, method: str | None = None) -> tuple[int, dict]:
        headers = {"Content-Type": "video/mp4", "Authorization": f"Bearer {self.key}"}
        request = urllib.request.Request(self.address + path, body, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)

    def workers(self) -> list[int]:
        """Process ids."""
        threads = pathlib.Path(f"/proc/{self.process.pid}/task").glob("*/children")
        children = [pid for thread in threads for pid in thread.read_text().split()]
        return [pid for pid in map(int, children) if b"spawn_main" in pathlib.Path(f"/proc/{pid}/cmdline").read_bytes()]


@pytest.fixture
def launch(tmp_path):
    """``launch(flags)``: a server on one folder, with the key of alice. At the end of the test all are killed."""
    holders, made = str(tmp_path / "keys.json"), []
    key, secret = keys.add(holders, "alice", per_minute=1000, waiting=20, admin=False)
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
        "SCRIPTED_SECONDS": "1",
        "SCRIPTED_LOG": str(tmp_path / "scored"),
    }

    def launched(*flags: str) -> Server:
        program = [sys.executable, str(ROOT / "tests" / "support" / "scripted_server.py"), "serve", "--port=0"]
        usual = [f"--data={tmp_path / 'data'}", f"--keys={holders}", "--keep_videos", "--json_log", *flags]
        with open(tmp_path / "log", "a") as log:
            process = subprocess.Popen(
                [*program, *usual], stdout=subprocess.PIPE, stderr=log, text=True, env=environment
            )
        made.append(process)
        said = process.stdout.readline().split()
        assert said, (tmp_path / "log").read_text()
        return Server(process, said[0], key)

    launched.secret = secret
    yield launched
    for process in made:
        process.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(60)
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.fixture
def receiver():
    """A receiver of callbacks that fails at the first call: its address, and ``(headers, body)`` of the calls."""
    calls = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["content-length"]))
            calls.append((dict(self.headers), body))
            self.send_response(500 if len(calls) == 1 else 204)
            self.end_headers()

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as made:
        threading.Thread(target=made.serve_forever).start()
        yield f"http://127.0.0.1:{made.server_port}/done", calls
        made.shutdown()


def test_nothing_accepted_is_lost_when_server_and_workers_are_killed(launch, receiver, video, tmp_path):
    url, calls = receiver
    flags = ("--checkpoint=usual", "--checkpoint=strict", "--workers=2", "--private_callbacks")
    first = launch(*flags)
    clips = [video(10) + bytes([number]) * 8 for number in range(6)]
    ids = []
    for clip in clips:
        status, job = first.ask(f"api/jobs?name=clip.mp4&callback={url}", clip)
        assert status == 201, job
        ids.append(job["id"])
    killed = until(first.workers)[0]
    until(lambda: first.ask(f"api/jobs/{ids[0]}")[1]["state"] != "queued")
    os.kill(killed, signal.SIGKILL)
    # The other worker goes on, and one takes the place of the dead.
    until(lambda: len(first.workers()) == 2 and killed not in first.workers())
    orphans = first.workers()
    first.process.kill()
    until(lambda: not any(pathlib.Path(f"/proc/{pid}/cmdline").exists() for pid in orphans))

    second = launch(*flags)
    jobs = until(
        lambda: (
            (found := [second.ask(f"api/jobs/{number}")[1] for number in ids])
            and all(job["state"] == "done" for job in found)
            and found
        )
    )
    assert [job["sha256"] for job in jobs] == [hashlib.sha256(clip).hexdigest() for clip in clips]
    assert {job["verdict"]["verdict"] for job in jobs} == {"real"}
    status, again = second.ask("api/jobs?name=again.mp4", clips[0])
    assert (status, again["id"], again["name"]) == (200, ids[0], "clip.mp4")
    assert len(second.ask("api/jobs")[1]["jobs"]) == len(ids)

    until(lambda: {headers["webhook-id"] for headers, _ in calls[1:]} == set(ids))
    for headers, body in calls:
        signed = callbacks.sign(launch.secret, headers["webhook-id"], int(headers["webhook-timestamp"]), body)
        assert headers["webhook-signature"] == signed["webhook-signature"]
        assert json.loads(body)["verdict"]["verdict"] == "real"
    until(lambda: all(second.ask(f"api/jobs/{number}")[1]["callback"]["next"] is None for number in ids))

    # The old decisions again, by another detector: each once, and compared.
    assert second.ask("api/replays?of=usual&by=strict", b"")[1] == {"queued": 6, "known": 0, "without_video": 0}
    assert second.ask("api/replays?of=usual&by=strict", b"")[1] == {"queued": 0, "known": 6, "without_video": 0}
    compared = until(lambda: (found := second.ask("api/replays?of=usual&by=strict")[1])["videos"] == 6 and found)
    assert [change["verdicts"] for change in compared["changed"]] == [["real", "fake"]] * 6

    scored = collections.Counter(line.split()[0] for line in (tmp_path / "scored").read_text().splitlines())
    assert set(scored) == {job["sha256"] for job in jobs}
    events = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines() if line.startswith("{")]
    assert {"accepted", "started", "ended", "worker_died", "callback"} <= {event["event"] for event in events}
    assert "clip.mp4" not in (tmp_path / "log").read_text()


def test_a_video_that_kills_workers_fails_and_the_others_are_scored(launch, video):
    server = launch("--checkpoint=usual")
    bad = server.ask("api/jobs", video(10) + b"CRASH" * 4)[1]["id"]
    good = server.ask("api/jobs", video(10) + b"well" * 4)[1]["id"]
    job = until(lambda: (found := server.ask(f"api/jobs/{bad}")[1])["state"] == "failed" and found)
    assert job["reason"].startswith("the program ended 3 times while it scored this video")
    assert until(lambda: server.ask(f"api/jobs/{good}")[1]["state"] == "done")
    with urllib.request.urlopen(f"{server.address}metrics", timeout=60) as answer:
        told = answer.read().decode()
    assert "fusion_dfd_worker_deaths_total 3.0" in told
    assert 'fusion_dfd_jobs_ended_total{detector="usual",state="failed"} 1.0' in told
    assert 'fusion_dfd_worker_memory_bytes{worker="0"}' in told
