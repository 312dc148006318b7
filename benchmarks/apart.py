"""Ways of doing the same work that take turns, each library's in a process of its own.

Its threads, memory and settings then stay with it, and whatever else the machine does hits all ways alike. A way is
what ``make(*given)`` returns: a function without arguments that does the work once and returns its figures.
"""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Callable, Hashable
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import jax
import numpy as np

# Else the first process that uses a GPU through JAX takes most of its memory from all others, and it may not use all.
os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
os.environ.setdefault("XLA_PYTHON_CLIENT_MEM_FRACTION", "0.95")


class Unavailable(Exception):
    """A way that cannot be taken here; the message says why."""


def same_device(peer: str) -> None:
    """Raise Unavailable where a peer would run on another kind of device (``cpu``, ``cuda``) than JAX does."""
    ours = {"gpu": "cuda"}.get(jax.default_backend(), jax.default_backend())
    if peer != ours:
        raise Unavailable(f"JAX runs on {ours} here, this on {peer}")


class Apart:
    """A process with ways in it. What is raised there is raised here."""

    def __init__(self):
        # An executor's processes, unlike a pool's, may have children: a loader's workers.
        self._process = ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"))

    def start(self, name: Hashable, make: Callable[..., Callable[[], Any]], *given: Any) -> None:
        self._process.submit(_start, name, make, given).result()

    def go(self, name: Hashable) -> Any:
        return self._process.submit(_go, name).result()

    def close(self) -> None:
        self._process.shutdown()


_started: dict[Hashable, Callable[[], Any]] = {}
"""The ways of this process."""


def _start(name: Hashable, make: Callable[..., Callable[[], Any]], given: tuple) -> None:
    _started[name] = make(*given)


def _go(name: Hashable) -> Any:
    return _started[name]()


class Ways:
    """Ways that take turns; use as a context. Those that cannot be taken are in ``missing``, with the reason."""

    def __init__(self, makes: dict[str, dict[Hashable, tuple]]):
        """``makes``: of every process the function and its arguments, by the way's name."""
        self.missing: dict[Hashable, str] = {}
        self._where: dict[Hashable, Apart] = {}
        self._processes = {process: Apart() for process in makes}
        for process, inside in makes.items():
            for name, way in inside.items():
                try:
                    self._processes[process].start(name, *way)
                    self._where[name] = self._processes[process]
                except (ImportError, Unavailable) as error:
                    self.missing[name] = str(error)

    def __enter__(self) -> Ways:
        return self

    def __exit__(self, *error: object) -> None:
        for process in self._processes.values():
            process.close()

    def rounds(self, count: int) -> dict[Hashable, list]:
        """What every way returned in each of its turns; a first round, in which things are compiled, is left out."""
        found: dict[Hashable, list] = {name: [] for name in self._where}
        for number in range(count + 1):
            for name, process in self._where.items():
                turn = process.go(name)
                if number:
                    found[name].append(turn)
        return found


def timed(work: Callable[[], Any], times: int) -> np.ndarray:
    """Seconds per call: of the clock, and of the cores, which other work on the machine does not stretch."""
    start = np.array([time.perf_counter(), cpu_seconds()])
    for _ in range(times):
        work()
    return (np.array([time.perf_counter(), cpu_seconds()]) - start) / times


def cpu_seconds() -> float:
    """Processor time of this process and of its children that are alive."""
    # The clock of another process has this number, see clock_getcpuclockid(3) of Linux.
    clocks = ((~child.pid << 3) | 2 for child in multiprocessing.active_children())
    return time.process_time() + sum(time.clock_gettime(clock) for clock in clocks)


def target(text: str, at_least: float, measured: float | None) -> dict[str, Any]:
    """A row of the targets: what is wanted and what came out; None where a peer is missing."""
    met = None if measured is None else bool(measured >= at_least)
    return {
        "target": text,
        "at_least": at_least,
        "measured": None if measured is None else round(measured, 2),
        "met": met,
    }


def ratio(one: float | None, other: float | None) -> float | None:
    """``one / other``; None where either was not measured."""
    return None if one is None or other is None else one / other
