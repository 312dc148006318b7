"""The JSON interface and its refusals: each one a sentence, and nothing left on disk."""

import dataclasses
import json
import math
import re

import pytest

pytest.importorskip("fastapi", reason="the extra app is not installed")
pytest.importorskip("httpx2", reason="the extra app-test is not installed")
from fastapi.testclient import TestClient
from service import running

from fusion_dfd.predict.verdict import Face, Verdict
from fusion_dfd.serve import app as module
from fusion_dfd.serve import job_requests, upload
from fusion_dfd.serve.upload import Limits

pytestmark = pytest.mark.extras

LIMITS = Limits(max_mb=1, max_seconds=3, time_limit=60, queue=2)
RAW = {"Content-Type": "application/octet-stream"}


@pytest.fixture
def client(score, facts, temporary):
    with (
        running(score, facts, LIMITS) as service,
        TestClient(module.create(service), base_url="http://127.0.0.1:8000") as made,
    ):
        yield made
        score.step(1000)


@pytest.fixture
def left(client, temporary):
    """What lies there of videos, but for their reports' copies."""
    (root,) = temporary.glob("fusion_dfd_serve_*")
    return lambda: sorted(path.name for folder in ("incoming", "jobs") for path in (root / folder).rglob("*"))


@pytest.fixture
def another(video):
    """``another()``: a video that was not sent before."""
    lengths = iter(range(40, 60))
    return lambda: video(next(lengths))


@pytest.fixture
def send(client, clip):
    def sent(content=clip, name="clip.mp4", headers=RAW):
        return client.post("/api/jobs", params={"name": name}, content=content, headers=headers)

    return sent


@pytest.fixture
def ended(client, eventually):
    def wait(number: str) -> dict:
        def ask():
            job = client.get(f"/api/jobs/{number}").json()
            return job if job["state"] in ("done", "failed", "cancelled") else None

        return eventually(ask)

    return wait


def test_a_video_becomes_a_verdict(send, ended, score, clip, left):
    answer = send()
    assert answer.status_code == 201
    job = ended(answer.json()["id"])
    assert score.seen == [clip]
    assert (job["state"], job["windows_done"], job["windows"]) == ("done", 10, 10)
    assert (job["verdict"]["verdict"], job["verdict"]["probability"]) == ("fake", 0.9)
    assert job["verdict"]["path"] == "clip.mp4"
    assert job["verdict"]["faces"][0]["timeline"] == [[0, 0.1], [1, 0.95]]
    assert 0 < job["expires"] <= 1800
    assert not left()


def test_the_verdict_has_all_that_the_command_prints(send, ended):
    verdict = ended(send().json()["id"])["verdict"]
    assert set(verdict) == {field.name for field in dataclasses.fields(Verdict)}
    assert set(verdict["faces"][0]) == {field.name for field in dataclasses.fields(Face)}


def test_a_number_that_is_none_is_null(send, ended, score):
    score.verdict = dataclasses.replace(score.verdict, probability=math.nan)
    assert ended(send().json()["id"])["verdict"]["probability"] is None


def test_states_and_places_in_the_queue_are_told(client, send, score, eventually, another):
    score.held = True
    first = send().json()["id"]
    eventually(lambda: client.get(f"/api/jobs/{first}").json()["windows_done"] == 1)
    job = client.get(f"/api/jobs/{first}").json()
    assert (job["state"], job["position"], job["verdict"], job["expires"]) == ("running", None, None, None)
    assert job["seconds_left"] >= 0
    places = [send(another()).json()["position"] for _ in range(2)]
    assert places == [1, 2]
    assert client.get("/api/model").json()["free"] == 0
    answer = send(another())
    assert answer.status_code == 503
    assert answer.json()["detail"].startswith("the queue is full (2 videos are waiting)")
    assert int(answer.headers["retry-after"]) > 0


