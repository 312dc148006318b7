"""A headless Chromium of the system, and a server in this process for it."""

import contextlib
import os
import shutil
import socket
import threading
import time
from collections.abc import Iterator

import uvicorn
from playwright.sync_api import Browser, sync_playwright
from service import running

from fusion_dfd.serve import app
from fusion_dfd.serve.scoring import ModelFacts, Score
from fusion_dfd.serve.upload import Limits

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def find() -> str | None:
    """Path of the program."""
    return next(filter(None, map(shutil.which, NAMES)), None)


@contextlib.contextmanager
def launched() -> Iterator[Browser]:
    # Chromium refuses to run as root inside its sandbox.
    flags = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=find(), args=flags)
        yield browser
        browser.close()


@contextlib.contextmanager
def served(score: Score, facts: ModelFacts, limits: Limits, **more) -> Iterator[str]:
    """Address of a server on any free port; ``more`` as :func:`service.running` takes it."""
    with (
        running(score, facts, limits, **more) as service,
        socket.create_server(("127.0.0.1", 0)) as listener,
    ):
        server = uvicorn.Server(uvicorn.Config(app.create(service), log_level="warning"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        while not server.started and thread.is_alive():
            time.sleep(0.01)
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
        finally:
            server.should_exit = True
            thread.join()
