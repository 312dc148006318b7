"""The interface for a team: keys and their limits, the same video again, batches, replays, lists, health, metrics."""

import io
import json
import logging
import tarfile
import types

import pytest

pytest.importorskip("fastapi", reason="the extra app is not installed")
pytest.importorskip("httpx2", reason="the extra app-test is not installed")
from fastapi.testclient import TestClient
from service import another, running
from sqlalchemy.exc import OperationalError

from fusion_dfd.predict.verdict import Verdict
from fusion_dfd.serve import app, keys, service, telemetry
from fusion_dfd.serve.service import Options
from fusion_dfd.serve.upload import Limits
from fusion_dfd.serve.worker import Detector

pytestmark = pytest.mark.extras

LIMITS = Limits(max_mb=1, max_seconds=9, time_limit=60, queue=6)
RAW = {"Content-Type": "video/mp4"}


@pytest.fixture
def holders(tmp_path) -> dict[str, str]:
    """Keys by name."""
    path = str(tmp_path / "keys.json")
    rights = {"alice": (100, 2, False), "bob": (3, 9, False), "root": (100, 9, True)}
    made = {name: keys.add(path, name, *right)[0] for name, right in rights.items()}
    return made | {"path": path}


@pytest.fixture
def strict(facts) -> Detector:
    """A second detector, which calls everything fake."""
    return Detector(another(facts, "strict"), lambda path, *_: (Verdict(path, "fake", 0.8, ()), None))


@pytest.fixture
def served(score, facts, temporary, holders, strict):
    options = Options(keep_videos=True, private_callbacks=True)
    with running(score, facts, LIMITS, options, keys.Keys(holders["path"]), [strict]) as made:
        yield made
        score.step(1000)


@pytest.fixture
def client(served):
    with TestClient(app.create(served), base_url="http://127.0.0.1:8000") as made:
        yield made


@pytest.fixture
def by(client, holders):
    """``by("alice").get(...)``: requests with her key."""

    def headers(name: str, more: dict | None = None) -> dict:
        return {"Authorization": f"Bearer {holders[name]}", **(more or {})}

    def requests(name: str):
        def asked(method):
            def ask(path, **given):
                return client.request(method, path, headers=headers(name, given.pop("headers", None)), **given)

            return ask

        return types.SimpleNamespace(
            get=asked("GET"),
            delete=asked("DELETE"),
            post=asked("POST"),
            send=lambda content, path="/api/jobs", **query: asked("POST")(
                path, content=content, headers=RAW, params=query
            ),
        )

    return requests


@pytest.fixture
def done(by, eventually):
    """``done(name, id)``: the job, once it has ended."""

    def wait(name, number):
        def ask():
            job = by(name).get(f"/api/jobs/{number}").json()
            return job if job["state"] in ("done", "failed", "cancelled") else None

        return eventually(ask)

    return wait


