"""What requests answer: the JSON of jobs, lists, batches, replays and of the server."""

from __future__ import annotations

import datetime
from typing import Literal

import pydantic

from fusion_dfd.predict.verdict import Verdict
from fusion_dfd.serve.scoring import ModelFacts
from fusion_dfd.serve.service import Service
from fusion_dfd.serve.tables import Job, State
from fusion_dfd.serve.upload import Limits

_VERDICT = pydantic.TypeAdapter(Verdict)
About = pydantic.Field


class Callback(pydantic.BaseModel):
    """What became of the call to the address that was given with the video."""

    url: str
    tries: int
    error: str | None = About(description="Why the last try failed; null if there was none, or it was answered.")
    next: datetime.datetime | None = About(description="When it is tried next; null if no more.")


class Row(pydantic.BaseModel):
    """A job in a list."""

    id: str
    number: int = About(description="Counts up with acceptance; `before` of the next page.")
    owner: str = About(description="Name of the key that sent it; empty on a server without keys.")
    name: str = About(description="Name of the file, for display.")
    batch: str | None
    detector: str = About(description="Name of the detector that scores it, and no other.")
    digest: str = About(description="SHA-256 of that detector.")
    sha256: str = About(description="Of the file.")
    size: int = About(description="Bytes of the file.")
    state: State
    accepted: datetime.datetime
    finished: datetime.datetime | None
    verdict: str | None = About(description="fake, real, uncertain or none, once done.")
    probability: float | None
    reason: str | None = About(description="Why it failed, was cancelled, or has no verdict.")
    replay_of: str | None = About(description="Id of the job whose video is scored again.")


class JobStatus(pydantic.BaseModel):
    """State of an uploaded video."""

    id: str
    name: str = About(description="Name of the file, for display.")
    state: State
    position: int | None = About(description="Position in the queue, 1 is next; null if not queued.")
    windows_done: int = About(description="Steps done: clips scored, then parts of the report.")
    windows: int = About(description="Steps in total; 0 before that is known.")
    seconds_left: float | None = About(description="Estimated remaining seconds while it runs.")
    verdict: Verdict | None = About(description="The verdict, once done.")
    reason: str | None = About(description="Why it failed or was cancelled.")
    report: str | None = About(description="Path of the HTML report on this server, if there is one.")
    expires: float | None = About(description="Seconds until the result is deleted.")
    detector: str = About(description="Name of the detector that scores it, and no other.")
    digest: str = About(description="SHA-256 of that detector's weights, configuration and calibration.")
    sha256: str = About(description="Of the file.")
    size: int = About(description="Bytes of the file.")
    batch: str | None
    accepted: datetime.datetime
    started: datetime.datetime | None
    finished: datetime.datetime | None
    replay_of: str | None = About(description="Id of the job whose video is scored again.")
    callback: Callback | None


class JobList(pydantic.BaseModel):
    """Jobs, the newest first."""

    jobs: list[Row]
    next: int | None = About(description="`before` of the next page; null if this is the last.")


class Sent(pydantic.BaseModel):
    """What became of one file of a batch."""

    name: str
    id: str | None = About(description="Of its job; null if it was refused.")
    status: int = About(description="What sending it alone would have been answered: 201, 413, 422, 429 or 503.")
    refused: str | None = About(description="Why it was refused.")


class Batch(pydantic.BaseModel):
    """The jobs that were sent under one name."""

    batch: str
    states: dict[State, int]
    finished: bool = About(description="Whether none waits or runs.")
    jobs: list[Row]


class Replays(pydantic.BaseModel):
    """What became of a request to score old videos again."""

    queued: int
    known: int = About(description="Scored with this detector already, or on the way.")
    without_video: int = About(description="Their videos were deleted (the server runs without --keep_videos).")


class Change(pydantic.BaseModel):
    """One video before and after."""

    name: str
    before: str = About(description="Id of the old job.")
    after: str = About(description="Id of the new one.")
    verdicts: tuple[str, str]
    probabilities: tuple[float | None, float | None]


class Comparison(pydantic.BaseModel):
    """Verdicts of two detectors on the same videos."""

    videos: int
    changed: list[Change] = About(description="Those whose verdict is another one now.")


class ModelInfo(pydantic.BaseModel):
    """The detectors behind the verdicts, and the limits of the server."""

    facts: ModelFacts = About(description="Of the detector that is used where a request names none.")
    detectors: list[ModelFacts]
    limits: Limits
    keep: float = About(description="Seconds that a result is kept.")
    keep_videos: bool = About(description="Whether the videos are kept, too.")
    free: int = About(description="Free places in the queue.")
    keys: bool = About(description="Whether requests need a key.")
    lists: bool = About(description="Whether jobs are listed, for the holder of a key or on this machine alone.")


class Health(pydantic.BaseModel):
    """That the server works; otherwise the answer is 503 and says why."""

    status: Literal["ok"]


def verdict(job: Job) -> Verdict | None:
    return None if job.verdict is None else _VERDICT.validate_json(job.verdict)


def status(service: Service, job: Job) -> JobStatus:
    store, whole = service.store, _shared(job)
    return JobStatus(
        position=store.position(job),
        windows_done=job.windows_done,
        windows=job.windows,
        seconds_left=store.seconds_left(job),
        verdict=verdict(job),
        reason=job.reason,
        report=f"/api/jobs/{job.id}/report" if job.report else None,
        expires=store.seconds_kept(job, service.options.keep),
        started=_time(job.started),
        callback=_callback(job),
        **whole,
    )


def row(job: Job) -> Row:
    found = verdict(job)
    return Row(
        number=job.number,
        owner=job.owner,
        verdict=found and found.verdict,
        probability=found and found.probability,
        reason=job.reason or (found and found.reason),
        **_shared(job),
    )


def comparison(pairs: list[tuple[Job, Job]]) -> Comparison:
    """Of jobs and their replays, all done."""
    changed = []
    for old, new in pairs:
        before, after = verdict(old), verdict(new)
        if before.verdict != after.verdict:
            said, numbers = (before.verdict, after.verdict), (before.probability, after.probability)
            changed.append(Change(name=old.name, before=old.id, after=new.id, verdicts=said, probabilities=numbers))
    return Comparison(videos=len(pairs), changed=changed)


def _shared(job: Job) -> dict:
    same = ("id", "name", "state", "detector", "digest", "sha256", "size", "batch", "replay_of")
    times = {"accepted": _time(job.accepted), "finished": _time(job.finished)}
    return {field: getattr(job, field) for field in same} | times


def _callback(job: Job) -> Callback | None:
    if job.callback is None:
        return None
    due = _time(job.callback_due)
    return Callback(url=job.callback, tries=job.callback_tries, error=job.callback_error, next=due)


def _time(seconds: float | None) -> datetime.datetime | None:
    return None if seconds is None else datetime.datetime.fromtimestamp(seconds, datetime.UTC)
