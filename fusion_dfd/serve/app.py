"""The web application: pages for people, and a JSON API for programs (documented at ``/docs``, ``/openapi.json``)."""

from __future__ import annotations

import importlib.resources
import os
from typing import Annotated

from fastapi import Depends, FastAPI, HTTPException, Request, Response
from fastapi.responses import FileResponse, JSONResponse
from fastapi.staticfiles import StaticFiles
from sqlalchemy.exc import SQLAlchemyError

from fusion_dfd.reports import pages
from fusion_dfd.serve import job_requests, list_requests
from fusion_dfd.serve.interface import Health, ModelInfo
from fusion_dfd.serve.job_requests import COOKIE, known
from fusion_dfd.serve.keys import Holder
from fusion_dfd.serve.request_guard import Guard, Hosts
from fusion_dfd.serve.service import Service

PAGES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "static")
DAY = 24 * 3600


def create(service: Service) -> FastAPI:
    """The application of a service."""
    facts = service.default
    app = FastAPI(
        title="fusion_dfd",
        version=facts.version,
        description=" ".join(facts.notices),
        docs_url=None,
        redoc_url=None,
    )
    app.state.service = service
    # With keys, a foreign page that lets its name point to this machine has none, and a proxy may pass on any name.
    hosts = Hosts(service.options.loopback, service.options.hosts) if service.keys is None else None
    app.add_middleware(Guard, hosts=hosts)
    app.add_exception_handler(SQLAlchemyError, _store_away)
    app.add_api_route("/api/model", model, methods=["GET"], response_model=ModelInfo)
    app.include_router(list_requests.router)
    app.include_router(job_requests.router)
    app.add_api_route("/api/session", sign_in, methods=["POST"], status_code=204)
    app.add_api_route("/api/session", sign_out, methods=["DELETE"], status_code=204)
    app.add_api_route("/healthz", health, methods=["GET"], response_model=Health)
    app.add_api_route("/readyz", ready, methods=["GET"], response_model=Health)
    app.add_api_route("/metrics", metrics, methods=["GET"], response_class=Response)
    _add_pages(app)
    return app


def _add_pages(app: FastAPI) -> None:
    for path, name in (("/", "index.html"), ("/jobs", "jobs.html"), ("/docs", "docs.html")):
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


async def _store_away(_: Request, error: Exception) -> JSONResponse:
    text = "the server's store does not answer; try again in a moment"
    return JSONResponse({"detail": text}, 503, {"Retry-After": "5"})


def model(request: Request, _: Annotated[Holder, Depends(known)]) -> ModelInfo:
    """The detectors, the limits, and the free places in the queue."""
    service: Service = request.app.state.service
    return ModelInfo(
        facts=service.default,
        detectors=list(service.detectors.values()),
        limits=service.limits,
        keep=service.options.keep,
        keep_videos=service.options.keep_videos,
        free=service.free(),
        keys=service.keys is not None,
        lists=list_requests.lists(service),
    )


def sign_in(request: Request, response: Response, _: Annotated[Holder, Depends(known)]) -> None:
    """Remember the key of this request in a cookie, which scripts cannot read: for the pages of this server."""
    key = request.headers.get("authorization", "").partition(" ")[2]
    secure = request.headers.get("x-forwarded-proto", request.url.scheme) == "https"
    response.set_cookie(COOKIE, key, max_age=DAY, httponly=True, samesite="strict", secure=secure)


def sign_out(response: Response) -> None:
    """Forget the key."""
    response.delete_cookie(COOKIE, httponly=True, samesite="strict")


def health(request: Request) -> Health:
    """Whether the process answers and its store does."""
    request.app.state.service.store.ping()
    return Health(status="ok")


def ready(request: Request) -> Health:
    """Whether videos can be taken and scored now; 503 with the reason if not."""
    if (trouble := request.app.state.service.trouble()) is not None:
        raise HTTPException(503, trouble)
    return Health(status="ok")


def metrics(request: Request) -> Response:
    """For Prometheus. Neither names of files nor of keys are in it; a proxy should not pass it on."""
    return Response(request.app.state.service.telemetry.text(), media_type="text/plain; version=0.0.4; charset=utf-8")
