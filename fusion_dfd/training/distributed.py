"""One training in several processes, on one machine or many: the same program over all their devices.

Every process runs the same command, reads its block of every batch, and holds a copy of the weights. The compiled
program (``jit`` over a global mesh) sums the gradients, so that N processes take the same steps as one. All use the
same run folder, on a file system that they share.

All processes call every program over all devices, and every save and restore, in the same order. Work to be done once,
such as the report, is done by process 0 (:func:`first`). The others wait in the coordination service: inside a program,
the transport would time out or wait for ever. A process that fails first tells the others why. It does not wait for
them at JAX's shutdown, which would take minutes. So every process ends within seconds, with the same sentence.
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

# Why not the public API (JAX 0.10.2)? Nothing public reads or writes the key-value store by which a process tells the
# others its error. ``multihost_utils`` synchronises inside a program, which cannot wait for hours, as process 0 may
# need, and does not end when another process fails. ``jax.process_index`` starts the backends, which wait for all
# processes: one that fails early would hang. Orbax uses the same private client.
from jax._src import distributed as _jax_distributed

from fusion_dfd import atomic
from fusion_dfd.config import ConfigError
from fusion_dfd.types import DataError

AUTO = "auto"
WAIT = 12 * 3600
"""Seconds that the others wait, at most, for the work of process 0."""
SILENCE = 100
"""Seconds without a sign of life after which a process counts as dead."""
FAREWELL = 5
"""Seconds that a failing process waits until the others know why."""

_EXPLICIT = re.compile(r"(\d+)/(\d+)@(\S+:\d+)")
_AGAIN = "start all processes again: the run continues from its last checkpoint"
_meetings = itertools.count()

T = TypeVar("T")


@contextlib.contextmanager
def joined(process: str | None) -> Iterator[None]:
    """Take part in a training of several processes. Enter it before JAX is first used; all processes leave it together.

    An exception inside ends this process with its message and, within seconds, all others with the same message and
    exit code 1. JAX ends processes that do not find each other within 300 s.

    Args:
      process: ``auto`` asks the cluster (Slurm, Open MPI, Kubernetes, Cloud TPU; ``jax.distributed.initialize``), or
        ``I/N@HOST:PORT``: process I, from 0, of N; process 0 listens at that address. None: there is one process.

    Raises ConfigError for any other text, and if no cluster answers.
    """
    if process is None:
        yield
        return
    _initialize(process)
    watch = _Watch()
    try:
        yield
        meet("the end")
    except BaseException as error:
        watch.stop()
        _fail(error)
    watch.stop()


def is_first() -> bool:
    """Whether this is process 0, which alone writes logs and reports and prints to the terminal."""
    return _me() == 0


def first(name: str, work: Callable[[], T]) -> T | None:
    """The result of ``work``, which process 0 does; the others wait until it is done and get None."""
    try:
        return work() if is_first() else None
    finally:
        meet(name)


def meet(name: str) -> None:
    """Wait until all processes have called this. Raises DataError if one is missing after ``WAIT`` seconds."""
    if _count() == 1:
        return
    try:
        _jax_distributed.global_state.client.wait_at_barrier(f"fusion_dfd/{next(_meetings)}/{name}", 1000 * WAIT)
    except jax.errors.JaxRuntimeError as error:
        raise DataError(f"the processes did not meet at {name} ({_line(error)}); {_AGAIN}") from error


def agree(config: str, folder: str) -> None:
    """Make the folder, and check that all processes have the same configuration and see the same folder.

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
    """Whether any process requests a stop.

    All processes get the same answer, one call late, so that none of them waits for its device.
    """

    def __init__(self, split: jax.sharding.NamedSharding, replicated: jax.sharding.NamedSharding):
        self._split = split
        self._any = jax.jit(lambda asked: asked.any(), out_shardings=replicated)
        self._pending: jax.Array | None = None

    def __call__(self, asked: bool) -> bool:
        """Must be called equally often by all processes."""
        if _count() == 1:
            return asked
        own = np.full(jax.local_device_count(), asked)
        before, self._pending = self._pending, self._any(jax.make_array_from_process_local_data(self._split, own))
        return before is not None and bool(before)


