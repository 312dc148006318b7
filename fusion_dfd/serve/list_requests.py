"""The requests about many videos: list them, send a batch, score old ones again."""

from __future__ import annotations

import collections
from collections.abc import Iterator
from typing import Annotated

from fastapi import APIRouter, HTTPException, Path, Query, Request
from fastapi.concurrency import run_in_threadpool

from fusion_dfd.serve import interface, upload
from fusion_dfd.serve.interface import Batch, Comparison, JobList, Replays, Sent
from fusion_dfd.serve.job_requests import Callback, Detector, Known, body
from fusion_dfd.serve.keys import Holder
from fusion_dfd.serve.service import MANY, Service, Wish
from fusion_dfd.serve.tables import Job, State

TAR = "application/x-tar"
PAGE = 1000
"""Most jobs in one answer."""
Of = Annotated[str, Query(description="Name or digest of the detector that scored them.")]
By = Annotated[str, Query(description="Name or digest of the detector that scores them again.")]

router = APIRouter()


def lists(service: Service) -> bool:
    """Whether jobs are listed. Without keys, a result is protected by its address alone: none to other machines."""
    return service.keys is not None or service.options.loopback


@router.get("/api/jobs", response_model=JobList)
def listed(
    request: Request,
    who: Known,
    state: Annotated[list[State] | None, Query(description="States; may be repeated.")] = None,
    batch: str | None = None,
    before: Annotated[int | None, Query(description="`next` of the last page.")] = None,
    limit: Annotated[int, Query(ge=1, le=PAGE)] = 100,
) -> JobList:
    """The jobs of a key, the newest first; those of all keys for an admin's."""
    service = _listing(request)
    found = service.store.jobs(service.owner(who), state or (), batch, before=before, limit=limit + 1)
    rows = [interface.row(job) for job in found[:limit]]
    return JobList(jobs=rows, next=rows[-1].number if len(found) > limit else None)


@router.post("/api/batches", response_model=list[Sent], openapi_extra=body("An uncompressed tar of videos.", TAR))
async def send_batch(
    request: Request,
    who: Known,
    batch: Annotated[str, Query(description="What to call the batch.", min_length=1, max_length=64)],
    detector: Detector = None,
    callback: Callback = None,
) -> list[Sent]:
    """Send many videos at once, for example:

        tar c *.mp4 | curl -T - -H 'Content-Type: application/x-tar' -X POST 'URL/api/batches?batch=monday'

    Every file is answered by itself, in order: accepted or refused. A file that was sent before is not scored again, so
    after a broken connection the whole batch may be sent once more.
    """
    service: Service = request.app.state.service
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != TAR:
        raise HTTPException(415, f"send a tar archive of videos, with Content-Type: {TAR}")
    wish = service.wish("", detector, batch, callback)
    largest = upload.Limits(max_mb=service.limits.max_mb * service.limits.queue)
    upload.announced(request.headers.get("content-length"), largest)
    with service.files.arriving() as archive:
        await upload.receive(request.stream(), archive, largest)
        return await run_in_threadpool(lambda: list(_sent(service, who, archive, wish)))


def _sent(service: Service, who: Holder, archive: str, wish: Wish) -> Iterator[Sent]:
    for name, found in service.unpack(who, archive, wish):
        if isinstance(found, Job):
            yield Sent(name=name, id=found.id, status=201, refused=None)
        else:
            yield Sent(name=name, id=None, status=found.status_code, refused=found.detail)


@router.get("/api/batches/{batch}", response_model=Batch)
def read_batch(request: Request, who: Known, batch: Annotated[str, Path(max_length=64)]) -> Batch:
    """The jobs of a batch, at most 1000, the newest first."""
    service = _listing(request)
    found = service.store.jobs(service.owner(who), batch=batch, limit=PAGE)
    if not found:
        raise HTTPException(404, "no such batch; results are deleted after a while")
    states = collections.Counter(job.state for job in found)
    finished = not states["queued"] and not states["running"]
    return Batch(batch=batch, states=dict(states), finished=finished, jobs=[interface.row(job) for job in found])


@router.post("/api/replays", response_model=Replays, status_code=202)
def replay_all(request: Request, who: Known, of: Of, by: By) -> Replays:
    """Score all videos again that one detector has scored, with another one; they wait until no new video does."""
    service = _listing(request)
    detector = service.detector(by)
    told = collections.Counter()
    for job in _decided(service, who, of):
        try:
            told["queued" if service.replay(job, detector)[1] else "known"] += 1
        except FileNotFoundError:
            told["without_video"] += 1
    return Replays(queued=told["queued"], known=told["known"], without_video=told["without_video"])


@router.get("/api/replays", response_model=Comparison)
def compare(request: Request, who: Known, of: Of, by: By) -> Comparison:
    """Which verdicts changed between two detectors, among the videos that the second has scored again."""
    service = _listing(request)
    old = {job.id: job for job in _decided(service, who, of)}
    new = _decided(service, who, by)
    return interface.comparison([(old[job.replay_of], job) for job in new if job.replay_of in old])


def _decided(service: Service, who: Holder, detector: str) -> list[Job]:
    """The jobs that a detector has done; it may be one that this server was not started with, by its whole digest."""
    try:
        digest = service.detector(detector).digest
    except HTTPException:
        if len(detector) != 64:
            raise
        digest = detector
    return service.store.jobs(service.owner(who), ("done",), detector=digest, limit=MANY)


def _listing(request: Request) -> Service:
    service: Service = request.app.state.service
    if not lists(service):
        raise HTTPException(403, "without keys, jobs are not listed to other machines; start the server with --keys")
    return service
