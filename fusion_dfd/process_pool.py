"""Independent tasks on all cores of this machine: a process that dies or hangs costs one task, the others go on.

Every worker is an executor of one process, so it is known which task a process died of. In one executor with many
processes, the death of one breaks all of them.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import math
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent import futures
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

import cv2

DIED = "the process that read it died or hung: re-encode the file, or use fewer workers if memory ran out"
"""The reason that is recorded for a file whose process died or hung."""
GRACE = 5.0
"""Seconds that a process has to abandon its task once the run is over, for instance by Ctrl-C."""

Task, Result = TypeVar("Task"), TypeVar("Result")
Report = Callable[[Any], None]


@dataclasses.dataclass(frozen=True)
class Died:
    """In place of a result: the process died or hung."""

    last: Any
    """The last message of the task; None where it sent none."""


def cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run(
    work: Callable[[Task, Report], Result],
    tasks: Sequence[Task],
    count: int,
    report: Report = lambda message: None,
    patience: float = math.inf,
    threads: int | None = 1,
) -> Iterator[tuple[Task, Result | Died]]:
    """Each task with ``work(task, report)``, in the order in which they are finished.

    Args:
      work: a function of a module, or a partial of one. It should send a message, ``report(message)``, before each step
        that takes time: there it ends when the run is over.
      tasks: picklable.
      count: processes. 0 works in this process, in order; a task that kills it ends the run.
      report: called in this process with every message.
      patience: seconds after the last message of a task after which its process is ended. The time before the first
        message does not count.
      threads: of the libraries in each process, 1, or None for as many as they take by themselves.

    What ``work`` raises is raised here, and ends the run. So does closing the iterator.
    """
    if not count:
        for task in tasks:
            yield task, work(task, report)
        return
    context = multiprocessing.get_context("spawn")
    stop = context.RawValue("b", 0)  # without a lock, which a killed process could hold for ever
    waiting = collections.deque(tasks)
    idle = [_Worker(context, stop, patience, threads) for _ in range(min(count, len(tasks)))]
    busy: dict[futures.Future, _Worker] = {}
    try:
        while waiting or busy:
            while waiting and idle:
                worker = idle.pop()
                busy[worker.submit(work, waiting.popleft())] = worker
            finished, _ = futures.wait(busy, timeout=0.2, return_when=futures.FIRST_COMPLETED)
            for worker in busy.values():
                worker.listen(report)
            for future in finished:
                worker = busy.pop(future)
                idle.append(worker)
                try:
                    result = future.result()
                except BrokenProcessPool:
                    result = Died(worker.last)
                    worker.start()
                yield worker.task, result
    finally:
        stop.value = 1
        for worker in (*idle, *busy.values()):
            worker.executor.shutdown(wait=True, cancel_futures=True)


class _Worker:
    """One process, its task, and the channel that brings its messages."""

    def __init__(self, context, stop, patience: float, threads: int | None):
        self._context, self._stop, self._patience, self._threads = context, stop, patience, threads
        self.task = self.last = None
        self.start()

    def start(self) -> None:
        """Begin with a new process, which is started with its first task."""
        self._channel = self._context.SimpleQueue()
        given = (self._channel, self._stop, self._patience)
        self.executor = futures.ProcessPoolExecutor(1, self._context, _start, given)

    def submit(self, work: Callable, task: Any) -> futures.Future:
        self.task, self.last = task, None
        with _environment(self._threads):
            return self.executor.submit(_call, work, task)

    def listen(self, report: Report) -> None:
        while not self._channel.empty():
            self.last = self._channel.get()
            report(self.last)


@contextlib.contextmanager
def _environment(threads: int | None) -> Iterator[None]:
    """Environment for spawned processes. It must be set before they import numpy and JAX, hence it is set here."""
    wanted = {"JAX_PLATFORMS": "cpu", "JAX_NUM_CPU_DEVICES": "1"}
    single = {
        "NPROC": "1",  # XLA's own name for the size of its thread pools
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "XLA_FLAGS": f"{os.environ.get('XLA_FLAGS', '')} --xla_cpu_multi_thread_eigen=false",
    }
    wanted |= single if threads == 1 else {}
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name)
            else:
                os.environ[name] = value


class _Stopped(Exception):
    """The run is over; the task is given up."""


@dataclasses.dataclass
class _Process:
    """State of a worker process."""

    channel: Any
    stop: Any
    patience: float
    last_sign: float | None = None
    """When the last message was sent, on the monotonic clock; None before the first message of a task."""


_process: _Process


def _start(channel, stop, patience: float) -> None:
    global _process
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes; the parent alone answers
    cv2.setNumThreads(1)
    _process = _Process(channel, stop, patience)
    threading.Thread(target=_watch, daemon=True).start()


def _call(work: Callable, task: Any) -> Any:
    try:
        return work(task, _report)
    except _Stopped:
        return None  # the run is over, the result is not used
    finally:
        _process.last_sign = None


def _report(message: Any) -> None:
    if _process.stop.value:
        raise _Stopped
    _process.last_sign = time.monotonic()
    _process.channel.put(message)


def _watch() -> None:
    """End this process when it hangs, when it goes on after the run is over, or when its parent was killed."""
    parent, over = multiprocessing.parent_process(), None
    while parent is None or parent.is_alive():
        time.sleep(0.5)
        now = time.monotonic()
        over = over or (now if _process.stop.value else None)
        if over and now - over > GRACE:
            break
        if _process.last_sign is not None and now - _process.last_sign > _process.patience:
            break
    os._exit(1)
