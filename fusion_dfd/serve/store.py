"""The store of jobs: one table in SQLite, PostgreSQL or another database that SQLAlchemy knows.

A job is accepted once its row is committed, and every change of its state is one conditional UPDATE: whoever comes
second changes nothing. So no kill loses a job, and no two workers end the same one. Times are seconds since 1970.
"""

from __future__ import annotations

import dataclasses
import hashlib
import time
from collections.abc import Callable, Collection, Iterator
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from fusion_dfd import __version__
from fusion_dfd.config import ConfigError
from fusion_dfd.serve import tables
from fusion_dfd.serve.tables import ENDS, JOBS, META, METADATA, SCHEMA, Job, State

ATTEMPTS = 3
"""Times that a job is begun; if its worker died each time, the job has failed."""
BUSY = 30
"""Seconds that a writer waits for the others, where the database knows one writer only (SQLite)."""


def sqlite(path: str) -> str:
    """URL of an SQLite file."""
    return sa.URL.create("sqlite", database=path).render_as_string()


class Store:
    """A database of jobs, whose tables are made if they are missing.

    Args:
      url: as SQLAlchemy takes it.
      folder: random name of the folder that holds the videos. A database belongs to one such folder.
      clock: seconds since 1970.

    Raises ConfigError for a database that cannot be used.
    """

    def __init__(self, url: str, folder: str, clock: Callable[[], float] = time.time):
        self._clock = clock
        try:
            self._engine = sa.create_engine(url, pool_pre_ping=True, **_options(url))
        except (SQLAlchemyError, ImportError) as error:
            raise ConfigError(f"--store: {_first(error)}; want e.g. postgresql+psycopg://user@host/name") from error
        if self._engine.dialect.name == "sqlite":
            sa.event.listen(self._engine, "connect", _durable)
            sa.event.listen(self._engine, "begin", _immediately)
        # Reads outside a transaction, so that they wait for no writer.
        self._reader = self._engine.execution_options(isolation_level="AUTOCOMMIT")
        self._shown = self._engine.url.render_as_string()  # without the password
        try:
            self._open(folder)
        except ConfigError:
            self.close()
            raise

    def close(self) -> None:
        self._engine.dispose()

    def _open(self, folder: str) -> None:
        try:
            with self._engine.begin() as link:
                METADATA.create_all(link)
                found = link.execute(sa.select(META)).first()
                if found is None:
                    link.execute(META.insert().values(version=SCHEMA, folder=folder))
        except SQLAlchemyError as error:
            raise ConfigError(f"--store {self._shown}: {_first(error)}") from error
        if found and found.version != SCHEMA:
            raise ConfigError(
                f"--store {self._shown} has tables of version {found.version}, this program wants {SCHEMA}; "
                "see docs/OPERATE.md, Upgrade"
            )
        if found and found.folder != folder:
            raise ConfigError(
                f"--store {self._shown} belongs to another --data folder; give that folder, or another database"
            )

    def ping(self) -> None:
        """Raises SQLAlchemyError if the database does not answer."""
        self._read(sa.select(sa.literal(1)))

    def accept(self, job: Job) -> tuple[Job, bool]:
        """Store a new job; it is safe once this returns.

        Returns the job as stored and True, or the job that already stands for this owner, file and detector and False.
        """
        same = _same(job.owner, job.sha256, job.digest)
        values = dataclasses.asdict(job) | {"same": same, "accepted": self._clock()}
        del values["number"]
        while True:
            try:
                self._write(JOBS.insert().values(values))
                return self.find(job.id), True
            except IntegrityError:
                for row in self._read(sa.select(JOBS).where(JOBS.c.same == same)):  # not if it was deleted just now
                    return tables.job(row), False

    def find(self, job_id: str, owner: str | None = None) -> Job:
        """A job, of this owner if one is given. Raises KeyError."""
        for row in self._read(sa.select(JOBS).where(JOBS.c.id == job_id, *_of(owner))):
            return tables.job(row)
        raise KeyError(job_id)

    def has(self, job_id: str) -> bool:
        """Whether there is such a job."""
        return bool(self.count(id=job_id))

    def jobs(
        self,
        owner: str | None = None,
        states: Collection[str] = (),
        batch: str | None = None,
        detector: str | None = None,
        before: int | None = None,
        limit: int = 100,
    ) -> list[Job]:
        """Jobs, the newest first, that meet every condition given; ``detector`` is a digest, ``before`` a number."""
        wanted = [*_of(owner), *([JOBS.c.state.in_(states)] if states else [])]
        for column, value in ((JOBS.c.batch, batch), (JOBS.c.digest, detector)):
            wanted += [column == value] if value is not None else []
        wanted += [JOBS.c.number < before] if before is not None else []
        found = self._read(sa.select(JOBS).where(*wanted).order_by(JOBS.c.number.desc()).limit(limit))
        return [tables.job(row) for row in found]

    def position(self, job: Job) -> int | None:
        """Place of a waiting job: 1 is next. None if it does not wait."""
        if job.state != "queued":
            return None
        earlier = sa.or_(
            JOBS.c.priority < job.priority, sa.and_(JOBS.c.priority == job.priority, JOBS.c.number < job.number)
        )
        (row,) = self._read(_count(state="queued").where(earlier))
        return row[0] + 1

    def count(self, **equal: Any) -> int:
        """Number of jobs with these values."""
        (row,) = self._read(_count(**equal))
        return row[0]

    def unfinished(self, owner: str) -> int:
        """Jobs of an owner that wait or run."""
        return self.count(owner=owner, state="queued") + self.count(owner=owner, state="running")

    def states(self) -> dict[tuple[str, str], int]:
        """Number of jobs by state and name of the detector."""
        grouped = sa.select(JOBS.c.state, JOBS.c.detector, sa.func.count()).group_by(JOBS.c.state, JOBS.c.detector)
        return {(state, detector): count for state, detector, count in self._read(grouped)}

    def oldest(self) -> float:
        """Seconds that the job that waits longest has waited; 0 if none waits."""
        (row,) = self._read(sa.select(sa.func.min(JOBS.c.accepted)).where(JOBS.c.state == "queued"))
        return 0.0 if row[0] is None else max(0.0, self._clock() - row[0])

    def waiting_for(self, digests: Collection[str]) -> dict[str, int]:
        """Jobs that wait for detectors of other digests, by the name of the detector."""
        wanted = sa.select(JOBS.c.detector, sa.func.count()).where(
            JOBS.c.state == "queued", JOBS.c.digest.not_in(digests)
        )
        return dict(map(tuple, self._read(wanted.group_by(JOBS.c.detector))))

    def claim(self, worker: str, digests: Collection[str]) -> Job | None:
        """Give the next waiting job for detectors of these digests to a worker; None if there is none."""
        mine = sa.select(JOBS.c.id).where(JOBS.c.state == "queued", JOBS.c.digest.in_(digests))
        mine = mine.order_by(JOBS.c.priority, JOBS.c.number).limit(1)
        while (found := next(iter(self._read(mine)), None)) is not None:
            begun = {
                "state": "running",
                "worker": worker,
                "started": self._clock(),
                "attempts": JOBS.c.attempts + 1,
                "windows_done": 0,
                "windows": 0,
            }
            if self._write(JOBS.update().where(JOBS.c.id == found.id, JOBS.c.state == "queued").values(begun)):
                return self.find(found.id)
        return None

    def progress(self, job: Job, done: int, steps: int) -> bool:
        """Note the progress of a worker's job. False if the worker should stop: cancelled, or no longer its own."""
        mine = (JOBS.c.id == job.id, JOBS.c.worker == job.worker, JOBS.c.state == "running")
        told = JOBS.update().where(*mine).values(windows_done=done, windows=steps)
        return bool(self._write(told.where(JOBS.c.stop.is_(False))))

    def finish(
        self, job: Job, state: State, reason: str | None = None, verdict: str | None = None, report: bool = False
    ) -> bool:
        """Store the outcome of a running job. False if it is no longer this worker's, and nothing was stored."""
        mine = (JOBS.c.id == job.id, JOBS.c.worker == job.worker, JOBS.c.state == "running")
        values = {"verdict": verdict, "report": report}
        return bool(self._write(JOBS.update().where(*mine).values(self._end(state, reason) | values)))

    def _end(self, state: State, reason: str | None) -> dict[str, Any]:
        now = self._clock()
        due = sa.case((JOBS.c.callback.is_not(None), now), else_=sa.null())
        # What failed or was cancelled may be sent again, so it stands for nothing.
        kept = {} if state == "done" else {"same": None}
        return {"state": state, "reason": reason, "finished": now, "callback_due": due, **kept}

    def cancel(self, job: Job) -> Literal["cancelled", "stopping", "deleted"]:
        """End a waiting job, ask the worker of a running one to stop, delete a finished one."""
        ended = self._end("cancelled", "cancelled while waiting")
        if self._write(JOBS.update().where(JOBS.c.id == job.id, JOBS.c.state == "queued").values(ended)):
            return "cancelled"
        if self._write(JOBS.update().where(JOBS.c.id == job.id, JOBS.c.state == "running").values(stop=True)):
            return "stopping"
        self.delete(job)
        return "deleted"

    def delete(self, job: Job) -> None:
        self._write(JOBS.delete().where(JOBS.c.id == job.id))

    def requeue(self, worker: str | None = None, late: str | None = None, blame: bool = True) -> list[Job]:
        """Take back the running jobs of a worker that is dead, or of all workers.

        They wait again, in their old places, unless they were cancelled or begun ``ATTEMPTS`` times.

        Args:
          worker: None for all.
          late: the worker was ended because its job took too long; the job fails for this reason.
          blame: whether the job may have caused the death. Otherwise this begin does not count.

        Returns the jobs that have ended by it.
        """
        found = self._read(sa.select(JOBS).where(JOBS.c.state == "running"))
        ended = []
        for job in map(tables.job, found):
            if worker is not None and job.worker != worker:
                continue
            if job.stop:
                taken = self.finish(job, "cancelled", "cancelled while being scored")
            elif late or job.attempts >= ATTEMPTS:
                died = f"the program ended {job.attempts} times while it scored this video; the server's log has more"
                taken = self.finish(job, "failed", late or died)
            else:
                mine = (JOBS.c.id == job.id, JOBS.c.worker == job.worker, JOBS.c.state == "running")
                back = {"state": "queued", "worker": None, "started": None, "attempts": job.attempts - (not blame)}
                self._write(JOBS.update().where(*mine).values(back))
                continue
            ended += [self.find(job.id)] if taken else []
        return ended

    def expired(self, keep: float, most: int) -> Iterator[Job]:
        """Delete results older than ``keep`` seconds, and the oldest beyond ``most``; gives each once it is deleted.

        A result whose callback is still to be made is kept.
        """
        ended = sa.and_(JOBS.c.state.in_(ENDS), JOBS.c.callback_due.is_(None))
        old = self._read(sa.select(JOBS).where(ended, JOBS.c.finished <= self._clock() - keep))
        ordered = sa.select(JOBS).where(JOBS.c.state.in_(ENDS)).order_by(JOBS.c.finished.desc())
        for row in [*old, *self._read(ordered.offset(most))]:
            if self._write(JOBS.delete().where(JOBS.c.id == row.id, ended)):
                yield tables.job(row)

    def due(self, limit: int) -> list[Job]:
        """Jobs whose callback is to be made now, the longest overdue first."""
        wanted = sa.select(JOBS).where(JOBS.c.callback_due <= self._clock())
        return [tables.job(row) for row in self._read(wanted.order_by(JOBS.c.callback_due).limit(limit))]

    def called(self, job: Job, error: str | None, wait: float | None) -> None:
        """Note a try of a callback: what went wrong, if anything, and seconds until the next try, if there is one."""
        due = None if wait is None else self._clock() + wait
        values = {"callback_due": due, "callback_tries": JOBS.c.callback_tries + 1, "callback_error": error}
        self._write(JOBS.update().where(JOBS.c.id == job.id).values(values))

    def since(self, time: float) -> float:
        """Seconds since a time of this store."""
        return self._clock() - time

    def seconds_left(self, job: Job) -> float | None:
        """Remaining seconds of a running job if all its steps take equally long; None if unknown."""
        if job.state != "running" or not job.windows_done:
            return None
        return max(0.0, (self._clock() - job.started) / job.windows_done * (job.windows - job.windows_done))

    def seconds_kept(self, job: Job, keep: float) -> float | None:
        """Seconds until a result is deleted that is kept for ``keep``; None while there is none."""
        return None if job.finished is None else max(0.0, job.finished + keep - self._clock())

    def _read(self, statement) -> list[sa.Row]:
        with self._reader.connect() as link:
            return list(link.execute(statement))

    def _write(self, statement) -> int:
        """Number of rows that it changed."""
        with self._engine.begin() as link:
            return link.execute(statement).rowcount


