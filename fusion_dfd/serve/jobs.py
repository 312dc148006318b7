"""A bounded queue of uploaded videos. They are scored one at a time, and results are deleted after a while."""

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
"""Most results that are kept; the oldest is deleted first."""
SWEEP = 30.0
"""Seconds between searches for results that have expired."""
PATIENCE = 10.0
"""Seconds that closing waits for the clip in progress."""


class QueueFull(Exception):
    """No place in the queue is free."""


class JobEnded(Exception):
    """Ends the scoring of a job. Not a DataError, which the detector would take for an error in the video."""

    def __init__(self, state: State, reason: str):
        super().__init__(reason)
        self.state = state


class Ending(NamedTuple):
    """Outcome of a job; the fields are those of :class:`Job`."""

    state: State
    reason: str | None = None
    verdict: Verdict | None = None
    report: str | None = None


@dataclasses.dataclass(eq=False)
class Job:
    """One uploaded video. Times are seconds of the clock of its :class:`JobQueue`."""

    id: str
    """Random and unguessable: whoever knows it may see and delete the result."""
    name: str
    """Name of the file on the user's machine, for display."""
    folder: str
    """Folder of this job; holds the video until it is scored, and the report."""
    state: State = "queued"
    progress: tuple[int, int] = (0, 0)
    """Steps done (clips, then parts of the explanation) and steps in total; 0 of 0 before the first."""
    started: float = math.nan
    """When scoring began."""
    finished: float = math.nan
    """When it was done, failed or cancelled."""
    stop: bool = False
    """Whether it was cancelled while running."""
    verdict: Verdict | None = None
    report: str | None = None
    """Path of an HTML page."""
    reason: str | None = None
    """Why it failed or was cancelled."""

    @property
    def video(self) -> str:
        """Path of the upload. A user's file name is displayed but never used as a path."""
        return os.path.join(self.folder, self.id)


class JobQueue:
    """A queue of at most ``places`` waiting videos, current uploads included, and one thread that scores them.

    Args:
      score: see :data:`fusion_dfd.serve.scoring.Score`; called by that thread alone.
      root: folder for the jobs' folders.
      time_limit: seconds that scoring one video may take; checked after every clip.
      places: most videos that may wait.
      clock: monotonic time in seconds.
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
        # A daemon, so that a clip that takes longer than PATIENCE does not keep the process from ending.
        self._thread = threading.Thread(target=self._work, name="scoring", daemon=True)

    def __enter__(self) -> JobQueue:
        self._thread.start()
        return self

    def __exit__(self, *_) -> None:
        """Stop the running job after its current clip, drop the others."""
        with self._changed:
            self._closing = True
            self._waiting.clear()
            for job in self._jobs.values():
                job.stop = True
            self._changed.notify_all()
        self._thread.join(PATIENCE)

    @contextlib.contextmanager
    def place(self, name: str) -> Iterator[Job]:
        """Reserve a place for a video of that name, with a folder to store it in. Raises :class:`QueueFull`.

        On leaving without an error the job is queued; after an error nothing of it remains.
        """
        with self._changed:
            if self.free() <= 0:
                raise QueueFull
            self._uploads += 1
        job_id = secrets.token_urlsafe(16)
        job = Job(job_id, name, os.path.join(self._root, job_id))
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
        """Number of free places in the queue."""
        return self.places - len(self._waiting) - self._uploads

    def find(self, job_id: str) -> tuple[Job, int | None]:
        """A copy of a job and its position in the queue: 1 is next, None if it is not queued.

        Raises KeyError if there is no such job, or no longer.
        """
        with self._changed:
            self._sweep()
            job = self._jobs[job_id]
            position = self._waiting.index(job) + 1 if job in self._waiting else None
            return dataclasses.replace(job), position

    def seconds_left(self, job: Job) -> float | None:
        """Remaining seconds of a running job if all its steps take equally long; None if unknown."""
        done, total = job.progress
        if job.state != "running" or not done:
            return None
        return (self._clock() - job.started) / done * (total - done)

    def expires(self, job: Job) -> float | None:
        """Seconds until the result of a job is deleted; None while there is none."""
        return None if math.isnan(job.finished) else max(0.0, job.finished + KEEP - self._clock())

    def cancel(self, job_id: str) -> None:
        """Remove a waiting job, stop a running one after its current clip, delete a finished one.

        Raises KeyError if there is no such job, or no longer.
        """
        with self._changed:
            job = self._jobs[job_id]
            if job.state == "running":
                job.stop = True
            elif job in self._waiting:
                self._waiting.remove(job)
                self._end(job, Ending("cancelled", "cancelled while waiting"))
            else:
                self._forget(job)

    def _work(self) -> None:
        while (job := self._next()) is not None:
            ending = self._run(job)
            with self._changed:
                self._end(job, ending)

    def _run(self, job: Job) -> Ending:
        try:
            verdict, report = self._score(job.video, job.folder, functools.partial(self._on_progress, job))
            self._check(job)
            return Ending("done", None, renamed(verdict, report, job.video, job.name), report)
        except JobEnded as ended:
            return Ending(ended.state, str(ended))
        except DataError as error:
            return Ending("failed", str(error).replace(job.video, job.name))
        except Exception:
            # Whatever a video does to the libraries that read it, the server must go on to the next one.
            logging.exception("scoring an uploaded video failed")
            return Ending("failed", "the program failed on this video; the server's log has the details")

    def _next(self) -> Job | None:
        """Wait for the next job and start it. None when closing."""
        with self._changed:
            while not self._closing and not self._waiting:
                self._sweep()
                self._changed.wait(SWEEP)
            if self._closing:
                return None
            job = self._waiting.popleft()
            job.state, job.started = "running", self._clock()
            return job

    def _on_progress(self, job: Job, _: str, done: int, steps: int) -> None:
        job.progress = done, steps
        self._check(job)
        if self._clock() - job.started > self.time_limit:
            raise JobEnded(
                "failed",
                f"stopped after {self.time_limit:g} seconds, the time limit of this server, at step {done} of "
                f"{steps}; send a shorter or smaller video",
            )

    def _check(self, job: Job) -> None:
        """Raises :class:`JobEnded` if a job was cancelled."""
        if job.stop:
            raise JobEnded("cancelled", "cancelled while being scored")

    def _end(self, job: Job, ending: Ending) -> None:
        """Store the outcome of a job. Delete its video, or its whole folder if that holds no report."""
        job.state, job.reason, job.verdict, job.report = ending
        job.finished = self._clock()
        if job.report is None:
            shutil.rmtree(job.folder, ignore_errors=True)
        else:
            with contextlib.suppress(FileNotFoundError):
                os.remove(job.video)

    def _sweep(self) -> None:
        """Delete expired results."""
        ended = [job for job in self._jobs.values() if not math.isnan(job.finished)]
        ended.sort(key=lambda job: job.finished)
        for age, job in enumerate(ended):
            if age < len(ended) - MOST_KEPT or self.expires(job) == 0:
                self._forget(job)

    def _forget(self, job: Job) -> None:
        del self._jobs[job.id]
        shutil.rmtree(job.folder, ignore_errors=True)
