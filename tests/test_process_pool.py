"""Tasks on several processes: results, messages, deaths, errors, the end of a run."""

import os
import signal
import time

import pytest

from fusion_dfd import process_pool
from fusion_dfd.process_pool import Died


def work(task: int, report) -> int:
    report(("begun", task))
    if task == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    if task == 5:
        time.sleep(1000)
    if task == 7:
        raise ValueError("seven")
    report(("done", task))
    return task**2


def test_a_death_and_a_hang_cost_one_task_each():
    messages = []
    results = dict(process_pool.run(work, [1, 3, 5, 2, 4], 2, messages.append, patience=1.0))
    assert results == {1: 1, 2: 4, 3: Died(("begun", 3)), 4: 16, 5: Died(("begun", 5))}
    assert sorted(messages) == sorted([("begun", n) for n in range(1, 6)] + [("done", n) for n in (1, 2, 4)])


def test_an_error_of_a_task_ends_the_run():
    with pytest.raises(ValueError, match="seven"):
        list(process_pool.run(work, [7, *[1] * 1000], 1))


def test_this_process_works_where_there_is_no_other():
    assert list(process_pool.run(work, [4, 2], 0)) == [(4, 16), (2, 4)]
    assert list(process_pool.run(work, [], 2)) == []


def steps(task: str, report) -> None:
    """Goes on until it is told that the run is over."""
    with open(task, "w") as file:
        while True:
            print(os.getpid(), file=file, flush=True)
            report("step")
            time.sleep(0.01)


def test_whoever_stops_listening_stops_the_processes(tmp_path):
    class Enough(Exception):
        pass

    def stop(message):
        raise Enough

    begun = time.monotonic()
    with pytest.raises(Enough):
        list(process_pool.run(steps, [str(tmp_path / "a"), str(tmp_path / "b")], 2, stop))
    for pid in {int(line) for path in tmp_path.iterdir() for line in path.read_text().split()}:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
    assert time.monotonic() - begun < 60
