"""What is known of a job, as a row of a database and as a value. Times are seconds since 1970."""

from __future__ import annotations

import dataclasses
import secrets
from typing import Literal

import sqlalchemy as sa

State = Literal["queued", "running", "done", "failed", "cancelled"]
ENDS: tuple[State, ...] = ("done", "failed", "cancelled")
SCHEMA = 1
"""Version of the tables. A database of another version is refused."""
NEW, REPLAYED = 0, 1
"""Priorities: a replay of an old decision waits until no new video does."""

_NUMBER = sa.BigInteger().with_variant(sa.Integer, "sqlite")
METADATA = sa.MetaData()
JOBS = sa.Table(
    "jobs",
    METADATA,
    sa.Column("number", _NUMBER, primary_key=True, autoincrement=True),
    sa.Column("id", sa.String(32), nullable=False, unique=True),
    sa.Column("owner", sa.String(64), nullable=False),
    sa.Column("name", sa.String(200), nullable=False),
    sa.Column("batch", sa.String(64)),
    sa.Column("detector", sa.String(64), nullable=False),
    sa.Column("digest", sa.String(64), nullable=False),
    sa.Column("sha256", sa.String(64), nullable=False),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("same", sa.String(64), unique=True),
    sa.Column("replay_of", sa.String(32)),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("priority", sa.Integer, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("worker", sa.String(64)),
    sa.Column("stop", sa.Boolean, nullable=False),
    sa.Column("windows_done", sa.Integer, nullable=False),
    sa.Column("windows", sa.Integer, nullable=False),
    sa.Column("accepted", sa.Double, nullable=False),
    sa.Column("started", sa.Double),
    sa.Column("finished", sa.Double),
    sa.Column("verdict", sa.Text),
    sa.Column("report", sa.Boolean, nullable=False),
    sa.Column("reason", sa.Text),
    sa.Column("callback", sa.String(2000)),
    sa.Column("callback_due", sa.Double),
    sa.Column("callback_tries", sa.Integer, nullable=False),
    sa.Column("callback_error", sa.Text),
    sa.Index("jobs_waiting", "state", "priority", "number"),
    sa.Index("jobs_owner", "owner", "number"),
    sa.Index("jobs_due", "callback_due"),
)
META = sa.Table(
    "store",
    METADATA,
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("folder", sa.String(32), nullable=False),
)


@dataclasses.dataclass(frozen=True)
class Job:
    """One video and what became of it: a row of the table."""

    id: str
    """Random and unguessable."""
    owner: str
    """Name of the key that sent it; empty on a server without keys."""
    name: str
    """Name of the file on the user's machine, for display."""
    detector: str
    """Name of the detector that the request asked for."""
    digest: str
    """SHA-256 of that detector: no other one scores this job."""
    sha256: str
    """Of the file."""
    size: int
    """Bytes of the file."""
    batch: str | None = None
    """What its sender called the batch that it belongs to."""
    replay_of: str | None = None
    """Id of the job whose video is scored again."""
    priority: int = NEW
    callback: str | None = None
    """Address to be called when it ends."""
    same: str | None = None
    """Digest of owner, file and detector while the job stands for them; None once it failed or was cancelled."""
    state: State = "queued"
    attempts: int = 0
    """Times that it was begun."""
    worker: str | None = None
    stop: bool = False
    """Whether it was cancelled while running."""
    windows_done: int = 0
    windows: int = 0
    """Steps done (clips, then parts of the explanation) and steps in total; 0 of 0 before the first."""
    accepted: float = 0.0
    started: float | None = None
    finished: float | None = None
    verdict: str | None = None
    """JSON of a :class:`fusion_dfd.predict.verdict.Verdict`."""
    report: bool = False
    """Whether there is a page on it."""
    reason: str | None = None
    """Why it failed or was cancelled."""
    callback_due: float | None = None
    """When the callback is tried next; None if there is none to be made, or no more."""
    callback_tries: int = 0
    callback_error: str | None = None
    """Why the last try failed."""
    number: int = 0
    """Counts up with acceptance."""


def new_id() -> str:
    """128 random bits."""
    return secrets.token_urlsafe(16)


def job(row: sa.Row) -> Job:
    """The job of a whole row of :data:`JOBS`."""
    return Job(**{column.name: getattr(row, column.name) for column in JOBS.columns})
