"""The web application: a page for people, and a JSON API for programs (documented at ``/docs``, ``/openapi.json``)."""

from __future__ import annotations

import contextlib
import importlib.resources
import os
from collections.abc import AsyncIterator
from typing import Annotated

import pydantic
from fastapi import FastAPI, HTTPException, Path, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import FileResponse
from fastapi.staticfiles import StaticFiles

from fusion_dfd.predict.verdict import Verdict
from fusion_dfd.reports import pages
from fusion_dfd.serve import jobs, upload
from fusion_dfd.serve.request_guard import Guard
from fusion_dfd.serve.scoring import ModelFacts, Score

PAGES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "static")
REPORT_POLICY = (
    "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; media-src data:; font-src data:; "
    "frame-ancestors 'self'"
)
"""A report contains everything that it shows and runs no scripts."""
BODY = {
    "requestBody": {
        "required": True,
        "description": "The video file itself, not a form.",
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}


Id = Annotated[str, Path(alias="id", description="The id in the response to the upload.")]


class JobStatus(pydantic.BaseModel):
    """State of an uploaded video."""

    id: str
    name: str = pydantic.Field(description="Name of the file, for display.")
    state: jobs.State
    position: int | None = pydantic.Field(description="Position in the queue, 1 is next; null if not queued.")
    windows_done: int = pydantic.Field(description="Steps done: clips scored, then parts of the report.")
    windows: int = pydantic.Field(description="Steps in total; 0 before that is known.")
    seconds_left: float | None = pydantic.Field(description="Estimated remaining seconds while it runs.")
    verdict: Verdict | None = pydantic.Field(description="The verdict, once done.")
    reason: str | None = pydantic.Field(description="Why it failed or was cancelled.")
    report: str | None = pydantic.Field(description="Path of the HTML report on this server, if there is one.")
    expires: float | None = pydantic.Field(description="Seconds until the result is deleted.")


class ModelInfo(pydantic.BaseModel):
    """The model behind the verdicts, and the limits of the server."""

    facts: ModelFacts
    limits: upload.Limits
    keep: float = pydantic.Field(description="Seconds that a result is kept.")
    free: int = pydantic.Field(description="Free places in the queue.")


def create(score: Score, facts: ModelFacts, limits: upload.Limits, loopback: bool = True) -> FastAPI:
    """The application.

    Args:
      score: see :func:`fusion_dfd.serve.scoring.score`; called by one thread at a time.
      facts: of the model behind ``score``.
      limits: on uploads and on the queue.
      loopback: whether it is bound to a loopback address, see :class:`fusion_dfd.serve.request_guard.Guard`.
    """

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        # Not around the server: uvicorn re-raises SIGTERM after this context, and the process ends.
        with upload.private_folder() as root, jobs.JobQueue(score, root, limits.time_limit, limits.queue) as queue:
            app.state.jobs = queue
            yield

    app = FastAPI(
        title="fusion_dfd",
        version=facts.version,
        description=" ".join(facts.notices),
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
    )
    app.state.facts, app.state.limits = facts, limits
    app.add_middleware(Guard, loopback=loopback)
    app.add_api_route("/api/model", model, methods=["GET"], response_model=ModelInfo)
    app.add_api_route(
        "/api/jobs", submit, methods=["POST"], response_model=JobStatus, status_code=201, openapi_extra=BODY
    )
    app.add_api_route("/api/jobs/{id}", read, methods=["GET"], response_model=JobStatus)
    app.add_api_route("/api/jobs/{id}", cancel, methods=["DELETE"], status_code=204)
    app.add_api_route("/api/jobs/{id}/report", report, methods=["GET"], response_class=FileResponse)
    _add_pages(app)
    return app


def _add_pages(app: FastAPI) -> None:
    for path, name in (("/", "index.html"), ("/docs", "docs.html")):
        app.add_api_route(path, _page(name), methods=["GET"], include_in_schema=False)
    app.add_api_route("/style.css", _style, methods=["GET"], include_in_schema=False)
    app.mount("/static", StaticFiles(directory=PAGES))
    swagger = importlib.resources.files("fastapi_offline") / "static"
    app.mount("/swagger", StaticFiles(directory=str(swagger)))


def _page(name: str):
    def page() -> FileResponse:
        return FileResponse(os.path.join(PAGES, name))

    return page


def _style() -> Response:
    """The stylesheet of the reports."""
    return Response(pages.STYLE, media_type="text/css")


def model(request: Request) -> ModelInfo:
    """The model, the limits, and the free places in the queue."""
    state = request.app.state
    return ModelInfo(facts=state.facts, limits=state.limits, keep=jobs.KEEP, free=state.jobs.free())


async def submit(
    request: Request,
    name: Annotated[str, Query(description="Name of the file, for display.", max_length=4096)] = "video",
) -> JobStatus:
    """Send a video, e.g. `curl --data-binary @clip.mp4 -H 'Content-Type: video/mp4' 'URL/api/jobs?name=clip.mp4'`.

    Errors: 403 request from another origin, 408 upload stalled, 413 file too large, 415 form instead of a video,
    422 not a video or too long, 503 queue full.
    """
    state = request.app.state
    _check_type(request.headers.get("content-type", ""))
    upload.announced(request.headers.get("content-length"), state.limits)
    name = upload.shown(name)
    try:
        with state.jobs.place(name) as job:
            await upload.receive(request.stream(), job.video, state.limits)
            await run_in_threadpool(upload.check, job.video, name, state.limits)
            if await request.is_disconnected():  # nobody would learn the job's id
                raise HTTPException(400, "the connection was closed before the video was checked")
    except jobs.QueueFull as error:
        text = f"the queue is full ({state.limits.queue} videos are waiting); try again in a minute"
        raise HTTPException(503, text, {"Retry-After": "60"}) from error
    return _job(state.jobs, job.id)


def read(request: Request, job_id: Id) -> JobStatus:
    """State of a video and, once it is done, the verdict."""
    return _job(request.app.state.jobs, job_id)


def cancel(request: Request, job_id: Id) -> None:
    """Cancel a waiting or running job (after its current clip); delete the result of a finished one."""
    try:
        request.app.state.jobs.cancel(job_id)
    except KeyError as error:
        raise _unknown() from error


def report(request: Request, job_id: Id) -> FileResponse:
    """The HTML report on a video."""
    job, _ = _find(request.app.state.jobs, job_id)
    if job.report is None:
        raise HTTPException(404, "there is no report on this video")
    return FileResponse(job.report, media_type="text/html", headers={"content-security-policy": REPORT_POLICY})


def _check_type(kind: str) -> None:
    """Refuse forms: any web page may send one without a preflight request, but no other content type."""
    kind = kind.partition(";")[0].strip().lower()
    if kind != "application/octet-stream" and not kind.startswith("video/"):
        raise HTTPException(415, "send the video itself, with Content-Type: application/octet-stream or video/...")


def _job(queue: jobs.JobQueue, job_id: str) -> JobStatus:
    job, position = _find(queue, job_id)
    return JobStatus(
        id=job.id,
        name=job.name,
        state=job.state,
        position=position,
        windows_done=job.progress[0],
        windows=job.progress[1],
        seconds_left=queue.seconds_left(job),
        verdict=job.verdict,
        reason=job.reason,
        report=job.report and f"/api/jobs/{job.id}/report",
        expires=queue.expires(job),
    )


def _find(queue: jobs.JobQueue, job_id: str) -> tuple[jobs.Job, int | None]:
    try:
        return queue.find(job_id)
    except KeyError as error:
        raise _unknown() from error


def _unknown() -> HTTPException:
    return HTTPException(404, f"no such video: results are kept for {jobs.KEEP / 60:g} minutes, then deleted")
