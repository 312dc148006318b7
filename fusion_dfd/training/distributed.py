"""One training in several processes, on one machine or many: the same program over all their devices.

Every process runs the same command, reads its block of every batch, and holds a copy of the weights; gradients are
summed by the compiled program (``jit`` over a global mesh), so that N processes take the steps that one would. The
run's folder must be the same for all, on a file system that they share.

All of them enter every program over all devices and every save and restore, in the same order. What wants one hand,
such as the report, is process 0's (:func:`first`); the others wait in the coordination service, not inside a program,
whose transport would give up or wait for ever. A process that fails tells the others why before it ends, and does not
wait for them at JAX's shutdown, where it would keep everybody for minutes: so one failure is one sentence everywhere.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import pathlib
import re
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from typing import NoReturn, TypeVar

import jax
import numpy as np

# The client of the coordination service has no public name; Orbax, too, takes it from there.
from jax._src import distributed as _jax_distributed

from fusion_dfd import atomic
from fusion_dfd.config import ConfigError
from fusion_dfd.types import DataError

AUTO = "auto"
WAIT = 12 * 3600
"""Seconds that the others wait at most for what process 0 does alone."""
SILENCE = 100
"""Seconds after which a process that is not heard of counts as dead."""
FAREWELL = 5
"""Seconds that a failing process gives the others to hear why."""

_EXPLICIT = re.compile(r"(\d+)/(\d+)@(\S+:\d+)")
_AGAIN = "start all processes again: the run continues from its last checkpoint"
_meetings = itertools.count()

T = TypeVar("T")


@contextlib.contextmanager
def joined(place: str | None) -> Iterator[None]:
    """Take part in a training of several processes; to be entered before JAX is first used, and to be left together.

    An exception inside ends this process with its sentence and, within seconds, all others with the same; all exit with
    code 1. Processes that do not find each other in 300 s are ended by JAX.

    Args:
      place: ``auto`` asks the cluster (Slurm, Open MPI, Kubernetes, Cloud TPU; see ``jax.distributed.initialize``), or
        ``I/N@HOST:PORT``: process I, from 0, of N; process 0 listens at that address. None: this process is all.

    Raises ConfigError for another text, and where no cluster answers.
    """
    if place is None:
        yield
        return
    _initialize(place)
    watch = _Watch()
    try:
        yield
        meet("the end")
    except BaseException as error:
        watch.stop()
        _fail(error)
    watch.stop()


def is_first() -> bool:
    """Whether this is process 0, which alone writes logs and reports, and talks."""
    return _me() == 0


def first(name: str, work: Callable[[], T]) -> T | None:
    """What ``work`` returns to process 0; the others wait until it is done, and get None."""
    try:
        return work() if is_first() else None
    finally:
        meet(name)


def meet(name: str) -> None:
    """Wait until all processes are here. Raises DataError when one is missing after ``WAIT`` seconds."""
    if _count() == 1:
        return
    try:
        _jax_distributed.global_state.client.wait_at_barrier(f"fusion_dfd/{next(_meetings)}/{name}", 1000 * WAIT)
    except jax.errors.JaxRuntimeError as error:
        raise DataError(f"the processes did not meet at {name} ({_line(error)}); {_AGAIN}") from error


def agree(config: str, folder: str) -> None:
    """See that all processes were given the same configuration and see the same folder, which is made.

    Raises ConfigError or DataError in those that do not.
    """
    if _count() == 1:
        return
    mark = os.path.join(folder, ".processes")
    first("the start", lambda: atomic.write_text(mark, str(time.time_ns())))
    seen = pathlib.Path(mark).read_text() if os.path.exists(mark) else ""
    _publish("configuration", config)
    _publish("folder", seen)
    meet("the comparison")  # all have read the mark
    if is_first():
        os.remove(mark)
    if _published("configuration")[0] != config:
        raise ConfigError(f"process {_me()} was given another configuration than process 0: start all by one command")
    if _published("folder")[0] != seen:
        raise DataError(
            f"process {_me()} does not see {folder} as process 0 does: give a --config.workdir on a file system that "
            "all processes share"
        )


class AnyAsks:
    """Whether any process asked, answered alike in all of them, one call late: the device is never waited for."""

    def __init__(self, split: jax.sharding.NamedSharding, replicated: jax.sharding.NamedSharding):
        self._split = split
        self._any = jax.jit(lambda asked: asked.any(), out_shardings=replicated)
        self._pending: jax.Array | None = None

    def __call__(self, asked: bool) -> bool:
        """To be called by all processes equally often."""
        if _count() == 1:
            return asked
        own = np.full(jax.local_device_count(), asked)
        before, self._pending = self._pending, self._any(jax.make_array_from_process_local_data(self._split, own))
        return before is not None and bool(before)


def _initialize(place: str) -> None:
    # JAX would take SIGTERM for itself, and the training loop has its own answer to it.
    jax.config.update("jax_enable_preemption_service", False)
    patience = 3 * SILENCE  # of JAX's own watch, which ends a process by a stack trace: ours comes first
    if place == AUTO:
        try:
            jax.distributed.initialize(heartbeat_timeout_seconds=patience)
        except (ValueError, RuntimeError) as error:
            raise ConfigError(f"--process auto: no cluster answers ({_line(error)}); say I/N@HOST:PORT") from error
        return
    found = _EXPLICIT.fullmatch(place)
    if not found or int(found[1]) >= int(found[2]):
        raise ConfigError(f"--process {place}: want auto, or I/N@HOST:PORT with I from 0 to N - 1")
    # Nothing is asked of a cluster: Slurm's would leave each process one GPU, however many it sees.
    jax.distributed.initialize(
        found[3],
        int(found[2]),
        int(found[1]),
        cluster_detection_method="deactivate",
        heartbeat_timeout_seconds=patience,
    )


class _Watch:
    """A thread that says that this process lives, and ends it when another has failed or has died."""

    def __init__(self):
        self._stopped = threading.Event()
        self._heard: dict[int, tuple[str, float]] = {}
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        try:
            for beat in itertools.count():
                _publish("alive", str(beat))
                self._look()
                if self._stopped.wait(1):
                    return
        except jax.errors.JaxRuntimeError as error:
            _leave(f"error: process 0 of {_count()} is dead or out of reach ({_line(error)}), see there; {_AGAIN}")

    def _look(self) -> None:
        for reason in _published("failed").values():
            _publish("knows")
            _leave(f"error: {reason}")
        now = time.monotonic()
        for process, beat in _published("alive").items():
            if self._heard.get(process, ("", now))[0] != beat:
                self._heard[process] = beat, now
        silent = [process for process, (_, since) in self._heard.items() if now - since > SILENCE]
        if silent:
            _leave(f"error: {_named(silent)} silent for more than {SILENCE} s, see there; {_AGAIN}")


def _fail(error: BaseException) -> NoReturn:
    """End this process by an error, once the others know."""
    text = f"error: {error}" if isinstance(error, (ConfigError, DataError)) else _traceback(error)
    reason = text.removeprefix("error: ").strip().splitlines()[-1]
    try:
        _publish("failed", f"process {_me()} of {_count()} ended: {reason}")
        _publish("knows")
        deaf = _wait_for("knows")
    except jax.errors.JaxRuntimeError:
        deaf = [0]
    if deaf and isinstance(error, jax.errors.JaxRuntimeError):
        text = f"error: {_named(deaf)} dead or out of reach ({_line(error)}), see there; {_AGAIN}"
    _leave(text)


def _leave(text: str) -> NoReturn:
    """Say why and end at once, without JAX's shutdown, which waits for all processes."""
    print(text, file=sys.stderr, flush=True)
    sys.stdout.flush()
    with contextlib.suppress(jax.errors.JaxRuntimeError):
        _publish("left")
        if _me() == 0:
            # The service ends with process 0, and JAX ends those that it leaves behind by a stack trace: it goes last.
            _wait_for("left")
    os._exit(1)