def test_jobs_are_cancelled_and_results_deleted(client, send, score, eventually, ended, left, another):
    score.held = True
    first, second = (send(another()).json()["id"] for _ in range(2))
    eventually(lambda: client.get(f"/api/jobs/{first}").json()["windows_done"] == 1)
    for number in (second, first):
        assert client.delete(f"/api/jobs/{number}").status_code == 204
    score.step()
    assert [ended(number)["state"] for number in (first, second)] == ["cancelled", "cancelled"]
    assert not left()
    assert client.delete(f"/api/jobs/{first}").status_code == 204
    assert client.get(f"/api/jobs/{first}").status_code == 404


def test_a_size_that_is_announced_is_refused_before_it_is_read(client, left):
    sent = []

    def body():
        sent.append(1)
        yield b"x"

    answer = client.post("/api/jobs", content=body(), headers=RAW | {"Content-Length": "1000001"})
    assert answer.status_code == 413
    assert answer.json()["detail"] == "larger than 1 MB, the most this server takes; cut or re-encode it"
    assert not left()


def test_an_upload_that_stalls_is_given_up(client, left, monkeypatch):
    monkeypatch.setattr(upload, "STALLED", 0.0)

    async def silent(_):
        await job_requests.run_in_threadpool(lambda: None)
        yield b"late"

    monkeypatch.setattr(job_requests.Request, "stream", silent)
    answer = client.post("/api/jobs", content=b"x", headers=RAW)
    assert answer.status_code == 408
    assert "stalled" in answer.json()["detail"]
    assert not left()


def test_an_upload_that_nobody_waits_for_is_not_scored(client, send, left, monkeypatch, score):
    async def gone(_):
        return True

    monkeypatch.setattr(job_requests.Request, "is_disconnected", gone)
    assert send().status_code == 400
    assert client.get("/api/model").json()["free"] == LIMITS.queue
    assert not score.seen
    assert not left()


def test_a_full_disk_is_a_sentence(client, left, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(upload, "open", full, raising=False)
    answer = client.post("/api/jobs", content=b"x", headers=RAW)
    assert answer.status_code == 507
    assert "No space left on device" in answer.json()["detail"]
    assert not left()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "clip.mp4: empty (0 bytes)"),
        (b"certainly no video " * 99, "clip.mp4: text, not a video"),
        (bytes(range(256)) * 99, "clip.mp4: not a video that FFmpeg can read"),
        (b"\0\0\0\x18ftypisom" + bytes(999), "clip.mp4: "),
    ],
)
def test_what_is_no_video_is_refused_with_a_reason(send, left, temporary, content, said):
    answer = send(content)
    assert answer.status_code == 422
    assert answer.json()["detail"].startswith(said)
    assert str(temporary) not in answer.text
    assert not left()


def test_a_video_that_is_too_long_is_refused_before_it_is_scored(send, left, score, video):
    answer = send(video(90))
    assert answer.status_code == 422
    assert answer.json()["detail"] == "clip.mp4: 4 seconds long, 3 are allowed; cut out the part in question"
    assert not left()
    assert send(video(70)).status_code == 201


def test_a_frame_rate_cannot_make_a_video_short(client, send, video, monkeypatch):
    probed = upload.video.probe
    monkeypatch.setattr(
        upload.video, "probe", lambda *given: dataclasses.replace(probed(*given), fps=90_000.0, frames=721)
    )
    assert send().json()["detail"].startswith("clip.mp4: 3 seconds long")
    monkeypatch.setattr(upload.video, "probe", lambda *given: dataclasses.replace(probed(*given), fps=0.0, frames=100))
    assert send().json()["detail"].startswith("clip.mp4: 4 seconds long")


def test_frames_that_are_too_large_are_refused(send, monkeypatch):
    probed = upload.video.probe
    monkeypatch.setattr(
        upload.video, "probe", lambda *given: dataclasses.replace(probed(*given), width=8192, height=4320)
    )
    answer = send()
    assert answer.status_code == 422
    assert "8192 x 4320" in answer.json()["detail"]


