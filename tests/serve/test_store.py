"""The store, in SQLite and in PostgreSQL: what is accepted stays, and every job has one end."""

import dataclasses
import threading

import pytest

pytest.importorskip("sqlalchemy", reason="the extra app is not installed")

import postgresql
import sqlalchemy as sa

from fusion_dfd.config import ConfigError
from fusion_dfd.serve import store as module
from fusion_dfd.serve import tables
from fusion_dfd.serve.store import ATTEMPTS, Store
from fusion_dfd.serve.tables import Job

pytestmark = pytest.mark.extras
DIGEST = "d" * 64


@pytest.fixture(scope="module")
def cluster():
    """URL of a PostgreSQL database."""
    pytest.importorskip("psycopg", reason="the extra postgresql is not installed")
    if postgresql.find("initdb") is None:
        pytest.skip("no PostgreSQL here: apt-get install postgresql")
    with postgresql.started() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request, tmp_path):
    if request.param == "sqlite":
        return module.sqlite(str(tmp_path / "jobs.sqlite"))
    url = request.getfixturevalue("cluster")
    engine = sa.create_engine(url)
    tables.METADATA.drop_all(engine)
    engine.dispose()
    return url


@pytest.fixture
def store(url, clock):
    made = Store(url, "a folder", clock)
    yield made
    made.close()


@pytest.fixture
def add(store):
    """``add(name, **fields)``: a new job of a file of that name."""

    def added(name="clip", **fields) -> Job:
        plain = {"owner": "", "name": name, "detector": "tiny", "digest": DIGEST, "sha256": name, "size": 1}
        job, created = store.accept(Job(id=tables.new_id(), **plain | fields))
        assert created
        return job

    return added


def claim(store, worker="w", digests=(DIGEST,)) -> Job:
    job = store.claim(worker, digests)
    assert job is not None
    return job


def test_what_was_accepted_is_there_after_a_restart(store, url, add, clock):
    first, second = add("1"), add("2", batch="b", callback="https://example.org/")
    again = Store(url, "a folder", clock)
    assert again.jobs() == [second, first]
    assert (second.state, second.accepted, second.batch) == ("queued", clock.now, "b")
    again.close()


def test_jobs_are_given_out_in_order_and_once(store, add):
    replayed = add("0", priority=tables.REPLAYED)
    first, second = add("1"), add("2")
    assert [store.position(job) for job in (first, second, replayed)] == [1, 2, 3]
    assert [claim(store).id for _ in range(3)] == [first.id, second.id, replayed.id]
    assert store.claim("w", [DIGEST]) is None
    assert store.position(store.find(first.id)) is None


