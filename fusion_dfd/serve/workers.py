"""Worker processes: started, watched and replaced. A job whose worker dies waits again."""

from __future__ import annotations

import contextlib
import dataclasses
import multiprocessing
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from multiprocessing import connection
from multiprocessing.process import BaseProcess
from typing import Any

from absl import logging
from sqlalchemy.exc import SQLAlchemyError

from fusion_dfd.serve import worker
from fusion_dfd.serve.files import Files
from fusion_dfd.serve.scoring import ModelFacts
from fusion_dfd.serve.store import Store
from fusion_dfd.serve.telemetry import Telemetry
from fusion_dfd.types import DataError

TICK = 1.0
"""Seconds between looks for workers that hang."""
HANGING = 60.0
"""Seconds beyond the time limit after which a worker is ended that does not come to the end of a step."""
BACKOFF = 60.0
"""Most seconds before a worker is replaced that died before it was ready."""
DIED = "worker {} ended (code {}); its job waits again, and another worker takes its place"


@dataclasses.dataclass(eq=False)
class _Running:
    """One worker process."""

    name: str
    process: BaseProcess
    told: connection.Connection
    ready: bool = False


class Workers:
    """Keeps ``count`` worker processes running, each as ``plan`` says.

    Args:
      main: the body of a process, :func:`fusion_dfd.serve.worker.main` unless a test has its own.
    """

    def __init__(
        self,
        count: int,
        plan: worker.Plan,
        store: Store,
        files: Files,
        telemetry: Telemetry,
        main: Callable[[worker.Plan, str, connection.Connection], None] = worker.main,
    ):
        self._count, self._plan, self._main = count, plan, main
        self._store, self._files, self._telemetry = store, files, telemetry
        self._context = multiprocessing.get_context("spawn")
        self._id = secrets.token_hex(4)
        self._made = 0
        self._failed = 0
        """Workers in a row that ended before they were ready."""
        self._again = 0.0
        """Monotonic time before which none is started."""
        self._running: list[_Running] = []
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="workers", daemon=True)

    def start(self) -> list[ModelFacts]:
        """Start the workers; the facts on the detectors, once the first worker is ready, and with it what it compiled.

        Raises DataError if a run cannot be used.
        """
        self._launch()
        first = self._running[0]
        try:
            message = first.told.recv()
        except EOFError as error:
            first.process.join()
            raise DataError(
                f"the worker ended while it loaded {self._plan.detectors[0][1]} (code {first.process.exitcode}); "
                "is there enough memory?"
            ) from error
        if message["event"] == "refused":
            raise DataError(message["reason"])
        first.ready = True
        self._thread.start()
        return message["facts"]

    def close(self) -> None:
        """End the workers at once; what they were scoring waits for the next start."""
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join()
        for one in self._running:
            one.process.kill()
            one.process.join()
        with contextlib.suppress(SQLAlchemyError):  # otherwise the next start does it
            self._store.requeue(blame=False)

    def ready(self) -> int:
        """Workers that take jobs."""
        return sum(one.ready for one in self._running)

    def processes(self) -> dict[str, int]:
        """Process ids by the place of the worker, ``0``, ``1``, ..."""
        return {str(place): one.process.pid for place, one in enumerate(self._running)}

    def _launch(self) -> None:
        self._made += 1
        name = f"{self._id}-{self._made}"
        told, tell = self._context.Pipe(duplex=False)
        process = self._context.Process(target=self._main, args=(self._plan, name, tell), name=name, daemon=True)
        process.start()
        tell.close()  # so that the end of the process is the end of the messages
        self._running.append(_Running(name, process, told))

    def _watch(self) -> None:
        looked = 0.0
        while not self._closing.is_set():
            while len(self._running) < self._count and time.monotonic() >= self._again:
                self._launch()
            for told in connection.wait([one.told for one in self._running], TICK):
                self._hear(next(one for one in self._running if one.told is told))
            if time.monotonic() - looked > TICK:
                looked = time.monotonic()
                self._end_hanging()

    def _hear(self, one: _Running) -> None:
        try:
            message = one.told.recv()
        except (EOFError, OSError):
            self._bury(one)
        else:
            self._on_message(one, message)

    def _on_message(self, one: _Running, message: Mapping[str, Any]) -> None:
        fields = {name: value for name, value in message.items() if name != "event"}
        if message["event"] == "ready":
            one.ready, self._failed = True, 0
        elif message["event"] == "refused":
            logging.error("worker %s: %s", one.name, message["reason"])
        elif message["event"] == "started":
            self._telemetry.started(**fields, worker=one.name)
        else:
            self._telemetry.ended(**fields, worker=one.name)

    def _bury(self, one: _Running, late: str | None = None) -> None:
        """Replace a worker whose process is gone; its job waits again, or has failed for the reason ``late``."""
        one.process.join()
        self._running.remove(one)
        one.told.close()
        self._telemetry.died(one.name, one.process.exitcode)
        logging.warning(DIED.format(one.name, one.process.exitcode))
        if not one.ready:
            self._failed += 1
        self._again = time.monotonic() + (min(2.0**self._failed, BACKOFF) if self._failed else 0)
        while not self._closing.is_set():
            try:
                ended = self._store.requeue(one.name, late)
                break
            except SQLAlchemyError as error:
                logging.error("the store does not answer: %s", type(error).__name__)
                time.sleep(TICK)
        else:
            return
        for job in ended:
            self._files.remove(job.id)
            self._telemetry.ended(job.id, job.state, job.detector)

    def _end_hanging(self) -> None:
        """A decoder or a program may hang inside a step, where no worker can notice it."""
        try:
            running = self._store.jobs(states=("running",))
        except SQLAlchemyError:
            return
        late = {job.worker for job in running if self._store.since(job.started) > self._plan.time_limit + HANGING}
        for one in [one for one in self._running if one.name in late]:
            one.process.kill()
            self._bury(one, worker.late(self._plan.time_limit, "within a step"))