@pytest.mark.parametrize(
    "kind", ["multipart/form-data; boundary=x", "text/plain", "application/x-www-form-urlencoded", ""]
)
def test_forms_are_refused(send, kind, left):
    """A page of any origin may send these three types without asking."""
    answer = send(headers={"Content-Type": kind})
    assert answer.status_code == 415
    assert "application/octet-stream" in answer.json()["detail"]
    assert not left()


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\me\\clip.mp4", "clip.mp4"),
        ("/", "video"),
        ("a\0b\n\u202ec.mp4", "abc.mp4"),
        ("<b>.mp4", "<b>.mp4"),
        ("x" * 999 + ".mp4", "x" * 196 + ".mp4"),
    ],
)
def test_names_are_shown_and_never_used(send, client, score, stored, name, shown, eventually):
    score.held = True
    number = send(name=name).json()["id"]
    eventually(lambda: client.get(f"/api/jobs/{number}").json()["windows_done"] == 1)
    assert client.get(f"/api/jobs/{number}").json()["name"] == shown
    assert [path.parts[-3:] for path in stored()] == [("jobs", number, number)]


@pytest.mark.parametrize("path", ["../../lock", "%2e%2e%2f%2e%2e%2flock", "..%5clock", "lock"])
def test_a_number_is_no_path(client, path):
    for end in ("", "/report"):
        answer = client.get(f"/api/jobs/{path}{end}")
        assert answer.status_code == 404
        assert client.delete(f"/api/jobs/{path}{end}").status_code in (404, 405)


@pytest.mark.parametrize("path", ["../app.py", "%2e%2e/app.py", "..%2fapp.py", "/etc/passwd", "%2fetc%2fpasswd"])
def test_static_files_are_those_of_their_folder(client, path):
    assert client.get(f"/static/{path}").status_code == 404
    assert client.get(f"/swagger/{path}").status_code == 404


def test_a_report_is_shown_and_may_run_nothing(client, send, score, ended, left):
    score.page = "<p>report on {0}: {1}"
    job = ended(send(name="a & b.mp4").json()["id"])
    answer = client.get(job["report"])
    assert answer.text == "<p>report on a &amp; b.mp4: a &amp; b.mp4"
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("sandbox; default-src 'none'")
    assert "script-src" not in policy
    assert left() == sorted([job["id"], "page.html"])


def test_without_a_report_the_job_says_so(client, send, ended):
    job = ended(send().json()["id"])
    assert job["report"] is None
    assert client.get(f"/api/jobs/{job['id']}/report").json() == {"detail": "there is no report on this video"}


def test_the_pages_load_nothing_from_elsewhere(client):
    for page in ("/", "/jobs", "/docs"):
        answer = client.get(page)
        assert answer.status_code == 200
        for link in re.findall(r'(?:src|href)="([^"]*)"', answer.text):
            assert link.startswith("/")
            assert client.get(link).status_code == 200
        assert "style=" not in answer.text
    for name in ("api.js", "app.js", "jobs.js", "chart.js", "docs.js", "app.css", "icon.svg"):
        found = re.findall(r"https?://[\w./]+", client.get(f"/static/{name}").text)
        assert set(found) <= {"http://www.w3.org/2000/svg"}


def test_the_interface_describes_itself(client):
    paths = client.get("/openapi.json").json()["paths"]
    assert {(path, method) for path, methods in paths.items() for method in methods} == {
        ("/api/model", "get"),
        ("/api/jobs", "get"),
        ("/api/jobs", "post"),
        ("/api/jobs/{id}", "get"),
        ("/api/jobs/{id}", "delete"),
        ("/api/jobs/{id}/report", "get"),
        ("/api/jobs/{id}/replay", "post"),
        ("/api/batches", "post"),
        ("/api/batches/{batch}", "get"),
        ("/api/replays", "get"),
        ("/api/replays", "post"),
        ("/api/session", "post"),
        ("/api/session", "delete"),
        ("/healthz", "get"),
        ("/readyz", "get"),
        ("/metrics", "get"),
    }


def test_the_model_and_its_limits_are_told(client, facts):
    told = client.get("/api/model").json()
    assert told["facts"] == json.loads(json.dumps(dataclasses.asdict(facts)))
    assert told["limits"] == dataclasses.asdict(LIMITS)
    assert (told["keep"], told["free"]) == (1800, 2)
