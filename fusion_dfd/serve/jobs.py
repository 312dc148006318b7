"""Uploaded videos from the queue to their results: bounded, one after another, and forgotten in time."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import functools
import math
import os
import secrets
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from typing import Literal, NamedTuple

from absl import logging

from fusion_dfd.predict.verdict import Verdict
from fusion_dfd.serve.scoring import Score, renamed
from fusion_dfd.types import DataError

State = Literal["queued", "running", "done", "failed", "cancelled"]

KEEP = 30 * 60.0
"""Seconds a result is kept."""
MOST_KEPT = 100
"""Results kept at most: the oldest goes first."""
SWEEP = 30.0
"""Seconds between looks for results that are due to be forgotten."""
PATIENCE = 10.0
"""Seconds that closing waits for the window in work."""


class Full(Exception):
    """No place is free in the queue."""


class Ended(Exception):
    """Ends the scoring of a job from within; not a DataError, which the detector would take for one about the video."""

    def __init__(self, state: State, reason: str):
        super().__init__(reason)
        self.state = state


class Ending(NamedTuple):
    """What came of a job; the fields are those of :class:`Job`."""

    state: State
    reason: str | None = None
    verdict: Verdict | None = None
    report: str | None = None


@dataclasses.dataclass(eq=False)
class Job:
    """One uploaded video. Times are those of the clock of its :class:`Jobs`, in seconds."""

    id: str
    """Not to be guessed: whoever knows it may see and delete the result."""
    name: str
    """What the user calls the file."""
    folder: str
    """The job's own; holds the video until it is scored, and the report."""
    state: State = "queued"
    windows: tuple[int, int] = (0, 0)
    """How many windows of the video are done, and how many there are; 0 of 0 before the first is."""
    started: float = math.nan
    """When scoring began."""
    finished: float = math.nan
    """When it reached one of the last three states."""
    stop: bool = False
    """Whether it was cancelled while running."""
    verdict: Verdict | None = None
    report: str | None = None
    """Path of an HTML page."""
    reason: str | None = None
    """Why it failed or was cancelled."""

    @property
    def video(self) -> str:
        """Path of the upload: names from outside are shown, never used."""
        return os.path.join(self.folder, self.id)


