"""The requests about one video: send it, ask, cancel, read its report, score it again."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, HTTPException, Path, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import FileResponse

from fusion_dfd.serve import interface, upload
from fusion_dfd.serve.interface import JobStatus
from fusion_dfd.serve.keys import Holder
from fusion_dfd.serve.service import ANYONE, Service
from fusion_dfd.serve.tables import ENDS, Job

COOKIE = "fusion_dfd_key"
REPORT_POLICY = (
    "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; media-src data:; font-src data:; "
    "frame-ancestors 'self'"
)
"""A report contains everything that it shows and runs no scripts."""


def body(description: str, kind: str) -> dict:
    """How OpenAPI describes a request whose body is a file."""
    content = {kind: {"schema": {"type": "string", "format": "binary"}}}
    return {"requestBody": {"required": True, "description": description, "content": content}}


def known(request: Request) -> Holder:
    """The holder of the key of a request, in the header or in the cookie of a page. 401 without one."""
    service: Service = request.app.state.service
    if service.keys is None:
        return ANYONE
    kind, _, key = request.headers.get("authorization", "").partition(" ")
    key = key.strip() if kind.lower() == "bearer" else request.cookies.get(COOKIE, "")
    holder = service.keys.holder(key) if key else None
    if holder is None:
        service.telemetry.refused(401, "")
        text = "this server wants a key that it knows: Authorization: Bearer KEY"
        raise HTTPException(401, text, {"WWW-Authenticate": "Bearer"})
    return holder


Known = Annotated[Holder, Depends(known)]
Id = Annotated[str, Path(alias="id", description="The id in the response to the upload.")]
Detector = Annotated[str | None, Query(description="Name of a detector, or 8 digits or more of its digest.")]
Batch = Annotated[str | None, Query(description="What to call the batch that it belongs to.", max_length=64)]
Callback = Annotated[str | None, Query(description="Address to POST the finished job to, see docs/SERVE.md.")]

router = APIRouter()


@router.post(
    "/api/jobs",
    response_model=JobStatus,
    status_code=201,
    responses={200: {"model": JobStatus, "description": "The same video was sent before; this is its job."}},
    openapi_extra=body("The video file itself, not a form.", "application/octet-stream"),
)
async def submit(
    request: Request,
    response: Response,
    who: Known,
    name: Annotated[str, Query(description="Name of the file, for display.", max_length=4096)] = "video",
    detector: Detector = None,
    batch: Batch = None,
    callback: Callback = None,
) -> JobStatus:
    """Send a video, e.g. `curl --data-binary @clip.mp4 -H 'Content-Type: video/mp4' 'URL/api/jobs?name=clip.mp4'`.

    The answer 201 promises that the video will be scored, also if the server is killed. Errors: 401 no key, 403 request
    from another origin, 408 upload stalled, 413 file too large, 415 form instead of a video, 422 not a video, too long,
    or no such detector, 429 more than the key allows, 503 queue full.
    """
    service: Service = request.app.state.service
    try:
        service.count(who)
        _check_type(request.headers.get("content-type", ""))
        upload.announced(request.headers.get("content-length"), service.limits)
        wish = service.wish(name, detector, batch, callback)
        with service.place(who) as arrived:
            await upload.receive(request.stream(), arrived, service.limits)
            await run_in_threadpool(upload.check, arrived, wish.name, service.limits)
            if await request.is_disconnected():  # nobody would learn the job's id
                raise HTTPException(400, "the connection was closed before the video was checked")
            job, created = await run_in_threadpool(service.accept, who, arrived, wish)
    except HTTPException as refusal:
        service.telemetry.refused(refusal.status_code, who.name)
        raise
    response.status_code = 201 if created else 200
    return interface.status(service, job)


@router.get("/api/jobs/{id}", response_model=JobStatus)
def read(request: Request, who: Known, job_id: Id) -> JobStatus:
    """State of a video and, once it is done, the verdict."""
    service: Service = request.app.state.service
    return interface.status(service, _find(service, who, job_id))


@router.delete("/api/jobs/{id}", status_code=204)
def cancel(request: Request, who: Known, job_id: Id) -> None:
    """Cancel a waiting or running job (after its current clip); delete the result of a finished one."""
    service: Service = request.app.state.service
    service.cancel(_find(service, who, job_id))


@router.get("/api/jobs/{id}/report", response_class=FileResponse)
def report(request: Request, who: Known, job_id: Id) -> FileResponse:
    """The HTML report on a video."""
    service: Service = request.app.state.service
    job = _find(service, who, job_id)
    path = service.files.report(job.id) if job.report else None
    if path is None:
        raise HTTPException(404, "there is no report on this video")
    return FileResponse(path, media_type="text/html", headers={"content-security-policy": REPORT_POLICY})


@router.post(
    "/api/jobs/{id}/replay",
    response_model=JobStatus,
    status_code=201,
    responses={200: {"model": JobStatus, "description": "It was scored so before; this is that job."}},
)
def replay(request: Request, response: Response, who: Known, job_id: Id, detector: Detector = None) -> JobStatus:
    """Score the video of a finished job again, with another detector; it waits until no new video does.

    409: the job is not finished, or its video was deleted because the server runs without `--keep_videos`.
    """
    service: Service = request.app.state.service
    old, wanted = _find(service, who, job_id), service.detector(detector)
    if old.state not in ENDS:
        raise HTTPException(409, "this video is not scored yet; replay it then")
    try:
        job, created = service.replay(old, wanted)
    except FileNotFoundError as error:
        text = "this video was deleted once it was scored; send it again, or start the server with --keep_videos"
        raise HTTPException(409, text) from error
    response.status_code = 201 if created else 200
    return interface.status(service, job)


def _check_type(kind: str) -> None:
    """Refuse forms: any web page may send one without a preflight request, but no other content type."""
    kind = kind.partition(";")[0].strip().lower()
    if kind != "application/octet-stream" and not kind.startswith("video/"):
        raise HTTPException(415, "send the video itself, with Content-Type: application/octet-stream or video/...")


def _find(service: Service, who: Holder, job_id: str) -> Job:
    try:
        return service.find(who, job_id)
    except KeyError as error:
        minutes = service.options.keep / 60
        text = f"no such video: results are kept for {minutes:g} minutes, then deleted"
        raise HTTPException(404, text) from error
