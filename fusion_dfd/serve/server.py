"""The server: a process that answers requests, and worker processes that score what it accepted."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Sequence

import uvicorn
from absl import logging

from fusion_dfd.config import ConfigError
from fusion_dfd.serve import app, interface, telemetry, upload
from fusion_dfd.serve.callbacks import Caller
from fusion_dfd.serve.files import DATABASE, Files, locked
from fusion_dfd.serve.keys import Keys
from fusion_dfd.serve.request_guard import is_loopback
from fusion_dfd.serve.service import Options, Service
from fusion_dfd.serve.store import Store, sqlite
from fusion_dfd.serve.upload import Limits
from fusion_dfd.serve.worker import Plan
from fusion_dfd.serve.workers import Workers

GRACE = 5
"""Seconds that open connections get to finish when the server ends."""
SWEEP = 30.0
"""Seconds between deletions of expired results."""
CALL = 1.0
"""Seconds between looks for callbacks that are due."""


@dataclasses.dataclass(frozen=True)
class Setup:
    """How a server is started."""

    detectors: Sequence[tuple[str, str]]
    """Names and runs; the first is used where a request names none."""
    host: str = "127.0.0.1"
    port: int = 8000
    limits: Limits = dataclasses.field(default_factory=Limits)
    options: Options = dataclasses.field(default_factory=Options)
    data: str | None = None
    """Folder for videos and results that outlive the server; None = a temporary one."""
    store: str | None = None
    """URL of the database; None = SQLite in the folder."""
    keys: str | None = None
    """File of API keys; None = none are wanted."""
    workers: int = 1
    json_log: bool = False


def serve(setup: Setup) -> None:
    """Answer requests until Ctrl-C or SIGTERM. The address is printed once it answers; port 0 takes any free one.

    Raises ConfigError for an address, folder or database that cannot be used, DataError for a run or a file of keys
    that cannot be used.
    """
    signal.signal(signal.SIGTERM, _interrupt)
    with contextlib.suppress(KeyboardInterrupt), _listen(setup.host, setup.port) as listener:
        if setup.json_log:
            telemetry.log_json()
        keys = Keys(setup.keys) if setup.keys else None
        _warn(setup)
        with locked(setup.data) if setup.data else upload.private_folder() as root, _service(setup, root, keys) as made:
            config = uvicorn.Config(
                app.create(made),
                log_config=None,  # its own would close the handlers of absl
                log_level="warning",
                access_log=False,
                proxy_headers=False,
                server_header=False,
                timeout_graceful_shutdown=GRACE,
            )
            _Server(config, _address(setup.host, listener)).run(sockets=[listener])


@contextlib.contextmanager
def _service(setup: Setup, root: str, keys: Keys | None) -> Iterator[Service]:
    """Everything but the web: store, workers, callbacks, deletion of what has expired."""
    files, told = Files(root), telemetry.Telemetry(setup.json_log)
    url = setup.store or sqlite(os.path.join(root, DATABASE))
    store = Store(url, files.name)
    store.requeue()  # of a server that was killed
    files.clean(store.has)
    limits, options = setup.limits, setup.options
    plan = Plan(url, root, tuple(setup.detectors), limits.time_limit, options.keep_videos, setup.json_log)
    workers = Workers(setup.workers, plan, store, files, told)
    with contextlib.ExitStack() as stack:
        stack.callback(store.close)
        stack.callback(workers.close)
        _say(f"loading {', '.join(run for _, run in setup.detectors)}")
        detectors = {facts.name: facts for facts in workers.start()}
        for name, count in store.waiting_for([facts.digest for facts in detectors.values()]).items():
            _say(f"warning: {count} accepted videos wait for a detector {name!r} of another digest; start with it too")
        service = Service(store, files, detectors, limits, options, keys, told, workers.ready)
        told.watch(lambda: {"worker_memory_bytes": ("Resident memory.", ("worker",), _memory(workers))})
        stack.enter_context(_repeated(SWEEP, service.sweep))
        if keys is not None:
            caller = Caller(
                store,
                lambda job: interface.status(service, job).model_dump_json().encode(),
                keys,
                told,
                options.private_callbacks,
            )
            stack.enter_context(_repeated(CALL, caller.run_due))
        yield service


class _Server(uvicorn.Server):
    """Prints its address once it accepts requests."""

    def __init__(self, config: uvicorn.Config, address: str):
        super().__init__(config)
        self._address = address

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            print(f"{self._address}  (Ctrl-C ends)", flush=True)


@contextlib.contextmanager
def _repeated(seconds: float, work: Callable[[], None]) -> Iterator[None]:
    """``work`` again and again in a thread, ``seconds`` apart."""
    ended = threading.Event()

    def run() -> None:
        while not ended.wait(seconds):
            try:
                work()
            except Exception:  # of the store, of the disk: what failed is tried again
                logging.exception("a repeated task failed")

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(GRACE)


def _memory(workers: Workers) -> dict[tuple[str, ...], float]:
    return {(place,): telemetry.memory(pid) for place, pid in workers.processes().items()}


def _warn(setup: Setup) -> None:
    if is_loopback(setup.host):
        return
    if setup.keys is None:
        _say(
            f"warning: other machines can reach {setup.host} without password or encryption; anyone who does can have "
            "videos scored"
        )
    else:
        _say(f"warning: other machines can reach {setup.host} without encryption; put a proxy with TLS in front")


def _interrupt(*_) -> None:
    """SIGTERM ends the server as Ctrl-C does, so that workers and folders are cleared away."""
    raise KeyboardInterrupt


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
