"""The web application: a page for people, a JSON API for programs (described at ``/docs`` and ``/openapi.json``)."""

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
from fusion_dfd.serve import jobs, private_folder, upload
from fusion_dfd.serve.request_guard import Guard
from fusion_dfd.serve.scoring import ModelFacts, Score

PAGES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "static")
REPORT_POLICY = (
    "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; media-src data:; font-src data:; "
    "frame-ancestors 'self'"
)
"""A report holds all it shows and runs nothing."""
BODY = {
    "requestBody": {
        "required": True,
        "description": "The video file itself, no form.",
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}


Id = Annotated[str, Path(alias="id", description="As the answer to the upload gave it.")]


class Job(pydantic.BaseModel):
    """Where an uploaded video stands."""

    id: str
    name: str = pydantic.Field(description="What the user calls the file.")
    state: jobs.State
    position: int | None = pydantic.Field(description="Place in the queue, 1 is next; null outside of it.")
    windows_done: int = pydantic.Field(description="Stretches of the video that are scored.")
    windows: int = pydantic.Field(description="Stretches of the video that will be looked at; 0 before that is known.")
    seconds_left: float | None = pydantic.Field(description="Estimate while it runs, in seconds.")
    verdict: Verdict | None = pydantic.Field(description="When it is done.")
    reason: str | None = pydantic.Field(description="Why it failed or was cancelled.")
    report: str | None = pydantic.Field(description="Path of an HTML report on this server, where there is one.")
    expires: float | None = pydantic.Field(description="Seconds until the result is forgotten.")


class Model(pydantic.BaseModel):
    """The model behind the verdicts, and what the server takes."""

    facts: ModelFacts
    limits: upload.Limits
    keep: float = pydantic.Field(description="Seconds a result is kept.")
    free: int = pydantic.Field(description="Free places in the queue.")


def create(score: Score, facts: ModelFacts, limits: upload.Limits, loopback: bool = True) -> FastAPI:
    """The application.

    Args:
      score: see :func:`fusion_dfd.serve.scoring.score`; called by one thread at a time.
      facts: of the model behind ``score``.
      limits: what is taken.
      loopback: whether it is bound to a loopback address, see :class:`fusion_dfd.serve.request_guard.Guard`.
    """

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        # Here and not around the server: uvicorn passes SIGTERM on once this is left, and the process is gone.
        with private_folder.folder() as root, jobs.Jobs(score, root, limits.time_limit, limits.queue) as queue:
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
    app.add_api_route("/api/model", model, methods=["GET"], response_model=Model)
    app.add_api_route("/api/jobs", submit, methods=["POST"], response_model=Job, status_code=201, openapi_extra=BODY)
    app.add_api_route("/api/jobs/{id}", read, methods=["GET"], response_model=Job)
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
    """The look of the reports."""
    return Response(pages.STYLE, media_type="text/css")


def model(request: Request) -> Model:
    """The model, the limits, and how much room is left."""
    state = request.app.state
    return Model(facts=state.facts, limits=state.limits, keep=jobs.KEEP, free=state.jobs.free())


async def submit(
    request: Request,
    name: Annotated[str, Query(description="What the file is called, for people.", max_length=4096)] = "video",
) -> Job:
    """Send a video, e.g. `curl --data-binary @clip.mp4 -H 'Content-Type: video/mp4' 'URL/api/jobs?name=clip.mp4'`.

    Refused are: 403 pages of other origins, 408 uploads that stall, 413 files that are too large, 415 forms,
    422 files that are no videos or too long, 503 when the queue is full.
    """
    state = request.app.state
    _check_type(request.headers.get("content-type", ""))
    upload.announced(request.headers.get("content-length"), state.limits)
    name = upload.shown(name)
    try:
        with state.jobs.place(name) as job:
            await upload.receive(request.stream(), job.video, state.limits)
            await run_in_threadpool(upload.check, job.video, name, state.limits)
            if await request.is_disconnected():  # nobody would ever learn the job's id
                raise HTTPException(400, "the connection was closed before the video was checked")
    except jobs.Full as error:
        text = f"{state.limits.queue} videos are waiting already, which is as many as may; try again in a minute"
        raise HTTPException(503, text, {"Retry-After": "60"}) from error
    return _job(state.jobs, job.id)


def read(request: Request, number: Id) -> Job:
    """Where a video stands, and the verdict on it."""
    return _job(request.app.state.jobs, number)


def cancel(request: Request, number: Id) -> None:
    """End a job that waits or runs (at its next window); delete the result of one that has ended."""
    try:
        request.app.state.jobs.cancel(number)
    except KeyError as error:
        raise _unknown() from error


def report(request: Request, number: Id) -> FileResponse:
    """The report on a video, a page of HTML."""
    job, _ = _find(request.app.state.jobs, number)
    if job.report is None:
        raise HTTPException(404, "there is no report on this video")
    return FileResponse(job.report, media_type="text/html", headers={"content-security-policy": REPORT_POLICY})


def _check_type(kind: str) -> None:
    """Refuse forms: any page of the web may send one here, while it must ask before it sends another type."""
    kind = kind.partition(";")[0].strip().lower()
    if kind != "application/octet-stream" and not kind.startswith("video/"):
        raise HTTPException(415, "send the video itself, with Content-Type: application/octet-stream or video/...")


def _job(queue: jobs.Jobs, number: str) -> Job:
    job, position = _find(queue, number)
    return Job(
        id=job.id,
        name=job.name,
        state=job.state,
        position=position,
        windows_done=job.windows[0],
        windows=job.windows[1],
        seconds_left=queue.seconds_left(job),
        verdict=job.verdict,
        reason=job.reason,
        report=job.report and f"/api/jobs/{job.id}/report",
        expires=queue.expires(job),
    )


def _find(queue: jobs.Jobs, number: str) -> tuple[jobs.Job, int | None]:
    try:
        return queue.find(number)
    except KeyError as error:
        raise _unknown() from error


def _unknown() -> HTTPException:
    return HTTPException(404, f"no such video: results are kept for {jobs.KEEP / 60:g} minutes, then deleted")