class Jobs:
    """A queue of at most ``places`` waiting videos, uploads under way included, and one thread that scores them.

    Args:
      score: see :data:`fusion_dfd.serve.scoring.Score`; called by that thread alone.
      root: folder for the jobs' folders.
      time_limit: seconds the scoring of one video may take; looked at after every window of it.
      places: how many may wait.
      clock: seconds since some moment.
    """

    def __init__(
        self, score: Score, root: str, time_limit: float, places: int, clock: Callable[[], float] = time.monotonic
    ):
        self.places, self.time_limit = places, time_limit
        self._score, self._root, self._clock = score, root, clock
        self._jobs: dict[str, Job] = {}
        self._waiting: collections.deque[Job] = collections.deque()
        self._uploads = 0
        self._closing = False
        self._changed = threading.Condition()
        # A daemon: a window that takes longer than PATIENCE must not keep the process from ending.
        self._thread = threading.Thread(target=self._work, name="scoring", daemon=True)

    def __enter__(self) -> Jobs:
        self._thread.start()
        return self

    def __exit__(self, *_) -> None:
        """End the running job at its next window, drop the others."""
        with self._changed:
            self._closing = True
            self._waiting.clear()
            for job in self._jobs.values():
                job.stop = True
            self._changed.notify_all()
        self._thread.join(PATIENCE)

    @contextlib.contextmanager
    def place(self, name: str) -> Iterator[Job]:
        """A place in the queue for a video of that name, with a folder to put it in. Raises :class:`Full`.

        Leaving without an error puts the job into the queue; otherwise nothing remains of it.
        """
        with self._changed:
            if self.free() <= 0:
                raise Full
            self._uploads += 1
        number = secrets.token_urlsafe(16)
        job = Job(number, name, os.path.join(self._root, number))
        try:
            os.mkdir(job.folder)
            yield job
        except BaseException:
            shutil.rmtree(job.folder, ignore_errors=True)
            with self._changed:
                self._uploads -= 1
            raise
        with self._changed:
            self._uploads -= 1
            self._jobs[job.id] = job
            self._waiting.append(job)
            self._changed.notify_all()

    def free(self) -> int:
        """How many places of the queue are free."""
        return self.places - len(self._waiting) - self._uploads

    def find(self, number: str) -> tuple[Job, int | None]:
        """A copy of a job as it is now, and its place in the queue (1 is next), None where it is not in it.

        Raises KeyError: there is no such job, or no longer.
        """
        with self._changed:
            self._sweep()
            job = self._jobs[number]
            position = self._waiting.index(job) + 1 if job in self._waiting else None
            return dataclasses.replace(job), position

    def seconds_left(self, job: Job) -> float | None:
        """How long a running job will take from now if its windows take equally long; None where nothing is known."""
        done, total = job.windows
        if job.state != "running" or not done:
            return None
        return (self._clock() - job.started) / done * (total - done)

    def expires(self, job: Job) -> float | None:
        """Seconds until the result of a job is forgotten; None while there is none."""
        return None if math.isnan(job.finished) else max(0.0, job.finished + KEEP - self._clock())

    def cancel(self, number: str) -> None:
        """Take a waiting job out of the queue, end a running one after its window, forget a finished one.

        Raises KeyError: there is no such job, or no longer.
        """
        with self._changed:
            job = self._jobs[number]
            if job.state == "running":
                job.stop = True
            elif job in self._waiting:
                self._waiting.remove(job)
                self._end(job, Ending("cancelled", "cancelled while it waited"))
            else:
                self._forget(job)

    def _work(self) -> None:
        while (job := self._next()) is not None:
            ending = self._run(job)
            with self._changed:
                self._end(job, ending)

    def _run(self, job: Job) -> Ending:
        try:
            verdict, report = self._score(job.video, job.folder, functools.partial(self._told, job))
            self._check(job)
            return Ending("done", None, renamed(verdict, report, job.video, job.name), report)
        except Ended as ended:
            return Ending(ended.state, str(ended))
        except DataError as error:
            return Ending("failed", str(error).replace(job.video, job.name))
        except Exception:
            # Whatever a video does to the libraries that read it, the next one is to be scored.
            logging.exception("scoring an uploaded video failed")
            return Ending("failed", "the program failed on this video; its log says where")

    def _next(self) -> Job | None:
        """The job to score now; waits for one. None when closing."""
        with self._changed:
            while not self._closing and not self._waiting:
                self._sweep()
                self._changed.wait(SWEEP)
            if self._closing:
                return None
            job = self._waiting.popleft()
            job.state, job.started = "running", self._clock()
            return job

    def _told(self, job: Job, _: str, window: int, windows: int) -> None:
        job.windows = window, windows
        self._check(job)
        if self._clock() - job.started > self.time_limit:
            raise Ended(
                "failed",
                f"stopped after {self.time_limit:g} seconds, the time limit of this server, at window {window} of "
                f"{windows}; give a shorter or smaller video",
            )

    def _check(self, job: Job) -> None:
        """Whether a job may go on. Raises :class:`Ended`."""
        if job.stop:
            raise Ended("cancelled", "cancelled while it was scored")

    def _end(self, job: Job, ending: Ending) -> None:
        """Keep what came of a job; the video goes, and the whole folder where no report lies in it."""
        job.state, job.reason, job.verdict, job.report = ending
        job.finished = self._clock()
        if job.report is None:
            shutil.rmtree(job.folder, ignore_errors=True)
        else:
            with contextlib.suppress(FileNotFoundError):
                os.remove(job.video)

    def _sweep(self) -> None:
        """Forget results that are due."""
        ended = [job for job in self._jobs.values() if not math.isnan(job.finished)]
        ended.sort(key=lambda job: job.finished)
        for place, job in enumerate(ended):
            if place < len(ended) - MOST_KEPT or self.expires(job) == 0:
                self._forget(job)

    def _forget(self, job: Job) -> None:
        del self._jobs[job.id]
        shutil.rmtree(job.folder, ignore_errors=True)
