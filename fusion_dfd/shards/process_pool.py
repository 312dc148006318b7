"""A pool of processes that turns shard plans into shards: one core, one detector and one thread of XLA each."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent import futures
from concurrent.futures.process import BrokenProcessPool

import cv2

from fusion_dfd import cache, config
from fusion_dfd.shards import shard_writer
from fusion_dfd.shards.plan import ShardPlan
from fusion_dfd.types import DataError

DIED = "the process that read it died or hung: re-encode the file, or use fewer workers if memory ran out"

Report = Callable[[str, dict | None], None]
"""Called with a video's key and None when it is begun, with what was found when it is done."""

Runner = Callable[[Sequence[ShardPlan], "Setup", Report], None]
"""What makes all shards of a list, somewhere: returns when they are there, raises DataError when they cannot be."""


@dataclasses.dataclass(frozen=True)
class Setup:
    """What a process needs before its first shard; picklable."""

    faces: config.Faces
    extract: shard_writer.Extract | None
    """None takes the package's own, with the detector of ``faces``."""
    patience: float
    """Seconds after which a process that is still at one video is ended from outside. ``faces.time_limit`` is kept by
    the extraction itself; this is for code that never comes back to look at the clock."""


def cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def pool(count: int | None = None) -> Runner:
    """A runner on this machine, in ``count`` spawned processes: None takes one per core, 0 works in this process."""
    return functools.partial(_run, cores() if count is None else count)


def _run(count: int, entries: Sequence[ShardPlan], setup: Setup, report: Report) -> None:
    """Make all shards.

    A process that dies or hangs does not end the run: the videos it may have died of are tried alone, those that kill
    again are recorded with the reason ``DIED``, and the unfinished shards are made again. Raises DataError for what
    ends the whole run, such as a full disk.
    """
    if not count:
        cut = cutter(setup)
        for entry in entries:
            shard_writer.write_shard(entry, cut, report)
        return
    deadly: dict[str, str] = {}
    while entries := [entry for entry in entries if not shard_writer.valid(entry)]:
        begun = _pool(entries, setup, count, report, deadly)
        if begun is None:
            return
        new = {key for key in begun if _kills(key, entries, setup)}
        if not new:
            raise DataError(f"a worker died, most likely for want of memory; run again with fewer workers than {count}")
        deadly |= dict.fromkeys(new, DIED)


def _pool(entries, setup: Setup, count: int, report: Report, deadly: dict) -> set[str] | None:
    """Run a pool over all entries. None when all went well, the videos in work when a process died."""
    context = multiprocessing.get_context("spawn")
    channel, stop, begun = context.SimpleQueue(), context.Event(), set()

    def listen() -> None:
        while not channel.empty():
            key, found = channel.get()
            (begun.add if found is None else begun.discard)(key)
            report(key, found)

    pool = futures.ProcessPoolExecutor(min(count, len(entries)), context, _start, (setup, channel, stop, deadly))
    try:
        with _single_threaded():
            jobs = {pool.submit(_work, entry) for entry in entries}
        while jobs:
            done, jobs = futures.wait(jobs, timeout=0.2, return_when=futures.FIRST_COMPLETED)
            listen()
            for job in done:
                job.result()
    except BrokenProcessPool:
        listen()
        return begun
    finally:
        stop.set()
        pool.shutdown(wait=True, cancel_futures=True)
    listen()
    return None


def _kills(key: str, entries: Sequence[ShardPlan], setup: Setup) -> bool:
    """Whether a process of its own, reading this one video, dies."""
    video = next(video for entry in entries for video in entry.videos if video.key == key)
    context = multiprocessing.get_context("spawn")
    with _single_threaded():
        process = context.Process(target=_try, args=(setup, video.path, video.mask), daemon=True)
        process.start()
    process.join()
    return process.exitcode != 0


@contextlib.contextmanager
def _single_threaded() -> Iterator[None]:
    """Environment for spawned processes. It must stand before they import numpy and JAX, hence is set here."""
    wanted = {
        "JAX_PLATFORMS": "cpu",
        "JAX_NUM_CPU_DEVICES": "1",
        "NPROC": "1",  # XLA's own name for the size of its thread pools
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "XLA_FLAGS": f"{os.environ.get('XLA_FLAGS', '')} --xla_cpu_multi_thread_eigen=false",
    }
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
    """The run is over; the shard in work is given up."""


_state: dict = {}


def _start(setup: Setup, channel, stop, deadly: dict) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes; the parent alone answers
    cv2.setNumThreads(1)
    _state.update(setup=setup, channel=channel, stop=stop, deadly=deadly)
    threading.Thread(target=_watch, daemon=True).start()


def _work(entry: ShardPlan) -> None:
    def report(key: str, found: dict | None) -> None:
        if _state["stop"].is_set():
            raise _Stopped
        _state["begun"] = time.monotonic() if found is None else None
        _state["channel"].put((key, found))

    if "cut" not in _state:  # not in _start: an exception there would look like a process that died
        _state["cut"] = cutter(_state["setup"])
    with contextlib.suppress(_Stopped):
        shard_writer.write_shard(entry, _state["cut"], report, _state["deadly"])


def _try(setup: Setup, path: str, mask: str) -> None:
    with contextlib.suppress(Exception):
        cut = cutter(setup)
        _state.update(setup=setup, begun=time.monotonic())
        threading.Thread(target=_watch, daemon=True).start()
        cut(path, mask)


def _watch() -> None:
    """End this process when it hangs, or when its parent, which could have stopped it, was killed."""
    parent = multiprocessing.parent_process()
    while parent is None or parent.is_alive():
        time.sleep(0.5)
        begun = _state.get("begun")
        if begun is not None and time.monotonic() - begun > _state["setup"].patience:
            break
    os._exit(1)


def cutter(setup: Setup) -> Callable:
    """``(path, mask) -> Extraction`` with this process's own detector."""
    if setup.extract is not None:
        return lambda path, mask: setup.extract(path, setup.faces, None, mask)
    cache.keep_programs()
    from fusion_dfd.faces import detector, extract  # heavy, and not needed where a test brings its own

    built = detector.build(setup.faces)
    return lambda path, mask: extract.extract(path, setup.faces, built, mask)