def _wait_for(kind: str) -> list[int]:
    """Wait until every process has published something, or ``FAREWELL`` seconds; those that have not."""
    until = time.monotonic() + FAREWELL
    while True:
        missing = sorted(set(range(_count())) - set(_published(kind)))
        if not missing or time.monotonic() > until:
            return missing
        time.sleep(0.1)


def _named(processes: list[int]) -> str:
    one = len(processes) == 1
    return f"process{'' if one else 'es'} {', '.join(map(str, processes))} of {_count()} {'is' if one else 'are'}"


def _publish(kind: str, value: str = "") -> None:
    """Let all processes read a value of this one."""
    _jax_distributed.global_state.client.key_value_set(f"fusion_dfd/{kind}/{_me()}", value, allow_overwrite=True)


def _published(kind: str) -> dict[int, str]:
    """What processes have published of a kind."""
    found = _jax_distributed.global_state.client.key_value_dir_get(f"fusion_dfd/{kind}/")
    return {int(key.rsplit("/", 1)[1]): value for key, value in found}


def _me() -> int:
    return _jax_distributed.global_state.process_id


def _count() -> int:
    return _jax_distributed.global_state.num_processes


def _traceback(error: BaseException) -> str:
    return "".join(traceback.format_exception(error))


def _line(error: BaseException) -> str:
    """The first line of an error, which of XLA's is enough."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
