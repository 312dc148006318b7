"""The server: one process with one detector, loaded and compiled before the first request is accepted."""

from __future__ import annotations

import contextlib
import functools
import os
import socket
import sys
import tempfile

import uvicorn

from fusion_dfd.config import ConfigError, Synthetic
from fusion_dfd.predict.detector import DeepfakeDetector, load
from fusion_dfd.runs.run import Run
from fusion_dfd.serve import app, scoring
from fusion_dfd.serve.request_guard import is_loopback
from fusion_dfd.serve.upload import Limits
from fusion_dfd.synthetic import take

GRACE = 5
"""Seconds that open connections get to finish when the server ends."""


def serve(run: str, host: str, port: int, limits: Limits) -> None:
    """Answer requests until Ctrl-C or SIGTERM. The address is printed once it answers; port 0 takes any free one.

    Raises ConfigError for an address that cannot be used, DataError for a run that cannot be used.
    """
    with _listen(host, port) as listener:
        if not is_loopback(host):
            _say(
                f"warning: other machines can reach {host} without password or encryption; anyone who does can have "
                "videos scored"
            )
        _say(f"loading {run}")
        detector = load(run)
        warm(detector)
        made = app.create(
            functools.partial(scoring.score, detector), scoring.gather(Run(run), detector), limits, is_loopback(host)
        )
        config = uvicorn.Config(
            made,
            log_config=None,  # its own would close the handlers of absl
            log_level="warning",
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_graceful_shutdown=GRACE,
        )
        with contextlib.suppress(KeyboardInterrupt):
            _Server(config, _address(host, listener)).run(sockets=[listener])


class _Server(uvicorn.Server):
    """Prints its address once it accepts requests."""

    def __init__(self, config: uvicorn.Config, address: str):
        super().__init__(config)
        self._address = address

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            print(f"{self._address}  (Ctrl-C ends)", flush=True)


def warm(detector: DeepfakeDetector) -> None:
    """Compile all programs by scoring and explaining a rendered video."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "warm.mp4")
        take.shoot(take.RenderTask(Synthetic(frames=8), 0, 1, {take.ORIGINAL: path}))
        scoring.score(detector, path, folder, lambda *_: None)


def _listen(host: str, port: int) -> socket.socket:
    """A listening socket, made first so that an address in use is reported before the model is loaded."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family)
    except OSError as error:
        raise ConfigError(f"--host {host} --port {port}: {error.strerror}; choose others") from error


def _address(host: str, listener: socket.socket) -> str:
    return f"http://{f'[{host}]' if ':' in host else host}:{listener.getsockname()[1]}/"


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
