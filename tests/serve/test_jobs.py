"""The queue: its bounds, its order, how jobs end, and that nothing of them stays on disk."""

import pathlib
import threading

import pytest

from fusion_dfd.serve import jobs as module
from fusion_dfd.serve.jobs import KEEP, MOST_KEPT, JobQueue, QueueFull
from fusion_dfd.types import DataError


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def queue(score, tmp_path, clock):
    with JobQueue(score, str(tmp_path), 60.0, 2, clock) as made:
        yield made
        score.step(1000)


@pytest.fixture
def submit(queue):
    def submitted(name="clip.mp4", content=b"bytes") -> str:
        with queue.place(name) as job:
            pathlib.Path(job.video).write_bytes(content)
        return job.id

    return submitted


@pytest.fixture
def ended(queue, eventually):
    def wait(number: str) -> module.Job:
        eventually(lambda: queue.find(number)[0].state in ("done", "failed", "cancelled"))
        return queue.find(number)[0]

    return wait


@pytest.fixture
def running(queue, eventually):
    """Wait until a job has told of that many windows."""
    return lambda number, windows: eventually(lambda: queue.find(number)[0].progress[0] == windows)


def test_a_video_is_scored_and_deleted_and_its_name_is_the_user_s(submit, ended, score, tmp_path):
    job = ended(submit("holiday.mp4", b"moving picture"))
    assert score.seen == [b"moving picture"]
    assert (job.state, job.reason) == ("done", None)
    assert (job.verdict.path, job.verdict.reason) == ("holiday.mp4", "holiday.mp4: a reason")
    assert not list(tmp_path.iterdir())


def test_videos_are_scored_one_by_one_in_their_order(queue, submit, ended, running, score):
    score.held = True
    first = submit(content=b"1")
    running(first, 1)
    second, third = submit(content=b"2"), submit(content=b"3")
    assert [queue.find(number)[1] for number in (first, second, third)] == [None, 1, 2]
    assert score.seen == [b"1"]
    score.step(30)
    ended(third)
    assert score.seen == [b"1", b"2", b"3"]


def test_a_full_queue_takes_nothing_and_uploads_hold_places(queue, submit, running, score, tmp_path):
    score.held = True
    running(submit(), 1)
    submit()
    with queue.place("under way"):
        assert queue.free() == 0
        with pytest.raises(QueueFull), queue.place("too much"):
            pass
        before = sorted(tmp_path.iterdir())
    assert sorted(tmp_path.iterdir()) == before
    assert queue.free() == 0


def test_an_upload_that_breaks_off_leaves_nothing(queue, tmp_path):
    class Gone(Exception):
        pass

    def broken():
        with queue.place("half") as job:
            pathlib.Path(job.video).write_bytes(b"half")
            raise Gone

    with pytest.raises(Gone):
        broken()
    assert queue.free() == 2
    assert not list(tmp_path.iterdir())


def test_progress_and_the_time_left_follow_the_windows(queue, submit, running, score, clock):
    score.held = True
    number = submit()
    running(number, 1)
    score.step()
    running(number, 2)
    job, position = queue.find(number)
    clock.now = job.started + 3
    assert (job.state, job.progress, position) == ("running", (2, 10), None)
    assert queue.seconds_left(job) == pytest.approx(12)
    assert queue.expires(job) is None


def test_a_waiting_job_is_cancelled_at_once(queue, submit, running, score, ended):
    score.held = True
    first = submit()
    running(first, 1)
    second, third = submit(), submit()
    folder = queue.find(second)[0].folder
    queue.cancel(second)
    assert ended(second).state == "cancelled"
    assert not pathlib.Path(folder).exists()
    assert queue.find(third)[1] == 1
    score.step(20)
    assert ended(third).state == "done"
    assert len(score.seen) == 2


def test_a_running_job_is_cancelled_at_its_next_window(queue, submit, running, score, ended, tmp_path):
    score.held = True
    number = submit()
    running(number, 1)
    queue.cancel(number)
    assert queue.find(number)[0].state == "running"
    score.step()
    job = ended(number)
    assert (job.state, job.progress, job.verdict) == ("cancelled", (2, 10), None)
    assert not list(tmp_path.iterdir())


def test_a_job_cancelled_after_its_last_window_has_no_verdict(queue, submit, running, score, ended):
    score.held = True
    number = submit()
    score.step(9)
    running(number, 10)
    queue.cancel(number)
    score.step()
    job = ended(number)
    assert (job.state, job.verdict) == ("cancelled", None)


def test_the_time_limit_ends_a_job_and_says_so(submit, running, score, ended, clock, tmp_path):
    score.held = True
    number = submit()
    running(number, 1)
    clock.now += 61
    score.step()
    job = ended(number)
    assert job.state == "failed"
    assert job.reason.startswith("stopped after 60 seconds, the time limit of this server, at step 2 of 10")
    assert not list(tmp_path.iterdir())


def test_time_in_the_queue_does_not_count(submit, running, score, ended, clock):
    score.held = True
    first = submit()
    running(first, 1)
    second = submit()
    clock.now += 59
    score.step(10)
    ended(first)
    clock.now += 59
    score.step(10)
    assert ended(second).state == "done"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (DataError, "clip.mp4: no room"),
        (ValueError, "the program failed on this video; the server's log has the details"),
    ],
)
def test_an_error_ends_one_job_and_not_the_server(submit, ended, score, tmp_path, error, said):
    score.error = lambda path: error(f"{path}: no room")
    job = ended(submit())
    assert job.state == "failed"
    assert job.reason == said
    score.error = None
    assert ended(submit()).state == "done"
    assert not list(tmp_path.iterdir())


def test_a_report_stays_as_long_as_its_result(queue, submit, ended, score, clock, tmp_path):
    score.page = "<p>report"
    job = ended(submit())
    assert pathlib.Path(job.report).read_text() == "<p>report"
    assert not pathlib.Path(job.video).exists()
    clock.now += KEEP - 1
    assert queue.expires(queue.find(job.id)[0]) == pytest.approx(1)
    clock.now += 1
    with pytest.raises(KeyError):
        queue.find(job.id)
    assert not list(tmp_path.iterdir())


def test_a_finished_job_is_deleted_on_request(queue, submit, ended, score, tmp_path):
    score.page = "<p>report"
    number = ended(submit()).id
    queue.cancel(number)
    assert not list(tmp_path.iterdir())
    for ask in (queue.find, queue.cancel):
        with pytest.raises(KeyError):
            ask(number)


def test_the_oldest_results_give_way(queue, submit, ended, clock):
    numbers = []
    for _ in range(MOST_KEPT + 1):
        clock.now += 1
        numbers.append(ended(submit()).id)
    assert queue.find(numbers[1])[0].state == "done"
    with pytest.raises(KeyError):
        queue.find(numbers[0])


def test_closing_ends_the_running_job_and_drops_the_rest(score, tmp_path, eventually):
    score.held = True
    with JobQueue(score, str(tmp_path), 60.0, 2) as queue:
        for _ in range(2):
            with queue.place("clip") as job:
                pathlib.Path(job.video).write_bytes(b"x")
            eventually(lambda: score.seen)
        threading.Thread(target=lambda: eventually(lambda: queue._closing) and score.step()).start()
    assert not queue._thread.is_alive()
    assert len(score.seen) == 1


def test_ids_cannot_be_guessed(submit):
    one, two = submit(), submit()
    assert min(len(one), len(two)) >= 22
    assert one != two