def test_many_workers_never_get_the_same_job(store, add):
    wanted = {add(str(number)).id for number in range(30)}
    got: list[str] = []

    def work(name):
        while (job := store.claim(name, [DIGEST])) is not None:
            got.append(job.id)
            assert store.progress(job, 1, 2)
            assert store.finish(job, "done", verdict="{}")

    threads = [threading.Thread(target=work, args=(str(number),)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(got) == sorted(wanted)
    assert store.states() == {("done", "tiny"): 30}


def test_the_same_submission_is_one_job_whoever_comes_first(store):
    found = []

    def send():
        job = Job(tables.new_id(), "alice", "clip", "tiny", DIGEST, "same", 1)
        found.append(store.accept(job))

    threads = [threading.Thread(target=send) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({job.id for job, _ in found}) == 1
    assert sum(created for _, created in found) == 1
    assert store.count() == 1


@pytest.mark.parametrize("other", [{"owner": "bob"}, {"sha256": "other"}, {"digest": "e" * 64}])
def test_another_sender_file_or_detector_is_another_job(add, other):
    assert add().id != add(**other).id


def test_another_version_of_the_program_scores_again(add, monkeypatch):
    add()
    monkeypatch.setattr(module, "__version__", "next")
    add()


def test_what_failed_may_be_sent_again_and_what_is_done_not(store, add):
    add()
    assert store.finish(claim(store), "failed", "a reason")
    again = add()
    assert store.finish(claim(store), "done", verdict="{}", report=True)
    job, created = store.accept(dataclasses.replace(again, id=tables.new_id()))
    assert (job.id, created) == (again.id, False)
    assert (job.verdict, job.report, job.state) == ("{}", True, "done")


def test_only_the_worker_that_has_a_job_may_end_it(store, add):
    add()
    late = claim(store, "slow")
    assert store.requeue("slow") == []
    mine = claim(store, "quick")
    assert not store.progress(late, 1, 2)
    assert not store.finish(late, "failed", "too late")
    assert store.finish(mine, "done", verdict="{}")
    assert not store.finish(mine, "done", verdict="{}")
    job = store.find(mine.id)
    assert (job.state, job.attempts, job.reason) == ("done", 2, None)


def test_a_job_whose_worker_died_waits_in_its_old_place(store, add):
    first, second = add("1"), add("2")
    claim(store, "w1")
    claim(store, "w2")
    store.requeue("w1")
    assert [store.find(job.id).state for job in (first, second)] == ["queued", "running"]
    store.requeue()
    assert [store.position(store.find(job.id)) for job in (first, second)] == [1, 2]


def test_a_job_that_kills_its_workers_fails(store, add):
    job = add()
    for _ in range(ATTEMPTS - 1):
        claim(store)
        assert store.requeue("w") == []
    claim(store)
    (ended,) = store.requeue("w")
    assert (ended.id, ended.state) == (job.id, "failed")
    assert ended.reason.startswith(f"the program ended {ATTEMPTS} times")


def test_an_orderly_end_of_the_server_is_not_blamed_on_a_job(store, add):
    job = add()
    for _ in range(ATTEMPTS + 1):
        claim(store)
        assert store.requeue(blame=False) == []
    assert store.find(job.id).attempts == 0


def test_a_job_that_hangs_fails_for_its_reason(store, add):
    add()
    claim(store)
    (ended,) = store.requeue("w", "took too long")
    assert (ended.state, ended.reason) == ("failed", "took too long")


def test_jobs_are_cancelled_in_every_state(store, add):
    waiting = add("1")
    assert store.cancel(waiting) == "cancelled"
    assert store.find(waiting.id).state == "cancelled"
    running = add("2")
    claim(store)
    assert store.cancel(running) == "stopping"
    assert not store.progress(claim_of(store, running), 1, 2)
    (ended,) = store.requeue()
    assert (ended.id, ended.state) == (running.id, "cancelled")
    assert store.cancel(running) == "deleted"
    with pytest.raises(KeyError):
        store.find(running.id)


def claim_of(store, job) -> Job:
    return store.find(job.id)


def test_a_job_waits_for_its_own_detector(store, add):
    add("old", digest="e" * 64, detector="old")
    assert store.claim("w", [DIGEST]) is None
    assert store.waiting_for([DIGEST]) == {"old": 1}
    assert store.waiting_for([DIGEST, "e" * 64]) == {}
    assert claim(store, digests=[DIGEST, "e" * 64]).name == "old"


def test_lists_are_filtered_and_paged(store, add):
    jobs = [add(str(number), owner="ab"[number % 2], batch="xy"[number // 2]) for number in range(4)]
    ids = [job.id for job in reversed(jobs)]
    assert [job.id for job in store.jobs()] == ids
    assert [job.id for job in store.jobs("a")] == [jobs[2].id, jobs[0].id]
    assert [job.id for job in store.jobs(batch="x")] == [jobs[1].id, jobs[0].id]
    (first, second) = store.jobs(limit=2)
    assert [job.id for job in store.jobs(before=second.number, limit=2)] == ids[2:]
    claim(store)
    assert [job.id for job in store.jobs(states=("running",))] == [jobs[0].id]
    assert [job.id for job in store.jobs(detector="e" * 64)] == []
    assert (store.unfinished("a"), store.unfinished("c")) == (2, 0)
    with pytest.raises(KeyError):
        store.find(first.id, "a")


def test_results_expire_by_age_and_by_number_but_not_before_their_callback(store, add, clock):
    called = add("called", callback="https://example.org/")
    store.finish(claim(store), "done", verdict="{}")
    for number in range(4):
        clock.now += 10
        add(str(number))
        store.finish(claim(store), "done", verdict="{}")
    assert [job.name for job in store.expired(1000, 3)] == ["0"], "the called one is older, and kept"
    clock.now += 30
    assert {job.name for job in store.expired(45, 100)} == {"1"}
    store.called(called, None, None)
    assert {job.name for job in store.expired(45, 100)} == {"called"}


def test_callbacks_are_due_when_a_job_ends_and_after_each_wait(store, add, clock):
    add("silent")
    job = add("called", callback="https://example.org/")
    assert store.due(9) == []
    for _ in range(2):
        store.finish(claim(store), "done", verdict="{}")
    assert [one.id for one in store.due(9)] == [job.id]
    store.called(job, "status 500", 60.0)
    assert store.due(9) == []
    clock.now += 60
    (due,) = store.due(9)
    assert (due.callback_tries, due.callback_error) == (1, "status 500")
    store.called(job, None, None)
    assert store.due(9) == []
    assert store.find(job.id).callback_tries == 2


def test_times_are_told(store, add, clock):
    job = add()
    clock.now += 5
    assert store.oldest() == 5
    running = claim(store)
    assert store.oldest() == 0
    clock.now += 3
    store.progress(running, 2, 10)
    assert store.seconds_left(store.find(job.id)) == pytest.approx(12)
    assert store.seconds_kept(store.find(job.id), 60) is None
    store.finish(running, "done", verdict="{}")
    clock.now += 20
    assert store.seconds_kept(store.find(job.id), 60) == pytest.approx(40)


def test_a_database_of_another_folder_or_version_is_refused(store, url):
    with pytest.raises(ConfigError, match="belongs to another --data folder"):
        Store(url, "another folder")
    engine = sa.create_engine(url)
    with engine.begin() as link:
        link.execute(tables.META.update().values(version=tables.SCHEMA + 1))
    engine.dispose()
    with pytest.raises(ConfigError, match=f"tables of version {tables.SCHEMA + 1}, this program wants"):
        Store(url, "a folder")


@pytest.mark.parametrize(
    "url", ["no url", "nobody://x/y", "sqlite:////nowhere/at/all.sqlite", "postgresql+psycopg://u:secret@127.0.0.1:1/x"]
)
def test_a_database_that_cannot_be_used_is_a_sentence(url):
    with pytest.raises(ConfigError, match="--store") as refused:
        Store(url, "a folder")
    assert "\n" not in str(refused.value)
    assert "secret" not in str(refused.value)
