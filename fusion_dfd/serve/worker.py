"""A worker: takes jobs from the store, one at a time, and scores them. The body of a process of its own.

A worker holds every detector that the server was started with. What it does is told to the server as messages, see
:data:`Tell`; what counts is in the store.
"""

from __future__ import annotations

import dataclasses
import functools
import os
import signal
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from multiprocessing import connection, parent_process
from typing import Any, TypeVar

from absl import logging
from sqlalchemy.exc import SQLAlchemyError

from fusion_dfd.predict.detector import load
from fusion_dfd.serve import scoring, telemetry
from fusion_dfd.serve.files import Files
from fusion_dfd.serve.scoring import ModelFacts, Score, renamed
from fusion_dfd.serve.store import Store
from fusion_dfd.serve.tables import Job, State
from fusion_dfd.types import DataError

POLL = 0.1
"""Seconds between questions for work."""
PAUSE = 1.0
"""Seconds before a store that does not answer is asked again."""

Tell = Callable[[Mapping[str, Any]], None]
"""Takes a message: ``event`` is ready, refused, started or ended; the other fields are JSON values."""
Answer = TypeVar("Answer")


@dataclasses.dataclass(frozen=True)
class Detector:
    """A detector in memory."""

    facts: ModelFacts
    score: Score


@dataclasses.dataclass(frozen=True)
class Plan:
    """What a worker process is started with; picklable."""

    store: str
    """URL of the store."""
    root: str
    """The server's folder."""
    detectors: tuple[tuple[str, str], ...]
    """Names and runs."""
    time_limit: float
    """Seconds that scoring one video may take; checked after every clip."""
    keep_videos: bool
    """Whether a video stays as long as its result."""
    json_log: bool


class JobEnded(Exception):
    """Ends the scoring of a job. Not a DataError, which the detector would take for an error in the video."""

    def __init__(self, state: State, reason: str):
        super().__init__(reason)
        self.state = state


class Worker:
    """Scores jobs with the given detectors, under a name that no worker had before."""

    def __init__(
        self,
        name: str,
        store: Store,
        files: Files,
        detectors: Sequence[Detector],
        time_limit: float,
        keep_videos: bool = False,
        tell: Tell = lambda message: None,
        clock: Callable[[], float] = time.monotonic,
    ):
        self.name = name
        self._store, self._files = store, files
        self._detectors = {detector.facts.digest: detector for detector in detectors}
        self._time_limit, self._keep_videos, self._tell, self._clock = time_limit, keep_videos, tell, clock

    def run(self, ended: Callable[[], bool]) -> None:
        """Work until ``ended``."""
        while not ended():
            job = self._patiently(lambda: self._store.claim(self.name, list(self._detectors)))
            if job is None:
                time.sleep(POLL)
            else:
                self._work(job)

    def _work(self, job: Job) -> None:
        begun = self._clock()
        self._tell({"event": "started", "job": job.id, "detector": job.detector, "waited": job.started - job.accepted})
        outcome = self._outcome(job, begun)
        if not self._patiently(lambda: self._store.finish(job, **outcome)):
            return  # taken back meanwhile: the files are another worker's
        if not outcome.get("report") and not (self._keep_videos and outcome["state"] == "done"):
            self._files.remove(job.id)
        elif not self._keep_videos:
            self._files.remove_video(job.id)
        told = {"job": job.id, "state": outcome["state"], "detector": job.detector, "took": self._clock() - begun}
        self._tell({"event": "ended", **told})

    def _outcome(self, job: Job, begun: float) -> dict[str, Any]:
        """What :meth:`Store.finish` takes."""
        path = self._files.video(job.id)
        try:
            score = self._detectors[job.digest].score
            verdict, report = score(path, self._files.folder(job.id), functools.partial(self._on_progress, job, begun))
            verdict = renamed(verdict, report, path, job.name)
            return {"state": "done", "verdict": verdict.to_json(), "report": report is not None}
        except JobEnded as ended:
            return {"state": ended.state, "reason": str(ended)}
        except DataError as error:
            return {"state": "failed", "reason": str(error).replace(path, job.name)}
        except Exception:
            # Whatever a video does to the libraries that read it, the worker must go on to the next one.
            logging.exception("scoring an uploaded video failed")
            reason = "the program failed on this video; the server's log has the details"
            return {"state": "failed", "reason": reason}

    def _on_progress(self, job: Job, begun: float, _: str, done: int, steps: int) -> None:
        if not self._patiently(lambda: self._store.progress(job, done, steps)):
            raise JobEnded("cancelled", "cancelled while being scored")
        if self._clock() - begun > self._time_limit:
            raise JobEnded("failed", late(self._time_limit, f"at step {done} of {steps}"))

    def _patiently(self, ask: Callable[[], Answer]) -> Answer:
        """Ask the store until it answers: a database may be restarted."""
        while True:
            try:
                return ask()
            except SQLAlchemyError as error:
                logging.error("the store does not answer: %s", type(error).__name__)
                time.sleep(PAUSE)


def late(time_limit: float, where: str) -> str:
    """Why a job ended that took too long."""
    return (
        f"stopped after {time_limit:g} seconds, the time limit of this server, {where}; send a shorter or smaller video"
    )


def load_all(plan: Plan) -> list[Detector]:
    """The detectors, compiled. Raises DataError."""
    found = []
    for name, run in plan.detectors:
        detector = load(run)
        scoring.warm(detector, Files(plan.root).incoming)
        facts = scoring.gather(name, detector)
        found.append(Detector(facts, functools.partial(scoring.score, detector)))
    return found


def main(
    plan: Plan,
    name: str,
    told: connection.Connection,
    load_detectors: Callable[[Plan], list[Detector]] = load_all,
) -> None:
    """A worker process. It ends with the server, however that ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches every process of a terminal; the server decides
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if plan.json_log:
        telemetry.log_json()
    try:
        detectors = load_detectors(plan)
    except DataError as error:
        told.send({"event": "refused", "reason": str(error)})
        return
    files = Files(plan.root)
    told.send({"event": "ready", "facts": [detector.facts for detector in detectors]})
    store = Store(plan.store, files.name)
    Worker(name, store, files, detectors, plan.time_limit, plan.keep_videos, told.send).run(lambda: False)


def _end_with_parent() -> None:
    connection.wait([parent_process().sentinel])
    os._exit(1)