@pytest.mark.parametrize("header", [{}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic x"}])
def test_nothing_is_told_or_taken_without_a_key(client, clip, header):
    for method, path in (
        ("GET", "/api/model"), ("GET", "/api/jobs"), ("POST", "/api/jobs"), ("GET", "/api/jobs/x"),
        ("DELETE", "/api/jobs/x"), ("GET", "/api/jobs/x/report"), ("POST", "/api/jobs/x/replay"),
        ("POST", "/api/batches?batch=x"), ("GET", "/api/batches/x"), ("POST", "/api/replays?of=a&by=b"),
        ("POST", "/api/session"),
    ):  # fmt: skip
        answer = client.request(method, path, headers=header, content=clip if method == "POST" else None)
        assert answer.status_code == 401, path
        assert answer.headers["www-authenticate"] == "Bearer"
    for path in ("/", "/jobs", "/healthz", "/readyz", "/metrics", "/static/app.js"):
        assert client.get(path).status_code == 200, path


def test_jobs_are_their_senders_and_an_admin_s(by, clip, done):
    number = by("alice").send(clip).json()["id"]
    done("alice", number)
    for ask in (by("bob").get, by("bob").delete):
        assert ask(f"/api/jobs/{number}").status_code == 404
    assert by("bob").post(f"/api/jobs/{number}/replay").status_code == 404
    assert by("bob").get("/api/jobs").json()["jobs"] == []
    for name in ("alice", "root"):
        (row,) = by(name).get("/api/jobs").json()["jobs"]
        assert (row["id"], row["owner"], row["verdict"], row["probability"]) == (number, "alice", "fake", 0.9)
    assert by("root").delete(f"/api/jobs/{number}").status_code == 204
    assert by("alice").get(f"/api/jobs/{number}").status_code == 404


def test_the_same_video_is_scored_once_for_each_sender_and_detector(by, clip, video, done, score):
    first = by("alice").send(clip, name="a.mp4")
    again = by("alice").send(clip, name="b.mp4")
    assert (first.status_code, again.status_code) == (201, 200)
    assert (again.json()["id"], again.json()["name"]) == (first.json()["id"], "a.mp4")
    done("alice", first.json()["id"])
    assert by("alice").send(clip).json()["id"] == first.json()["id"]
    others = [by("bob").send(clip), by("alice").send(clip, detector="strict"), by("alice").send(video(51))]
    assert {answer.status_code for answer in others} == {201}
    assert done("alice", others[1].json()["id"])["verdict"]["verdict"] == "fake"
    done("alice", others[2].json()["id"])
    done("bob", others[0].json()["id"])
    assert len(score.seen) == 3


def test_a_detector_is_pinned_by_name_or_digest(by, clip, video, facts, strict):
    for asked in ("strict", strict.facts.digest, strict.facts.digest[:8].upper()):
        job = by("root").send(clip, detector=asked).json()
        assert (job["detector"], job["digest"]) == ("strict", strict.facts.digest)
    assert by("root").send(clip).json()["digest"] == facts.digest
    for wrong in ("nobody", strict.facts.digest[:7], "f" * 64):
        answer = by("root").send(clip, detector=wrong)
        assert answer.status_code == 422
        assert "there are tiny (01234567), strict (fedcba98)" in answer.json()["detail"]
    told = by("root").get("/api/model").json()
    assert [facts["name"] for facts in told["detectors"]] == ["tiny", "strict"]
    assert (told["facts"]["name"], told["keys"], told["lists"]) == ("tiny", True, True)


def test_a_key_has_its_limits(by, video, score, eventually):
    score.held = True
    alice = [by("alice").send(video(50 + number)) for number in range(3)]
    assert [answer.status_code for answer in alice] == [201, 201, 429]
    assert alice[2].json()["detail"].startswith("2 videos of yours wait")
    bob = [by("bob").send(content) for content in (video(50), b"no video", video(50), video(51))]
    assert [answer.status_code for answer in bob] == [201, 422, 200, 429]
    assert bob[3].json()["detail"].startswith("3 videos a minute")
    assert 0 < int(bob[3].headers["retry-after"]) <= 61


def tar(**files: bytes) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(f"../folder/{name}.mp4")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
        link = tarfile.TarInfo("link.mp4")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    return made.getvalue()


def send_batch(requests, content, **query):
    return requests.post("/api/batches", content=content, headers={"Content-Type": "application/x-tar"}, params=query)


def test_a_batch_is_answered_file_by_file(by, video, done, stored, eventually):
    content = tar(one=video(50), bad=b"no video", same=video(50), two=video(51), big=bytes(1_000_001))
    answer = send_batch(by("root"), content, batch="monday")
    assert answer.status_code == 200
    sent = {one["name"]: one for one in answer.json()}
    assert {name: one["status"] for name, one in sent.items()} == {
        "one.mp4": 201, "bad.mp4": 422, "same.mp4": 201, "two.mp4": 201, "big.mp4": 413, "link.mp4": 422,
    }  # fmt: skip
    assert sent["same.mp4"]["id"] == sent["one.mp4"]["id"]
    assert sent["link.mp4"]["refused"] == "link.mp4: not a regular file"
    for name in ("one.mp4", "two.mp4"):
        done("root", sent[name]["id"])
    batch = by("root").get("/api/batches/monday").json()
    assert (batch["states"], batch["finished"], len(batch["jobs"])) == ({"done": 2}, True, 2)
    assert by("bob").get("/api/batches/monday").status_code == 404
    again = send_batch(by("root"), content, batch="monday").json()
    assert [one["id"] for one in again] == [one["id"] for one in answer.json()]
    assert len(stored()) == 2, "the archive is gone"


@pytest.mark.parametrize("content", [b"", b"no archive " * 99])
def test_what_is_no_archive_is_a_sentence(by, content):
    answer = send_batch(by("root"), content, batch="x")
    assert answer.status_code == 422
    assert "not a whole tar archive" in answer.json()["detail"]


def test_an_archive_that_breaks_off_keeps_what_was_accepted(by, video):
    content = tar(one=video(50), two=video(51))
    cut = send_batch(by("root"), content[: len(content) // 2], batch="x")
    assert cut.status_code == 422
    whole = send_batch(by("root"), content, batch="x")
    assert [one["status"] for one in whole.json()] == [201, 201, 422]


def test_old_decisions_are_replayed_and_compared(by, video, done, strict):
    ids = [by("root").send(video(50 + number)).json()["id"] for number in range(2)]
    for number in ids:
        done("root", number)
    answer = by("root").post(f"/api/jobs/{ids[0]}/replay", params={"detector": "strict"})
    assert (answer.status_code, answer.json()["replay_of"], answer.json()["detector"]) == (201, ids[0], "strict")
    done("root", answer.json()["id"])
    several = by("root").post("/api/replays", params={"of": "tiny", "by": "strict"})
    assert (several.status_code, several.json()) == (202, {"queued": 1, "known": 1, "without_video": 0})
    for row in by("root").get("/api/jobs").json()["jobs"]:
        done("root", row["id"])
    compared = by("root").get("/api/replays", params={"of": "tiny", "by": strict.facts.digest}).json()
    assert compared == {"videos": 2, "changed": []}
    assert by("bob").post("/api/replays", params={"of": "tiny", "by": "strict"}).json()["queued"] == 0


def test_a_replay_without_its_video_says_what_to_do(score, facts, temporary, strict, clip, eventually):
    with (
        running(score, facts, LIMITS, others=[strict]) as made,
        TestClient(app.create(made), base_url="http://localhost") as client,
    ):
        number = client.post("/api/jobs", content=clip, headers=RAW).json()["id"]
        eventually(lambda: client.get(f"/api/jobs/{number}").json()["state"] == "done")
        eventually(lambda: not (temporary / "x").exists() and made.store.states() == {("done", "tiny"): 1})
        made.files.remove_video(number)
        answer = client.post(f"/api/jobs/{number}/replay?detector=strict")
        assert answer.status_code == 409
        assert "--keep_videos" in answer.json()["detail"]
        told = client.post("/api/replays?of=tiny&by=strict").json()
        assert told == {"queued": 0, "known": 0, "without_video": 1}


def test_lists_are_filtered_and_paged(by, video, done):
    ids = [by("root").send(video(50 + number), batch=f"b{number % 2}").json()["id"] for number in range(3)]
    for number in ids:
        done("root", number)
    first = by("root").get("/api/jobs", params={"limit": 2}).json()
    second = by("root").get("/api/jobs", params={"limit": 2, "before": first["next"]}).json()
    assert [row["id"] for row in first["jobs"] + second["jobs"]] == ids[::-1]
    assert second["next"] is None
    assert [row["id"] for row in by("root").get("/api/jobs?batch=b1").json()["jobs"]] == [ids[1]]
    assert by("root").get("/api/jobs?state=failed&state=queued").json()["jobs"] == []
    assert by("root").get("/api/jobs?state=nothing").status_code == 422


def test_without_keys_jobs_are_listed_on_this_machine_alone(score, facts, temporary, clip):
    for loopback, status in ((True, 200), (False, 403)):
        with (
            running(score, facts, LIMITS, Options(loopback=loopback)) as made,
            TestClient(app.create(made), base_url="http://localhost") as client,
        ):
            assert client.get("/api/jobs").status_code == status
            assert client.get("/api/model").json()["lists"] is loopback
            answer = client.post("/api/jobs?callback=https://example.org/", content=clip, headers=RAW)
            assert answer.status_code == 422
            assert "this server has no keys" in answer.json()["detail"]


def test_a_page_signs_in_with_a_cookie_that_scripts_cannot_read(client, by, holders):
    answer = by("alice").post("/api/session", headers={"x-forwarded-proto": "https"})
    assert answer.status_code == 204
    cookie = answer.headers["set-cookie"].lower()
    assert all(word in cookie for word in ("httponly", "samesite=strict", "secure"))
    client.cookies.set("fusion_dfd_key", holders["alice"])
    assert client.get("/api/jobs").status_code == 200
    assert client.delete("/api/session").status_code == 204
    client.cookies.clear()
    assert client.get("/api/jobs").status_code == 401


def test_private_callbacks_are_refused_unless_allowed(score, facts, temporary, holders, clip):
    with (
        running(score, facts, LIMITS, keys=keys.Keys(holders["path"])) as made,
        TestClient(app.create(made), base_url="http://localhost") as client,
    ):
        headers = RAW | {"Authorization": f"Bearer {holders['alice']}"}
        answer = client.post("/api/jobs?callback=http://10.0.0.1/", content=clip, headers=headers)
        assert answer.status_code == 422
        assert "private addresses are not called" in answer.json()["detail"]


def test_health_is_the_process_and_readiness_the_work(client, served, monkeypatch):
    assert client.get("/healthz").json() == client.get("/readyz").json() == {"status": "ok"}
    monkeypatch.setattr(served, "_workers", lambda: 0)
    assert client.get("/readyz").status_code == 503
    assert client.get("/readyz").json() == {"detail": "no worker is ready"}
    monkeypatch.setattr(served, "_workers", lambda: 1)
    monkeypatch.setattr(service, "ROOM", 1e30)
    assert "are free on the disk" in client.get("/readyz").json()["detail"]


def test_a_store_that_is_away_is_said_and_nothing_of_an_upload_stays(client, by, served, clip, monkeypatch, stored):
    def away(*_):
        raise OperationalError("INSERT", {}, Exception("gone"))

    monkeypatch.setattr(served.store, "accept", away)
    answer = by("alice").send(clip)
    assert answer.status_code == 503
    assert "store does not answer" in answer.json()["detail"]
    assert not stored()
    monkeypatch.setattr(served.store, "ping", away)
    assert client.get("/healthz").status_code == 503


def test_metrics_count_what_happened(client, by, clip, done):
    number = by("alice").send(clip).json()["id"]
    by("alice").send(clip)
    by("alice").send(b"no video")
    done("alice", number)
    told = client.get("/metrics")
    assert told.headers["content-type"].startswith("text/plain")
    for line in (
        'fusion_dfd_jobs_accepted_total{detector="tiny"} 1.0',
        'fusion_dfd_jobs_known_total{detector="tiny"} 1.0',
        'fusion_dfd_requests_refused_total{status="422"} 1.0',
        'fusion_dfd_job_waiting_seconds_count{detector="tiny"} 1.0',
        'fusion_dfd_jobs{detector="tiny",state="done"} 1.0',
        "fusion_dfd_workers_ready 1.0",
        f"fusion_dfd_free_places {LIMITS.queue:.1f}",
        "process_resident_memory_bytes",
    ):
        assert line in told.text, line
    assert "alice" not in told.text


def test_the_log_has_a_line_for_each_event_and_no_names_of_files(capsys):
    before = logging.getLogger().handlers[:], telemetry.absl_logging.get_absl_logger().handlers[:]
    try:
        telemetry.log_json()
        told = telemetry.Telemetry(json_log=True)
        told.accepted("id", "tiny", True, owner="alice", bytes=3)
        told.ended("id", "done", "tiny", 1.23456)
        try:
            raise ValueError("bad")
        except ValueError:
            telemetry.absl_logging.exception("failed")
    finally:
        logging.getLogger().handlers[:], telemetry.absl_logging.get_absl_logger().handlers[:] = before
        telemetry.absl_logging.get_absl_logger().propagate = True
    first, second, third = map(json.loads, capsys.readouterr().err.splitlines())
    assert first.pop("time").endswith("Z")
    assert first == {
        "level": "info", "event": "accepted", "job": "id", "detector": "tiny", "owner": "alice", "bytes": 3
    }  # fmt: skip
    assert (second["event"], second["state"], second["took"]) == ("ended", "done", 1.235)
    assert (third["level"], third["event"]) == ("error", "failed")
    assert third["traceback"].endswith("ValueError: bad")