def _initialize(process: str) -> None:
    # JAX would handle SIGTERM itself, but the training loop has its own handler.
    jax.config.update("jax_enable_preemption_service", False)
    patience = 3 * SILENCE  # JAX's own watchdog ends a process with a stack trace: ours must come first
    if process == AUTO:
        try:
            jax.distributed.initialize(heartbeat_timeout_seconds=patience)
        except (ValueError, RuntimeError) as error:
            raise ConfigError(f"--process auto: no cluster answers ({_line(error)}); say I/N@HOST:PORT") from error
        return
    match = _EXPLICIT.fullmatch(process)
    if not match or int(match[1]) >= int(match[2]):
        raise ConfigError(f"--process {process}: want auto, or I/N@HOST:PORT with I from 0 to N - 1")
    # No cluster detection: under Slurm it would give each process one GPU, however many it sees.
    jax.distributed.initialize(
        match[3],
        int(match[2]),
        int(match[1]),
        cluster_detection_method="deactivate",
        heartbeat_timeout_seconds=patience,
    )


class _Watch:
    """A thread that publishes that this process lives, and ends it when another one has failed or died."""

    def __init__(self):
        self._stopped = threading.Event()
        self._last_seen: dict[int, tuple[str, float]] = {}
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
            if self._last_seen.get(process, ("", now))[0] != beat:
                self._last_seen[process] = beat, now
        silent = [process for process, (_, since) in self._last_seen.items() if now - since > SILENCE]
        if silent:
            _leave(f"error: {_named(silent)} silent for more than {SILENCE} s, see there; {_AGAIN}")


def _fail(error: BaseException) -> NoReturn:
    """End this process with an error, once the others know."""
    text = f"error: {error}" if isinstance(error, (ConfigError, DataError)) else _traceback(error)
    reason = text.removeprefix("error: ").strip().splitlines()[-1]
    try:
        _publish("failed", f"process {_me()} of {_count()} ended: {reason}")
        _publish("knows")
        unreachable = _wait_for("knows")
    except jax.errors.JaxRuntimeError:
        unreachable = [0]
    if unreachable and isinstance(error, jax.errors.JaxRuntimeError):
        text = f"error: {_named(unreachable)} dead or out of reach ({_line(error)}), see there; {_AGAIN}"
    _leave(text)


def _leave(text: str) -> NoReturn:
    """Print why and end at once, without JAX's shutdown, which waits for all processes."""
    print(text, file=sys.stderr, flush=True)
    sys.stdout.flush()
    with contextlib.suppress(jax.errors.JaxRuntimeError):
        _publish("left")
        if _me() == 0:
            # The service ends with process 0, and JAX then ends the others with a stack trace: process 0 goes last.
            _wait_for("left")
    os._exit(1)


def _wait_for(kind: str) -> list[int]:
    """Wait, at most ``FAREWELL`` seconds, until every process has published a ``kind``. Returns those that have not."""
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
    """Publish a value of this process under a kind."""
    _jax_distributed.global_state.client.key_value_set(f"fusion_dfd/{kind}/{_me()}", value, allow_overwrite=True)


def _published(kind: str) -> dict[int, str]:
    """The values of a kind, by process."""
    values = _jax_distributed.global_state.client.key_value_dir_get(f"fusion_dfd/{kind}/")
    return {int(key.rsplit("/", 1)[1]): value for key, value in values}


def _me() -> int:
    return _jax_distributed.global_state.process_id


def _count() -> int:
    return _jax_distributed.global_state.num_processes


def _traceback(error: BaseException) -> str:
    return "".join(traceback.format_exception(error))


def _line(error: BaseException) -> str:
    """The first line of an error; those of XLA have many."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
