"""Requests put together at random: each is answered, none as a failure of the server."""

from urllib.parse import quote

import mutants
import numpy as np
import pytest

pytest.importorskip("fastapi", reason="the extra app is not installed")
pytest.importorskip("httpx2", reason="the extra app-test is not installed")
from fastapi.testclient import TestClient
from service import running

from fusion_dfd.serve import app as module
from fusion_dfd.serve.upload import Limits

pytestmark = pytest.mark.extras

HERE = "http://127.0.0.1:8000"
PATHS = ("/", "/api/jobs", "/api/jobs/x", "/api/jobs/x/report", "/api/model", "/docs", "/openapi.json", "/static/../x")
PIECES = ("..", "%2e%2e", "%00", "\u202e", "a" * 3000, "'", '"', "<b>", "{}", "%", "?", ";", "//", "\\", "-1", "None")
HEADERS = ("content-type", "content-length", "origin", "host", "range", "accept", "cookie", "x-forwarded-for")
VALUES = (
    "",
    "a",
    "-1",
    "9" * 40,
    "application/octet-stream",
    "multipart/form-data",
    "bytes=-1-",
    "null",
    "video/mp4",
    "[",
)
METHODS = ("GET", "POST", "DELETE", "PUT", "HEAD", "OPTIONS", "PATCH")


def test_no_request_is_a_failure_of_the_server(score, facts, temporary, clip):
    rng = np.random.default_rng(0)

    def one(values):
        return values[int(rng.integers(len(values)))]

    with (
        running(score, facts, Limits(max_mb=1, queue=2)) as service,
        TestClient(module.create(service), base_url=HERE, raise_server_exceptions=False) as client,
    ):
        for _ in range(80):
            path = one(PATHS) + one(
                ["", "", f"/{one(PIECES)}", f"?name={one(PIECES)}", f"?{one(PIECES)}={one(PIECES)}"]
            )
            headers = {one(HEADERS): one(VALUES) for _ in range(int(rng.integers(3)))}
            content = mutants.mutant(clip, rng, text=False) if rng.integers(4) == 0 else None
            answer = client.request(one(METHODS), HERE + quote(path, safe="/?=;%\\"), headers=headers, content=content)
            assert answer.status_code < 500 or answer.status_code == 503, (path, headers, answer.text)
        score.step(1000)
