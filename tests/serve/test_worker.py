"""A worker: how jobs end, and that nothing of them stays on disk."""

import dataclasses
import pathlib
import threading

import pytest

pytest.importorskip("sqlalchemy", reason="the extra app is not installed")
pytest.importorskip("fastapi", reason="the extra app is not installed")
from sqlalchemy.exc import OperationalError

from fusion_dfd.serve import tables, worker
from fusion_dfd.serve.files import Files
from fusion_dfd.serve.interface import verdict
from fusion_dfd.serve.store import Store, sqlite
from fusion_dfd.serve.tables import Job
from fusion_dfd.serve.worker import Detector, Worker
from fusion_dfd.types import DataError

pytestmark = pytest.mark.extras


@pytest.fixture
def files(tmp_path) -> Files:
    return Files(str(tmp_path / "data"))


@pytest.fixture
def store(files, tmp_path):
    made = Store(sqlite(str(tmp_path / "jobs.sqlite")), files.name)
    yield made
    made.close()


@pytest.fixture
def started(store, files, score, facts, clock):
    """``started(**options)``: a worker that works until the test ends; gives what it told."""
    ended, threads = threading.Event(), []

    def start(**options) -> list[dict]:
        told = []
        made = Worker("w", store, files, [Detector(facts, score)], 60.0, tell=told.append, clock=clock, **options)
        threads.append(threading.Thread(target=made.run, args=(ended.is_set,)))
        threads[-1].start()
        return told

    yield start
    ended.set()
    score.step(1000)
    for thread in threads:
        thread.join()


@pytest.fixture
def submit(store, files, facts, tmp_path):
    def submitted(name="clip.mp4", content=b"bytes") -> str:
        job = Job(tables.new_id(), "", name, facts.name, facts.digest, f"{name}{content}", len(content))
        (tmp_path / "arrived").write_bytes(content)
        files.take(str(tmp_path / "arrived"), job.id)
        return store.accept(job)[0].id

    return submitted


@pytest.fixture
def ended(store, eventually):
    def wait(number: str) -> Job:
        eventually(lambda: store.find(number).state in tables.ENDS)
        return store.find(number)

    return wait


@pytest.fixture
def running(store, eventually):
    """Wait until a job has told of that many windows."""
    return lambda number, windows: eventually(lambda: store.find(number).windows_done == windows)


@pytest.fixture
def left(files):
    """Names of what lies there of jobs."""
    return lambda: sorted(path.name for path in pathlib.Path(files.root, "jobs").rglob("*"))


def test_a_video_is_scored_and_deleted_and_its_name_is_the_user_s(started, submit, ended, score, left, eventually):
    told = started()
    job = ended(submit("holiday.mp4", b"moving picture"))
    assert score.seen == [b"moving picture"]
    assert (job.state, job.reason, job.windows_done, job.windows) == ("done", None, 10, 10)
    assert (verdict(job).path, verdict(job).reason) == ("holiday.mp4", "holiday.mp4: a reason")
    eventually(lambda: len(told) == 2)
    assert not left()
    assert [(message["event"], message["job"]) for message in told] == [("started", job.id), ("ended", job.id)]
    assert told[1]["state"] == "done"


def test_videos_are_scored_one_by_one_in_their_order(started, store, submit, ended, running, score):
    score.held = True
    started()
    first = submit(content=b"1")
    running(first, 1)
    second, third = submit(content=b"2"), submit(content=b"3")
    assert [store.position(store.find(number)) for number in (first, second, third)] == [None, 1, 2]
    assert score.seen == [b"1"]
    score.step(30)
    ended(third)
    assert score.seen == [b"1", b"2", b"3"]


def test_a_running_job_is_cancelled_at_its_next_window(started, store, submit, running, score, ended, left, eventually):
    score.held = True
    started()
    number = submit()
    running(number, 1)
    assert store.cancel(store.find(number)) == "stopping"
    assert store.find(number).state == "running"
    score.step()
    job = ended(number)
    assert (job.state, job.reason, job.verdict) == ("cancelled", "cancelled while being scored", None)
    eventually(lambda: not left())


def test_the_time_limit_ends_a_job_and_says_so(started, submit, running, score, ended, clock, left, eventually):
    score.held = True
    started()
    number = submit()
    running(number, 1)
    clock.now += 61
    score.step()
    job = ended(number)
    assert job.state == "failed"
    assert job.reason.startswith("stopped after 60 seconds, the time limit of this server, at step 2 of 10")
    eventually(lambda: not left())


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (DataError, "clip.mp4: no room"),
        (ValueError, "the program failed on this video; the server's log has the details"),
    ],
)
def test_an_error_ends_one_job_and_not_the_worker(started, submit, ended, score, left, error, said, eventually):
    started()
    score.error = lambda path: error(f"{path}: no room")
    job = ended(submit())
    assert (job.state, job.reason) == ("failed", said)
    score.error = None
    assert ended(submit()).state == "done"
    eventually(lambda: not left())


def test_a_report_stays_and_the_video_only_if_it_is_to(started, submit, ended, score, files, left, eventually):
    score.page = "<p>report"
    started()
    job = ended(submit())
    assert job.report
    eventually(lambda: left() == sorted([job.id, "page.html"]))
    assert pathlib.Path(files.report(job.id)).read_text() == "<p>report"


def test_videos_are_kept_for_replays(started, submit, ended, score, files, left, eventually):
    started(keep_videos=True)
    job = ended(submit(content=b"kept"))
    assert pathlib.Path(files.video(job.id)).read_bytes() == b"kept"
    score.error = lambda path: DataError("broken")
    failed = ended(submit(content=b"not kept"))
    eventually(lambda: failed.id not in left())


def test_a_job_that_was_taken_back_is_left_to_others(started, store, submit, running, score, eventually, files):
    score.held = True
    told = started()
    number = submit()
    running(number, 1)
    store.requeue("w")
    other = store.claim("other", [store.find(number).digest])
    assert other is not None
    score.step(1000)
    eventually(lambda: len(told) == 1 and store.find(number).worker == "other")
    assert pathlib.Path(files.video(number)).exists(), "it is the other worker's now"
    assert store.finish(other, "done", verdict="{}")


def test_a_store_that_is_away_for_a_while_costs_nothing(started, store, submit, ended, score, monkeypatch):
    monkeypatch.setattr(worker, "PAUSE", 0.01)
    failures = iter(range(3))

    def flaky(method):
        def asked(*given, **named):
            if next(failures, None) is not None:
                raise OperationalError("SELECT", {}, Exception("gone"))
            return method(*given, **named)

        return asked

    for name in ("claim", "progress", "finish"):
        monkeypatch.setattr(store, name, flaky(getattr(store, name)))
    started()
    assert ended(submit()).state == "done"
    assert len(score.seen) == 1


def test_a_probability_that_is_none_survives_the_store(started, submit, ended, score):
    (face,) = score.verdict.faces
    score.verdict = dataclasses.replace(score.verdict, faces=(dataclasses.replace(face, probability=float("nan")),))
    started()
    assert verdict(ended(submit())).faces[0].probability != verdict(ended(submit())).faces[0].probability