def _same(owner: str, sha256: str, digest: str) -> str:
    """Of equal submissions to equal programs."""
    return hashlib.sha256("\n".join((owner, sha256, digest, __version__)).encode()).hexdigest()


def _options(url: str) -> dict[str, Any]:
    return {"connect_args": {"timeout": BUSY}} if url.startswith("sqlite") else {}


def _durable(connection, _) -> None:
    """What is committed survives a power cut, and readers do not wait for the writer."""
    for setting in ("journal_mode = WAL", "synchronous = FULL"):
        connection.execute(f"PRAGMA {setting}")


def _immediately(connection: sa.Connection) -> None:
    """Take the only writer's place at once: a transaction that reads first fails where another writes meanwhile."""
    if connection.get_execution_options().get("isolation_level") != "AUTOCOMMIT":
        connection.exec_driver_sql("BEGIN IMMEDIATE")


def _of(owner: str | None) -> list:
    return [] if owner is None else [JOBS.c.owner == owner]


def _count(**equal: Any) -> sa.Select:
    return sa.select(sa.func.count()).select_from(JOBS).where(*(JOBS.c[name] == value for name, value in equal.items()))


def _first(error: BaseException) -> str:
    """The first line of what a driver says."""
    said = getattr(error, "orig", None) or error
    return (str(said).strip().splitlines() or [type(said).__name__])[0]
